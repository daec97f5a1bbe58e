//! The parameters of the layers.

use crate::activation::Activation;
use crate::element::Elements;
use crate::geometry::Window;

/// Parameters of [`Depthwise`](crate::Depthwise).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let weights = (&[1.0, 2.0, 10.0, 20.0]).into(); // 1×1, 2 channels, multiplier 2
/// let window = Window::new([1, 1]);
/// let params = DepthwiseParams { window, multiplier: 2, weights, bias: None };
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
pub struct DepthwiseParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Depth multiplier M: output channel c·M + m is made of input channel c.
    pub multiplier: usize,
    /// \[kh, kw, C, M\].
    pub weights: Elements<'a>,
    /// C·M elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Pointwise`](crate::Pointwise).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let weights = (&[1.0, 10.0]).into(); // 1 channel to 2, of every other pixel of a row
/// let params = PointwiseParams { stride: [1, 2], channels_out: 2, weights, bias: Some(&[0.0, 0.5]) };
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
pub struct PointwiseParams<'a> {
    /// Stride \[sy, sx\].
    pub stride: [usize; 2],
    /// Output channels O.
    pub channels_out: usize,
    /// \[C, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Separable`](crate::Separable): a depthwise convolution, an activation, a
/// pointwise convolution.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// # let window = Window::new([1, 1]);
/// let weights = (&[1.0, -1.0]).into();
/// let depthwise = DepthwiseParams { window, multiplier: 1, weights, bias: None };
/// let mid_activation = Activation::Relu;
/// let (weights, bias) = ((&[10.0, 100.0]).into(), Some(&[0.5][..]));
/// let params = SeparableParams { depthwise, mid_activation, channels_out: 1, weights, bias };
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
pub struct SeparableParams<'a> {
    /// The spatial step.
    pub depthwise: DepthwiseParams<'a>,
    /// Between the two; [`Activation::None`] in Xception.
    pub mid_activation: Activation,
    /// Output channels O.
    pub channels_out: usize,
    /// Pointwise weights \[C·M, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Conv`](crate::Conv).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let weights = (&[1.0, 2.0, 10.0, 20.0]).into(); // [1, 2, C/groups, O]: two taps, one channel of a group
/// let window = Window::new([1, 2]);
/// let params = ConvParams { window, groups: 2, channels_out: 2, weights, bias: None };
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
pub struct ConvParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Groups; must divide C and O.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, C/groups, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Dense`](crate::Dense).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let weights = (&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]).into(); // 2 inputs to 3 outputs
/// let params = DenseParams { channels_out: 3, weights, bias: Some(&[0.0, 0.0, 0.5]) };
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
pub struct DenseParams<'a> {
    /// Outputs O.
    pub channels_out: usize,
    /// \[C, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// The kind of a [`Pool`](crate::Pool).
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
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
pub enum PoolKind {
    /// The largest tap inside the input. NaN if one of them is; −∞ if there is none.
    /// Of +0 and −0 the earlier tap is given.
    Max,
    /// The sum of the taps inside the input, in order, divided by their number; 0 if there is none.
    Average,
}
