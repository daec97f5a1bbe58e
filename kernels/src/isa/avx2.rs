//! AVX2 + FMA (x86-64-v3): 8 lanes, 16 registers.

use core::arch::asm;
use core::arch::x86_64::{__m256, _MM_HINT_ET0, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

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
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `V3::try_new` decided.
        unsafe { pulp::x86::V3::new_unchecked() }
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    fn settle(v: V<Self>) -> V<Self> {
        // SAFETY: kernels run only where the level is available, which includes AVX.
        unsafe { settle(v) }
    }

    #[inline(always)]
    fn prefetch_near(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_write(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(p.cast()) }
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

#[target_feature(enable = "avx")]
#[inline]
fn settle(v: pulp::f32x8) -> pulp::f32x8 {
    let mut register: __m256 = pulp::cast(v);
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) register, options(nostack, preserves_flags)) };
    pulp::cast(register)
}

// Strips of 3: 9 accumulators, 5 columns and a weight take 15 of the 16 registers; 4 would spill.
instantiate!(Avx2, "avx2", ["avx2,fma,bmi1,bmi2,lzcnt,popcnt"],
    rows: [1 2 3 4 5 6], vectors: [1 2],
    gemm: "6x16", window: "8", pixels: [8 4 2 1],
    slide: "10", [10 9 8 7 6 5 4 3 2 1],
    strip: "3", [1 2 3]);
