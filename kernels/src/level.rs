//! The instruction-set levels that exist.

use core::fmt;

/// An instruction-set level that kernels are written for. All give the same bits.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default().level(Level::Scalar);
/// let plan = GlobalAveragePool::new([1, 7, 7, 8], &options)?;
/// assert_eq!(plan.level(), Level::Scalar);
/// assert!(Level::Scalar < Level::Avx512); // slower
/// assert_eq!(Level::available().last(), Some(&Level::best()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust with fused multiply-add by `f32::mul_add` (a library call where the target has
    /// none).
    Scalar,
    /// AArch64 Advanced SIMD, 4 lanes.
    Neon,
    /// x86-64-v3: AVX2 and FMA, 8 lanes.
    Avx2,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL, 16 lanes.
    Avx512,
}

impl Level {
    /// Every level, also those that this build or this CPU can't run.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name that [`fmt::Display`] prints and `SEPCONV_LEVEL` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
