//! AVX-512 F, BW, CD, DQ, VL (x86-64-v4): 16 lanes, 32 registers.

use core::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

use pulp::Simd;

use crate::Level;
use crate::isa::{Isa, V, instantiate};

/// pulp's `V4`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

const LEVEL: Level = Level::Avx512;

impl Isa for Avx512 {
    type S = pulp::x86::V4;

    // 12×32: 24 accumulators, 2 vectors of B and a few broadcasts of A in flight fit 32 registers.
    const MR: usize = 12;
    const NV: usize = 2;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `V4::try_new` decided.
        unsafe { pulp::x86::V4::new_unchecked() }
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        // SAFETY: a hint, which faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
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

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Avx512, "avx512", ["avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt"],
    rows: [1 2 3 4 5 6 7 8 9 10 11 12], vectors: [1 2],
    gemm: "12x32", window: "8", pixels: [8 4 2 1],
    slide: "14", [14 13 12 11 10 9 8 7 6 5 4 3 2 1],
    strip: "6", [1 2 3 4 5 6]);
