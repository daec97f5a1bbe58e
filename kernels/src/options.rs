//! What every plan takes besides its shape and weights.

use crate::activation::Activation;
use crate::element::ElementType;
use crate::layout::Layout;
use crate::level::Level;

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
    /// The level to use. `None` means [`Level::from_env`].
    pub level: Option<Level>,
    /// Element type of the input. Elements are converted to f32 exactly as they are loaded.
    pub input_type: ElementType,
    /// Element type of the output and the residual. An output is rounded once, after its
    /// activation: to nearest, ties to even. Overflow gives ∞.
    pub output_type: ElementType,
    /// Layout of the input's memory.
    pub input_layout: Layout,
    /// Layout of the output's memory, and the residual's.
    pub output_layout: Layout,
    /// Whether the CPU's bf16 dot products may compute products: see [`Arithmetic`].
    pub arithmetic: Arithmetic,
}

impl Options {
    /// These for an input and an output of \[H, W\]. Of single pixels both layouts are the same
    /// memory, and kernels know NHWC.
    pub(crate) fn of_sizes(mut self, input: [usize; 2], output: [usize; 2]) -> Self {
        if input == [1, 1] {
            self.input_layout = Layout::Nhwc;
        }
        if output == [1, 1] {
            self.output_layout = Layout::Nhwc;
        }
        self
    }

    /// The type of the elements that windows are computed of: out of planes they come as f32.
    pub(crate) fn window_type(&self) -> ElementType {
        match self.input_layout {
            Layout::Nhwc => self.input_type,
            Layout::Nchw => ElementType::F32,
        }
    }
}

/// How the pointwise half of a layer multiplies.
///
/// [`Plan::kernel_name`](crate::Plan::kernel_name) tells which way a plan uses.
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
    /// bf16 dot products, at up to twice the speed: operands are rounded to bf16, and two products
    /// are added at a time. They are used by [`Pointwise`](crate::Pointwise),
    /// [`Separable`](crate::Separable) and [`Dense`](crate::Dense) plans with bf16 weights, on CPUs
    /// that have them (AVX512-BF16 on AMD, FEAT_BF16 on Arm). Everything else is computed as with
    /// `Exact`.
    ///
    /// The bits then depend on the CPU, but not on the number of threads. The error of n terms is
    /// at most (2⁻⁸ + γₙ₊₁)·Σ|x||w| + γₙ₊₁·|bias| + n·2⁻¹²⁵, with γ of u = 2⁻²³. The first term is
    /// the rounding of x, which does not happen if x is bf16 already. The CPU may add the products
    /// of a pair in any order and round each step to odd. Subnormal operands, products and sums
    /// count as zero.
    ///
    /// Intel CPUs are treated as having none: their AVX512-BF16 is slower than f32 multiply-adds
    /// (measured on Emerald Rapids).
    ///
    /// f16 has no such mode. Instructions that multiply f16 and add in f32 (Arm's FMLAL) are no
    /// faster than f32 multiply-adds, and the faster ones add in f16.
    Fast,
}
