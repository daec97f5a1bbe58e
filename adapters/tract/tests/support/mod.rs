//! Models, and how they are run.
#![allow(dead_code, reason = "each program that includes it uses a part")]

use sepconv_measure::{difference, uniform};
use sepconv_tract::tract_core::internal::*;
use sepconv_tract::tract_core::ops::cnn::Conv;
use sepconv_tract::tract_core::ops::nn::DataFormat;
use sepconv_tract::tract_core::ops::source::TypedSource;
use tract_onnx::prelude::InferenceModelExt;

/// The network of an ONNX file for an input of this shape.
pub(crate) fn load(name: &str, shape: impl IntoIterator<Item = TDim>) -> TractResult<TypedModel> {
    let path = sepconv_measure::model(name)?;
    let fact = f32::fact(shape.into_iter().collect::<TVec<_>>());
    tract_onnx::onnx().model_for_path(path)?.with_input_fact(0, fact.into())?.into_typed()
}

/// The same model with input, convolutions and output of NHWC, as a file of TensorFlow Lite has
/// them, decluttered.
pub(crate) fn to_nhwc(mut model: TypedModel) -> TractResult<TypedModel> {
    let input = model.input_outlets()?[0];
    let readers = model.outlet_successors(input).to_vec();
    let mut fact = model.outlet_fact(input)?.clone();
    AxisOp::Move(1, 3).change_shape(&mut fact.shape, false)?;
    model.node_mut(input.node).op = Box::new(TypedSource::new(fact.clone()));
    model.set_outlet_fact(input, fact)?;
    let nchw = model.wire_node("nchw", AxisOp::Move(3, 1), &[input])?[0];
    for reader in readers {
        model.add_edge(nchw, reader)?;
    }
    let output = model.output_outlets()?[0];
    if model.outlet_fact(output)?.rank() == 4 {
        let nhwc = model.wire_node("nhwc", AxisOp::Move(1, 3), &[output])?;
        model.select_output_outlets(&nhwc)?;
    }
    for id in model.eval_order()? {
        let node = model.node(id);
        let Some(conv) = node.op_as::<Conv>() else { continue };
        let mut conv = conv.clone();
        conv.pool_spec.data_format = DataFormat::NHWC;
        let mut patch = TypedModelPatch::default();
        let mut wires = patch.taps(&model, &node.inputs)?;
        let name = &node.name;
        wires[0] = patch.wire_node(format!("{name}.in"), AxisOp::Move(1, 3), &[wires[0]])?[0];
        let wire = patch.wire_node(format!("{name}.nhwc"), conv, &wires)?;
        let wire = patch.wire_node(format!("{name}.out"), AxisOp::Move(3, 1), &wire)?[0];
        patch.shunt_outside(&model, id.into(), wire)?;
        patch.apply(&mut model)?;
    }
    model.into_decluttered()
}

/// A tensor of the shape, by formula.
pub(crate) fn random(seed: u64, shape: &[usize]) -> TractResult<Tensor> {
    Tensor::from_shape(shape, &uniform(seed, shape.iter().product()))
}

/// The only output, as tract computes it after all its optimizations.
pub(crate) fn run(model: &TypedModel, x: &Tensor) -> TractResult<Tensor> {
    let runnable = model.clone().into_optimized()?.into_runnable()?;
    let y = runnable.run(tvec!(x.clone().into_tvalue()))?.remove(0);
    Ok(y.into_tensor())
}

/// An error unless both are 1e-5 of the largest number apart at most.
pub(crate) fn close(got: &Tensor, expected: &Tensor) -> TractResult<()> {
    ensure!(got.shape() == expected.shape(), "{:?}, not {:?}", got.shape(), expected.shape());
    let values =
        |t: &Tensor| Ok::<_, TractError>(t.try_as_plain_ram()?.as_slice::<f32>()?.to_vec());
    let difference = difference(&values(got)?, &values(expected)?)?;
    ensure!(difference <= 1e-5, "{difference:.1e} of the largest number apart");
    Ok(())
}
