//! Depthwise, pointwise and separable convolutions on [candle](candle_core) tensors, computed by
//! [`sepconv_kernels`].
//!
//! A [`SepConv`] is a layer: its weights are packed when it is made, and it runs on inputs of any
//! batch, height and width, from any thread.
//!
//! ```
//! use candle_core::{Device, Module, Tensor};
//! use sepconv_candle::SepConv;
//! use sepconv_kernels::{Activation, Options, Padding, Window};
//!
//! # fn main() -> candle_core::Result<()> {
//! let cpu = Device::Cpu;
//! let dw = Tensor::randn(0f32, 1., (8, 1, 3, 3), &cpu)?;
//! let pw = Tensor::randn(0f32, 1., (16, 8, 1, 1), &cpu)?;
//! let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
//! let options = Options::new().activation(Activation::Relu);
//! let layer = SepConv::separable(&dw, window, Activation::None, &pw, &options)?;
//! let y = layer.forward(&Tensor::randn(0f32, 1., (1, 8, 56, 56), &cpu)?)?;
//! assert_eq!(y.dims(), [1, 16, 28, 28]);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! Tensors are \[N, C, H, W\], as everywhere in candle, and weights \[O, C / groups, kh, kw\]. The
//! values of an output are stored channels last, under a permuted view. The next layer takes them
//! as they are: between layers nothing is copied. An input of another layout is copied once.
//! Candle's own operations take such views too, some of them slowly; `contiguous` copies.
//!
//! # Types
//! f32, f16 or bf16. Input, output and residual are of the type of the weights; biases are
//! converted to f32. All arithmetic is f32, and a value is rounded once, when it is stored.
//!
//! # Threads
//! Those of rayon's current pool: the global one, unless the call comes from another.
//! [`sepconv_kernels::on_this_thread`] keeps it to the caller's. Each thread that calls keeps
//! scratch.
//!
//! # Gradients
//! There are none: `backward` through a layer is candle's error `BackwardNotSupported`.

mod layout;
mod op;

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Device, Error, Module, Result, Storage, Tensor, bail,
};
use sepconv_kernels::{
    Activation, Conv, ConvParams, Depthwise, DepthwiseParams, ElementType, Elements, Options,
    Pointwise, PointwiseParams, Separable, SeparableParams, WeightLayout, Window,
};
use sepconv_plans::Plans;

use crate::op::Op;

/// Weights and, perhaps, a bias: `&weights`, or `(&weights, &bias)`.
#[derive(Debug, Clone, Copy)]
pub struct Kernel<'a> {
    weights: &'a Tensor,
    bias: Option<&'a Tensor>,
}

impl<'a> From<&'a Tensor> for Kernel<'a> {
    fn from(weights: &'a Tensor) -> Self {
        Self { weights, bias: None }
    }
}

impl<'a> From<(&'a Tensor, &'a Tensor)> for Kernel<'a> {
    fn from((weights, bias): (&'a Tensor, &'a Tensor)) -> Self {
        Self { weights, bias: Some(bias) }
    }
}

/// A convolution, or two, with its weights.
///
/// Clones share the weights. The element types of `Options` are set by the weights; what they say
/// about them is ignored.
#[derive(Clone)]
pub struct SepConv {
    op: Arc<Op>,
    // As candle takes them.
    unary: Arc<Box<dyn CustomOp1 + Send + Sync>>,
    binary: Arc<Box<dyn CustomOp2 + Send + Sync>>,
}

impl fmt::Debug for SepConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.op.fmt(f)
    }
}

impl SepConv {
    /// A depthwise convolution. Weights are \[C, 1, kh, kw\], the bias \[C\].
    ///
    /// # Errors
    /// Shapes that don't fit each other or the window, a type that isn't f32, f16 or bf16, and
    /// those of [`sepconv_kernels::Depthwise::new`].
    pub fn depthwise<'a>(
        kernel: impl Into<Kernel<'a>>,
        window: Window,
        options: &Options,
    ) -> Result<Self> {
        let kernel = kernel.into();
        Self::conv2d(kernel, window, kernel.weights.dim(0)?, options)
    }

    /// A pointwise convolution of stride \[sy, sx\]. Weights are \[O, C, 1, 1\], the bias \[O\].
    ///
    /// # Errors
    /// Shapes that don't fit each other, a type that isn't f32, f16 or bf16, and those of
    /// [`sepconv_kernels::Pointwise::new`].
    pub fn pointwise<'a>(
        kernel: impl Into<Kernel<'a>>,
        stride: [usize; 2],
        options: &Options,
    ) -> Result<Self> {
        Self::conv2d(kernel, Window::new([1, 1]).stride(stride), 1, options)
    }

    /// Any convolution. Weights are \[O, C / groups, kh, kw\], the bias \[O\]. With as many groups
    /// as channels it is a depthwise one.
    ///
    /// # Errors
    /// Shapes that don't fit each other or the window, a type that isn't f32, f16 or bf16, and
    /// those of [`sepconv_kernels::Conv::new`].
    pub fn conv2d<'a>(
        kernel: impl Into<Kernel<'a>>,
        window: Window,
        groups: usize,
        options: &Options,
    ) -> Result<Self> {
        let values = Values::new(kernel.into(), window.kernel)?;
        let options = values.options(options);
        let [channels_out, per_group, ..] = values.shape;
        let Some(channels) = per_group.checked_mul(groups).filter(|&c| c > 0) else {
            bail!("{groups} groups of {per_group} channels");
        };
        let (weights, bias) = (values.weights(), values.bias());
        let (weights, layout) = (weights.elements()?, WeightLayout::Oihw);
        let plans = if groups > 1 && per_group == 1 && channels_out % channels == 0 {
            let mut params = DepthwiseParams::new(window, weights)
                .layout(layout)
                .multiplier(channels_out / channels);
            params.bias = bias;
            Depthwise::pack(channels, &params, &options).map(Plans::new)
        } else if groups == 1 && window == Window::new([1, 1]).stride(window.stride) {
            let mut params =
                PointwiseParams::new(channels_out, weights).layout(layout).stride(window.stride);
            params.bias = bias;
            Pointwise::pack(channels, &params, &options).map(Plans::new)
        } else {
            let mut params =
                ConvParams::new(window, channels_out, weights).layout(layout).groups(groups);
            params.bias = bias;
            Conv::pack(channels, &params, &options).map(Plans::new)
        };
        Ok(Self::new(Op { plans: plans.map_err(Error::wrap)?, channels, dtype: values.dtype }))
    }

    /// A depthwise convolution, `mid_activation`, a pointwise one, in one step. Depthwise weights
    /// are \[C, 1, kh, kw\], its bias \[C\]; pointwise weights \[O, C, 1, 1\], its bias \[O\].
    ///
    /// # Errors
    /// Shapes that don't fit each other or the window, a type that isn't f32, f16 or bf16, and
    /// those of [`sepconv_kernels::Separable::new`].
    pub fn separable<'a>(
        depthwise: impl Into<Kernel<'a>>,
        window: Window,
        mid_activation: Activation,
        pointwise: impl Into<Kernel<'a>>,
        options: &Options,
    ) -> Result<Self> {
        let (spatial, across) =
            (Values::new(depthwise.into(), window.kernel)?, Values::new(pointwise.into(), [1, 1])?);
        let options = spatial.options(options);
        let ([channels, one, ..], [channels_out, inner, ..]) = (spatial.shape, across.shape);
        if one != 1 || inner != channels || spatial.dtype != across.dtype {
            bail!(
                "depthwise weights {:?} {:?}, pointwise weights {:?} {:?}: \
                 [C, 1, kh, kw] and [O, C, 1, 1] of one type are needed",
                spatial.shape,
                spatial.dtype,
                across.shape,
                across.dtype
            );
        }
        let (weights, inner) = (spatial.weights(), across.weights());
        let layout = WeightLayout::Oihw;
        let mut depthwise = DepthwiseParams::new(window, weights.elements()?).layout(layout);
        depthwise.bias = spatial.bias();
        let mut params = SeparableParams::new(depthwise, channels_out, inner.elements()?)
            .layout(layout)
            .mid_activation(mid_activation);
        params.bias = across.bias();
        let plans =
            Separable::pack(channels, &params, &options).map(Plans::new).map_err(Error::wrap)?;
        Ok(Self::new(Op { plans, channels, dtype: spatial.dtype }))
    }

    fn new(op: Op) -> Self {
        let op = Arc::new(op);
        let unary = Arc::new(Box::new(op::Handle(op.clone())) as Box<_>);
        let binary = Arc::new(Box::new(op::Handle(op.clone())) as Box<_>);
        Self { op, unary, binary }
    }

    /// activation(layer(x) + residual). The residual has the output's shape.
    ///
    /// # Errors
    /// Those of `forward`; a residual of another shape or type.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let y = layout::nhwc(x)?.apply_op2_arc(&layout::nhwc(residual)?, self.binary.clone())?;
        layout::nchw(&y)
    }
}

impl Module for SepConv {
    /// \[N, C, H, W\] to \[N, O, H', W'\].
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layout::nchw(&layout::nhwc(x)?.apply_op1_arc(self.unary.clone())?)
    }
}

/// A kernel, checked, and dense on the CPU.
struct Values {
    /// \[O, C / groups, kh, kw\].
    shape: [usize; 4],
    dtype: DType,
    /// Of `dtype`.
    element: ElementType,
    weights: Tensor,
    bias: Option<Vec<f32>>,
}

/// The memory of weights, locked by a guard `S`.
struct Weights<S> {
    storage: S,
    /// Where the weights lie in it.
    range: Range<usize>,
}

impl<S: Deref<Target = Storage>> Weights<S> {
    fn elements(&self) -> Result<Elements<'_>> {
        let range = self.range.clone();
        Ok(match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => (&values[range]).into(),
            Storage::Cpu(CpuStorage::F16(values)) => (&values[range]).into(),
            Storage::Cpu(CpuStorage::BF16(values)) => (&values[range]).into(),
            _ => bail!("weights that are not on the CPU"),
        })
    }
}

impl Values {
    fn new(kernel: Kernel<'_>, [kh, kw]: [usize; 2]) -> Result<Self> {
        let shape: [usize; 4] = kernel.weights.dims4()?.into();
        if shape[2..] != [kh, kw] {
            bail!("weights {shape:?} (O, C / groups, kh, kw) for a window of {kh}×{kw}");
        }
        let weights = kernel.weights.to_device(&Device::Cpu)?.contiguous()?;
        let dtype = weights.dtype();
        let element = match dtype {
            DType::F32 => ElementType::F32,
            DType::F16 => ElementType::F16,
            DType::BF16 => ElementType::Bf16,
            other => bail!("weights of {other:?}: F32, F16 or BF16 are needed"),
        };
        let bias = match kernel.bias {
            Some(bias) if bias.dims() != [shape[0]] => {
                bail!("bias {:?} for weights {shape:?} (O, C / groups, kh, kw)", bias.dims())
            }
            Some(bias) => Some(bias.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec1()?),
            None => None,
        };
        Ok(Self { shape, dtype, element, weights, bias })
    }

    fn weights(&self) -> Weights<impl Deref<Target = Storage>> {
        let (storage, layout) = self.weights.storage_and_layout();
        let start = layout.start_offset();
        Weights { storage, range: start..start + layout.shape().elem_count() }
    }

    fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// With the weights' type for input and output.
    fn options(&self, options: &Options) -> Options {
        options.input_type(self.element).output_type(self.element)
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
