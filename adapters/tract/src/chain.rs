//! A convolution with what stands around it, or a depthwise and a pointwise one: what becomes one
//! operation.

use sepconv_kernels::{
    Activation, Conv, ConvParams, Depthwise, DepthwiseParams, Options, Pointwise, PointwiseParams,
    Separable, SeparableParams,
};
use sepconv_plans::Plans;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cnn::PoolSpec;
use tract_core::ops::math::{Add, Max, Min};
use tract_core::ops::nn::DataFormat;

use crate::convolution::Convolution;
use crate::op::SepConv;

/// Wired from `input` to `output`.
pub(crate) struct Chain {
    input: OutletId,
    /// What is added to the result before the last clamp.
    residual: Option<OutletId>,
    output: OutletId,
    /// Of `input`.
    from: DataFormat,
    /// Of `output` and `residual`.
    to: DataFormat,
    op: SepConv,
}

impl Chain {
    /// The chain that begins with the convolution `id`, if it is one. An error says why sepconv
    /// can't compute it.
    pub(crate) fn from(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let Some(mut first) = Convolution::read(model, id)? else { return Ok(None) };
        absorb_bias(model, &mut first)?;
        let (input, before) = clamps_in_front(model, first.input)?;
        let mid = absorb_clamps(model, &mut first.output)?;
        let second = if first.depthwise { pointwise_behind(model, &first)? } else { None };
        let (from, first_pool) = (first.from, first.pool.clone());
        let to = second.as_ref().unwrap_or(&first).to;
        let (mut output, mut last) = match &second {
            Some(second) => (second.output, Clamp::NONE),
            None => (first.output, mid),
        };
        let residual = if last == Clamp::NONE { absorb_sum(model, &mut output)? } else { None };
        last = last.then(absorb_clamps(model, &mut output)?);
        let options =
            Options::new().input_activation(before.activation()).activation(last.activation());
        let (plans, pool) = match second {
            Some(second) => {
                let output_channels = second.pool.output_channels;
                let plans = separable(&first, mid.activation(), &second, &options)?;
                (plans, PoolSpec { output_channels, ..first_pool })
            }
            None => (single(&first, &options)?, first_pool),
        };
        let op = SepConv::new(plans, pool);
        Ok(Some(Self { input, residual, output, from, to, op }))
    }

    /// What puts the operation in the place of the nodes. The only place where the layout of values
    /// is changed.
    pub(crate) fn patch(self, model: &TypedModel, name: &str) -> TractResult<TypedModelPatch> {
        let mut patch = TypedModelPatch::new(format!("sepconv for {name}"));
        let mut inputs = TVec::new();
        let operands =
            [("input", Some(self.input), self.from), ("residual", self.residual, self.to)];
        for (what, outlet, format) in operands {
            let Some(outlet) = outlet else { continue };
            let mut wire = patch.tap_model(model, outlet)?;
            for (i, op) in to_nhwc(format).into_iter().enumerate() {
                let name = format!("{name}.{what}_to_nhwc.{i}");
                wire = patch.wire_node(name, op, &[wire])?[0];
            }
            inputs.push(wire);
        }
        let mut wire = patch.wire_node(format!("{name}.sepconv"), self.op, &inputs)?[0];
        for (i, op) in to_nhwc(self.to).iter().rev().enumerate() {
            wire = patch.wire_node(format!("{name}.from_nhwc.{i}"), op.recip(), &[wire])?[0];
        }
        patch.shunt_outside(model, self.output, wire)?;
        Ok(patch)
    }
}

/// What makes NHWC of a format.
fn to_nhwc(format: DataFormat) -> TVec<AxisOp> {
    let mut ops = tvec!();
    if !format.has_n() {
        ops.push(AxisOp::Add(0));
    }
    if !format.c_is_last() {
        ops.push(AxisOp::Move(1, 3));
    }
    ops
}

fn separable(
    first: &Convolution,
    mid_activation: Activation,
    second: &Convolution,
    options: &Options,
) -> TractResult<Plans> {
    let channels_out = second.pool.output_channels;
    let mut params =
        SeparableParams::new(depthwise_params(first)?, channels_out, second.weights()?)
            .layout(second.layout)
            .mid_activation(mid_activation);
    params.bias = second.bias.as_deref();
    Ok(Plans::new(Separable::pack(first.pool.input_channels, &params, options)?))
}

fn single(conv: &Convolution, options: &Options) -> TractResult<Plans> {
    let channels = conv.pool.input_channels;
    if conv.depthwise {
        return Ok(Plans::new(Depthwise::pack(channels, &depthwise_params(conv)?, options)?));
    }
    let (channels_out, window, layout) = (conv.pool.output_channels, conv.window, conv.layout);
    if conv.is_pointwise() {
        let mut params = PointwiseParams::new(channels_out, conv.weights()?)
            .layout(layout)
            .stride(window.stride);
        params.bias = conv.bias.as_deref();
        Ok(Plans::new(Pointwise::pack(channels, &params, options)?))
    } else {
        let mut params = ConvParams::new(window, channels_out, conv.weights()?).layout(layout);
        params.bias = conv.bias.as_deref();
        Ok(Plans::new(Conv::pack(channels, &params, options)?))
    }
}

fn depthwise_params(conv: &Convolution) -> TractResult<DepthwiseParams<'_>> {
    let multiplier = conv.pool.output_channels / conv.pool.input_channels;
    let mut params = DepthwiseParams::new(conv.window, conv.weights()?)
        .layout(conv.layout)
        .multiplier(multiplier);
    params.bias = conv.bias.as_deref();
    Ok(params)
}

/// The only reader of an outlet, if nobody else sees its value.
fn only_reader(model: &TypedModel, outlet: OutletId) -> TractResult<Option<&TypedNode>> {
    match model.outlet_successors(outlet) {
        [reader] if !model.output_outlets()?.contains(&outlet) => Ok(Some(model.node(reader.node))),
        _ => Ok(None),
    }
}

/// The pointwise convolution that alone reads a depthwise one, if nothing is between them.
fn pointwise_behind(model: &TypedModel, first: &Convolution) -> TractResult<Option<Convolution>> {
    let Some(node) = only_reader(model, first.output)? else { return Ok(None) };
    // One that sepconv can't compute is no reason to leave the depthwise one.
    let second = Convolution::read(model, node.id).ok().flatten();
    let second = second.filter(|second| {
        second.input == first.output && second.is_pointwise() && second.from == first.to
    });
    match second {
        Some(mut second) => {
            absorb_bias(model, &mut second)?;
            Ok(Some(second))
        }
        None => Ok(None),
    }
}

/// Moves `output` behind the addition that alone reads it, and returns the other operand.
fn absorb_sum(model: &TypedModel, output: &mut OutletId) -> TractResult<Option<OutletId>> {
    let Some(node) = only_reader(model, *output)? else { return Ok(None) };
    let Some(TypedBinOp(op, None)) = node.op_as::<TypedBinOp>() else { return Ok(None) };
    let other = if node.inputs[0] == *output { node.inputs[1] } else { node.inputs[0] };
    let (other_fact, fact) = (model.outlet_fact(other)?, model.outlet_fact(*output)?);
    let same = other_fact.shape == fact.shape && other_fact.datum_type == fact.datum_type;
    if !op.is::<Add>() || !same || other_fact.konst.is_some() || other_fact.is_exotic() {
        return Ok(None);
    }
    *output = node.id.into();
    Ok(Some(other))
}

/// A constant added behind a convolution, one number for each channel, becomes its bias.
fn absorb_bias(model: &TypedModel, conv: &mut Convolution) -> TractResult<()> {
    while let Some(node) = only_reader(model, conv.output)? {
        let Some(constant) = operand::<Add>(model, node, conv.output)? else { break };
        let channels = conv.pool.output_channels;
        let per_channel = constant.shape().iter().enumerate().all(|(axis, &extent)| {
            extent == if axis == conv.channel_axis() { channels } else { 1 }
        });
        let values = constant.try_as_plain_ram()?.as_slice::<f32>()?;
        let values = match values {
            &[one] => vec![one; channels],
            all if per_channel => all.to_vec(),
            _ => break,
        };
        let bias = conv.bias.get_or_insert_with(|| vec![0.0; channels]);
        bias.iter_mut().zip(values).for_each(|(bias, value)| *bias += value);
        conv.output = node.id.into();
    }
    Ok(())
}

/// min(hi, max(lo, x)).
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clamp {
    lo: f32,
    hi: f32,
}

impl Clamp {
    const NONE: Self = Self { lo: f32::NEG_INFINITY, hi: f32::INFINITY };

    /// This one, and then the other.
    fn then(self, next: Self) -> Self {
        let clamp = |x: f32| next.hi.min(next.lo.max(x));
        Self { lo: clamp(self.lo), hi: clamp(self.hi) }
    }

    fn activation(self) -> Activation {
        match (self.lo, self.hi) {
            (f32::NEG_INFINITY, f32::INFINITY) => Activation::None,
            (0.0, f32::INFINITY) => Activation::Relu,
            (0.0, 6.0) => Activation::Relu6,
            (lo, hi) => Activation::Clamp { lo, hi },
        }
    }

    /// The node's, if it is one of `x`.
    fn of(model: &TypedModel, node: &TypedNode, x: OutletId) -> TractResult<Option<Self>> {
        let number = |tensor: Option<Tensor>| -> TractResult<Option<f32>> {
            let uniform = tensor.and_then(|tensor| tensor.as_uniform());
            let value = uniform.map(|t| t.cast_to_scalar::<f32>()).transpose()?;
            Ok(value.filter(|value| !value.is_nan()))
        };
        if let Some(lo) = number(operand::<Max>(model, node, x)?)? {
            return Ok(Some(Self { lo, ..Self::NONE }));
        }
        Ok(number(operand::<Min>(model, node, x)?)?.map(|hi| Self { hi, ..Self::NONE }))
    }
}

/// Moves `output` behind the clamps that follow it, and returns what they do.
fn absorb_clamps(model: &TypedModel, output: &mut OutletId) -> TractResult<Clamp> {
    let mut all = Clamp::NONE;
    while let Some(node) = only_reader(model, *output)? {
        let Some(clamp) = Clamp::of(model, node, *output)? else { break };
        all = all.then(clamp);
        *output = node.id.into();
    }
    Ok(all)
}

/// What is before the clamps that alone feed a convolution, and what they do.
fn clamps_in_front(model: &TypedModel, input: OutletId) -> TractResult<(OutletId, Clamp)> {
    let (mut x, mut all) = (input, Clamp::NONE);
    while only_reader(model, x)?.is_some() {
        let node = model.node(x.node);
        let found = node.inputs.iter().find_map(|&input| {
            Clamp::of(model, node, input).transpose().map(|clamp| (input, clamp))
        });
        let Some((before, clamp)) = found else { break };
        (x, all) = (before, clamp?.then(all));
    }
    Ok((x, all))
}

/// The constant that the node's binary operation `T` applies to `x` without changing its shape.
fn operand<T: tract_core::ops::binary::BinMiniOp>(
    model: &TypedModel,
    node: &TypedNode,
    x: OutletId,
) -> TractResult<Option<Tensor>> {
    let Some(op) = node.op_as::<TypedBinOp>().filter(|op| op.0.is::<T>()) else {
        return Ok(None);
    };
    let &[a, b] = &node.inputs[..] else { return Ok(None) };
    let other = if a == x { b } else { a };
    let (before, after) = (model.outlet_fact(x)?, model.outlet_fact(node.id.into())?);
    let same = before.shape == after.shape && before.datum_type == after.datum_type;
    if op.1.is_some() || !same || before.datum_type != f32::datum_type() || (a != x && b != x) {
        return Ok(None);
    }
    let constant = model.outlet_fact(other)?.konst.as_deref();
    Ok(constant.filter(|c| c.datum_type() == f32::datum_type() && c.is_plain()).cloned())
}
