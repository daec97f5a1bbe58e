//! How the GEMM of a layer multiplies and adds.

use core::fmt;

/// How [`Conv`](crate::Conv), [`Pointwise`](crate::Pointwise), [`Dense`](crate::Dense) and the
/// pointwise half of [`Separable`](crate::Separable) multiply and add; with `Unfused` depthwise
/// convolutions, too. All other plans compute in f32 whatever it is.
///
/// [`Plan::kernel_name`](crate::Plan::kernel_name) tells which way a plan uses.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0];
/// let params = DenseParams::new(1, &weights);
/// for (arithmetic, expected) in [(Arithmetic::Exact, 257.0), (Arithmetic::Bf16, 256.0)] {
/// #   if !arithmetic.is_available() { continue }
///     let options = Options::default().arithmetic(arithmetic);
///     let plan = Dense::new([1, 1, 1, 2], &params, &options)?;
///     let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
///     let x = NhwcView::new(&[257.0, 0.0], plan.input_shape())?; // 257 = 1.00000001₂·2⁸
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
///     assert_eq!(y, [expected]);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Arithmetic {
    /// Fused multiply-adds of f32: the same bits on every CPU.
    ///
    /// With n products and γ of u = 2⁻²⁴ the error is at most γₙ₊₁·(|bias| + Σ|x||w|), and 2⁻¹⁵⁰
    /// for each sum that is subnormal.
    ///
    /// A CPU without fused multiply-adds ([`Level::has_fma`](crate::Level::has_fma)) computes each
    /// by some forty instructions: exact layers take many times as long there as unfused ones.
    #[default]
    Exact,
    /// Multiply-adds of f32 whose product is rounded before it is added, in the order of `Exact`:
    /// again the same bits on every CPU. For CPUs without fused multiply-adds, where it is many
    /// times faster; on others `Exact` is at least as fast. It needs the feature `unfused`.
    /// [`naive::conv_unfused`] is its definition.
    ///
    /// With n products the error is at most γₙ₊₁·(|bias| + Σ|x||w|) + n·2⁻¹⁴⁹, with γ of u = 2⁻²⁴.
    /// A product beyond f32 is ∞, whatever it is added to.
    ///
    /// [`naive::conv_unfused`]: crate::naive::conv_unfused
    Unfused,
    /// Products of bf16, with the same bits on every CPU, and by tile registers (AMX) where
    /// [`Options::amx`](crate::Options::amx) asks for them. It needs the feature `bf16`.
    /// [`naive::conv_bf16`] and all levels compute an output as follows:
    /// 1. Inputs of the GEMM and weights are rounded to the nearest bf16, ties to even; |v| < 2⁻⁵⁶
    ///    becomes 0, overflow ∞. A bias stays f32; |b| < 2⁻¹⁰³ becomes 0.
    /// 2. k counts all kh·kw·C products of an output, taps (ky, kx) and channels ascending; those
    ///    of taps in the padding count as well, with 0 for the input.
    /// 3. In each block of 32 k two chains of f32 fused multiply-adds begin with +0, one over even
    ///    k and one over odd k.
    /// 4. The sum begins with the bias. Block by block, k ascending, (even + odd) is added to it.
    /// 5. Residual and activation follow in f32. The output is rounded once, as it is stored.
    /// 6. ∞ and NaN are those of IEEE 754: a NaN or an infinite weight makes NaN of outputs that
    ///    have its tap in the padding, since 0·∞ is NaN.
    ///
    /// Where the CPU multiplies bf16 and adds to f32 with one rounding (Arm's FEAT_BF16, `BFMLALB`
    /// and `BFMLALT`), the chains of 3. are made of these instructions: the bits are those of fused
    /// multiply-adds of f32. `BFDOT`, `BFMMLA` and `VDPBF16PS` round otherwise and are left to
    /// `Fast`.
    ///
    /// A CPU without either multiplies in f32. There, weights given as f32 are rounded to bf16 and
    /// packed as f32: the bits are the same, the memory is twice that of weights given as bf16, and
    /// a layer takes 0.88 to 1.02 of the time.
    ///
    /// Depthwise convolutions are those of `Exact`. With n products the error is at most (2⁻⁷ +
    /// 2⁻¹⁶ + 1.01·γₘ)·Σ|x||w| + γₘ·|bias| + 2⁻⁵⁶·Σ(|x| + |w|) + 2⁻¹⁰³, with m = 17 + ⌈n / 32⌉ and
    /// γ of u = 2⁻²⁴. The first two terms are the rounding of x and w; they are gone if both are
    /// bf16 already.
    ///
    /// [`naive::conv_bf16`]: crate::naive::conv_bf16
    Bf16,
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

impl Arithmetic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Unfused, Self::Bf16, Self::Fast];

    /// The name that [`fmt::Display`] prints: `exact`, `unfused`, `bf16` or `fast`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Unfused => "unfused",
            Self::Bf16 => "bf16",
            Self::Fast => "fast",
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
