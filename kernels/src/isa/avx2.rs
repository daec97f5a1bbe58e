//! AVX2 + FMA (x86-64-v3): 8 lanes, 16 registers.

use pulp::Simd;

use crate::Level;
use crate::isa::{Isa, V, instantiate};

/// pulp's `V3`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

const LEVEL: Level = Level::Avx2;

impl Isa for Avx2 {
    type S = pulp::x86::V3;

    // 6×16: 12 accumulators, 2 vectors of B and 1 broadcast of A use 15 of the 16 registers, and 12
    // independent chains cover the latency of two FMAs per cycle (4–5 cycles).
    const MR: usize = 6;
    const NV: usize = 2;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `V3::try_new` decided.
        unsafe { pulp::x86::V3::new_unchecked() }
    }

    // vmaxps and vminps give their second operand when either is NaN or both are zeros.
    #[inline(always)]
    fn at_least(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.max_f32s(bound, x)
    }

    #[inline(always)]
    fn at_most(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.min_f32s(bound, x)
    }
}

instantiate!(Avx2, "avx2", ["avx2,fma,bmi1,bmi2,lzcnt,popcnt"],
    rows: [1 2 3 4 5 6], vectors: [1 2],
    gemm: "6x16", window: "8x8", pixels: [8 4 2 1]);
