//! Single layers and chains against tract's own operations, and what stays tract's.

mod support;

use sepconv_tract::tract_core::internal::*;
use sepconv_tract::tract_core::ops::cnn::conv::KernelFormat;
use sepconv_tract::tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec};
use sepconv_tract::tract_core::ops::math::{add, max, min};
use sepconv_tract::tract_core::ops::nn::DataFormat;
use sepconv_tract::{Report, Sepconv};
use support::{close, random, run};

use DataFormat::{CHW, HWC, NCHW, NHWC};
use KernelFormat::{HWIO, OHWI, OIHW};

#[derive(Clone)]
struct Layer {
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: PaddingSpec,
    group: usize,
    /// Input and output.
    channels: [usize; 2],
    weights: KernelFormat,
}

fn explicit(before: usize, after: usize) -> PaddingSpec {
    PaddingSpec::Explicit(tvec!(before; 2), tvec!(after; 2))
}

const DEPTHWISE: Layer = Layer {
    kernel: 3,
    stride: 1,
    dilation: 1,
    padding: PaddingSpec::SameUpper,
    group: 20,
    channels: [20, 20],
    weights: OIHW,
};

const POINTWISE: Layer = Layer { kernel: 1, group: 1, channels: [20, 33], ..DEPTHWISE };

/// A model, and the value that the next node reads.
struct Builder {
    model: TypedModel,
    value: OutletId,
    format: DataFormat,
}

impl Builder {
    /// An input of two pictures, 20 channels, 13×11; one picture if the format has no batch.
    fn new(format: DataFormat) -> TractResult<Self> {
        let shape = format.from_n_c_hw(2, 20, [13, 11])?.shape;
        let mut model = TypedModel::default();
        let value = model.add_source("x", f32::fact(shape))?;
        Ok(Self { model, value, format })
    }

    fn conv(mut self, name: &str, layer: Layer) -> TractResult<Self> {
        let Layer { kernel: k, stride, dilation, padding, group, channels: [i, o], weights } =
            layer;
        let shape = match weights {
            OIHW => [o, i / group, k, k],
            HWIO => [k, k, i, o / group],
            OHWI => [o / group, k, k, i],
        };
        let pool_spec = PoolSpec {
            data_format: self.format,
            kernel_shape: tvec!(k, k),
            padding,
            dilations: Some(tvec!(dilation; 2)),
            strides: Some(tvec!(stride; 2)),
            input_channels: i,
            output_channels: o,
        };
        let kernel = self.model.add_const(format!("{name}.weights"), random(2, &shape)?)?;
        let bias = self.model.add_const(format!("{name}.bias"), random(3, &[o])?)?;
        let conv = Conv { pool_spec, kernel_fmt: weights, group, q_params: None };
        self.value = self.model.wire_node(name, conv, &[self.value, kernel, bias])?[0];
        Ok(self)
    }

    /// A binary operation with one constant.
    fn with(
        mut self,
        name: &str,
        op: sepconv_tract::tract_core::ops::binary::TypedBinOp,
        constant: f32,
    ) -> TractResult<Self> {
        let rank = self.model.outlet_fact(self.value)?.rank();
        let constant = Tensor::from_shape(&vec![1; rank], &[constant])?;
        let constant = self.model.add_const(format!("{name}.constant"), constant)?;
        // Both orders of operands occur.
        self.value = self.model.wire_node(name, op, &[constant, self.value])?[0];
        Ok(self)
    }

    fn relu(self, name: &str) -> TractResult<Self> {
        self.with(name, max(), 0.0)
    }

    /// Replaces and compares, before and after tract has decluttered the model. Returns the report
    /// of the former.
    fn check(mut self) -> TractResult<Report> {
        self.model.select_output_outlets(&[self.value])?;
        let x = random(1, self.model.input_fact(0)?.shape.as_concrete().context("a shape")?)?;
        let expected = run(&self.model, &x)?;
        let mut decluttered = self.model.clone().into_decluttered()?;
        Sepconv::new().replace(&mut decluttered)?;
        close(&run(&decluttered, &x)?, &expected).context("decluttered")?;
        let report = Sepconv::new().replace(&mut self.model)?;
        close(&run(&self.model, &x)?, &expected)?;
        Ok(report)
    }
}

fn replaced(names: &[&str]) -> Report {
    let mut report = Report::default();
    report.replaced = names.iter().map(|&name| name.into()).collect();
    report
}

#[test]
fn each_format_of_values_and_weights() -> TractResult<()> {
    for format in [NCHW, NHWC, CHW, HWC] {
        for weights in [OIHW, HWIO, OHWI] {
            let builder = Builder::new(format)?
                .conv("dw", Layer { weights, ..DEPTHWISE })?
                .conv("pw", Layer { weights, ..POINTWISE })?;
            assert_eq!(builder.check()?, replaced(&["dw"]), "{format:?} {weights:?}");
        }
    }
    Ok(())
}

#[test]
fn depthwise_of_each_stride_dilation_and_padding() -> TractResult<()> {
    for padding in [PaddingSpec::Valid, PaddingSpec::SameUpper, explicit(1, 1), explicit(0, 2)] {
        for (kernel, stride, dilation) in [(3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2), (7, 3, 1)] {
            let padding = padding.clone();
            let layer = Layer { kernel, stride, dilation, padding, ..DEPTHWISE };
            let report = Builder::new(NCHW)?.conv("dw", layer)?.check()?;
            assert_eq!(report, replaced(&["dw"]));
        }
    }
    Ok(())
}

#[test]
fn depthwise_with_multiplier() -> TractResult<()> {
    for weights in [OIHW, HWIO, OHWI] {
        let layer = Layer { channels: [20, 60], weights, ..DEPTHWISE };
        let pw = Layer { channels: [60, 8], ..POINTWISE };
        let report = Builder::new(NHWC)?.conv("dw", layer)?.conv("pw", pw)?.check()?;
        assert_eq!(report, replaced(&["dw"]));
    }
    Ok(())
}

#[test]
fn pointwise_and_standard() -> TractResult<()> {
    for format in [NCHW, NHWC] {
        for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            let layer = Layer { kernel, stride, ..POINTWISE };
            assert_eq!(Builder::new(format)?.conv("conv", layer)?.check()?, replaced(&["conv"]));
        }
    }
    Ok(())
}

#[test]
fn activations_in_front_between_and_behind() -> TractResult<()> {
    let builder = Builder::new(NCHW)?
        .relu("front")?
        .conv("dw", DEPTHWISE)?
        .with("lo", max(), -0.5)?
        .with("hi", min(), 0.75)?
        .conv("pw", POINTWISE)?
        .with("add", add(), 0.25)?
        .relu("behind")?;
    let mut model = builder.model.clone();
    model.select_output_outlets(&[builder.value])?;
    assert_eq!(builder.check()?, replaced(&["dw"]));
    // Nothing is left but the layout of input and output.
    Sepconv::new().replace(&mut model)?;
    let ops: Vec<_> = model.nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(ops, ["Source", "MoveAxis", "SepConv", "MoveAxis"]);
    Ok(())
}

/// A sum behind the convolution is part of it, whichever operand it is; one behind a clamp isn't.
#[test]
fn residuals() -> TractResult<()> {
    for format in [NCHW, NHWC, CHW] {
        for clamped in [false, true] {
            let mut builder = Builder::new(format)?.relu("shared")?;
            let shared = builder.value;
            builder = builder.conv("dw", DEPTHWISE)?;
            builder = builder.conv("pw", Layer { channels: [20, 20], ..POINTWISE })?;
            if clamped {
                builder = builder.relu("clamp")?;
            }
            builder.value = builder.model.wire_node("sum", add(), &[shared, builder.value])?[0];
            builder = builder.relu("behind")?;
            let mut model = builder.model.clone();
            model.select_output_outlets(&[builder.value])?;
            assert_eq!(builder.check()?, replaced(&["dw"]));
            Sepconv::new().replace(&mut model)?;
            let sums = model.nodes.iter().filter(|node| node.name == "sum").count();
            assert_eq!(sums, usize::from(clamped));
        }
    }
    Ok(())
}

/// What else reads the value between the two, or is the model's output, is not taken away.
#[test]
fn values_that_others_read() -> TractResult<()> {
    let mut builder = Builder::new(NCHW)?.conv("dw", DEPTHWISE)?;
    let between = builder.value;
    builder = builder.conv("pw", Layer { channels: [20, 20], ..POINTWISE })?;
    builder.value = builder.model.wire_node("sum", add(), &[between, builder.value])?[0];
    assert_eq!(builder.check()?, replaced(&["dw", "pw"]));
    // The same where it is the model that reads it.
    let builder = Builder::new(NCHW)?.conv("dw", DEPTHWISE)?.relu("relu")?;
    let mut model = builder.model;
    model.select_output_outlets(&[OutletId::new(builder.value.node - 2, 0), builder.value])?;
    let x = random(1, &[2, 20, 13, 11])?;
    let outputs = |model: TypedModel| {
        model.into_optimized()?.into_runnable()?.run(tvec!(x.clone().into_tvalue()))
    };
    let expected = outputs(model.clone())?;
    assert_eq!(Sepconv::new().replace(&mut model)?, replaced(&["dw"]));
    for (got, expected) in outputs(model)?.iter().zip(&expected) {
        close(got, expected)?;
    }
    Ok(())
}

/// Two convolutions behind one ReLU both see its result.
#[test]
fn an_activation_with_two_readers() -> TractResult<()> {
    let mut builder = Builder::new(NCHW)?.relu("relu")?;
    let shared = builder.value;
    builder = builder.conv("a", DEPTHWISE)?;
    let a = std::mem::replace(&mut builder.value, shared);
    builder = builder.conv("b", Layer { kernel: 5, ..DEPTHWISE })?;
    builder.value = builder.model.wire_node("sum", add(), &[a, builder.value])?[0];
    assert_eq!(builder.check()?, replaced(&["a", "b"]));
    Ok(())
}

#[test]
fn what_is_kept_and_why() -> TractResult<()> {
    let kept = |layer: Layer| -> TractResult<String> {
        let report = Builder::new(NCHW)?.conv("conv", layer)?.check()?;
        ensure!(report.replaced.is_empty() && report.kept.len() == 1, "{report:?}");
        Ok(report.kept[0].1.clone())
    };
    let reason = kept(Layer { group: 4, ..DEPTHWISE })?;
    assert_eq!(reason, "4 groups of 20 channels: not depthwise");
    let reason = kept(Layer { padding: PaddingSpec::SameLower, ..DEPTHWISE })?;
    assert_eq!(reason, "padding SameLower");
    Ok(())
}

#[test]
fn weights_that_are_not_known() -> TractResult<()> {
    let mut builder = Builder::new(NCHW)?;
    let weights = builder.model.add_source("weights", f32::fact([33, 20, 1, 1]))?;
    let bias = builder.model.add_const("bias", random(3, &[33])?)?;
    let pool_spec = PoolSpec {
        data_format: NCHW,
        kernel_shape: tvec!(1, 1),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: None,
        input_channels: 20,
        output_channels: 33,
    };
    let conv = Conv { pool_spec, kernel_fmt: OIHW, group: 1, q_params: None };
    let y = builder.model.wire_node("conv", conv, &[builder.value, weights, bias])?;
    builder.model.select_output_outlets(&y)?;
    let report = Sepconv::new().replace(&mut builder.model)?;
    assert_eq!(report.replaced.len(), 0);
    assert_eq!(report.kept, [("conv".into(), "weights: not constant".into())]);
    Ok(())
}
