//! The parameters of the layers.

use crate::activation::Activation;
use crate::element::Elements;
use crate::geometry::{TransposedWindow, Window};
use crate::int8::quantization::{Quantization, QuantizedWeights};
use crate::layout::WeightLayout;

/// Parameters of [`Depthwise`](crate::Depthwise).
///
/// Weights of PyTorch and ONNX, \[C·M, 1, kh, kw\]:
/// `DepthwiseParams::new(window, &weights).layout(WeightLayout::Oihw)`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0, 10.0, 20.0]; // 1×1, 2 channels, multiplier 2
/// let params = DepthwiseParams::new(Window::new([1, 1]), &weights).multiplier(2);
/// let plan = Depthwise::new([1, 1, 1, 2], &params, &Options::default())?;
/// # let mut y = [0.0; 4];
/// # let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// // with x = [3, 4]
/// assert_eq!(y, [3.0, 6.0, 40.0, 80.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DepthwiseParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Depth multiplier M: output channel c·M + m is made of input channel c.
    pub multiplier: usize,
    /// \[kh, kw, C, M\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// C·M elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
    /// The scales and biases of weights of i8, in place of `bias`.
    pub quantized: Option<QuantizedWeights<'a>>,
}

impl<'a> DepthwiseParams<'a> {
    /// Multiplier 1, no bias. `weights` is a slice of `f32` or [`Elements`].
    #[must_use]
    pub fn new(window: Window, weights: impl Into<Elements<'a>>) -> Self {
        Self {
            window,
            multiplier: 1,
            weights: weights.into(),
            layout: WeightLayout::Hwio,
            bias: None,
            quantized: None,
        }
    }

    /// Sets the depth multiplier M.
    #[must_use]
    pub const fn multiplier(mut self, multiplier: usize) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// Sets the layout of the weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Sets the scales and biases of weights of i8.
    #[must_use]
    pub const fn quantized(mut self, quantized: QuantizedWeights<'a>) -> Self {
        self.quantized = Some(quantized);
        self
    }
}

/// Parameters of [`Pointwise`](crate::Pointwise).
///
/// Weights of PyTorch and ONNX, \[O, C, 1, 1\]:
/// `PointwiseParams::new(o, &weights).layout(WeightLayout::Oihw)`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 10.0]; // 1 channel to 2, of every other pixel of a row
/// let params = PointwiseParams::new(2, &weights).stride([1, 2]).bias(&[0.0, 0.5]);
/// let plan = Pointwise::new([1, 1, 3, 1], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 4], vec![0.0; plan.scratch_len(1)]);
/// # let x = NhwcView::new(&[1.0, 2.0, 3.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// // with x = [1, 2, 3]
/// assert_eq!(y, [1.0, 10.5, 3.0, 30.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PointwiseParams<'a> {
    /// Stride \[sy, sx\].
    pub stride: [usize; 2],
    /// Output channels O.
    pub channels_out: usize,
    /// \[C, O\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
    /// The scales and biases of weights of i8, in place of `bias`.
    pub quantized: Option<QuantizedWeights<'a>>,
}

impl<'a> PointwiseParams<'a> {
    /// Stride 1, no bias. `weights` is a slice of `f32` or [`Elements`].
    #[must_use]
    pub fn new(channels_out: usize, weights: impl Into<Elements<'a>>) -> Self {
        Self {
            stride: [1, 1],
            channels_out,
            weights: weights.into(),
            layout: WeightLayout::Hwio,
            bias: None,
            quantized: None,
        }
    }

    /// Sets the stride \[sy, sx\].
    #[must_use]
    pub const fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the layout of the weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Sets the scales and biases of weights of i8.
    #[must_use]
    pub const fn quantized(mut self, quantized: QuantizedWeights<'a>) -> Self {
        self.quantized = Some(quantized);
        self
    }
}

/// Parameters of [`Separable`](crate::Separable): a depthwise convolution, an activation, a
/// pointwise convolution.
///
/// Each of the two has a layout of its own; weights of PyTorch and ONNX take
/// `.layout(WeightLayout::Oihw)` on both.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let depthwise = DepthwiseParams::new(Window::new([1, 1]), &[1.0, -1.0]);
/// let params = SeparableParams::new(depthwise, 1, &[10.0, 100.0]) // 2 channels to 1
///     .mid_activation(Activation::Relu)
///     .bias(&[0.5]);
/// let plan = Separable::new([1, 1, 1, 2], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
/// # let x = NhwcView::new(&[2.0, 3.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// // with x = [2, 3]
/// assert_eq!(y, [20.5]); // 10 · relu(2) + 100 · relu(−3) + 0.5
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SeparableParams<'a> {
    /// The spatial step.
    pub depthwise: DepthwiseParams<'a>,
    /// Between the two; [`Activation::None`] in Xception.
    pub mid_activation: Activation,
    /// What the integers between the two stand for, of the input's type, with weights of i8.
    pub mid_quantization: Quantization,
    /// Output channels O.
    pub channels_out: usize,
    /// Pointwise weights \[C·M, O\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
    /// The scales and biases of weights of i8, in place of `bias`.
    pub quantized: Option<QuantizedWeights<'a>>,
}

impl<'a> SeparableParams<'a> {
    /// No activation between the two steps, no pointwise bias. `weights`, those of the pointwise
    /// step, is a slice of `f32` or [`Elements`].
    #[must_use]
    pub fn new(
        depthwise: DepthwiseParams<'a>,
        channels_out: usize,
        weights: impl Into<Elements<'a>>,
    ) -> Self {
        let mid_activation = Activation::None;
        Self {
            depthwise,
            mid_activation,
            mid_quantization: Quantization::new(1.0, 0),
            channels_out,
            weights: weights.into(),
            layout: WeightLayout::Hwio,
            bias: None,
            quantized: None,
        }
    }

    /// Sets the activation between the two steps.
    #[must_use]
    pub const fn mid_activation(mut self, activation: Activation) -> Self {
        self.mid_activation = activation;
        self
    }

    /// Sets what the integers between the two steps stand for.
    #[must_use]
    pub const fn mid_quantization(mut self, quantization: Quantization) -> Self {
        self.mid_quantization = quantization;
        self
    }

    /// Sets the layout of the pointwise weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias of the pointwise step.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Sets the scales and biases of weights of i8.
    #[must_use]
    pub const fn quantized(mut self, quantized: QuantizedWeights<'a>) -> Self {
        self.quantized = Some(quantized);
        self
    }
}

/// Parameters of [`Conv`](crate::Conv).
///
/// Weights of PyTorch and ONNX, \[O, C/groups, kh, kw\]:
/// `ConvParams::new(window, o, &weights).layout(WeightLayout::Oihw)`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0, 10.0, 20.0]; // [1, 2, C/groups, O]: two taps, one channel of a group
/// let params = ConvParams::new(Window::new([1, 2]), 2, &weights).groups(2);
/// let plan = Conv::new([1, 1, 2, 2], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 2], vec![0.0; plan.scratch_len(1)]);
/// # let x = NhwcView::new(&[3.0, 4.0, 5.0, 6.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// // with x = [3, 4, 5, 6]
/// assert_eq!(y, [53.0, 128.0]); // 1·3 + 10·5, 2·4 + 20·6
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ConvParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Groups; must divide C and O.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, C/groups, O\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
    /// The scales and biases of weights of i8, in place of `bias`.
    pub quantized: Option<QuantizedWeights<'a>>,
}

impl<'a> ConvParams<'a> {
    /// One group, no bias. `weights` is a slice of `f32` or [`Elements`].
    #[must_use]
    pub fn new(window: Window, channels_out: usize, weights: impl Into<Elements<'a>>) -> Self {
        Self {
            window,
            groups: 1,
            channels_out,
            weights: weights.into(),
            layout: WeightLayout::Hwio,
            bias: None,
            quantized: None,
        }
    }

    /// Sets the number of groups.
    #[must_use]
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the layout of the weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Sets the scales and biases of weights of i8.
    #[must_use]
    pub const fn quantized(mut self, quantized: QuantizedWeights<'a>) -> Self {
        self.quantized = Some(quantized);
        self
    }
}

/// Parameters of [`TransposedConv`](crate::TransposedConv).
///
/// In the names of layouts, I stands for the input channels of all groups, O for the output
/// channels of a group. For weights of PyTorch's `ConvTranspose2d`, \[C, O/groups, kh, kw\], write
/// `TransposedParams::new(window, o, &weights).layout(WeightLayout::Iohw)`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0, 10.0, 20.0]; // [1, 2, O, C]: two taps, 2 channels to 1
/// let window = TransposedWindow::new([1, 2]).stride([1, 2]);
/// let params = TransposedParams::new(window, 1, &weights);
/// let plan = TransposedConv::new([1, 1, 1, 2], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 2], vec![0.0; plan.scratch_len(1)]);
/// # let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// // with x = [3, 4]
/// assert_eq!(y, [11.0, 110.0]); // 1·3 + 2·4, 10·3 + 20·4
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TransposedParams<'a> {
    /// Kernel, stride, padding.
    pub window: TransposedWindow,
    /// Groups; must divide C and O. With C of them the convolution is depthwise.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, O/groups, C\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

impl<'a> TransposedParams<'a> {
    /// One group, no bias, weights as Keras has them. `weights` is a slice of `f32` or
    /// [`Elements`].
    #[must_use]
    pub fn new(
        window: TransposedWindow,
        channels_out: usize,
        weights: impl Into<Elements<'a>>,
    ) -> Self {
        Self {
            window,
            groups: 1,
            channels_out,
            weights: weights.into(),
            layout: WeightLayout::Hwoi,
            bias: None,
        }
    }

    /// Sets the number of groups.
    #[must_use]
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the layout of the weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }
}

/// Parameters of [`Dense`](crate::Dense).
///
/// Weights of PyTorch and ONNX, \[O, C\]:
/// `DenseParams::new(o, &weights).layout(WeightLayout::Oihw)`.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]; // 2 inputs to 3 outputs
/// let params = DenseParams::new(3, &weights).bias(&[0.0, 0.0, 0.5]);
/// let plan = Dense::new([1, 1, 1, 2], &params, &Options::default())?;
/// # let (mut y, mut scratch) = ([0.0; 3], vec![0.0; plan.scratch_len(1)]);
/// # let x = NhwcView::new(&[1.0, 2.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// // with x = [1, 2]
/// assert_eq!(y, [21.0, 42.0, 63.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DenseParams<'a> {
    /// Outputs O.
    pub channels_out: usize,
    /// \[C, O\], unless `layout` says otherwise.
    pub weights: Elements<'a>,
    /// The order of the weights' dimensions.
    pub layout: WeightLayout,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
    /// The scales and biases of weights of i8, in place of `bias`.
    pub quantized: Option<QuantizedWeights<'a>>,
}

impl<'a> DenseParams<'a> {
    /// No bias. `weights` is a slice of `f32` or [`Elements`].
    #[must_use]
    pub fn new(channels_out: usize, weights: impl Into<Elements<'a>>) -> Self {
        Self {
            channels_out,
            weights: weights.into(),
            layout: WeightLayout::Hwio,
            bias: None,
            quantized: None,
        }
    }

    /// Sets the layout of the weights.
    #[must_use]
    pub const fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bias.
    #[must_use]
    pub const fn bias(mut self, bias: &'a [f32]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Sets the scales and biases of weights of i8.
    #[must_use]
    pub const fn quantized(mut self, quantized: QuantizedWeights<'a>) -> Self {
        self.quantized = Some(quantized);
        self
    }
}

/// The kind of a [`Pool`](crate::Pool).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// for (kind, expected) in [(PoolKind::Max, 6.0), (PoolKind::Average, 3.0)] {
///     let plan = Pool::new([1, 1, 3, 1], kind, Window::new([1, 3]), &Options::default())?;
///     let mut y = [0.0];
///     let x = NhwcView::new(&[1.0, 2.0, 6.0], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
///     assert_eq!(y, [expected]);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolKind {
    /// The largest tap inside the input. NaN if one of them is; −∞ if there is none.
    /// Of +0 and −0 the earlier tap is given.
    Max,
    /// The sum of the taps inside the input, in order, divided by their number; 0 if there is none.
    Average,
    /// The same sum divided by the number of all taps of the window, those in the padding among
    /// them: PyTorch's `count_include_pad`.
    AverageOfPadded,
}

/// How [`Resize`](crate::Resize) makes a pixel of its neighbours.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// for (interpolation, expected) in
///     [(Interpolation::Nearest, [1.0, 3.0, 3.0]), (Interpolation::Bilinear, [1.0, 2.0, 3.0])]
/// {
///     let (input, coordinates) = ([1, 1, 2, 1], Coordinates::AlignCorners);
///     let plan = Resize::new(input, [1, 3], interpolation, coordinates, &Options::default())?;
///     let mut y = [0.0; 3];
///     let x = NhwcView::new(&[1.0, 3.0], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
///     assert_eq!(y, expected);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// The input pixel that the output's position lies in.
    Nearest,
    /// The mean of the four input pixels around the output's position, weighted by how near they
    /// are.
    Bilinear,
}

/// Where output position o of [`Resize`](crate::Resize) lies in the input, along either axis: its
/// source coordinate s. It is computed in f32, each step rounded, as TensorFlow and PyTorch do.
///
/// [`Interpolation::Nearest`] takes ⌊s⌋, with aligned corners s rounded, halves up; bilinear takes
/// ⌊s⌋ and ⌊s⌋ + 1 by the weights 1 − (s − ⌊s⌋) and s − ⌊s⌋, for s ≥ 0. What lies beyond an edge is
/// the pixel at that edge.
///
/// | | nearest | bilinear |
/// |---|---|---|
/// | TensorFlow 2, Keras | `HalfPixel` | `HalfPixel` |
/// | TensorFlow 1, `align_corners=False` | `Asymmetric` | `Asymmetric` |
/// | PyTorch | `Asymmetric`, `nearest-exact`: `HalfPixel` | `HalfPixel` |
/// | `align_corners=True` | `AlignCorners` | `AlignCorners` |
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// for (coordinates, expected) in [
///     (Coordinates::HalfPixel, [1.0, 1.25, 1.75, 2.0]), // s = -0.25, 0.25, 0.75, 1.25
///     (Coordinates::Asymmetric, [1.0, 1.5, 2.0, 2.0]), // s = 0, 0.5, 1, 1.5
/// ] {
///     let (input, bilinear) = ([1, 1, 2, 1], Interpolation::Bilinear);
///     let plan = Resize::new(input, [1, 4], bilinear, coordinates, &Options::default())?;
///     let mut y = [0.0; 4];
///     let x = NhwcView::new(&[1.0, 2.0], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
///     assert_eq!(y, expected);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coordinates {
    /// (o + 0.5) · (in / out), for bilinear less 0.5: pixels are areas, and their positions are
    /// those of their centers.
    HalfPixel,
    /// o · ((in − 1) / (out − 1)): the first pixel of the output lies on the first of the input,
    /// the last on the last. A single output lies on the first.
    AlignCorners,
    /// o · (in / out): the first pixel of the output lies on the first of the input.
    Asymmetric,
}

/// Which channels of an input pixel [`DepthToSpace`](crate::DepthToSpace) moves to row i and column
/// j of its block of B × B output pixels, of C channels each.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// for (order, expected) in
///     [(DepthOrder::BlockFirst, [1.0, 2.0]), (DepthOrder::ChannelFirst, [1.0, 5.0])]
/// {
///     let plan = DepthToSpace::new([1, 1, 1, 8], 2, order, &Options::default())?;
///     let mut y = [0.0; 8];
///     let x = NhwcView::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
///     assert_eq!(y[..2], expected); // the first pixel
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DepthOrder {
    /// Channel c of the output is channel (i·B + j)·C + c: TensorFlow's `depth_to_space`, ONNX's
    /// `DCR`.
    BlockFirst,
    /// It is channel c·B² + i·B + j: PyTorch's `PixelShuffle`, ONNX's `CRD`.
    ChannelFirst,
}

/// What [`Binary`](crate::Binary) makes of two elements.
///
/// ```
/// # use sepconv_kernels::*;
/// let values = [
///     BinaryOp::Add,
///     BinaryOp::Subtract,
///     BinaryOp::Multiply,
///     BinaryOp::Maximum,
///     BinaryOp::Minimum,
///     BinaryOp::PRelu,
/// ]
/// .map(|op| naive::binary(op, 3.0, 5.0));
/// assert_eq!(values, [8.0, -2.0, 15.0, 5.0, 3.0, 3.0]);
/// assert_eq!(naive::binary(BinaryOp::PRelu, -3.0, 5.0), -15.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BinaryOp {
    /// a + b.
    Add,
    /// a − b.
    Subtract,
    /// a · b.
    Multiply,
    /// b > a ? b : a; NaN if one of them is.
    Maximum,
    /// b < a ? b : a; NaN if one of them is.
    Minimum,
    /// a < 0 ? b · a : a, where b is PReLU's α: of shape \[1, 1, 1, C\], or with a height and a
    /// width of its own. −0 stays; NaN if a is, and where a < 0, if b is.
    PRelu,
}

/// Parameters of [`Normalization`](crate::Normalization).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let params = NormalizationParams::new(NormalizationKind::Rms, 0.0).scale(&[1.0, 10.0]);
/// let plan = Normalization::new([1, 1, 1, 2], &params, &Options::default())?;
/// let mut y = [0.0; 2];
/// # let x = NhwcView::new(&[1.0, 7.0], plan.input_shape())?;
/// # plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// // with x = [1, 7], whose root mean square is 5
/// assert_eq!(y, [0.2, 14.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NormalizationParams<'a> {
    /// What is normalized, and by what.
    pub kind: NormalizationKind,
    /// ε, at least 0.
    pub epsilon: f32,
    /// γ of each channel, or none for ones.
    pub scale: Option<&'a [f32]>,
    /// β of each channel, or none for zeros.
    pub shift: Option<&'a [f32]>,
}

impl<'a> NormalizationParams<'a> {
    /// Neither scale nor shift.
    #[must_use]
    pub const fn new(kind: NormalizationKind, epsilon: f32) -> Self {
        Self { kind, epsilon, scale: None, shift: None }
    }

    /// Sets γ of each channel.
    #[must_use]
    pub const fn scale(mut self, scale: &'a [f32]) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets β of each channel.
    #[must_use]
    pub const fn shift(mut self, shift: &'a [f32]) -> Self {
        self.shift = Some(shift);
        self
    }
}

/// What [`Normalization`](crate::Normalization) normalizes, and by what. Means are over the
/// elements x that are normalized together.
///
/// ```
/// # use sepconv_kernels::*;
/// let x = [1.0, 7.0];
/// let by = |kind| naive::normalize(kind, 0.0, [1, 1, 1, 2], &x);
/// assert_eq!(by(NormalizationKind::Layer), [-1.0, 1.0]); // less the mean 4, over the deviation 3
/// assert_eq!(by(NormalizationKind::Rms), [0.2, 1.4]); // over √25
/// // A picture of one pixel, all channels in one group.
/// assert_eq!(by(NormalizationKind::Group { groups: 1 }), [-1.0, 1.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormalizationKind {
    /// The channels of a pixel: (x − mean) / √(mean of (x − mean)² + ε), Ba, Kiros, Hinton,
    /// "Layer Normalization", 2016.
    Layer,
    /// The channels of a pixel: x / √(mean of x² + ε), Zhang, Sennrich, "Root Mean Square Layer
    /// Normalization", 2019.
    Rms,
    /// The channels of a pixel: x / √max(sum of x², ε), a vector of length 1.
    Unit,
    /// Groups of C/`groups` channels of a picture, as [`NormalizationKind::Layer`]: Wu, He, "Group
    /// Normalization", 2018.
    Group {
        /// A divisor of C.
        groups: usize,
    },
}
