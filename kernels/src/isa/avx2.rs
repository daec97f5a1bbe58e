//! AVX2 + FMA + F16C (x86-64-v3): 8 lanes, 16 registers.

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::transmute;

use crate::Level;
use crate::isa::{Isa, MAX_LANES, instantiate, operations, read_head_16, write_head_16};

/// 256-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

const LEVEL: Level = Level::Avx2;

/// The upper halves of the lanes to the first bytes, in each half of the vector by itself.
const UPPER_HALVES: [u8; 32] = {
    let mut places = [0; 32];
    let mut i = 0;
    while i < 8 {
        let place = 4 * (i % 4) + 2;
        let at = i / 4 * 16 + i % 4 * 2;
        places[at] = place as u8;
        places[at + 1] = place as u8 + 1;
        i += 1;
    }
    places
};

/// The first `n` lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// All bits of each.
    mask: __m256i,
    n: usize,
}

impl Isa for Avx2 {
    type V = __m256;
    type H = __m128i;
    type Mask = __m256;
    type Head = Head;
    type Places = __m256i;

    const LANES: usize = 8;
    // 6×16: 12 accumulators, 2 vectors of B and 1 broadcast of A use 15 of the 16 registers, and 12
    // independent chains cover the latency of two FMAs per cycle (4–5 cycles).
    const MR: usize = 6;
    const NV: usize = 2;
    const REGISTERS: usize = 16;

    operations! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        minus_abs(x: __m256) -> __m256 = _mm256_or_ps(x, _mm256_set1_ps(-0.0));
        power_of_two(n: __m256) -> __m256 = {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, one))
        };
        // vmaxps and vminps give their second operand when either is NaN or both are zeros.
        at_least(bound: __m256, x: __m256) -> __m256 = _mm256_max_ps(bound, x);
        at_most(bound: __m256, x: __m256) -> __m256 = _mm256_min_ps(bound, x);
        less(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        ordered(x: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_ORD_Q>(x, x);
        and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        places(lanes: [u32; MAX_LANES]) -> __m256i = _mm256_loadu_si256(lanes.as_ptr().cast());
        permute(v: __m256, places: __m256i) -> __m256 = _mm256_permutevar8x32_ps(v, places);
        settle(v: __m256) -> __m256 = settle(v);
        // Hints, which fault on no address.
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T1>(p.cast());
        prefetch_near(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        prefetch_write(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_ET0>(p.cast());
        f16_to_f32(v: __m128i) -> __m256 = _mm256_cvtph_ps(v);
        f32_to_f16(v: __m256) -> __m128i = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
        bf16_to_f32(v: __m128i) -> __m256 =
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v)));
        // See `element::f32_to_bf16`.
        f32_to_bf16(x: __m256) -> __m128i = {
            let rounded = _mm256_castsi256_ps(rounded(_mm256_castps_si256(x)));
            let quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x40_0000)));
            let bits = _mm256_blendv_ps(rounded, quiet, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
            upper_halves(_mm256_castps_si256(bits))
        };
        // A NaN of bf16 has no bits that carry anything upwards.
        sum_to_bf16(x: __m256) -> __m128i = upper_halves(rounded(_mm256_castps_si256(x)));
        head(n: usize) -> Head = {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            Head { mask: _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lane), n }
        };
    }

    #[inline(always)]
    unsafe fn load_head(head: Head, p: *const f32) -> __m256 {
        // SAFETY: the caller's contract; masked lanes are neither read nor faulted on.
        unsafe { _mm256_maskload_ps(p, head.mask) }
    }

    #[inline(always)]
    unsafe fn store_head(head: Head, p: *mut f32, v: __m256) {
        // SAFETY: the caller's contract; masked lanes are neither written nor faulted on.
        unsafe { _mm256_maskstore_ps(p, head.mask, v) }
    }

    #[inline(always)]
    unsafe fn load_head_16(head: Head, p: *const u16) -> __m128i {
        // SAFETY: the caller's contract; a head has at most 8 lanes; any bits are a vector.
        unsafe { transmute::<u128, __m128i>(read_head_16(p, head.n)) }
    }

    #[inline(always)]
    unsafe fn store_head_16(head: Head, p: *mut u16, v: __m128i) {
        // SAFETY: the caller's contract; a head has at most 8 lanes; a vector is plain bits.
        unsafe { write_head_16(p, head.n, transmute::<__m128i, u128>(v)) }
    }
}

/// The bits of numbers in f32, of which the upper halves become those of the nearest in bf16, of two the even one.
#[target_feature(enable = "avx2")]
#[inline]
fn rounded(bits: __m256i) -> __m256i {
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)))
}

/// Of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn upper_halves(bits: __m256i) -> __m128i {
    // SAFETY: both are plain data of the same size.
    let places = unsafe { transmute::<[u8; 32], __m256i>(UPPER_HALVES) };
    let halves = _mm256_shuffle_epi8(bits, places);
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(halves))
}

#[target_feature(enable = "avx")]
#[inline]
fn settle(mut v: __m256) -> __m256 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nostack, preserves_flags)) };
    v
}

// Strips of 3: 9 accumulators, 5 columns and a weight take 15 of the 16 registers; 4 would spill. Of 2 with stride 2 and f32,
// two vectors of channels at a time: 8 accumulators, 5 columns, 2 biases and a weight. (f16 and bf16 would gain 5 %, and take
// the crate 2 of the 35 s of CPU time in which it builds.)
instantiate!(Avx2, "avx2", ["avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt"],
    rows: [1, 2, 3, 4, 5, 6], vectors: [1 2],
    gemm: "6x16", window: "8", pixels: [8 4 2 1],
    strips: [("3", [3 2 1]), ("2", [2 1])], [("3", [3 2 1]), ("3", [3 2 1])]);
