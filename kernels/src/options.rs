//! What every plan takes besides its shape and weights.

use crate::activation::Activation;
use crate::element::ElementType;
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
/// What a plan does its [`Plan::kernel_name`](crate::Plan::kernel_name) tells.
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
    /// Where a [`Pointwise`](crate::Pointwise), [`Separable`](crate::Separable) or [`Dense`](crate::Dense) plan has bf16 weights and the CPU has dot products of
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
