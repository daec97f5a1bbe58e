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
    /// Plain Rust with fused multiply-add by `f32::mul_add` (a call of a function where the target
    /// has none). The only level of RISC-V and 32-bit Arm.
    Scalar,
    /// SSE2, the baseline of x86-64 and of i686, 4 lanes; no FMA.
    Sse,
    /// WebAssembly's simd128, 4 lanes; no FMA.
    Simd128,
    /// WebAssembly's relaxed simd, 4 lanes, on an engine whose multiply-add turns out to be fused.
    /// Modules that are compiled with it (`-C target-feature=+relaxed-simd`) need an engine that
    /// knows it.
    RelaxedSimd,
    /// AArch64 Advanced SIMD, 4 lanes.
    Neon,
    /// x86-64-v3: AVX2 and FMA, 8 lanes; also where programs of 32 bits have its instructions.
    Avx2,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL, 16 lanes.
    Avx512,
}

impl Level {
    /// Every level, also those that this build or this CPU can't run.
    pub const ALL: [Self; 7] = [
        Self::Scalar,
        Self::Sse,
        Self::Simd128,
        Self::RelaxedSimd,
        Self::Neon,
        Self::Avx2,
        Self::Avx512,
    ];

    /// Whether the level has fused multiply-adds. Where it has none, each takes some forty
    /// instructions for a vector (`Scalar`: a call), and a plan in
    /// [`Arithmetic::Exact`](crate::Arithmetic) takes many times as long as one in
    /// [`Arithmetic::Unfused`](crate::Arithmetic). The GEMM of
    /// [`Arithmetic::Bf16`](crate::Arithmetic) doesn't need them: its products are exact in f32.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let level = Level::best();
    /// let arithmetic = if level.has_fma() { Arithmetic::Exact } else { Arithmetic::Unfused };
    /// let options = Options::default().level(level).arithmetic(arithmetic);
    /// # assert!(Level::Avx2.has_fma());
    /// ```
    #[must_use]
    pub const fn has_fma(self) -> bool {
        match self {
            // What the compiler makes of `f32::mul_add`, which `std` has. (`f`: of RISC-V and
            // LoongArch; `vfp4`: of 32-bit Arm. Stable compilers tell neither RISC-V's nor Arm's,
            // but all RISC-V targets of these systems have F.)
            Self::Scalar => cfg!(all(
                feature = "std",
                any(
                    target_feature = "fma",
                    target_arch = "aarch64",
                    target_feature = "f",
                    target_feature = "vfp4",
                    all(
                        any(target_arch = "riscv32", target_arch = "riscv64"),
                        any(
                            target_os = "android",
                            target_os = "freebsd",
                            target_os = "linux",
                            target_os = "netbsd",
                            target_os = "openbsd"
                        )
                    ),
                    target_arch = "powerpc64",
                    target_arch = "s390x"
                )
            )),
            Self::Sse | Self::Simd128 => false,
            Self::RelaxedSimd | Self::Neon | Self::Avx2 | Self::Avx512 => true,
        }
    }

    /// The name that [`fmt::Display`] prints and `SEPCONV_LEVEL` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Sse => "sse",
            Self::Simd128 => "simd128",
            Self::RelaxedSimd => "relaxed_simd",
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
