//! AVX2 + FMA + F16C (x86-64-v3): 8 lanes, 16 registers.

use core::arch::asm;
use core::arch::x86_64::*;

use pulp::Simd;

use crate::Level;
use crate::isa::{Head, Isa, V, instantiate, read_head_16, write_head_16};

/// pulp's `V3`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

const LEVEL: Level = Level::Avx2;

impl Isa for Avx2 {
    type S = pulp::x86::V3;
    type H = __m128i;

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

    #[inline(always)]
    fn f16_to_f32(v: __m128i) -> V<Self> {
        // SAFETY: kernels run only where the level is available, which includes F16C.
        pulp::cast(unsafe { _mm256_cvtph_ps(v) })
    }

    #[inline(always)]
    fn f32_to_f16(v: V<Self>) -> __m128i {
        // SAFETY: as above.
        unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(pulp::cast(v)) }
    }

    #[inline(always)]
    fn bf16_to_f32(v: __m128i) -> V<Self> {
        // SAFETY: as above, AVX2.
        pulp::cast(unsafe { _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v)) })
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(v: V<Self>) -> __m128i {
        let x: __m256 = pulp::cast(v);
        let bits: __m256i = pulp::cast(v);
        // SAFETY: as above, AVX2.
        unsafe {
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, half));
            let quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x40_0000)));
            let bits = _mm256_blendv_ps(rounded, quiet, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
            let bits = _mm256_srli_epi32::<16>(_mm256_castps_si256(bits));
            // Both halves of the vector are packed by themselves.
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(bits, bits));
            _mm256_castsi256_si128(packed)
        }
    }

    #[inline(always)]
    unsafe fn load_head_16(head: Head<Self>, p: *const u16) -> __m128i {
        // SAFETY: the caller's contract; a head has at most 8 lanes.
        pulp::cast(unsafe { read_head_16(p, head.n) })
    }

    #[inline(always)]
    unsafe fn store_head_16(head: Head<Self>, p: *mut u16, v: __m128i) {
        // SAFETY: the caller's contract; a head has at most 8 lanes.
        unsafe { write_head_16(p, head.n, pulp::cast(v)) }
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
instantiate!(Avx2, "avx2", ["avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"],
    rows: [1 2 3 4 5 6], vectors: [1 2],
    gemm: "6x16", window: "8", pixels: [8 4 2 1],
    slide: "10", [10 6 4 2 1],
    strip: "3", [3 2 1], [3 2 1]);
