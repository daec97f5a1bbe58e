//! NEON (AArch64 Advanced SIMD): 4 lanes, 32 registers.

use pulp::Simd;

use crate::Level;
use crate::isa::{Isa, V, instantiate};

/// pulp's `Neon`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon;

const LEVEL: Level = Level::Neon;

/// A prefetch instruction. (The intrinsic is unstable.)
macro_rules! prfm {
    ($operation:literal, $p:expr) => {
        // SAFETY: a hint, which faults on no address.
        unsafe {
            core::arch::asm!(
                concat!("prfm ", $operation, ", [{p}]"),
                p = in(reg) $p,
                options(readonly, nostack, preserves_flags)
            );
        }
    };
}

impl Isa for Neon {
    type S = pulp::aarch64::Neon;

    // 8×12: 24 accumulators, 3 vectors of B and the values of A fit 32 registers.
    const MR: usize = 8;
    const NV: usize = 3;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `Neon::try_new` decided.
        unsafe { pulp::aarch64::Neon::new_unchecked() }
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        prfm!("pldl2keep", p);
    }

    #[inline(always)]
    fn prefetch_near(p: *const f32) {
        prfm!("pldl1keep", p);
    }

    #[inline(always)]
    fn prefetch_write(p: *const f32) {
        prfm!("pstl1keep", p);
    }

    // fmax gives +0 for (+0, −0) and would lose the −0 of `x`: compare and select instead.
    #[inline(always)]
    fn at_least(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.select_f32s(s.greater_than_f32s(bound, x), bound, x)
    }

    #[inline(always)]
    fn at_most(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.select_f32s(s.less_than_f32s(bound, x), bound, x)
    }
}

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Neon, "neon", ["neon"],
    rows: [1 2 3 4 5 6 7 8], vectors: [1 2 3],
    gemm: "8x12", window: "8", pixels: [8 4 2 1],
    slide: "14", [14 13 12 11 10 9 8 7 6 5 4 3 2 1],
    strip: "6", [1 2 3 4 5 6]);
