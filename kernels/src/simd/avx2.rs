//! AVX2 + FMA + F16C (x86-64-v3): 8 lanes, 16 registers (8 in programs of 32 bits).

use core::arch::asm;
#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::mem::transmute;

use pulp::core_arch::x86::F16c;
use pulp::x86::V3;

use crate::level::Level;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS, read_first_bytes, write_first_bytes};
use crate::simd::{Kernel, MAX_LANES, Simd, features, read_first_16, write_first_16};

/// 256-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2<const FUSED: bool = true> {
    v3: V3,
    _f16c: F16c,
}

/// The first `n` lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemMask {
    /// All bits of each.
    mask: __m256i,
    n: usize,
}

/// The upper halves of the lanes to the first bytes, in each half of the vector by itself.
const UPPER_HALVES: [u8; 32] = {
    let mut bytes = [0; 32];
    let mut i = 0;
    while i < 8 {
        let from = 4 * (i % 4) + 2;
        let to = i / 4 * 16 + i % 4 * 2;
        bytes[to] = from as u8;
        bytes[to + 1] = from as u8 + 1;
        i += 1;
    }
    bytes
};

impl<const FUSED: bool> Avx2<FUSED> {
    /// # Safety
    /// The CPU has AVX2, FMA, F16C, BMI 1 and 2, LZCNT and POPCNT.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word; the rest of x86-64-v3
        // comes with it.
        unsafe { Self { v3: V3::new_unchecked(), _f16c: F16c::new_unchecked() } }
    }

    /// The bits of f32, whose upper halves become those of the nearest bf16, ties to even.
    #[inline(always)]
    fn round_to_upper_half(self, bits: __m256i) -> __m256i {
        let V3 { avx, avx2, .. } = self.v3;
        let odd =
            avx2._mm256_and_si256(avx2._mm256_srli_epi32::<16>(bits), avx._mm256_set1_epi32(1));
        avx2._mm256_add_epi32(bits, avx2._mm256_add_epi32(odd, avx._mm256_set1_epi32(0x7fff)))
    }

    /// Of each lane.
    #[inline(always)]
    fn upper_halves(self, bits: __m256i) -> __m128i {
        let V3 { avx, avx2, .. } = self.v3;
        // SAFETY: both are plain data of the same size.
        let bytes = unsafe { transmute::<[u8; 32], __m256i>(UPPER_HALVES) };
        let halves = avx2._mm256_shuffle_epi8(bits, bytes);
        avx._mm256_castsi256_si128(avx2._mm256_permute4x64_epi64::<0b1000>(halves))
    }
}

impl<const FUSED: bool> Simd for Avx2<FUSED> {
    type Vector = __m256;
    type Vector16 = __m128i;
    type Mask = __m256;
    type MemMask = MemMask;
    type Indices = __m256i;
    type Fused = Avx2;

    const LEVEL: Level = Level::Avx2;
    const LANES: usize = 8;
    const FUSED: bool = FUSED;
    const REGISTERS: usize = if cfg!(target_arch = "x86") { 8 } else { 16 };

    features! { Kernel: "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt" }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        self.v3.avx._mm256_set1_ps(x)
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.v3.fma._mm256_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_add_ps(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_sub_ps(a, b)
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_mul_ps(a, b)
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_div_ps(a, b)
    }

    #[inline(always)]
    fn neg_abs(self, x: __m256) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_or_ps(x, avx._mm256_set1_ps(-0.0))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        let V3 { avx, avx2, .. } = self.v3;
        let exponent = avx2._mm256_slli_epi32::<23>(avx._mm256_castps_si256(n));
        let one = avx._mm256_castps_si256(avx._mm256_set1_ps(1.0));
        avx._mm256_castsi256_ps(avx2._mm256_add_epi32(exponent, one))
    }

    // vmaxps and vminps give their second operand when either is NaN or both are zeros.
    #[inline(always)]
    fn clamp_min(self, bound: __m256, x: __m256) -> __m256 {
        self.v3.avx._mm256_max_ps(bound, x)
    }

    #[inline(always)]
    fn clamp_max(self, bound: __m256, x: __m256) -> __m256 {
        self.v3.avx._mm256_min_ps(bound, x)
    }

    #[inline(always)]
    fn less_than(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_cmp_ps::<_CMP_LT_OQ>(a, b)
    }

    #[inline(always)]
    fn is_ordered(self, x: __m256) -> __m256 {
        self.v3.avx._mm256_cmp_ps::<_CMP_ORD_Q>(x, x)
    }

    #[inline(always)]
    fn and(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_and_ps(a, b)
    }

    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_blendv_ps(b, a, mask)
    }

    #[inline(always)]
    fn indices(self, lanes: [u32; MAX_LANES]) -> __m256i {
        // SAFETY: there are at least 8.
        unsafe { lanes.as_ptr().cast::<__m256i>().read_unaligned() }
    }

    #[inline(always)]
    fn permute(self, v: __m256, indices: __m256i) -> __m256 {
        self.v3.avx2._mm256_permutevar8x32_ps(v, indices)
    }

    #[inline(always)]
    fn barrier(self, v: __m256) -> __m256 {
        // SAFETY: `self` has AVX.
        unsafe { barrier(v) }
    }

    // Pairs of lanes, then quadruples, then halves.
    #[inline(always)]
    fn transpose(self, square: &mut [__m256; MAX_LANES]) {
        let V3 { avx, .. } = self.v3;
        for i in (0..8).step_by(2) {
            let (a, b) = (square[i], square[i + 1]);
            square[i] = avx._mm256_unpacklo_ps(a, b);
            square[i + 1] = avx._mm256_unpackhi_ps(a, b);
        }
        for i in [0, 4] {
            let [a, b, c, d] = [square[i], square[i + 1], square[i + 2], square[i + 3]];
            square[i] = avx._mm256_shuffle_ps::<0b01_00_01_00>(a, c);
            square[i + 1] = avx._mm256_shuffle_ps::<0b11_10_11_10>(a, c);
            square[i + 2] = avx._mm256_shuffle_ps::<0b01_00_01_00>(b, d);
            square[i + 3] = avx._mm256_shuffle_ps::<0b11_10_11_10>(b, d);
        }
        for j in 0..4 {
            let (a, b) = (square[j], square[4 + j]);
            square[j] = avx._mm256_permute2f128_ps::<0x20>(a, b);
            square[4 + j] = avx._mm256_permute2f128_ps::<0x31>(a, b);
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
        self.v3.sse._mm_prefetch::<_MM_HINT_T1>(p.cast())
    }

    #[inline(always)]
    fn prefetch_l1<T>(self, p: *const T) {
        self.v3.sse._mm_prefetch::<_MM_HINT_T0>(p.cast())
    }

    #[inline(always)]
    fn prefetch_write<T>(self, p: *const T) {
        self.v3.sse._mm_prefetch::<_MM_HINT_ET0>(p.cast())
    }

    #[inline(always)]
    fn f16_to_f32(self, v: __m128i) -> __m256 {
        // SAFETY: `self` has F16C.
        unsafe { _mm256_cvtph_ps(v) }
    }

    #[inline(always)]
    fn f32_to_f16(self, v: __m256) -> __m128i {
        // SAFETY: `self` has F16C.
        unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: __m128i) -> __m256 {
        let V3 { avx, avx2, .. } = self.v3;
        avx._mm256_castsi256_ps(avx2._mm256_slli_epi32::<16>(avx2._mm256_cvtepu16_epi32(v)))
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(self, v: __m256) -> __m128i {
        let V3 { avx, .. } = self.v3;
        let rounded = self.round_to_upper_half(avx._mm256_castps_si256(v));
        let rounded = avx._mm256_castsi256_ps(rounded);
        let quiet = avx._mm256_or_ps(v, avx._mm256_castsi256_ps(avx._mm256_set1_epi32(0x40_0000)));
        let bits = avx._mm256_blendv_ps(rounded, quiet, avx._mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        self.upper_halves(avx._mm256_castps_si256(bits))
    }

    // A NaN of bf16 has no bits that carry anything upwards.
    #[inline(always)]
    fn sum_to_bf16(self, v: __m256) -> __m128i {
        self.upper_halves(self.round_to_upper_half(self.v3.avx._mm256_castps_si256(v)))
    }

    #[inline(always)]
    fn mem_mask(self, n: usize) -> MemMask {
        let V3 { avx, avx2, .. } = self.v3;
        let lane = avx._mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        MemMask { mask: avx2._mm256_cmpgt_epi32(avx._mm256_set1_epi32(n as i32), lane), n }
    }

    // Masked lanes are neither read nor written nor faulted on.
    #[inline(always)]
    unsafe fn mask_load(self, mask: MemMask, p: *const f32) -> __m256 {
        // SAFETY: the mask's lanes are valid for reading.
        unsafe { self.v3.avx._mm256_maskload_ps(p, mask.mask) }
    }

    #[inline(always)]
    unsafe fn mask_store(self, mask: MemMask, p: *mut f32, v: __m256) {
        // SAFETY: the mask's lanes are valid for writing.
        unsafe { self.v3.avx._mm256_maskstore_ps(p, mask.mask, v) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, mask: MemMask, p: *const u16) -> __m128i {
        // SAFETY: the mask's elements are valid for reading; a mask has at most 8 lanes; any bits
        // are a vector.
        unsafe { transmute::<u128, __m128i>(read_first_16(p, mask.n)) }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, mask: MemMask, p: *mut u16, v: __m128i) {
        // SAFETY: the mask's elements are valid for writing; a mask has at most 8 lanes; a vector
        // is plain bits.
        unsafe { write_first_16(p, mask.n, transmute::<__m128i, u128>(v)) }
    }
}

/// See [`Simd::barrier`]: only a function with AVX may name its registers.
#[target_feature(enable = "avx")]
#[inline]
fn barrier(mut v: __m256) -> __m256 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nostack, preserves_flags)) };
    v
}

/// The lowest bytes of the lanes to the first four bytes of each half.
const LOWEST_BYTES: [u8; 32] = {
    let mut bytes = [0x80; 32];
    let mut i = 0;
    while i < 8 {
        bytes[i / 4 * 16 + i % 4] = 4 * (i % 4) as u8;
        i += 1;
    }
    bytes
};

impl Avx2 {
    /// `f` of vectors of integers.
    #[inline(always)]
    fn integers(self, a: __m256, b: __m256, f: impl FnOnce(__m256i, __m256i) -> __m256i) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_castsi256_ps(f(avx._mm256_castps_si256(a), avx._mm256_castps_si256(b)))
    }

    /// The nearest integers of 16 bits, with a zero point added.
    #[inline(always)]
    fn words(self, a: __m256, b: __m256, zero_point: __m256) -> __m256 {
        let V3 { avx2, .. } = self.v3;
        let (a, b) = (self.to_i32(a), self.to_i32(b));
        let words = self.integers(a, b, |a, b| avx2._mm256_packs_epi32(a, b));
        self.integers(words, zero_point, |a, b| avx2._mm256_adds_epi16(a, b))
    }
}

impl Bytes for Avx2 {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> __m256 {
        // SAFETY: n ≤ 32 bytes are valid for reading, whole or in two halves; any bits are a
        // vector.
        unsafe {
            if n == 32 {
                return self.load(p.cast());
            }
            if n == 16 {
                let half = p.cast::<__m128>().read_unaligned();
                return self.v3.avx._mm256_castps128_ps256(half);
            }
            let low = read_first_bytes(p, n.min(16));
            let high = if n > 16 { read_first_bytes(p.add(16), n - 16) } else { 0 };
            // Else the compiler makes whole vectors, too, of single bytes.
            self.barrier(transmute::<[u128; 2], __m256>([low, high]))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: __m256, n: usize) {
        // SAFETY: n ≤ 32 bytes are valid for writing, whole or in two halves; a vector is plain
        // bits.
        unsafe {
            if n == 32 {
                return self.store(p.cast(), v);
            }
            if n == 16 {
                let half = self.v3.avx._mm256_castps256_ps128(v);
                return p.cast::<__m128>().write_unaligned(half);
            }
            let [low, high] = transmute::<__m256, [u128; 2]>(v);
            write_first_bytes(p, n.min(16), low);
            if n > 16 {
                write_first_bytes(p.add(16), n - 16, high);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> __m256 {
        let V3 { avx, avx2, .. } = self.v3;
        let widened = |bits: u64| {
            // SAFETY: both are plain data of the same size.
            let bytes = unsafe { transmute::<[u64; 2], __m128i>([bits, 0]) };
            avx._mm256_castsi256_ps(avx2._mm256_cvtepu8_epi32(bytes))
        };
        // SAFETY: n ≤ 8 bytes are valid for reading.
        unsafe {
            if n == 8 {
                return widened(p.cast::<u64>().read_unaligned());
            }
            self.barrier(widened(read_first_bytes(p, n) as u64))
        }
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: __m256, n: usize) {
        let V3 { avx, avx2, sse2, .. } = self.v3;
        // SAFETY: both are plain data of the same size.
        let lowest = unsafe { transmute::<[u8; 32], __m256i>(LOWEST_BYTES) };
        let fours = avx2._mm256_shuffle_epi8(avx._mm256_castps_si256(v), lowest);
        let [low, high] =
            [avx._mm256_castsi256_si128(fours), avx2._mm256_extracti128_si256::<1>(fours)];
        // SAFETY: n ≤ 8 bytes are valid for writing; a vector is plain bits.
        unsafe {
            let bytes = transmute::<__m128i, u128>(sse2._mm_unpacklo_epi32(low, high));
            if n == 8 {
                return p.cast::<u64>().write_unaligned(bytes as u64);
            }
            write_first_bytes(p, n, bytes);
        }
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_castsi256_ps(avx._mm256_set1_epi8(x as i8))
    }

    #[inline(always)]
    fn xor(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_xor_ps(a, b)
    }

    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: __m256, b: __m256) -> __m256 {
        let V3 { avx2, .. } = self.v3;
        if SIGNED {
            self.integers(a, b, |a, b| avx2._mm256_max_epi8(a, b))
        } else {
            self.integers(a, b, |a, b| avx2._mm256_max_epu8(a, b))
        }
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: __m256, b: __m256) -> __m256 {
        let V3 { avx2, .. } = self.v3;
        if SIGNED {
            self.integers(a, b, |a, b| avx2._mm256_min_epi8(a, b))
        } else {
            self.integers(a, b, |a, b| avx2._mm256_min_epu8(a, b))
        }
    }

    #[inline(always)]
    fn zip_bytes(self, a: __m256, b: __m256) -> [__m256; 2] {
        let V3 { avx2, .. } = self.v3;
        [
            self.integers(a, b, |a, b| avx2._mm256_unpacklo_epi8(a, b)),
            self.integers(a, b, |a, b| avx2._mm256_unpackhi_epi8(a, b)),
        ]
    }

    #[inline(always)]
    fn zip_words(self, a: __m256, b: __m256) -> [__m256; 2] {
        let V3 { avx2, .. } = self.v3;
        [
            self.integers(a, b, |a, b| avx2._mm256_unpacklo_epi16(a, b)),
            self.integers(a, b, |a, b| avx2._mm256_unpackhi_epi16(a, b)),
        ]
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: __m256) -> [__m256; 2] {
        let V3 { avx, avx2, .. } = self.v3;
        let bytes = avx._mm256_castps_si256(bytes);
        let halves = [avx._mm256_castsi256_si128(bytes), avx2._mm256_extracti128_si256::<1>(bytes)];
        halves.map(|half| avx._mm256_castsi256_ps(avx2._mm256_cvtepu8_epi16(half)))
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m256; SUMS], zero_point: __m256) -> __m256 {
        let V3 { avx2, .. } = self.v3;
        let (low, high) = (self.words(a, b, zero_point), self.words(c, d, zero_point));
        self.integers(low, high, |a, b| avx2._mm256_packus_epi16(a, b))
    }

    #[inline(always)]
    fn in_order(self, bytes: __m256) -> __m256 {
        // Four bytes of a vector of lanes, and of the next, for each 128 bits.
        let mut fours = [0; MAX_LANES];
        fours[..8].copy_from_slice(&[0, 4, 1, 5, 2, 6, 3, 7]);
        self.permute(bytes, self.indices(fours))
    }

    #[inline(always)]
    fn join_halves(self, a: __m256, b: __m256) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_insertf128_ps::<1>(a, avx._mm256_castps256_ps128(b))
    }

    #[inline(always)]
    fn upper_half(self, bytes: __m256) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_castps128_ps256(avx._mm256_extractf128_ps::<1>(bytes))
    }

    #[inline(always)]
    fn add_i32(self, a: __m256, b: __m256) -> __m256 {
        self.integers(a, b, |a, b| self.v3.avx2._mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, v: __m256) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_cvtepi32_ps(avx._mm256_castps_si256(v))
    }

    // Rounds as MXCSR says, which Rust wants to be to nearest.
    #[inline(always)]
    fn to_i32(self, v: __m256) -> __m256 {
        let V3 { avx, .. } = self.v3;
        avx._mm256_castsi256_ps(avx._mm256_cvtps_epi32(v))
    }
}

/// Products of 16 bits: those of 8 saturate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2Words {
    simd: Avx2,
}

impl Avx2Words {
    /// # Safety
    /// The CPU has what [`Avx2`] wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Avx2::new_unchecked() } }
    }
}

impl Int8 for Avx2Words {
    type Simd = Avx2;
    type Weights = [i8; 2];
    const SIGNED: bool = false;

    features! { Int8Kernel: "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt" }

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        let V3 { avx2, .. } = self.simd.v3;
        let products = self.simd.integers(a, b, |a, b| avx2._mm256_madd_epi16(a, b));
        self.simd.add_i32(products, c)
    }

    #[inline(always)]
    fn dot_in_order(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` has the instructions.
        unsafe { dot_words(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 2]) -> __m256 {
        let V3 { avx, avx2, .. } = self.simd.v3;
        // SAFETY: 16 bytes are valid for reading; any bits are a vector.
        let bytes = unsafe { p.cast::<__m128i>().read_unaligned() };
        avx._mm256_castsi256_ps(avx2._mm256_cvtepi8_epi16(bytes))
    }
}

/// See [`Int8::dot_in_order`]: the compiler would multiply ahead of the additions.
#[target_feature(enable = "avx2")]
#[inline]
fn dot_words(a: __m256, b: __m256, mut c: __m256) -> __m256 {
    // SAFETY: the instructions are available.
    unsafe {
        asm!("vpmaddwd {products}, {a}, {b}", "vpaddd {c}, {c}, {products}",
            products = out(ymm_reg) _, a = in(ymm_reg) a, b = in(ymm_reg) b, c = inout(ymm_reg) c,
            options(nomem, nostack, preserves_flags));
    }
    c
}

/// AVX-VNNI besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2Vnni {
    simd: Avx2,
}

impl Avx2Vnni {
    /// # Safety
    /// The CPU has AVX-VNNI and what [`Avx2`] wants.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Avx2::new_unchecked() } }
    }
}

impl Int8 for Avx2Vnni {
    type Simd = Avx2;
    type Weights = [i8; 4];
    const SIGNED: bool = false;

    features! { Int8Kernel: "avxvnni" "avx2" "fma" "f16c" "bmi1" "bmi2" "lzcnt" "popcnt" }

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        let V3 { avx, .. } = self.simd.v3;
        let [a, b, c] = [a, b, c].map(|v| avx._mm256_castps_si256(v));
        // SAFETY: `self` has AVX-VNNI.
        avx._mm256_castsi256_ps(unsafe { _mm256_dpbusd_avx_epi32(c, a, b) })
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 4]) -> __m256 {
        // SAFETY: groups of four bytes are lanes.
        unsafe { self.simd.load(p.cast()) }
    }
}
