//! WebAssembly's vectors (simd128): 4 lanes, no fused multiply-add; and relaxed simd, whose
//! multiply-add is fused where a probe shows it.
//!
//! A module with these instructions runs on engines that have them or on none: the compilation
//! target has them, and the token has nothing to prove but what the probe showed.

use core::arch::wasm32::*;
use core::mem::transmute;

use crate::level::Level;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS, read_first_bytes, write_first_bytes};
use crate::simd::{
    Kernel, MAX_LANES, Simd, read_first, read_first_16, write_first, write_first_16,
};

/// 128-bit vectors; if RELAXED with a multiply-add that is fused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wasm<const FUSED: bool, const RELAXED: bool>;

/// Without such a multiply-add.
pub(crate) type Simd128<const FUSED: bool = true> = Wasm<FUSED, false>;

/// With it.
#[cfg(target_feature = "relaxed-simd")]
pub(crate) type RelaxedSimd<const FUSED: bool = true> = Wasm<FUSED, true>;

/// a·b + c, rounded once or twice, as the engine does.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
fn relaxed_mul_add(a: v128, b: v128, c: v128) -> v128 {
    f32x4_relaxed_madd(a, b, c)
}

/// Whether the engine rounds it once, in all lanes.
#[cfg(target_feature = "relaxed-simd")]
fn is_fused() -> bool {
    // The error of the product, 2⁻²⁴, which is lost if that is rounded.
    let x = f32x4_splat(core::hint::black_box(1.0 + 1.0 / 4096.0));
    let c = f32x4_splat(-(1.0 + 1.0 / 2048.0));
    let expected = f32x4_splat(1.0 / 16_777_216.0);
    i32x4_all_true(f32x4_eq(relaxed_mul_add(x, x, c), expected))
}

/// Where it isn't compiled, nobody has the token.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
fn relaxed_mul_add(a: v128, b: v128, c: v128) -> v128 {
    mul_add(a, b, c)
}

#[cfg(not(target_feature = "relaxed-simd"))]
fn is_fused() -> bool {
    false
}

/// a·b + c, rounded to odd. As in `sse.rs`, where it is explained.
#[inline(always)]
fn fma_to_odd(a: v128, b: v128, c: v128) -> v128 {
    let product = f64x2_mul(a, b);
    let sum = f64x2_add(product, c);
    let of_c = f64x2_sub(sum, product);
    let of_product = f64x2_sub(sum, of_c);
    let error = f64x2_add(f64x2_sub(product, of_product), f64x2_sub(c, of_c));
    let outwards = v128_xor(error, v128_and(sum, f64x2_splat(-0.0)));
    let zero = f64x2_splat(0.0);
    let beyond = f64x2_lt(outwards, zero);
    let inexact = v128_or(beyond, f64x2_gt(outwards, zero));
    v128_or(i64x2_add(sum, beyond), u64x2_shr(inexact, 63))
}

/// a·b + c, rounded once.
#[inline(always)]
fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    let low = |v| f64x2_promote_low_f32x4(v);
    let high = |v| f64x2_promote_low_f32x4(i64x2_shuffle::<1, 1>(v, v));
    let first = f32x4_demote_f64x2_zero(fma_to_odd(low(a), low(b), low(c)));
    let second = f32x4_demote_f64x2_zero(fma_to_odd(high(a), high(b), high(c)));
    i64x2_shuffle::<0, 2>(first, second)
}

/// The bits of f32, whose upper halves become those of the nearest bf16, ties to even.
#[inline(always)]
fn round_to_upper_half(bits: v128) -> v128 {
    let odd = v128_and(u32x4_shr(bits, 16), i32x4_splat(1));
    i32x4_add(bits, i32x4_add(odd, i32x4_splat(0x7fff)))
}

/// The upper half of each lane.
#[inline(always)]
fn upper_halves(bits: v128) -> u64 {
    let halves = u32x4_shr(bits, 16);
    u64x2_extract_lane::<0>(u16x8_narrow_i32x4(halves, halves))
}

impl<const FUSED: bool, const RELAXED: bool> Simd for Wasm<FUSED, RELAXED> {
    type Vector = v128;
    type Vector16 = u64;
    type Mask = v128;
    type MemMask = usize;
    // Numbers of bytes.
    type Indices = v128;
    type Fused = Wasm<true, RELAXED>;

    const LEVEL: Level = if RELAXED { Level::RelaxedSimd } else { Level::Simd128 };
    const LANES: usize = 4;
    const FUSED: bool = FUSED;
    // As an engine on x86-64 has; others have more.
    const REGISTERS: usize = 16;
    // V8's TurboFan loads all that a turn needs, then computes one accumulator after the other: of
    // more than one step the operands don't fit 16 registers.
    const UNROLL: usize = 1;

    fn detect() -> Option<Self> {
        (!RELAXED || is_fused()).then_some(Self)
    }

    unsafe fn entry<K: Kernel>(args: &K::Args) -> K::Output {
        // SAFETY: the caller keeps the kernel's contract; the compilation target has simd128.
        unsafe { K::run(Self, args) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        if RELAXED { relaxed_mul_add(a, b, c) } else { mul_add(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn div(self, a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }

    #[inline(always)]
    fn neg_abs(self, x: v128) -> v128 {
        v128_or(x, f32x4_splat(-0.0))
    }

    #[inline(always)]
    fn power_of_two(self, n: v128) -> v128 {
        i32x4_add(i32x4_shl(n, 23), f32x4_splat(1.0))
    }

    // Not pmax and pmin: as they are compiled and run, −0 comes out as +0, a NaN as the bound.
    #[inline(always)]
    fn clamp_min(self, bound: v128, x: v128) -> v128 {
        v128_bitselect(bound, x, f32x4_gt(bound, x))
    }

    #[inline(always)]
    fn clamp_max(self, bound: v128, x: v128) -> v128 {
        v128_bitselect(bound, x, f32x4_lt(bound, x))
    }

    #[inline(always)]
    fn less_than(self, a: v128, b: v128) -> v128 {
        f32x4_lt(a, b)
    }

    #[inline(always)]
    fn is_ordered(self, x: v128) -> v128 {
        f32x4_eq(x, x)
    }

    #[inline(always)]
    fn and(self, a: v128, b: v128) -> v128 {
        v128_and(a, b)
    }

    #[inline(always)]
    fn select(self, mask: v128, a: v128, b: v128) -> v128 {
        v128_bitselect(a, b, mask)
    }

    #[inline(always)]
    fn indices(self, lanes: [u32; MAX_LANES]) -> v128 {
        let lanes = u32x4(lanes[0], lanes[1], lanes[2], lanes[3]);
        let first = i32x4_mul(lanes, u32x4_splat(u32::from_le_bytes([4; 4])));
        i32x4_add(first, u32x4_splat(u32::from_le_bytes([0, 1, 2, 3])))
    }

    #[inline(always)]
    fn permute(self, v: v128, indices: v128) -> v128 {
        i8x16_swizzle(v, indices)
    }

    // Pairs of lanes, then of pairs.
    #[inline(always)]
    fn transpose(self, square: &mut [v128; MAX_LANES]) {
        let [a, b, c, d] = [square[0], square[1], square[2], square[3]];
        let (ab_low, ab_high) =
            (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (cd_low, cd_high) =
            (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        square[0] = i64x2_shuffle::<0, 2>(ab_low, cd_low);
        square[1] = i64x2_shuffle::<1, 3>(ab_low, cd_low);
        square[2] = i64x2_shuffle::<0, 2>(ab_high, cd_high);
        square[3] = i64x2_shuffle::<1, 3>(ab_high, cd_high);
    }

    #[inline(always)]
    fn splat_lane<const LANE: i32>(self, v: v128) -> v128 {
        match LANE {
            0 => i32x4_shuffle::<0, 0, 0, 0>(v, v),
            1 => i32x4_shuffle::<1, 1, 1, 1>(v, v),
            2 => i32x4_shuffle::<2, 2, 2, 2>(v, v),
            _ => i32x4_shuffle::<3, 3, 3, 3>(v, v),
        }
    }

    #[inline(always)]
    fn black_box(self, x: usize) -> usize {
        core::hint::black_box(x)
    }

    // There is no such instruction.
    #[inline(always)]
    fn prefetch_l2<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_l1<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_write<T>(self, _: *const T) {}

    // As in `sse.rs`.
    #[inline(always)]
    fn f16_to_f32(self, v: u64) -> v128 {
        let bits = u32x4_extend_low_u16x8(u64x2(v, 0));
        let sign = i32x4_shl(v128_and(bits, i32x4_splat(0x8000)), 16);
        let magnitude = v128_and(bits, i32x4_splat(0x7fff));
        let scale = f32x4_splat(f32::from_bits((127 + 112) << 23));
        let number = f32x4_mul(i32x4_shl(magnitude, 13), scale);
        let no_number = i32x4_gt(magnitude, i32x4_splat(0x7bff));
        let exponent = v128_and(no_number, i32x4_splat(0x7f80_0000));
        v128_or(sign, v128_or(number, exponent))
    }

    // See `element::f32_to_f16`.
    #[inline(always)]
    fn f32_to_f16(self, v: v128) -> u64 {
        let magnitude = v128_and(v, i32x4_splat(0x7fff_ffff));
        let biased = i32x4_sub(magnitude, i32x4_splat((127 - 15) << 23));
        let odd = v128_and(u32x4_shr(biased, 13), i32x4_splat(1));
        let normal = u32x4_shr(i32x4_add(biased, i32x4_add(odd, i32x4_splat(0xfff))), 13);
        let half = f32x4_splat(0.5);
        let small = i32x4_sub(f32x4_add(magnitude, half), half);
        let is_small = i32x4_lt(magnitude, i32x4_splat(0x3880_0000));
        let is_large = i32x4_gt(magnitude, i32x4_splat(0x477f_efff));
        let payload = v128_and(u32x4_shr(magnitude, 13), i32x4_splat(0x3ff));
        let nan = v128_or(payload, i32x4_splat(0x7e00));
        let rounded = v128_bitselect(i32x4_splat(0x7c00), normal, is_large);
        let rounded = v128_bitselect(small, rounded, is_small);
        let rounded = i32x4_shl(v128_bitselect(rounded, nan, f32x4_eq(v, v)), 16);
        upper_halves(v128_or(rounded, v128_and(v, i32x4_splat(i32::MIN))))
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: u64) -> v128 {
        i32x4_shl(u32x4_extend_low_u16x8(u64x2(v, 0)), 16)
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(self, v: v128) -> u64 {
        let quiet = v128_or(v, i32x4_splat(0x40_0000));
        upper_halves(v128_bitselect(round_to_upper_half(v), quiet, f32x4_eq(v, v)))
    }

    // A NaN of bf16 has no bits that carry anything upwards.
    #[inline(always)]
    fn sum_to_bf16(self, v: v128) -> u64 {
        upper_halves(round_to_upper_half(v))
    }

    #[inline(always)]
    fn mem_mask(self, n: usize) -> usize {
        n
    }

    #[inline(always)]
    unsafe fn mask_load(self, n: usize, p: *const f32) -> v128 {
        // SAFETY: the mask's lanes are valid for reading, at least one of four; any bits are a
        // vector.
        unsafe { transmute::<[f32; 4], v128>(read_first(p, n)) }
    }

    #[inline(always)]
    unsafe fn mask_store(self, n: usize, p: *mut f32, v: v128) {
        // SAFETY: the mask's lanes are valid for writing, at least one of four; a vector is plain
        // bits.
        unsafe { write_first(p, n, transmute::<v128, [f32; 4]>(v)) }
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

impl<const RELAXED: bool> Wasm<true, RELAXED> {
    /// The nearest integers of 16 bits, with a zero point added.
    #[inline(always)]
    fn words(self, a: v128, b: v128, zero_point: v128) -> v128 {
        i16x8_add_sat(i16x8_narrow_i32x4(self.to_i32(a), self.to_i32(b)), zero_point)
    }
}

impl<const RELAXED: bool> Bytes for Wasm<true, RELAXED> {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> v128 {
        // SAFETY: n ≤ 16 bytes are valid for reading; any bits are a vector.
        unsafe {
            if n == 16 {
                self.load(p.cast())
            } else {
                transmute::<u128, v128>(read_first_bytes(p, n))
            }
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: v128, n: usize) {
        // SAFETY: n ≤ 16 bytes are valid for writing; a vector is plain bits.
        unsafe {
            if n == 16 {
                return self.store(p.cast(), v);
            }
            write_first_bytes(p, n, transmute::<v128, u128>(v));
        }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> v128 {
        // SAFETY: n ≤ 4 bytes are valid for reading.
        let bytes = u64x2(unsafe { read_first_bytes(p, n) as u64 }, 0);
        u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes))
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: v128, n: usize) {
        let lowest = v128_and(v, i32x4_splat(0xff));
        let words = u16x8_narrow_i32x4(lowest, lowest);
        let bytes = u8x16_narrow_i16x8(words, words);
        // SAFETY: n ≤ 4 bytes are valid for writing; a vector is plain bits.
        unsafe { write_first_bytes(p, n, transmute::<v128, u128>(bytes)) }
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> v128 {
        u8x16_splat(x)
    }

    #[inline(always)]
    fn xor(self, a: v128, b: v128) -> v128 {
        v128_xor(a, b)
    }

    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: v128, b: v128) -> v128 {
        if SIGNED { i8x16_max(a, b) } else { u8x16_max(a, b) }
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: v128, b: v128) -> v128 {
        if SIGNED { i8x16_min(a, b) } else { u8x16_min(a, b) }
    }

    #[inline(always)]
    fn zip_bytes(self, a: v128, b: v128) -> [v128; 2] {
        [
            i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b),
            i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b),
        ]
    }

    #[inline(always)]
    fn zip_words(self, a: v128, b: v128) -> [v128; 2] {
        [
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b),
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b),
        ]
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: v128) -> [v128; 2] {
        [u16x8_extend_low_u8x16(bytes), u16x8_extend_high_u8x16(bytes)]
    }

    #[inline(always)]
    fn narrow(self, [a, b, c, d]: [v128; SUMS], zero_point: v128) -> v128 {
        let (low, high) = (self.words(a, b, zero_point), self.words(c, d, zero_point));
        u8x16_narrow_i16x8(low, high)
    }

    #[inline(always)]
    fn join_halves(self, a: v128, b: v128) -> v128 {
        i64x2_shuffle::<0, 2>(a, b)
    }

    #[inline(always)]
    fn upper_half(self, bytes: v128) -> v128 {
        i64x2_shuffle::<1, 1>(bytes, bytes)
    }

    #[inline(always)]
    fn add_i32(self, a: v128, b: v128) -> v128 {
        i32x4_add(a, b)
    }

    #[inline(always)]
    fn to_f32(self, v: v128) -> v128 {
        f32x4_convert_i32x4(v)
    }

    // Integers too large for 32 bits become the largest.
    #[inline(always)]
    fn to_i32(self, v: v128) -> v128 {
        i32x4_trunc_sat_f32x4(f32x4_nearest(v))
    }
}

/// Products of 16 bits: those of 8 are not added up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WasmWords<const RELAXED: bool>;

impl<const RELAXED: bool> Int8 for WasmWords<RELAXED> {
    type Simd = Wasm<true, RELAXED>;
    type Weights = [i8; 2];
    const SIGNED: bool = false;

    fn detect() -> Option<Self> {
        Self::Simd::detect().map(|_| Self)
    }

    #[inline(always)]
    fn simd(self) -> Self::Simd {
        Wasm
    }

    #[inline(always)]
    fn dot(self, a: v128, b: v128, c: v128) -> v128 {
        i32x4_add(i32x4_dot_i16x8(a, b), c)
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 2]) -> v128 {
        // SAFETY: 8 bytes are valid for reading.
        i16x8_extend_low_i8x16(u64x2(unsafe { p.cast::<u64>().read_unaligned() }, 0))
    }

    unsafe fn entry<K: Int8Kernel>(args: &K::Args) -> K::Output {
        // SAFETY: the caller keeps the kernel's contract; the compilation target has simd128.
        unsafe { K::run(Self, args) }
    }
}
