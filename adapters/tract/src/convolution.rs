//! A convolution of a model, read from the two operations that tract has for it.

use sepconv_kernels::{Padding, WeightLayout, Window};
use tract_core::internal::*;
use tract_core::ops::cnn::conv::KernelFormat;
use tract_core::ops::cnn::{Conv, PaddingSpec, PoolSpec};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::nn::DataFormat;

/// Two spatial axes, weights that are known, f32.
#[derive(Debug)]
pub(crate) struct Convolution {
    pub(crate) input: OutletId,
    pub(crate) output: OutletId,
    /// Where the input's axes are.
    pub(crate) from: DataFormat,
    /// Where the output's axes are.
    pub(crate) to: DataFormat,
    /// Of NHWC, whatever `from` and `to` are.
    pub(crate) pool: PoolSpec,
    pub(crate) window: Window,
    /// Each channel by itself; otherwise all with all.
    pub(crate) depthwise: bool,
    /// In the order of `layout`.
    weights: Arc<Tensor>,
    pub(crate) layout: WeightLayout,
    /// O elements, or none for zeros.
    pub(crate) bias: Option<Vec<f32>>,
}

impl Convolution {
    /// What the node computes, if it is a convolution. An error says why sepconv can't compute it.
    pub(crate) fn read(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let node = model.node(id);
        if let Some(conv) = node.op_as::<Conv>() {
            Self::of_conv(model, node, conv).map(Some)
        } else if let Some(einsum) = node.op_as::<EinSum>() {
            Self::of_einsum(model, node, einsum)
        } else {
            Ok(None)
        }
    }

    fn of_conv(model: &TypedModel, node: &TypedNode, conv: &Conv) -> TractResult<Self> {
        let spec = &conv.pool_spec;
        ensure!(conv.q_params.is_none(), "quantized");
        ensure!(spec.rank() == 2, "{} spatial axes, not 2", spec.rank());
        let (channels, out) = (spec.input_channels, spec.output_channels);
        let depthwise = conv.group > 1 && conv.group == channels;
        ensure!(
            depthwise || conv.group == 1,
            "{} groups of {channels} channels: not depthwise",
            conv.group
        );
        let weights = constant(model, node.inputs[1]).context("weights")?;
        let bias = constant(model, node.inputs[2]).context("bias")?;
        let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?;
        let bias = match bias {
            [one] => vec![*one; out],
            all => all.to_vec(),
        };
        let pair = |values: &[usize]| [values[0], values[1]];
        let window = Window::new(pair(&spec.kernel_shape))
            .stride(pair(&spec.strides()))
            .dilation(pair(&spec.dilations()))
            .padding(padding(&spec.padding)?);
        float(model, node.inputs[0])?;
        let (weights, layout) = in_layout(weights, conv.kernel_fmt, depthwise)?;
        Ok(Self {
            input: node.inputs[0],
            output: node.id.into(),
            from: spec.data_format,
            to: spec.data_format,
            pool: PoolSpec { data_format: DataFormat::NHWC, ..spec.clone() },
            window,
            depthwise,
            weights,
            layout,
            bias: bias.iter().any(|&b| b != 0.0).then_some(bias),
        })
    }

    /// tract writes a pointwise convolution as a product of the input with a matrix.
    fn of_einsum(
        model: &TypedModel,
        node: &TypedNode,
        einsum: &EinSum,
    ) -> TractResult<Option<Self>> {
        let input = model.outlet_fact(node.inputs[0])?;
        let Some((from, to, inner_first)) = pointwise_axes(einsum, input) else { return Ok(None) };
        float(model, node.inputs[0])?;
        let matrix = constant(model, node.inputs[1]).context("weights")?;
        let (layout, [inner, outer]) = match inner_first {
            true => (WeightLayout::Hwio, [0, 1]),
            false => (WeightLayout::Oihw, [1, 0]),
        };
        let (channels, out) = (matrix.shape()[inner], matrix.shape()[outer]);
        let pool = PoolSpec {
            data_format: DataFormat::NHWC,
            kernel_shape: tvec!(1, 1),
            padding: PaddingSpec::Valid,
            dilations: None,
            strides: None,
            input_channels: channels,
            output_channels: out,
        };
        Ok(Some(Self {
            input: node.inputs[0],
            output: node.id.into(),
            from,
            to,
            pool,
            window: Window::new([1, 1]),
            depthwise: false,
            weights: matrix,
            layout,
            bias: None,
        }))
    }

    pub(crate) fn weights(&self) -> TractResult<&[f32]> {
        self.weights.try_as_plain_ram()?.as_slice::<f32>()
    }

    /// The output's axis that channels are on.
    pub(crate) fn channel_axis(&self) -> usize {
        match self.to {
            DataFormat::NCHW => 1,
            DataFormat::NHWC => 3,
            DataFormat::CHW => 0,
            DataFormat::HWC => 2,
        }
    }

    /// Whether an output pixel is made of the input pixel at its place.
    pub(crate) fn is_pointwise(&self) -> bool {
        !self.depthwise && self.window == Window::new([1, 1]).padding(self.window.padding) && {
            let none = Padding::Explicit { top: 0, bottom: 0, left: 0, right: 0 };
            [Padding::Valid, Padding::Same, none].contains(&self.window.padding)
        }
    }
}

/// If this is a pointwise convolution: the formats of input and output, and whether the input's
/// channels are the matrix's first axis. Where the batch is 1, tract may leave its axis out of
/// either.
fn pointwise_axes(einsum: &EinSum, input: &TypedFact) -> Option<(DataFormat, DataFormat, bool)> {
    let axes = &einsum.axes;
    if einsum.q_params.is_some()
        || (axes.input_count(), axes.output_count()) != (2, 1)
        || axes.rank(InOut::In(1)) != 2
    {
        return None;
    }
    let (mut inner, mut outer, mut same) = (None, None, Vec::new());
    for axis in axes.iter_all_axes() {
        match (&axis.inputs[0][..], &axis.inputs[1][..], &axis.outputs[0][..]) {
            (&[place], &[of_matrix], &[]) if inner.is_none() => inner = Some((place, of_matrix)),
            (&[], &[_], &[place]) if outer.is_none() => outer = Some(place),
            (&[0], &[], &[]) if input.rank() == 4 && input.shape[0].is_one() => {}
            (&[], &[], &[0]) if axes.rank(InOut::Out(0)) == 4 => {}
            (&[from], &[], &[to]) => same.push((from, to)),
            _ => return None,
        }
    }
    let (place, of_matrix) = inner?;
    // Batch, rows and columns stay in order.
    same.sort_unstable();
    if !same.is_sorted_by_key(|&(_, to)| to) {
        return None;
    }
    let format = |rank, channels| match (rank, channels) {
        (4, 1) => Some(DataFormat::NCHW),
        (4, 3) => Some(DataFormat::NHWC),
        (3, 0) => Some(DataFormat::CHW),
        (3, 2) => Some(DataFormat::HWC),
        _ => None,
    };
    let from = format(axes.rank(InOut::In(0)), place)?;
    let to = format(axes.rank(InOut::Out(0)), outer?)?;
    Some((from, to, of_matrix == 0))
}

/// The value of an outlet, if the model has it and it is of f32.
fn constant(model: &TypedModel, outlet: OutletId) -> TractResult<Arc<Tensor>> {
    float(model, outlet)?;
    model.outlet_fact(outlet)?.konst.clone().context("not constant")
}

fn float(model: &TypedModel, outlet: OutletId) -> TractResult<()> {
    let fact = model.outlet_fact(outlet)?;
    ensure!(
        fact.datum_type == f32::datum_type() && fact.is_plain(),
        "of {:?}, not plain F32",
        fact.datum_type
    );
    Ok(())
}

/// Weights as they are, and the layout that they then have for the kernels. tract writes depthwise
/// weights of HWIO and OHWI as those of one group with C inputs and O / C outputs: in the order of
/// HWIO these are \[kh, kw, C, multiplier\], and no layout of the kernels is that of OHWI.
fn in_layout(
    weights: Arc<Tensor>,
    format: KernelFormat,
    depthwise: bool,
) -> TractResult<(Arc<Tensor>, WeightLayout)> {
    Ok(match format {
        KernelFormat::OIHW => (weights, WeightLayout::Oihw),
        KernelFormat::HWIO => (weights, WeightLayout::Hwio),
        KernelFormat::OHWI if depthwise => {
            let hwio = Arc::unwrap_or_clone(weights).permute_axes(&[1, 2, 3, 0])?;
            (hwio.into_arc_tensor(), WeightLayout::Hwio)
        }
        KernelFormat::OHWI => (weights, WeightLayout::Ohwi),
    })
}

fn padding(spec: &PaddingSpec) -> TractResult<Padding> {
    Ok(match spec {
        PaddingSpec::Valid => Padding::Valid,
        PaddingSpec::SameUpper => Padding::Same,
        PaddingSpec::Explicit(before, after) => {
            Padding::Explicit { top: before[0], bottom: after[0], left: before[1], right: after[1] }
        }
        PaddingSpec::SameLower | PaddingSpec::ExplicitOnnxPool(..) => {
            bail!("padding {spec:?}")
        }
    })
}
