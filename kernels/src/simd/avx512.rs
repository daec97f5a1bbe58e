//! AVX-512 F, BW, CD, DQ, VL (x86-64-v4): 16 lanes, 32 registers.

use core::arch::asm;
use core::arch::x86_64::*;
use core::mem::transmute;

use pulp::core_arch::x86::Avx512bf16;
use pulp::x86::V4;

use crate::level::Level;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS};
use crate::simd::{Bf16Dot, Bf16Kernel, Kernel, MAX_LANES, Simd, features};

/// 512-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const FUSED: bool = true> {
    v4: V4,
}

/// The upper half of lane i to word i.
const UPPER_HALVES: [u16; 32] = {
    let mut words = [0; 32];
    let mut i = 0;
    while i < 16 {
        words[i] = 2 * i as u16 + 1;
        i += 1;
    }
    words
};

impl<const FUSED: bool> Avx512<FUSED> {
    /// # Safety
    /// The CPU has AVX-512 F, BW, CD, DQ and VL, and what [`Avx2`](super::avx2::Avx2) wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { v4: V4::new_unchecked() } }
    }

    /// The bits of f32, whose upper halves become those of the nearest bf16, ties to even.
    #[inline(always)]
    fn round_to_upper_half(self, bits: __m512i) -> __m512i {
        let V4 { avx512f, .. } = self.v4;
        let odd = avx512f._mm512_test_epi32_mask(bits, avx512f._mm512_set1_epi32(0x1_0000));
        let half = avx512f._mm512_add_epi32(bits, avx512f._mm512_set1_epi32(0x7fff));
        avx512f._mm512_mask_add_epi32(half, odd, bits, avx512f._mm512_set1_epi32(0x8000))
    }

    /// Of each lane.
    #[inline(always)]
    fn upper_halves(self, bits: __m512i) -> __m256i {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        // SAFETY: both are plain data of the same size.
        let words = unsafe { transmute::<[u16; 32], __m512i>(UPPER_HALVES) };
        avx512f._mm512_castsi512_si256(avx512bw._mm512_permutexvar_epi16(words, bits))
    }
}

impl<const FUSED: bool> Simd for Avx512<FUSED> {
    type Vector = __m512;
    type Vector16 = __m256i;
    type Mask = __mmask16;
    type MemMask = __mmask16;
    type Indices = __m512i;
    type Fused = Avx512;

    const LEVEL: Level = Level::Avx512;
    const LANES: usize = 16;
    const FUSED: bool = FUSED;

    features! {
        Kernel: "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c" "bmi1" "bmi2"
        "lzcnt" "popcnt"
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        self.v4.avx512f._mm512_set1_ps(x)
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.v4.avx512f._mm512_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512f._mm512_add_ps(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512f._mm512_sub_ps(a, b)
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512f._mm512_mul_ps(a, b)
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512f._mm512_div_ps(a, b)
    }

    #[inline(always)]
    fn neg_abs(self, x: __m512) -> __m512 {
        let V4 { avx512dq, avx512f, .. } = self.v4;
        avx512dq._mm512_or_ps(x, avx512f._mm512_set1_ps(-0.0))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        let exponent = avx512f._mm512_slli_epi32::<23>(avx512f._mm512_castps_si512(n));
        let one = avx512f._mm512_castps_si512(avx512f._mm512_set1_ps(1.0));
        avx512f._mm512_castsi512_ps(avx512f._mm512_add_epi32(exponent, one))
    }

    // vmaxps and vminps give their second operand when either is NaN or both are zeros.
    #[inline(always)]
    fn clamp_min(self, bound: __m512, x: __m512) -> __m512 {
        self.v4.avx512f._mm512_max_ps(bound, x)
    }

    #[inline(always)]
    fn clamp_max(self, bound: __m512, x: __m512) -> __m512 {
        self.v4.avx512f._mm512_min_ps(bound, x)
    }

    #[inline(always)]
    fn less_than(self, a: __m512, b: __m512) -> __mmask16 {
        self.v4.avx512f._mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b)
    }

    #[inline(always)]
    fn is_ordered(self, x: __m512) -> __mmask16 {
        self.v4.avx512f._mm512_cmp_ps_mask::<_CMP_ORD_Q>(x, x)
    }

    #[inline(always)]
    fn and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        self.v4.avx512f._kand_mask16(a, b)
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512f._mm512_mask_blend_ps(mask, b, a)
    }

    #[inline(always)]
    fn indices(self, lanes: [u32; MAX_LANES]) -> __m512i {
        // SAFETY: both are plain data of the same size.
        unsafe { transmute::<[u32; MAX_LANES], __m512i>(lanes) }
    }

    #[inline(always)]
    fn permute(self, v: __m512, indices: __m512i) -> __m512 {
        self.v4.avx512f._mm512_permutexvar_ps(indices, v)
    }

    // Pairs of lanes, then quadruples; those are then moved as a 4×4 square.
    #[inline(always)]
    fn transpose(self, square: &mut [__m512; MAX_LANES]) {
        let V4 { avx512f, .. } = self.v4;
        for i in (0..16).step_by(2) {
            let (a, b) = (square[i], square[i + 1]);
            square[i] = avx512f._mm512_unpacklo_ps(a, b);
            square[i + 1] = avx512f._mm512_unpackhi_ps(a, b);
        }
        for i in (0..16).step_by(4) {
            let a = avx512f._mm512_castps_pd(square[i]);
            let b = avx512f._mm512_castps_pd(square[i + 1]);
            let c = avx512f._mm512_castps_pd(square[i + 2]);
            let d = avx512f._mm512_castps_pd(square[i + 3]);
            square[i] = avx512f._mm512_castpd_ps(avx512f._mm512_unpacklo_pd(a, c));
            square[i + 1] = avx512f._mm512_castpd_ps(avx512f._mm512_unpackhi_pd(a, c));
            square[i + 2] = avx512f._mm512_castpd_ps(avx512f._mm512_unpacklo_pd(b, d));
            square[i + 3] = avx512f._mm512_castpd_ps(avx512f._mm512_unpackhi_pd(b, d));
        }
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        for j in 0..4 {
            let [a, b, c, d] = [square[j], square[4 + j], square[8 + j], square[12 + j]];
            let even = [
                avx512f._mm512_shuffle_f32x4::<EVEN>(a, b),
                avx512f._mm512_shuffle_f32x4::<EVEN>(c, d),
            ];
            let odd = [
                avx512f._mm512_shuffle_f32x4::<ODD>(a, b),
                avx512f._mm512_shuffle_f32x4::<ODD>(c, d),
            ];
            square[j] = avx512f._mm512_shuffle_f32x4::<EVEN>(even[0], even[1]);
            square[4 + j] = avx512f._mm512_shuffle_f32x4::<EVEN>(odd[0], odd[1]);
            square[8 + j] = avx512f._mm512_shuffle_f32x4::<ODD>(even[0], even[1]);
            square[12 + j] = avx512f._mm512_shuffle_f32x4::<ODD>(odd[0], odd[1]);
        }
    }

    #[inline(always)]
    fn black_box(self, mut x: usize) -> usize {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }

    // Hints, which fault on no address.
    #[inline(always)]
    fn prefetch_l2<T>(self, p: *const T) {
        self.v4.sse._mm_prefetch::<_MM_HINT_T1>(p.cast())
    }

    #[inline(always)]
    fn prefetch_l1<T>(self, p: *const T) {
        self.v4.sse._mm_prefetch::<_MM_HINT_T0>(p.cast())
    }

    #[inline(always)]
    fn prefetch_write<T>(self, p: *const T) {
        self.v4.sse._mm_prefetch::<_MM_HINT_ET0>(p.cast())
    }

    #[inline(always)]
    fn f16_to_f32(self, v: __m256i) -> __m512 {
        self.v4.avx512f._mm512_cvtph_ps(v)
    }

    #[inline(always)]
    fn f32_to_f16(self, v: __m512) -> __m256i {
        self.v4.avx512f._mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: __m256i) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        avx512f
            ._mm512_castsi512_ps(avx512f._mm512_slli_epi32::<16>(avx512f._mm512_cvtepu16_epi32(v)))
    }

    // See `element::f32_to_bf16`. Not AVX512-BF16's instruction, which flushes subnormals.
    #[inline(always)]
    fn f32_to_bf16(self, v: __m512) -> __m256i {
        let V4 { avx512f, .. } = self.v4;
        let nan = avx512f._mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        let bits = avx512f._mm512_castps_si512(v);
        let quiet = avx512f._mm512_set1_epi32(0x40_0000);
        let rounded = self.round_to_upper_half(bits);
        self.upper_halves(avx512f._mm512_mask_or_epi32(rounded, nan, bits, quiet))
    }

    // A NaN of bf16 has no bits that carry anything upwards.
    #[inline(always)]
    fn sum_to_bf16(self, v: __m512) -> __m256i {
        self.upper_halves(self.round_to_upper_half(self.v4.avx512f._mm512_castps_si512(v)))
    }

    #[inline(always)]
    fn mem_mask(self, n: usize) -> __mmask16 {
        ((1_u32 << n) - 1) as __mmask16
    }

    // Masked lanes are neither read nor written nor faulted on.
    #[inline(always)]
    unsafe fn mask_load(self, mask: __mmask16, p: *const f32) -> __m512 {
        // SAFETY: the mask's lanes are valid for reading.
        unsafe { self.v4.avx512f._mm512_maskz_loadu_ps(mask, p) }
    }

    #[inline(always)]
    unsafe fn mask_store(self, mask: __mmask16, p: *mut f32, v: __m512) {
        // SAFETY: the mask's lanes are valid for writing.
        unsafe { self.v4.avx512f._mm512_mask_storeu_ps(p, mask, v) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, mask: __mmask16, p: *const u16) -> __m256i {
        // SAFETY: the mask's elements are valid for reading.
        unsafe { self.v4.avx512bw._mm256_maskz_loadu_epi16(mask, p.cast()) }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, mask: __mmask16, p: *mut u16, v: __m256i) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { self.v4.avx512bw._mm256_mask_storeu_epi16(p.cast(), mask, v) }
    }
}

/// AVX512-BF16 besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Bf16 {
    simd: Avx512,
    _bf16: Avx512bf16,
}

impl Avx512Bf16 {
    /// # Safety
    /// The CPU has AVX512-BF16 and what [`Avx512`] wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Avx512::new_unchecked(), _bf16: Avx512bf16::new_unchecked() } }
    }
}

impl Bf16Dot for Avx512Bf16 {
    type Simd = Avx512;

    features! {
        Bf16Kernel: "avx512bf16" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c"
        "bmi1" "bmi2" "lzcnt" "popcnt"
    }

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` has AVX512-BF16; any bits are bf16.
        unsafe {
            let (a, b) = (transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b));
            _mm512_dpbf16_ps(c, a, b)
        }
    }

    #[inline(always)]
    fn pairs(self, first: __m512, second: __m512) -> __m512 {
        // SAFETY: `self` has AVX512-BF16; the pairs are plain data.
        unsafe {
            let halves = [_mm512_cvtneps_pbh(first), _mm512_cvtneps_pbh(second)];
            transmute::<[__m256bh; 2], __m512>(halves)
        }
    }
}

impl Avx512 {
    /// `f` of vectors of integers.
    #[inline(always)]
    fn integers(self, a: __m512, b: __m512, f: impl FnOnce(__m512i, __m512i) -> __m512i) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        avx512f
            ._mm512_castsi512_ps(f(avx512f._mm512_castps_si512(a), avx512f._mm512_castps_si512(b)))
    }

    /// The nearest integers of 16 bits, with a zero point added.
    #[inline(always)]
    fn words(self, a: __m512, b: __m512, zero_point: __m512) -> __m512 {
        let V4 { avx512bw, .. } = self.v4;
        let (a, b) = (self.to_i32(a), self.to_i32(b));
        let words = self.integers(a, b, |a, b| avx512bw._mm512_packs_epi32(a, b));
        self.integers(words, zero_point, |a, b| avx512bw._mm512_adds_epi16(a, b))
    }
}

impl Bytes for Avx512 {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> __m512 {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        if n == 64 {
            // SAFETY: 64 bytes are valid for reading.
            return unsafe { self.load(p.cast()) };
        }
        if n == 32 {
            // SAFETY: 32 bytes are valid for reading; any bits are a vector.
            let half = unsafe { p.cast::<__m256i>().read_unaligned() };
            return avx512f._mm512_castsi512_ps(avx512f._mm512_castsi256_si512(half));
        }
        if n <= 16 {
            // A part of a shorter vector crosses fewer cache lines.
            // SAFETY: the mask's bytes are valid for reading.
            let bytes = unsafe { avx512bw._mm_maskz_loadu_epi8(self.mem_mask(n), p.cast()) };
            return avx512f._mm512_castsi512_ps(avx512f._mm512_castsi128_si512(bytes));
        }
        let mask = u64::MAX >> (64 - n);
        // SAFETY: the mask's bytes are valid for reading.
        avx512f._mm512_castsi512_ps(unsafe { avx512bw._mm512_maskz_loadu_epi8(mask, p.cast()) })
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: __m512, n: usize) {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        if n == 64 {
            // SAFETY: 64 bytes are valid for writing.
            return unsafe { self.store(p.cast(), v) };
        }
        if n == 32 {
            let half = avx512f._mm512_castsi512_si256(avx512f._mm512_castps_si512(v));
            // SAFETY: 32 bytes are valid for writing.
            return unsafe { p.cast::<__m256i>().write_unaligned(half) };
        }
        if n <= 16 {
            let bytes = avx512f._mm512_castsi512_si128(avx512f._mm512_castps_si512(v));
            // SAFETY: the mask's bytes are valid for writing.
            return unsafe { avx512bw._mm_mask_storeu_epi8(p.cast(), self.mem_mask(n), bytes) };
        }
        let mask = u64::MAX >> (64 - n);
        // SAFETY: the mask's bytes are valid for writing.
        unsafe { avx512bw._mm512_mask_storeu_epi8(p.cast(), mask, avx512f._mm512_castps_si512(v)) }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> __m512 {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        // SAFETY: the mask's bytes are valid for reading.
        let bytes = unsafe { avx512bw._mm_maskz_loadu_epi8(self.mem_mask(n), p.cast()) };
        avx512f._mm512_castsi512_ps(avx512f._mm512_cvtepu8_epi32(bytes))
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: __m512, n: usize) {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        let bytes = avx512f._mm512_cvtepi32_epi8(avx512f._mm512_castps_si512(v));
        // SAFETY: n ≤ 16 bytes are valid for writing.
        unsafe {
            if n == 16 {
                return p.cast::<__m128i>().write_unaligned(bytes);
            }
            avx512bw._mm_mask_storeu_epi8(p.cast(), self.mem_mask(n), bytes);
        }
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        avx512f._mm512_castsi512_ps(avx512f._mm512_set1_epi8(x as i8))
    }

    #[inline(always)]
    fn computed(self, v: __m512) -> __m512 {
        // SAFETY: `self` has AVX-512.
        unsafe { computed(v) }
    }

    #[inline(always)]
    fn xor(self, a: __m512, b: __m512) -> __m512 {
        self.v4.avx512dq._mm512_xor_ps(a, b)
    }

    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: __m512, b: __m512) -> __m512 {
        let V4 { avx512bw, .. } = self.v4;
        if SIGNED {
            self.integers(a, b, |a, b| avx512bw._mm512_max_epi8(a, b))
        } else {
            self.integers(a, b, |a, b| avx512bw._mm512_max_epu8(a, b))
        }
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: __m512, b: __m512) -> __m512 {
        let V4 { avx512bw, .. } = self.v4;
        if SIGNED {
            self.integers(a, b, |a, b| avx512bw._mm512_min_epi8(a, b))
        } else {
            self.integers(a, b, |a, b| avx512bw._mm512_min_epu8(a, b))
        }
    }

    #[inline(always)]
    fn zip_bytes(self, a: __m512, b: __m512) -> [__m512; 2] {
        let V4 { avx512bw, .. } = self.v4;
        [
            self.integers(a, b, |a, b| avx512bw._mm512_unpacklo_epi8(a, b)),
            self.integers(a, b, |a, b| avx512bw._mm512_unpackhi_epi8(a, b)),
        ]
    }

    #[inline(always)]
    fn zip_words(self, a: __m512, b: __m512) -> [__m512; 2] {
        let V4 { avx512bw, .. } = self.v4;
        [
            self.integers(a, b, |a, b| avx512bw._mm512_unpacklo_epi16(a, b)),
            self.integers(a, b, |a, b| avx512bw._mm512_unpackhi_epi16(a, b)),
        ]
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: __m512) -> [__m512; 2] {
        let V4 { avx512bw, avx512f, .. } = self.v4;
        let bytes = avx512f._mm512_castps_si512(bytes);
        let halves =
            [avx512f._mm512_castsi512_si256(bytes), avx512f._mm512_extracti64x4_epi64::<1>(bytes)];
        halves.map(|half| avx512f._mm512_castsi512_ps(avx512bw._mm512_cvtepu8_epi16(half)))
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m512; SUMS], zero_point: __m512) -> __m512 {
        let V4 { avx512bw, .. } = self.v4;
        let (low, high) = (self.words(a, b, zero_point), self.words(c, d, zero_point));
        self.integers(low, high, |a, b| avx512bw._mm512_packus_epi16(a, b))
    }

    #[inline(always)]
    fn in_order(self, bytes: __m512) -> __m512 {
        // Four bytes of a vector of lanes, and of the next, for each 128 bits.
        let fours = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
        self.permute(bytes, self.indices(fours))
    }

    #[inline(always)]
    fn join_halves(self, a: __m512, b: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        self.integers(a, b, |a, b| {
            avx512f._mm512_inserti64x4::<1>(a, avx512f._mm512_castsi512_si256(b))
        })
    }

    #[inline(always)]
    fn upper_half(self, bytes: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        let bytes = avx512f._mm512_castps_si512(bytes);
        let upper = avx512f._mm512_extracti64x4_epi64::<1>(bytes);
        avx512f._mm512_castsi512_ps(avx512f._mm512_castsi256_si512(upper))
    }

    #[inline(always)]
    fn add_i32(self, a: __m512, b: __m512) -> __m512 {
        self.integers(a, b, |a, b| self.v4.avx512f._mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, v: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        avx512f._mm512_cvtepi32_ps(avx512f._mm512_castps_si512(v))
    }

    // Rounds as MXCSR says, which Rust wants to be to nearest.
    #[inline(always)]
    fn to_i32(self, v: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.v4;
        avx512f._mm512_castsi512_ps(avx512f._mm512_cvtps_epi32(v))
    }
}

/// See [`Bytes::computed`]: only a function with AVX-512 may name its registers.
#[target_feature(enable = "avx512f")]
#[inline]
fn computed(mut v: __m512) -> __m512 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// Products of 16 bits: those of 8 saturate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Words {
    simd: Avx512,
}

impl Avx512Words {
    /// # Safety
    /// The CPU has what [`Avx512`] wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Avx512::new_unchecked() } }
    }
}

impl Int8 for Avx512Words {
    type Simd = Avx512;
    type Weights = [i8; 2];
    const SIGNED: bool = false;

    features! {
        Int8Kernel: "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c" "bmi1"
        "bmi2" "lzcnt" "popcnt"
    }

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        let V4 { avx512bw, .. } = self.simd.v4;
        let products = self.simd.integers(a, b, |a, b| avx512bw._mm512_madd_epi16(a, b));
        self.simd.add_i32(products, c)
    }

    #[inline(always)]
    fn dot_in_order(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` has the instructions.
        unsafe { dot_words(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 2]) -> __m512 {
        let V4 { avx512bw, avx512f, .. } = self.simd.v4;
        // SAFETY: 32 bytes are valid for reading; any bits are a vector.
        let bytes = unsafe { p.cast::<__m256i>().read_unaligned() };
        avx512f._mm512_castsi512_ps(avx512bw._mm512_cvtepi8_epi16(bytes))
    }
}

/// See [`Int8::dot_in_order`]: the compiler would multiply ahead of the additions.
#[target_feature(enable = "avx512bw")]
#[inline]
fn dot_words(a: __m512, b: __m512, mut c: __m512) -> __m512 {
    // Of no known type it would have no name beyond zmm15.
    let _products: __m512;
    // SAFETY: the instructions are available.
    unsafe {
        asm!("vpmaddwd {products}, {a}, {b}", "vpaddd {c}, {c}, {products}",
            products = out(zmm_reg) _products, a = in(zmm_reg) a, b = in(zmm_reg) b,
            c = inout(zmm_reg) c,
            options(nomem, nostack, preserves_flags));
    }
    c
}

/// AVX512-VNNI besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Vnni {
    simd: Avx512,
}

impl Avx512Vnni {
    /// # Safety
    /// The CPU has AVX512-VNNI and what [`Avx512`] wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Avx512::new_unchecked() } }
    }
}

impl Int8 for Avx512Vnni {
    type Simd = Avx512;
    type Weights = [i8; 4];
    const SIGNED: bool = false;

    features! {
        Int8Kernel: "avx512vnni" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx2" "fma" "f16c"
        "bmi1" "bmi2" "lzcnt" "popcnt"
    }

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        let V4 { avx512f, .. } = self.simd.v4;
        let [a, b, c] = [a, b, c].map(|v| avx512f._mm512_castps_si512(v));
        // SAFETY: `self` has AVX512-VNNI.
        avx512f._mm512_castsi512_ps(unsafe { _mm512_dpbusd_epi32(c, a, b) })
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 4]) -> __m512 {
        // SAFETY: groups of four bytes are lanes.
        unsafe { self.simd.load(p.cast()) }
    }
}
