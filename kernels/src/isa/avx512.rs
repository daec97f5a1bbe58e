//! AVX-512 F, BW, CD, DQ, VL (x86-64-v4): 16 lanes, 32 registers.

use core::arch::x86_64::*;
use core::mem::transmute;

use crate::Level;
use crate::isa::{Isa, MAX_LANES, instantiate, operations};

/// 512-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

const LEVEL: Level = Level::Avx512;

/// The upper half of lane i to word i.
const UPPER_HALVES: [u16; 32] = {
    let mut places = [0; 32];
    let mut i = 0;
    while i < 16 {
        places[i] = 2 * i as u16 + 1;
        i += 1;
    }
    places
};

impl Isa for Avx512 {
    type V = __m512;
    type H = __m256i;
    type Mask = __mmask16;
    type Head = __mmask16;
    type Places = __m512i;

    const LANES: usize = 16;
    // 12×32: 24 accumulators, 2 vectors of B and a few broadcasts of A in flight fit 32 registers.
    const MR: usize = 12;
    const NV: usize = 2;

    operations! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        minus_abs(x: __m512) -> __m512 = _mm512_or_ps(x, _mm512_set1_ps(-0.0));
        power_of_two(n: __m512) -> __m512 = {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
            let one = _mm512_castps_si512(_mm512_set1_ps(1.0));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, one))
        };
        // vmaxps and vminps give their second operand when either is NaN or both are zeros.
        at_least(bound: __m512, x: __m512) -> __m512 = _mm512_max_ps(bound, x);
        at_most(bound: __m512, x: __m512) -> __m512 = _mm512_min_ps(bound, x);
        less(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        ordered(x: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(x, x);
        and(a: __mmask16, b: __mmask16) -> __mmask16 = _kand_mask16(a, b);
        select(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(mask, b, a);
        places(lanes: [u32; MAX_LANES]) -> __m512i = _mm512_loadu_si512(lanes.as_ptr().cast());
        permute(v: __m512, places: __m512i) -> __m512 = _mm512_permutexvar_ps(places, v);
        // Hints, which fault on no address.
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T1>(p.cast());
        prefetch_near(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        prefetch_write(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_ET0>(p.cast());
        f16_to_f32(v: __m256i) -> __m512 = _mm512_cvtph_ps(v);
        f32_to_f16(v: __m512) -> __m256i = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
        bf16_to_f32(v: __m256i) -> __m512 =
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v)));
        // See `element::f32_to_bf16`. Not AVX512-BF16's instruction, which flushes subnormals.
        f32_to_bf16(x: __m512) -> __m256i = {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let bits = _mm512_castps_si512(x);
            let quiet = _mm512_set1_epi32(0x40_0000);
            upper_halves(_mm512_mask_or_epi32(rounded(bits), nan, bits, quiet))
        };
        // A NaN of bf16 has no bits that carry anything upwards.
        sum_to_bf16(x: __m512) -> __m256i = upper_halves(rounded(_mm512_castps_si512(x)));
        // `DOT`'s kernels run only where AVX512-BF16 is available; any bits are bf16.
        dot(a: __m512, b: __m512, c: __m512) -> __m512 = {
            let [a, b] = [a, b].map(|v| transmute::<__m512, __m512bh>(v));
            _mm512_dpbf16_ps(c, a, b)
        };
    }

    #[inline(always)]
    fn head(n: usize) -> __mmask16 {
        ((1_u32 << n) - 1) as __mmask16
    }

    // Masked lanes are neither read nor written nor faulted on.
    #[inline(always)]
    unsafe fn load_head(head: __mmask16, p: *const f32) -> __m512 {
        // SAFETY: the caller's contract.
        unsafe { _mm512_maskz_loadu_ps(head, p) }
    }

    #[inline(always)]
    unsafe fn store_head(head: __mmask16, p: *mut f32, v: __m512) {
        // SAFETY: the caller's contract.
        unsafe { _mm512_mask_storeu_ps(p, head, v) }
    }

    #[inline(always)]
    unsafe fn load_head_16(head: __mmask16, p: *const u16) -> __m256i {
        // SAFETY: the caller's contract.
        unsafe { _mm256_maskz_loadu_epi16(head, p.cast()) }
    }

    #[inline(always)]
    unsafe fn store_head_16(head: __mmask16, p: *mut u16, v: __m256i) {
        // SAFETY: the caller's contract.
        unsafe { _mm256_mask_storeu_epi16(p.cast(), head, v) }
    }
}

/// The bits of numbers in f32, of which the upper halves become those of the nearest in bf16, of two the even one.
#[target_feature(enable = "avx512f")]
#[inline]
fn rounded(bits: __m512i) -> __m512i {
    let odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x1_0000));
    let half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    _mm512_mask_add_epi32(half, odd, bits, _mm512_set1_epi32(0x8000))
}

/// Of each lane.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn upper_halves(bits: __m512i) -> __m256i {
    // SAFETY: both are plain data of the same size.
    let places = unsafe { transmute::<[u16; 32], __m512i>(UPPER_HALVES) };
    _mm512_castsi512_si256(_mm512_permutexvar_epi16(places, bits))
}

/// AVX512-BF16.
mod bf16 {
    use super::*;
    use crate::isa::instantiate_dot;

    // 12×32 as for f32.
    instantiate_dot!(Avx512, "gemm_dot_bf16_12x32_avx512", [
        "avx512bf16" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt"],
        rows: [1, 2, 3, 4, 6, 8, 9, 12], vectors: [1 2], pair: pair, pays: is_amd());

    /// By what is measured: on an Intel CPU (Emerald Rapids) the time is 1.6 to 1.9 of that with f32, on an AMD one
    /// (Zen 5) 0.45 to 0.6.
    fn is_amd() -> bool {
        #[allow(unused_unsafe, reason = "in older compilers only")]
        // SAFETY: every CPU with 64 bits has this instruction.
        let vendor = unsafe { __cpuid(0) };
        let words = [vendor.ebx, vendor.edx, vendor.ecx];
        words.map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
    }

    /// The panel's first `depth` k, of MR rows, become pairs; beyond them are zeros.
    ///
    /// Two blocks of 16 k of a row become one of 16 pairs. It lies no further on than what it is made of, so
    /// that nothing is overwritten that is still to be read.
    ///
    /// # Safety
    /// The CPU has AVX512-BF16; the panel holds whole blocks of `depth` k.
    #[target_feature(
        enable = "avx512bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn pair(panel: &mut [f32], depth: usize) {
        const L: usize = 16;
        let block = Avx512::MR * L;
        for i in 0..depth.div_ceil(2 * L) {
            let masks =
                [0, 1].map(|half| Avx512::head(depth.saturating_sub((2 * i + half) * L).min(L)));
            for row in 0..Avx512::MR {
                let at = |block_of: usize| block_of * block + row * L;
                let from = [0, 1].map(|half| {
                    let from = panel.as_ptr().wrapping_add(at(2 * i + half));
                    // SAFETY: lanes beyond the depth are neither read nor faulted on.
                    unsafe { _mm512_maskz_loadu_ps(masks[half], from) }
                });
                // SAFETY: any bits are an f32; block i is not after block 2·i.
                unsafe {
                    for (half, from) in from.into_iter().enumerate() {
                        let pairs = _mm512_cvtneps_pbh(from);
                        let pairs = transmute::<__m256bh, __m256>(pairs);
                        _mm256_storeu_ps(panel.as_mut_ptr().add(at(i) + half * L / 2), pairs);
                    }
                }
            }
        }
    }
}

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Avx512, "avx512", [
    "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt"],
    rows: [1, 2, 3, 4, 6, 8, 9, 12], vectors: [1 2],
    gemm: "12x32", window: "8", pixels: [8 4 2 1],
    strips: [("6", [6 5 4 3 2 1]), ("6", [6 5 4 3 2 1])], [("6", [6 4 3 1]), ("6", [6 4 3 1])],
    dot: bf16::DOT);
