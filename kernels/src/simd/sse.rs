//! SSE2, which every x86-64 CPU has: 4 lanes, 16 registers (8 in programs of 32 bits), no fused
//! multiply-add.

use core::arch::asm;
#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::mem::transmute;

use pulp::core_arch::x86;

use crate::level::Level;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS, read_first_bytes, write_first_bytes};
use crate::simd::{
    Kernel, MAX_LANES, Simd, features, read_first, read_first_16, write_first, write_first_16,
};

/// 128-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sse<const FUSED: bool = true> {
    sse: x86::Sse,
    sse2: x86::Sse2,
}

/// Four elements of 16 bits in the lower half of a vector.
#[inline(always)]
fn from_16(v: u64) -> __m128i {
    // SAFETY: both are plain data of the same size.
    unsafe { transmute::<[u64; 2], __m128i>([v, 0]) }
}

impl<const FUSED: bool> Sse<FUSED> {
    /// # Safety
    /// The CPU has SSE2.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { sse: x86::Sse::new_unchecked(), sse2: x86::Sse2::new_unchecked() } }
    }

    /// a·b + c, rounded to odd: to the nearer of two f64 that is not even, unless it is exact.
    ///
    /// Of values of f32 the product is exact. The error of the sum is that of Knuth's TwoSum. f64
    /// has more than two bits beyond those of f32, and of a sum rounded to odd these tell all that
    /// decides its rounding to f32 (Boldo and Melquiond, "Emulation of FMA and correctly rounded
    /// sums: proved algorithms using rounding to odd", 2008). Infinities and NaNs have an error
    /// that is NaN, which compares as none.
    #[inline(always)]
    fn fma_to_odd(self, a: __m128d, b: __m128d, c: __m128d) -> __m128d {
        let Self { sse2, .. } = self;
        let product = sse2._mm_mul_pd(a, b);
        let sum = sse2._mm_add_pd(product, c);
        let of_c = sse2._mm_sub_pd(sum, product);
        let of_product = sse2._mm_sub_pd(sum, of_c);
        let error = sse2._mm_add_pd(sse2._mm_sub_pd(product, of_product), sse2._mm_sub_pd(c, of_c));
        // Negative where the sum is too large in magnitude: the next one towards zero is the
        // integer below.
        let outwards = sse2._mm_xor_pd(error, sse2._mm_and_pd(sum, sse2._mm_set1_pd(-0.0)));
        let zero = sse2._mm_setzero_pd();
        let beyond = sse2._mm_cmplt_pd(outwards, zero);
        let inexact =
            sse2._mm_castpd_si128(sse2._mm_or_pd(beyond, sse2._mm_cmplt_pd(zero, outwards)));
        let truncated =
            sse2._mm_add_epi64(sse2._mm_castpd_si128(sum), sse2._mm_castpd_si128(beyond));
        sse2._mm_castsi128_pd(sse2._mm_or_si128(truncated, sse2._mm_srli_epi64::<63>(inexact)))
    }

    /// The bits of f32, whose upper halves become those of the nearest bf16, ties to even.
    #[inline(always)]
    fn round_to_upper_half(self, bits: __m128i) -> __m128i {
        let Self { sse2, .. } = self;
        let odd = sse2._mm_and_si128(sse2._mm_srli_epi32::<16>(bits), sse2._mm_set1_epi32(1));
        sse2._mm_add_epi32(bits, sse2._mm_add_epi32(odd, sse2._mm_set1_epi32(0x7fff)))
    }

    /// `mask ? a : b`, bit by bit.
    #[inline(always)]
    fn blend(self, mask: __m128i, a: __m128i, b: __m128i) -> __m128i {
        let Self { sse2, .. } = self;
        sse2._mm_or_si128(sse2._mm_and_si128(mask, a), sse2._mm_andnot_si128(mask, b))
    }

    /// The upper half of each lane.
    #[inline(always)]
    fn upper_halves(self, bits: __m128i) -> u64 {
        let Self { sse2, .. } = self;
        // Signed, no half is beyond 16 bits.
        let halves = sse2._mm_srai_epi32::<16>(bits);
        // SAFETY: both are plain data of the same size.
        unsafe { transmute::<__m128i, [u64; 2]>(sse2._mm_packs_epi32(halves, halves))[0] }
    }
}

impl<const FUSED: bool> Simd for Sse<FUSED> {
    type Vector = __m128;
    type Vector16 = u64;
    type Mask = __m128;
    type MemMask = usize;
    type Indices = [u32; 4];
    type Fused = Sse;

    const LEVEL: Level = Level::Sse;
    const LANES: usize = 4;
    const FUSED: bool = FUSED;
    const REGISTERS: usize = if cfg!(target_arch = "x86") { 8 } else { 16 };
    // A broadcast from memory takes a load and a shuffle: much beside a product and a sum, nothing
    // beside what a fused multiply-add takes. (With less unrolled, that compiles four times as
    // fast.)
    const BY_LANES: bool = !FUSED;
    const UNROLL: usize = if FUSED { 1 } else { 4 };

    features! { Kernel: "sse2" }

    #[inline(always)]
    fn splat(self, x: f32) -> __m128 {
        self.sse._mm_set1_ps(x)
    }

    #[inline(always)]
    fn mul_add(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        let Self { sse, sse2 } = self;
        let low = |v| sse2._mm_cvtps_pd(v);
        let high = |v| sse2._mm_cvtps_pd(sse._mm_movehl_ps(v, v));
        let first = sse2._mm_cvtpd_ps(self.fma_to_odd(low(a), low(b), low(c)));
        let second = sse2._mm_cvtpd_ps(self.fma_to_odd(high(a), high(b), high(c)));
        sse._mm_movelh_ps(first, second)
    }

    // (By C's convention vectors are passed in registers.)
    #[inline(always)]
    fn short_mul_add(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        #[inline(never)]
        #[expect(improper_ctypes_definitions, reason = "called from Rust alone")]
        extern "C" fn mul_add(a: __m128, b: __m128, c: __m128) -> __m128 {
            // SAFETY: the target has SSE2, else this is not compiled.
            unsafe { Sse::<true>::new_unchecked() }.mul_add(a, b, c)
        }
        mul_add(a, b, c)
    }

    #[inline(always)]
    fn add(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_add_ps(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_sub_ps(a, b)
    }

    #[inline(always)]
    fn mul(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_mul_ps(a, b)
    }

    #[inline(always)]
    fn div(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_div_ps(a, b)
    }

    #[inline(always)]
    fn neg_abs(self, x: __m128) -> __m128 {
        let Self { sse, .. } = self;
        sse._mm_or_ps(x, sse._mm_set1_ps(-0.0))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m128) -> __m128 {
        let Self { sse, sse2 } = self;
        let exponent = sse2._mm_slli_epi32::<23>(sse2._mm_castps_si128(n));
        sse2._mm_castsi128_ps(
            sse2._mm_add_epi32(exponent, sse2._mm_castps_si128(sse._mm_set1_ps(1.0))),
        )
    }

    // maxps and minps give their second operand when either is NaN or both are zeros.
    #[inline(always)]
    fn clamp_min(self, bound: __m128, x: __m128) -> __m128 {
        self.sse._mm_max_ps(bound, x)
    }

    #[inline(always)]
    fn clamp_max(self, bound: __m128, x: __m128) -> __m128 {
        self.sse._mm_min_ps(bound, x)
    }

    #[inline(always)]
    fn less_than(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_cmplt_ps(a, b)
    }

    #[inline(always)]
    fn is_ordered(self, x: __m128) -> __m128 {
        self.sse._mm_cmpord_ps(x, x)
    }

    #[inline(always)]
    fn and(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_and_ps(a, b)
    }

    #[inline(always)]
    fn select(self, mask: __m128, a: __m128, b: __m128) -> __m128 {
        let Self { sse, .. } = self;
        sse._mm_or_ps(sse._mm_and_ps(mask, a), sse._mm_andnot_ps(mask, b))
    }

    #[inline(always)]
    fn indices(self, lanes: [u32; MAX_LANES]) -> [u32; 4] {
        [lanes[0], lanes[1], lanes[2], lanes[3]]
    }

    // There is no such instruction in SSE2.
    #[inline(always)]
    fn permute(self, v: __m128, indices: [u32; 4]) -> __m128 {
        // SAFETY: both are plain data of the same size.
        let lanes = unsafe { transmute::<__m128, [f32; 4]>(v) };
        let [a, b, c, d] = indices;
        let lane = |i: u32| lanes[i as usize % 4];
        let permuted = [lane(a), lane(b), lane(c), lane(d)];
        // SAFETY: likewise.
        unsafe { transmute::<[f32; 4], __m128>(permuted) }
    }

    // Pairs of lanes, then of pairs.
    #[inline(always)]
    fn transpose(self, square: &mut [__m128; MAX_LANES]) {
        let [a, b, c, d] = [square[0], square[1], square[2], square[3]];
        let (ab_low, ab_high) = (self.sse._mm_unpacklo_ps(a, b), self.sse._mm_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (self.sse._mm_unpacklo_ps(c, d), self.sse._mm_unpackhi_ps(c, d));
        square[0] = self.sse._mm_movelh_ps(ab_low, cd_low);
        square[1] = self.sse._mm_movehl_ps(cd_low, ab_low);
        square[2] = self.sse._mm_movelh_ps(ab_high, cd_high);
        square[3] = self.sse._mm_movehl_ps(cd_high, ab_high);
    }

    #[inline(always)]
    fn splat_lane<const LANE: i32>(self, v: __m128) -> __m128 {
        let Self { sse, .. } = self;
        match LANE {
            0 => sse._mm_shuffle_ps::<0b00_00_00_00>(v, v),
            1 => sse._mm_shuffle_ps::<0b01_01_01_01>(v, v),
            2 => sse._mm_shuffle_ps::<0b10_10_10_10>(v, v),
            _ => sse._mm_shuffle_ps::<0b11_11_11_11>(v, v),
        }
    }

    #[inline(always)]
    fn barrier(self, mut v: __m128) -> __m128 {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(xmm_reg) v, options(nostack, preserves_flags)) };
        v
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
        self.sse._mm_prefetch::<_MM_HINT_T1>(p.cast())
    }

    #[inline(always)]
    fn prefetch_l1<T>(self, p: *const T) {
        self.sse._mm_prefetch::<_MM_HINT_T0>(p.cast())
    }

    // For writing there is no instruction that every CPU has.
    #[inline(always)]
    fn prefetch_write<T>(self, p: *const T) {
        self.prefetch_l1(p);
    }

    // The exponent's bias is 15 there and 127 here: 2¹¹² makes up for it, exactly, subnormal
    // numbers included. Infinities and NaNs have the largest exponent in both.
    #[inline(always)]
    fn f16_to_f32(self, v: u64) -> __m128 {
        let Self { sse, sse2 } = self;
        let bits = sse2._mm_unpacklo_epi16(from_16(v), sse2._mm_setzero_si128());
        let sign = sse2._mm_slli_epi32::<16>(sse2._mm_and_si128(bits, sse2._mm_set1_epi32(0x8000)));
        let magnitude = sse2._mm_and_si128(bits, sse2._mm_set1_epi32(0x7fff));
        let scale = sse._mm_set1_ps(f32::from_bits((127 + 112) << 23));
        let number =
            sse._mm_mul_ps(sse2._mm_castsi128_ps(sse2._mm_slli_epi32::<13>(magnitude)), scale);
        let no_number = sse2._mm_cmpgt_epi32(magnitude, sse2._mm_set1_epi32(0x7bff));
        let exponent = sse2._mm_and_si128(no_number, sse2._mm_set1_epi32(0x7f80_0000));
        sse2._mm_castsi128_ps(
            sse2._mm_or_si128(sign, sse2._mm_or_si128(sse2._mm_castps_si128(number), exponent)),
        )
    }

    // See `element::f32_to_f16`.
    #[inline(always)]
    fn f32_to_f16(self, v: __m128) -> u64 {
        let Self { sse, sse2 } = self;
        let bits = sse2._mm_castps_si128(v);
        let magnitude = sse2._mm_and_si128(bits, sse2._mm_set1_epi32(0x7fff_ffff));
        let biased = sse2._mm_sub_epi32(magnitude, sse2._mm_set1_epi32((127 - 15) << 23));
        let odd = sse2._mm_and_si128(sse2._mm_srli_epi32::<13>(biased), sse2._mm_set1_epi32(1));
        let up = sse2._mm_add_epi32(odd, sse2._mm_set1_epi32(0xfff));
        let normal = sse2._mm_srli_epi32::<13>(sse2._mm_add_epi32(biased, up));
        let half = sse._mm_set1_ps(0.5);
        let sum = sse2._mm_castps_si128(sse._mm_add_ps(sse2._mm_castsi128_ps(magnitude), half));
        let small = sse2._mm_sub_epi32(sum, sse2._mm_castps_si128(half));
        let is_small = sse2._mm_cmpgt_epi32(sse2._mm_set1_epi32(0x3880_0000), magnitude);
        let is_large = sse2._mm_cmpgt_epi32(magnitude, sse2._mm_set1_epi32(0x477f_efff));
        let is_nan = sse2._mm_castps_si128(sse._mm_cmpunord_ps(v, v));
        let payload =
            sse2._mm_and_si128(sse2._mm_srli_epi32::<13>(magnitude), sse2._mm_set1_epi32(0x3ff));
        let nan = sse2._mm_or_si128(payload, sse2._mm_set1_epi32(0x7e00));
        let rounded =
            self.blend(is_small, small, self.blend(is_large, sse2._mm_set1_epi32(0x7c00), normal));
        let rounded = sse2._mm_slli_epi32::<16>(self.blend(is_nan, nan, rounded));
        let sign = sse2._mm_and_si128(bits, sse2._mm_set1_epi32(i32::MIN));
        self.upper_halves(sse2._mm_or_si128(rounded, sign))
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: u64) -> __m128 {
        let Self { sse2, .. } = self;
        sse2._mm_castsi128_ps(sse2._mm_unpacklo_epi16(sse2._mm_setzero_si128(), from_16(v)))
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(self, v: __m128) -> u64 {
        let Self { sse, sse2 } = self;
        let bits = sse2._mm_castps_si128(v);
        let quiet = sse2._mm_or_si128(bits, sse2._mm_set1_epi32(0x40_0000));
        let is_nan = sse2._mm_castps_si128(sse._mm_cmpunord_ps(v, v));
        self.upper_halves(self.blend(is_nan, quiet, self.round_to_upper_half(bits)))
    }

    // A NaN of bf16 has no bits that carry anything upwards.
    #[inline(always)]
    fn sum_to_bf16(self, v: __m128) -> u64 {
        self.upper_halves(self.round_to_upper_half(self.sse2._mm_castps_si128(v)))
    }

    #[inline(always)]
    fn mem_mask(self, n: usize) -> usize {
        n
    }

    #[inline(always)]
    unsafe fn mask_load(self, n: usize, p: *const f32) -> __m128 {
        // SAFETY: the mask's lanes are valid for reading, at least one of four; any bits are a
        // vector.
        unsafe { transmute::<[f32; 4], __m128>(read_first(p, n)) }
    }

    #[inline(always)]
    unsafe fn mask_store(self, n: usize, p: *mut f32, v: __m128) {
        // SAFETY: the mask's lanes are valid for writing, at least one of four; a vector is plain
        // bits.
        unsafe { write_first(p, n, transmute::<__m128, [f32; 4]>(v)) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, n: usize, p: *const u16) -> u64 {
        // SAFETY: the mask's elements are valid for reading; a mask has at most 4 lanes.
        unsafe { read_first_16(p, n) as u64 }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, n: usize, p: *mut u16, v: u64) {
        // SAFETY: the mask's elements are valid for writing; a mask has at most 4 lanes.
        unsafe { write_first_16(p, n, u128::from(v)) }
    }
}

impl Sse {
    /// `f` of vectors of integers.
    #[inline(always)]
    fn integers(self, a: __m128, b: __m128, f: impl FnOnce(__m128i, __m128i) -> __m128i) -> __m128 {
        let Self { sse2, .. } = self;
        sse2._mm_castsi128_ps(f(sse2._mm_castps_si128(a), sse2._mm_castps_si128(b)))
    }

    /// The nearest integers of 16 bits, with a zero point added.
    #[inline(always)]
    fn words(self, a: __m128, b: __m128, zero_point: __m128) -> __m128 {
        let Self { sse2, .. } = self;
        let (a, b) = (self.to_i32(a), self.to_i32(b));
        let words = self.integers(a, b, |a, b| sse2._mm_packs_epi32(a, b));
        self.integers(words, zero_point, |a, b| sse2._mm_adds_epi16(a, b))
    }
}

/// Makes unsigned bytes of signed ones, or the reverse, in their order.
const SIGN_OF_BYTES: u8 = 0x80;

impl Bytes for Sse {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> __m128 {
        // SAFETY: n ≤ 16 bytes are valid for reading; any bits are a vector.
        unsafe {
            if n == 16 {
                return self.load(p.cast());
            }
            // Else the compiler makes whole vectors, too, of single bytes.
            self.barrier(transmute::<u128, __m128>(read_first_bytes(p, n)))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: __m128, n: usize) {
        // SAFETY: n ≤ 16 bytes are valid for writing; a vector is plain bits.
        unsafe {
            if n == 16 {
                return self.store(p.cast(), v);
            }
            write_first_bytes(p, n, transmute::<__m128, u128>(v));
        }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> __m128 {
        let Self { sse2, .. } = self;
        // SAFETY: n ≤ 4 bytes are valid for reading.
        let bytes = from_16(unsafe { read_first_bytes(p, n) as u64 });
        let zero = sse2._mm_setzero_si128();
        sse2._mm_castsi128_ps(sse2._mm_unpacklo_epi16(sse2._mm_unpacklo_epi8(bytes, zero), zero))
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: __m128, n: usize) {
        let Self { sse2, .. } = self;
        let lowest = sse2._mm_and_si128(sse2._mm_castps_si128(v), sse2._mm_set1_epi32(0xff));
        let words = sse2._mm_packs_epi32(lowest, lowest);
        let bytes = sse2._mm_packus_epi16(words, words);
        // SAFETY: n ≤ 4 bytes are valid for writing; a vector is plain bits.
        unsafe { write_first_bytes(p, n, transmute::<__m128i, u128>(bytes)) }
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> __m128 {
        let Self { sse2, .. } = self;
        sse2._mm_castsi128_ps(sse2._mm_set1_epi8(x as i8))
    }

    #[inline(always)]
    fn xor(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_xor_ps(a, b)
    }

    // SSE2 compares unsigned bytes alone.
    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: __m128, b: __m128) -> __m128 {
        let sign = self.splat_byte(if SIGNED { SIGN_OF_BYTES } else { 0 });
        let (a, b) = (self.xor(a, sign), self.xor(b, sign));
        self.xor(self.integers(a, b, |a, b| self.sse2._mm_max_epu8(a, b)), sign)
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: __m128, b: __m128) -> __m128 {
        let sign = self.splat_byte(if SIGNED { SIGN_OF_BYTES } else { 0 });
        let (a, b) = (self.xor(a, sign), self.xor(b, sign));
        self.xor(self.integers(a, b, |a, b| self.sse2._mm_min_epu8(a, b)), sign)
    }

    #[inline(always)]
    fn zip_bytes(self, a: __m128, b: __m128) -> [__m128; 2] {
        [
            self.integers(a, b, |a, b| self.sse2._mm_unpacklo_epi8(a, b)),
            self.integers(a, b, |a, b| self.sse2._mm_unpackhi_epi8(a, b)),
        ]
    }

    #[inline(always)]
    fn zip_words(self, a: __m128, b: __m128) -> [__m128; 2] {
        [
            self.integers(a, b, |a, b| self.sse2._mm_unpacklo_epi16(a, b)),
            self.integers(a, b, |a, b| self.sse2._mm_unpackhi_epi16(a, b)),
        ]
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: __m128) -> [__m128; 2] {
        self.zip_bytes(bytes, self.splat(0.0))
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [__m128; SUMS], zero_point: __m128) -> __m128 {
        let (low, high) = (self.words(a, b, zero_point), self.words(c, d, zero_point));
        self.integers(low, high, |a, b| self.sse2._mm_packus_epi16(a, b))
    }

    #[inline(always)]
    fn join_halves(self, a: __m128, b: __m128) -> __m128 {
        self.sse._mm_movelh_ps(a, b)
    }

    #[inline(always)]
    fn upper_half(self, bytes: __m128) -> __m128 {
        self.sse._mm_movehl_ps(bytes, bytes)
    }

    #[inline(always)]
    fn add_i32(self, a: __m128, b: __m128) -> __m128 {
        self.integers(a, b, |a, b| self.sse2._mm_add_epi32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, v: __m128) -> __m128 {
        let Self { sse2, .. } = self;
        sse2._mm_cvtepi32_ps(sse2._mm_castps_si128(v))
    }

    // Rounds as MXCSR says, which Rust wants to be to nearest.
    #[inline(always)]
    fn to_i32(self, v: __m128) -> __m128 {
        let Self { sse2, .. } = self;
        sse2._mm_castsi128_ps(sse2._mm_cvtps_epi32(v))
    }
}

/// Products of 16 bits: SSE2 has none of 8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SseWords {
    simd: Sse,
}

impl SseWords {
    /// # Safety
    /// The CPU has SSE2.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Sse::new_unchecked() } }
    }
}

impl Int8 for SseWords {
    type Simd = Sse;
    type Weights = [i8; 2];
    const SIGNED: bool = false;

    features! { Int8Kernel: "sse2" }

    #[inline(always)]
    fn simd(self) -> Sse {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        let products = self.simd.integers(a, b, |a, b| self.simd.sse2._mm_madd_epi16(a, b));
        self.simd.add_i32(products, c)
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 2]) -> __m128 {
        // SAFETY: 8 bytes are valid for reading.
        let bytes = from_16(unsafe { p.cast::<u64>().read_unaligned() });
        let sse2 = self.simd.sse2;
        let words = sse2._mm_srai_epi16::<8>(sse2._mm_unpacklo_epi8(bytes, bytes));
        sse2._mm_castsi128_ps(words)
    }
}
