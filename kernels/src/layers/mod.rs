//! The public plans. Each validates, packs and chooses once; [`Plan::run`] then only computes.

mod gemm;
mod window;

use core::ops::Range;

pub use gemm::{Conv, Dense, Pointwise, Separable};
pub use window::{Depthwise, Elementwise, GlobalAveragePool, Pool, convert};

use crate::error::{Error, Result};
use crate::table::{self, Kernels};
use crate::{Activation, ElementType, Elements, Level, NhwcView, NhwcViewMut, Window};

/// What every plan takes besides its shape and weights.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options {
///     input_activation: Activation::Relu,
///     output_type: ElementType::Bf16,
///     ..Options::default()
/// };
/// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
/// # let x = NhwcView::new(&[-1.0, 1.0], plan.input_shape())?;
/// # let mut bits = [0xffff; 2];
/// # let y = NhwcViewMut::new(ElementsMut::Bf16(&mut bits), plan.output_shape())?;
/// plan.run(x, None, y, &mut [])?; // x = [-1, 1]
/// assert_eq!(bits, [0x0000, 0x3f80]); // 0, 1
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Applied to each input element as it is loaded (pre-activation networks). Never to padding.
    pub input_activation: Activation,
    /// Applied last, after the residual is added.
    pub activation: Activation,
    /// The level to use; [`Level::from_env`] when none.
    pub level: Option<Level>,
    /// What the input is of. Its elements become f32 as they are loaded, exactly.
    pub input_type: ElementType,
    /// What the output and the residual are of. An output is rounded once, after its activation: to the
    /// nearest number of that type, of two the even one; to ∞ beyond the largest.
    pub output_type: ElementType,
    /// Whether products may be made by the CPU's dot products of bf16: see [`Arithmetic`].
    pub arithmetic: Arithmetic,
}

/// How the pointwise half of a layer multiplies.
///
/// What a plan does its [`Plan::kernel_name`] tells.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options { arithmetic: Arithmetic::Fast, ..Options::default() };
/// let weights = Elements::Bf16(&[0x3f80, 0x4000]); // 1, 2
/// let params = DenseParams { channels_out: 1, weights, bias: None };
/// let plan = Dense::new([1, 1, 1, 2], &params, &options)?;
/// let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [11.0]); // few bits, so nothing is rounded on any CPU
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Arithmetic {
    /// Fused multiply-adds of f32: the same bits on every CPU.
    #[default]
    Exact,
    /// Where a [`Pointwise`], [`Separable`] or [`Dense`] plan has bf16 weights and the CPU has dot products of
    /// bf16 (AVX512-BF16 of AMD's CPUs, Arm's FEAT_BF16), what it multiplies is rounded to bf16 and two products are added at a
    /// time, at up to twice the speed. Anywhere else it is as `Exact`.
    ///
    /// Bits then depend on the CPU, though not on the number of threads. For n terms the sum of rounded products
    /// is off by at most (2⁻⁸ + γₙ₊₁)·Σ|x||w| + γₙ₊₁·|bias| + n·2⁻¹²⁵, with γ of u = 2⁻²³: x is rounded once,
    /// by 2⁻⁸, unless it is bf16 already; the CPU may add the products of a pair in any order and round each
    /// step to odd; subnormal operands, products and sums count as zero.
    ///
    /// Intel's CPUs count as without: their AVX512-BF16 is slower than multiply-adds of f32 (measured on Emerald
    /// Rapids).
    ///
    /// 16-bit floats have no such mode: the instructions that multiply f16 and add in f32 (Arm's FMLAL) do as
    /// many multiply-adds as those of f32, and those that do more add in f16.
    Fast,
}

/// A prepared operation: shape checked, weights packed, kernel chosen.
///
/// A plan owns its weights, packed by itself for its level: those of one can't reach the kernels of another.
/// It is immutable and `Send + Sync`: one can run on many threads at a time, each call with its own
/// scratch. For given operands every call gives the same bits, on any level and any number of threads.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options::default();
/// let layers: [Box<dyn Plan>; 2] = [
///     Box::new(Elementwise::new([1, 7, 7, 8], &options)?),
///     Box::new(GlobalAveragePool::new([1, 7, 7, 8], &options)?),
/// ];
/// assert_eq!(layers[0].output_shape(), layers[1].input_shape());
/// let scratch_len = layers.iter().map(|layer| layer.scratch_len(4)).max();
/// assert_eq!(scratch_len, Some(0)); // neither needs any
/// # Ok(())
/// # }
/// ```
pub trait Plan: Send + Sync + core::fmt::Debug {
    /// \[N, H, W, C\] of the input.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([2, 2]).stride([2, 2]);
    /// let plan = Pool::new([1, 6, 6, 8], PoolKind::Max, window, &Options::default())?;
    /// let x = vec![0.0; plan.input_shape().iter().product()];
    /// assert_eq!(x.len(), 6 * 6 * 8);
    /// # Ok(())
    /// # }
    /// ```
    fn input_shape(&self) -> [usize; 4];

    /// \[N, H, W, C\] of the output.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([2, 2]).stride([2, 2]);
    /// let plan = Pool::new([1, 6, 6, 8], PoolKind::Max, window, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 3, 3, 8]);
    /// # Ok(())
    /// # }
    /// ```
    fn output_shape(&self) -> [usize; 4];

    /// What the input is of.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let options = Options { input_type: ElementType::F16, ..Options::default() };
    /// let plan = Elementwise::new([1, 1, 1, 8], &options)?;
    /// assert_eq!((plan.input_type(), plan.output_type()), (ElementType::F16, ElementType::F32));
    /// # Ok(())
    /// # }
    /// ```
    fn input_type(&self) -> ElementType;

    /// What the output and the residual are of.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let options = Options { output_type: ElementType::Bf16, ..Options::default() };
    /// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
    /// assert_eq!(plan.output_type().size(), 2); // bytes of an element
    /// # Ok(())
    /// # }
    /// ```
    fn output_type(&self) -> ElementType;

    /// The level whose kernels run.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
    /// assert_eq!(plan.level(), Level::from_env()?);
    /// # Ok(())
    /// # }
    /// ```
    fn level(&self) -> Level;

    /// The kernels that run, e.g. `"dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2"`.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// let options = Options { level: Some(Level::Scalar), ..Options::default() };
    /// let plan = Separable::new([1, 4, 4, 8], &params, &options)?;
    /// let names: Vec<_> = plan.kernel_name().split('+').collect();
    /// assert!(names.len() == 2 && names[0].starts_with("dw_") && names[1].starts_with("gemm_"));
    /// # Ok(())
    /// # }
    /// ```
    fn kernel_name(&self) -> &str;

    /// Bytes that its packed weights and biases take.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let weights = vec![0.5; 100 * 10];
    /// let params = DenseParams { channels_out: 10, weights: (&weights).into(), bias: None };
    /// let plan = Dense::new([1, 1, 1, 100], &params, &Options::default())?;
    /// assert!(plan.weights_bytes() >= 100 * 10 * size_of::<f32>()); // more where columns are padded
    /// # Ok(())
    /// # }
    /// ```
    fn weights_bytes(&self) -> usize;

    /// Multiply-adds of one run, padding included (as literature counts them).
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// // 3×3 depthwise of 8 channels, then 8 to 16, on 4×4 pixels
    /// let plan = Separable::new([1, 4, 4, 8], &params, &Options::default())?;
    /// assert_eq!(plan.multiply_adds(), 4 * 4 * (9 * 8 + 8 * 16));
    /// # Ok(())
    /// # }
    /// ```
    fn multiply_adds(&self) -> u64;

    /// Elements of scratch with which `run` uses up to `threads` threads.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// let plan = Separable::new([1, 4, 4, 8], &params, &Options::default())?;
    /// let mut scratch = vec![0.0; plan.scratch_len(2)]; // for two threads
    /// assert!(plan.scratch_len(1) <= scratch.len());
    /// # Ok(())
    /// # }
    /// ```
    fn scratch_len(&self, threads: usize) -> usize;

    /// y = activation(operation(input_activation(x)) + residual).
    ///
    /// With the feature `rayon` the work is split over the threads of rayon's current pool, as many as
    /// `scratch` has room for; otherwise it runs on the calling thread. The contents of `scratch` are
    /// irrelevant before and unspecified after. Allocates nothing.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let plan = Elementwise::new([1, 1, 1, 2], &Options::default())?;
    /// let (x, residual, mut y) = ([1.0, 2.0], [10.0, 20.0], [0.0; 2]);
    /// plan.run(
    ///     NhwcView::new(&x, plan.input_shape())?,
    ///     Some(NhwcView::new(&residual, plan.output_shape())?),
    ///     NhwcViewMut::new(&mut y, plan.output_shape())?,
    ///     &mut vec![0.0; plan.scratch_len(1)],
    /// )?;
    /// assert_eq!(y, [11.0, 22.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A view of another shape or type than the plan's, or scratch shorter than `scratch_len(1)`: nothing is
    /// written then.
    fn run(
        &self,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()>;

    /// The input rows of which [`Plan::run_rows`] computes these output rows: all that their windows cover,
    /// padding left out. Of rows beyond the output those of the output.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
    /// let plan = Pool::new([1, 9, 9, 8], PoolKind::Max, window, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 5, 5, 8]);
    /// assert_eq!((plan.input_rows(0..2), plan.input_rows(2..5)), (0..4, 3..9));
    /// # Ok(())
    /// # }
    /// ```
    fn input_rows(&self, rows: Range<usize>) -> Range<usize>;

    /// [`Plan::run`] for output rows `rows` of each picture alone: `x` holds just the input rows
    /// [`Plan::input_rows`] of them, `residual` and `y` just these output rows. The same bits.
    ///
    /// For running layers depth first, some rows of each by turns, so that what lies between them stays
    /// small and in cache.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// // the sum of each pixel, the one above and the one below; the last two of four rows
    /// let window = Window::new([3, 1]).padding(Padding::Same);
    /// let params = DepthwiseParams { window, multiplier: 1, weights: (&[1.0; 3]).into(), bias: None };
    /// let plan = Depthwise::new([1, 4, 1, 1], &params, &Options::default())?;
    /// let (x, mut y) = ([1.0, 10.0, 100.0, 1000.0], [0.0; 2]);
    /// let needed = plan.input_rows(2..4);
    /// assert_eq!(needed, 1..4);
    /// plan.run_rows(
    ///     2..4,
    ///     NhwcView::new(&x[needed], [1, 3, 1, 1])?,
    ///     None,
    ///     NhwcViewMut::new(&mut y, [1, 2, 1, 1])?,
    ///     &mut [],
    /// )?;
    /// assert_eq!(y, [1110.0, 1100.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Plan::run`], for views of these rows; [`Error::Rows`].
    fn run_rows(
        &self,
        rows: Range<usize>,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()>;
}

/// The two ways to run a plan, by one: `$compute` gets the output rows, x and its first row, the residual, y and
/// the scratch.
macro_rules! runs {
    ($compute:expr) => {
        fn run(
            &self,
            x: NhwcView<'_>,
            residual: Option<NhwcView<'_>>,
            y: NhwcViewMut<'_>,
            scratch: &mut [f32],
        ) -> Result<()> {
            let [_, h, ..] = self.input_shape();
            let [_, oh, ..] = self.output_shape();
            check(self, [h, oh], &x, residual.as_ref(), &y, scratch)?;
            $compute(self, 0..oh, (x, 0), residual, y, scratch)
        }

        fn run_rows(
            &self,
            rows: Range<usize>,
            x: NhwcView<'_>,
            residual: Option<NhwcView<'_>>,
            y: NhwcViewMut<'_>,
            scratch: &mut [f32],
        ) -> Result<()> {
            let [_, height, ..] = self.output_shape();
            let Range { start, end } = rows;
            if start > end || end > height {
                return Err(Error::Rows { start, end, height });
            }
            let needed = self.input_rows(start..end);
            check(self, [needed.len(), end - start], &x, residual.as_ref(), &y, scratch)?;
            $compute(self, start..end, (x, needed.start), residual, y, scratch)
        }
    };
}
use runs;

/// Parameters of [`Depthwise`].
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

/// Parameters of [`Pointwise`].
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

/// Parameters of [`Separable`]: a depthwise convolution, an activation, a pointwise convolution.
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

/// Parameters of [`Conv`].
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

/// Parameters of [`Dense`].
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

/// The kind of a [`Pool`].
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

/// The kernels of the level that the options ask for.
fn choose(options: &Options) -> Result<&'static Kernels> {
    let level = match options.level {
        Some(level) => level.checked()?,
        None => Level::from_env()?,
    };
    table::of(level).ok_or(Error::LevelUnavailable { level })
}

/// Checks the operands of a run against the plan's shapes, of whose input and output they have so many rows.
fn check(
    plan: &(impl Plan + ?Sized),
    [input_rows, output_rows]: [usize; 2],
    x: &NhwcView<'_>,
    residual: Option<&NhwcView<'_>>,
    y: &NhwcViewMut<'_>,
    scratch: &[f32],
) -> Result<()> {
    let of = |[n, _, w, c]: [usize; 4], rows: usize| [n, rows, w, c];
    let (input, output) =
        (of(plan.input_shape(), input_rows), of(plan.output_shape(), output_rows));
    let shapes = [
        ("input", input, Some(x.shape())),
        ("residual", output, residual.map(NhwcView::shape)),
        ("output", output, Some(y.shape())),
    ];
    for (what, expected, actual) in shapes {
        if let Some(actual) = actual.filter(|&actual| actual != expected) {
            return Err(Error::Shape { what, expected, actual });
        }
    }
    let types = [
        ("input", plan.input_type(), Some(x.element_type())),
        ("residual", plan.output_type(), residual.map(NhwcView::element_type)),
        ("output", plan.output_type(), Some(y.element_type())),
    ];
    for (what, expected, actual) in types {
        if let Some(actual) = actual.filter(|&actual| actual != expected) {
            return Err(Error::ElementType { what, expected, actual });
        }
    }
    let expected = plan.scratch_len(1);
    if scratch.len() < expected {
        return Err(Error::Length { what: "scratch", expected, actual: scratch.len() });
    }
    Ok(())
}

/// Multiply-adds of an output: one per output element and `depth`, saturating.
fn count(output: [usize; 4], depth: usize) -> u64 {
    output.iter().fold(depth as u64, |p, &d| p.saturating_mul(d as u64))
}
