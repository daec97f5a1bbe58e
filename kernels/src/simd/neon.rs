//! NEON (AArch64 Advanced SIMD): 4 lanes, 32 registers.

use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::transmute;

use pulp::core_arch::aarch64::Bf16;

use crate::level::Level;
use crate::simd::int8::{
    Bytes, Int8, Int8Kernel, Int8Matrix, Int8MatrixKernel, SUMS, read_first_bytes,
    write_first_bytes,
};
use crate::simd::{
    Bf16Dot, Bf16Fma, Bf16FmaKernel, Bf16Kernel, Kernel, MAX_LANES, Simd, features, read_first,
    read_first_16, write_first, write_first_16,
};

/// 128-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon<const FUSED: bool = true> {
    neon: pulp::aarch64::Neon,
}

impl<const FUSED: bool> Neon<FUSED> {
    /// # Safety
    /// The CPU has NEON.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { neon: pulp::aarch64::Neon::new_unchecked() } }
    }
}

/// A prefetch instruction. (The intrinsic is unstable.) `nomem`: else accumulators that are in
/// memory at that point of the optimisation stay there.
macro_rules! prfm {
    ($operation:literal, $p:expr) => {
        // SAFETY: a hint, which faults on no address.
        unsafe {
            asm!(
                concat!("prfm ", $operation, ", [{p}]"),
                p = in(reg) $p,
                options(nomem, nostack, preserves_flags)
            );
        }
    };
}

/// The sum of `c` and products of `b` and `a`, or of `b` and a lane of `a`, by one instruction.
/// (The intrinsics are unstable.)
macro_rules! multiply_add {
    ($instruction:literal, $c:ident, $b:ident, $class:ident $a:ident $(, $lane:ident)?) => {{
        let mut sum: float32x4_t = $c;
        // SAFETY: `self` has the instruction; any bits are elements.
        unsafe {
            asm!($instruction, inout(vreg) sum, in(vreg) $b, in($class) $a, $(const $lane,)?
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }};
}

impl<const FUSED: bool> Simd for Neon<FUSED> {
    type Vector = float32x4_t;
    type Vector16 = uint16x4_t;
    type Mask = uint32x4_t;
    type MemMask = usize;
    // Numbers of bytes.
    type Indices = uint8x16_t;
    type Fused = Neon;

    const LEVEL: Level = Level::Neon;
    const LANES: usize = 4;
    const FUSED: bool = FUSED;
    const BY_LANES: bool = true;

    features! { Kernel: "neon" }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        self.neon.neon.vdupq_n_f32(x)
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        self.neon.neon.vfmaq_f32(c, a, b)
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.neon.neon.vaddq_f32(a, b)
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.neon.neon.vsubq_f32(a, b)
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.neon.neon.vmulq_f32(a, b)
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.neon.neon.vdivq_f32(a, b)
    }

    #[inline(always)]
    fn neg_abs(self, x: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vnegq_f32(neon.vabsq_f32(x))
    }

    #[inline(always)]
    fn power_of_two(self, n: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        let exponent = neon.vshlq_n_u32::<23>(neon.vreinterpretq_u32_f32(n));
        let one = neon.vreinterpretq_u32_f32(neon.vdupq_n_f32(1.0));
        neon.vreinterpretq_f32_u32(neon.vaddq_u32(exponent, one))
    }

    // fmax gives +0 for (+0, −0) and would lose the −0 of `x`: compare and select instead.
    #[inline(always)]
    fn clamp_min(self, bound: float32x4_t, x: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vbslq_f32(neon.vcgtq_f32(bound, x), bound, x)
    }

    #[inline(always)]
    fn clamp_max(self, bound: float32x4_t, x: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vbslq_f32(neon.vcltq_f32(bound, x), bound, x)
    }

    #[inline(always)]
    fn less_than(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        self.neon.neon.vcltq_f32(a, b)
    }

    #[inline(always)]
    fn is_ordered(self, x: float32x4_t) -> uint32x4_t {
        self.neon.neon.vceqq_f32(x, x)
    }

    #[inline(always)]
    fn and(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        self.neon.neon.vandq_u32(a, b)
    }

    #[inline(always)]
    fn select(self, mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.neon.neon.vbslq_f32(mask, a, b)
    }

    #[inline(always)]
    fn indices(self, lanes: [u32; MAX_LANES]) -> uint8x16_t {
        let neon = self.neon.neon;
        let bytes = neon.vdupq_n_u32(u32::from_le_bytes([0, 1, 2, 3]));
        // SAFETY: there are at least 4.
        let lanes = unsafe { lanes.as_ptr().cast::<uint32x4_t>().read_unaligned() };
        neon.vreinterpretq_u8_u32(neon.vmlaq_n_u32(bytes, lanes, u32::from_le_bytes([4; 4])))
    }

    #[inline(always)]
    fn permute(self, v: float32x4_t, indices: uint8x16_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vreinterpretq_f32_u8(neon.vqtbl1q_u8(neon.vreinterpretq_u8_f32(v), indices))
    }

    // Pairs of lanes, then of pairs.
    #[inline(always)]
    fn transpose(self, square: &mut [float32x4_t; MAX_LANES]) {
        let neon = self.neon.neon;
        let [a, b, c, d] = [square[0], square[1], square[2], square[3]];
        let pairs = [
            neon.vtrn1q_f32(a, b),
            neon.vtrn2q_f32(a, b),
            neon.vtrn1q_f32(c, d),
            neon.vtrn2q_f32(c, d),
        ]
        .map(|v| neon.vreinterpretq_f64_f32(v));
        let quadruples = [
            neon.vtrn1q_f64(pairs[0], pairs[2]),
            neon.vtrn1q_f64(pairs[1], pairs[3]),
            neon.vtrn2q_f64(pairs[0], pairs[2]),
            neon.vtrn2q_f64(pairs[1], pairs[3]),
        ];
        for (v, quadruple) in square.iter_mut().zip(quadruples) {
            *v = neon.vreinterpretq_f32_f64(quadruple);
        }
    }

    #[inline(always)]
    fn accumulate_lane<const LANE: i32>(
        self,
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        let neon = self.neon.neon;
        if FUSED {
            neon.vfmaq_laneq_f32::<LANE>(c, b, a)
        } else {
            neon.vaddq_f32(neon.vmulq_laneq_f32::<LANE>(b, a), c)
        }
    }

    #[inline(always)]
    fn barrier(self, mut v: float32x4_t) -> float32x4_t {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0:v} */", inout(vreg) v, options(nostack, preserves_flags)) };
        v
    }

    #[inline(always)]
    fn black_box(self, mut x: usize) -> usize {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }

    #[inline(always)]
    fn prefetch_l2<T>(self, p: *const T) {
        prfm!("pldl2keep", p);
    }

    #[inline(always)]
    fn prefetch_l1<T>(self, p: *const T) {
        prfm!("pldl1keep", p);
    }

    #[inline(always)]
    fn prefetch_write<T>(self, p: *const T) {
        prfm!("pstl1keep", p);
    }

    // The intrinsics of f16 are unstable, the instructions are part of every AArch64.
    #[inline(always)]
    fn f16_to_f32(self, v: uint16x4_t) -> float32x4_t {
        let to: float32x4_t;
        // SAFETY: `self` has the instruction.
        unsafe {
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) to, in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
        }
        to
    }

    #[inline(always)]
    fn f32_to_f16(self, v: float32x4_t) -> uint16x4_t {
        let to: uint16x4_t;
        // SAFETY: `self` has the instruction.
        unsafe {
            asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) to, in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
        }
        to
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: uint16x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vreinterpretq_f32_u32(neon.vshlq_n_u32::<16>(neon.vmovl_u16(v)))
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(self, v: float32x4_t) -> uint16x4_t {
        let neon = self.neon.neon;
        let bits = neon.vreinterpretq_u32_f32(v);
        let odd = neon.vandq_u32(neon.vshrq_n_u32::<16>(bits), neon.vdupq_n_u32(1));
        let rounded = neon.vaddq_u32(bits, neon.vaddq_u32(odd, neon.vdupq_n_u32(0x7fff)));
        let quiet = neon.vorrq_u32(bits, neon.vdupq_n_u32(0x40_0000));
        let number = neon.vceqq_f32(v, v);
        neon.vshrn_n_u32::<16>(neon.vbslq_u32(number, rounded, quiet))
    }

    // A NaN of bf16 has no bits that carry anything upwards.
    #[inline(always)]
    fn sum_to_bf16(self, v: float32x4_t) -> uint16x4_t {
        let neon = self.neon.neon;
        let bits = neon.vreinterpretq_u32_f32(v);
        let odd = neon.vandq_u32(neon.vshrq_n_u32::<16>(bits), neon.vdupq_n_u32(1));
        neon.vaddhn_u32(bits, neon.vaddq_u32(odd, neon.vdupq_n_u32(0x7fff)))
    }

    #[inline(always)]
    fn mem_mask(self, n: usize) -> usize {
        n
    }

    #[inline(always)]
    unsafe fn mask_load(self, n: usize, p: *const f32) -> float32x4_t {
        // SAFETY: the mask's lanes are valid for reading, at least one of four; any bits are a
        // vector.
        unsafe { transmute::<[f32; 4], float32x4_t>(read_first(p, n)) }
    }

    #[inline(always)]
    unsafe fn mask_store(self, n: usize, p: *mut f32, v: float32x4_t) {
        // SAFETY: the mask's lanes are valid for writing, at least one of four; a vector is plain
        // bits.
        unsafe { write_first(p, n, transmute::<float32x4_t, [f32; 4]>(v)) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, n: usize, p: *const u16) -> uint16x4_t {
        // SAFETY: the mask's elements are valid for reading; a mask has at most 4 lanes; any bits
        // are a vector.
        unsafe { transmute::<u64, uint16x4_t>(read_first_16(p, n) as u64) }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, n: usize, p: *mut u16, v: uint16x4_t) {
        // SAFETY: the mask's elements are valid for writing; a mask has at most 4 lanes; a vector
        // is plain bits.
        unsafe { write_first_16(p, n, u128::from(transmute::<uint16x4_t, u64>(v))) }
    }
}

/// FEAT_BF16 (Armv8.6) besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeonBf16 {
    simd: Neon,
    _bf16: Bf16,
}

impl NeonBf16 {
    /// # Safety
    /// The CPU has NEON and FEAT_BF16.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Neon::new_unchecked(), _bf16: Bf16::new_unchecked() } }
    }
}

impl Bf16Dot for NeonBf16 {
    type Simd = Neon;

    features! { Bf16Kernel: "bf16" "neon" }

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        multiply_add!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.8h", c, b, vreg a)
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        self,
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        multiply_add!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.2h[{3}]", c, b, vreg a, LANE)
    }

    #[inline(always)]
    fn pairs(self, first: float32x4_t, second: float32x4_t) -> float32x4_t {
        let halves = [self.simd.f32_to_bf16(first), self.simd.f32_to_bf16(second)];
        // SAFETY: both are plain data of the same size.
        unsafe { transmute::<[uint16x4_t; 2], float32x4_t>(halves) }
    }
}

impl Bf16Fma for NeonBf16 {
    type Simd = Neon;

    features! { Bf16FmaKernel: "bf16" "neon" }

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    // An index of 16-bit elements leaves four bits for the register.
    #[inline(always)]
    fn mul_add_element<const ELEMENT: i32>(
        self,
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        if ELEMENT % 2 == 0 {
            multiply_add!("bfmlalb {0:v}.4s, {1:v}.8h, {2:v}.h[{3}]", c, b, vreg_low16 a, ELEMENT)
        } else {
            multiply_add!("bfmlalt {0:v}.4s, {1:v}.8h, {2:v}.h[{3}]", c, b, vreg_low16 a, ELEMENT)
        }
    }
}

impl Neon {
    /// `f` of vectors of bytes.
    #[inline(always)]
    fn bytes(
        self,
        a: float32x4_t,
        b: float32x4_t,
        f: impl FnOnce(uint8x16_t, uint8x16_t) -> uint8x16_t,
    ) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vreinterpretq_f32_u8(f(neon.vreinterpretq_u8_f32(a), neon.vreinterpretq_u8_f32(b)))
    }
}

impl Bytes for Neon {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> float32x4_t {
        // SAFETY: n ≤ 16 bytes are valid for reading; any bits are a vector.
        unsafe {
            if n == 16 {
                return self.load(p.cast());
            }
            // Else the compiler makes whole vectors, too, of single bytes.
            self.barrier(transmute::<u128, float32x4_t>(read_first_bytes(p, n)))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: float32x4_t, n: usize) {
        // SAFETY: n ≤ 16 bytes are valid for writing; a vector is plain bits.
        unsafe {
            if n == 16 {
                return self.store(p.cast(), v);
            }
            write_first_bytes(p, n, transmute::<float32x4_t, u128>(v));
        }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> float32x4_t {
        let neon = self.neon.neon;
        // SAFETY: n ≤ 4 bytes are valid for reading; any bits are a vector.
        let bytes = unsafe { transmute::<u64, uint8x8_t>(read_first_bytes(p, n) as u64) };
        let words = neon.vget_low_u16(neon.vmovl_u8(bytes));
        neon.vreinterpretq_f32_u32(neon.vmovl_u16(words))
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: float32x4_t, n: usize) {
        let neon = self.neon.neon;
        let words = neon.vmovn_u32(neon.vreinterpretq_u32_f32(v));
        let bytes = neon.vmovn_u16(neon.vcombine_u16(words, words));
        // SAFETY: n ≤ 4 bytes are valid for writing; a vector is plain bits.
        unsafe { write_first_bytes(p, n, u128::from(transmute::<uint8x8_t, u64>(bytes))) }
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vreinterpretq_f32_u8(neon.vdupq_n_u8(x))
    }

    #[inline(always)]
    fn xor(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        self.bytes(a, b, |a, b| self.neon.neon.veorq_u8(a, b))
    }

    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        let signed = |v| neon.vreinterpretq_s8_u8(v);
        self.bytes(a, b, |a, b| {
            if SIGNED {
                neon.vreinterpretq_u8_s8(neon.vmaxq_s8(signed(a), signed(b)))
            } else {
                neon.vmaxq_u8(a, b)
            }
        })
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        let signed = |v| neon.vreinterpretq_s8_u8(v);
        self.bytes(a, b, |a, b| {
            if SIGNED {
                neon.vreinterpretq_u8_s8(neon.vminq_s8(signed(a), signed(b)))
            } else {
                neon.vminq_u8(a, b)
            }
        })
    }

    #[inline(always)]
    fn zip_bytes(self, a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] {
        let neon = self.neon.neon;
        [
            self.bytes(a, b, |a, b| neon.vzip1q_u8(a, b)),
            self.bytes(a, b, |a, b| neon.vzip2q_u8(a, b)),
        ]
    }

    #[inline(always)]
    fn zip_words(self, a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] {
        let neon = self.neon.neon;
        let [a, b] = [a, b].map(|v| neon.vreinterpretq_u16_f32(v));
        [neon.vzip1q_u16(a, b), neon.vzip2q_u16(a, b)].map(|v| neon.vreinterpretq_f32_u16(v))
    }

    #[inline(always)]
    fn widen_bytes(self, bytes: float32x4_t) -> [float32x4_t; 2] {
        let neon = self.neon.neon;
        let bytes = neon.vreinterpretq_u8_f32(bytes);
        [neon.vmovl_u8(neon.vget_low_u8(bytes)), neon.vmovl_high_u8(bytes)]
            .map(|v| neon.vreinterpretq_f32_u16(v))
    }

    #[inline(always)]
    fn narrow(self, lanes: [float32x4_t; SUMS], zero_point: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        // Integers too large for 32 bits become the largest.
        let zero_point = neon.vreinterpretq_s16_f32(zero_point);
        let [a, b, c, d] = lanes.map(|v| neon.vqmovn_s32(neon.vcvtnq_s32_f32(v)));
        let low = neon.vqmovun_s16(neon.vqaddq_s16(neon.vcombine_s16(a, b), zero_point));
        let high = neon.vqmovun_s16(neon.vqaddq_s16(neon.vcombine_s16(c, d), zero_point));
        neon.vreinterpretq_f32_u8(neon.vcombine_u8(low, high))
    }

    #[inline(always)]
    fn join_halves(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        self.bytes(a, b, |a, b| neon.vcombine_u8(neon.vget_low_u8(a), neon.vget_low_u8(b)))
    }

    #[inline(always)]
    fn upper_half(self, bytes: float32x4_t) -> float32x4_t {
        self.bytes(bytes, bytes, |a, b| self.neon.neon.vextq_u8::<8>(a, b))
    }

    #[inline(always)]
    fn add_i32(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        let [a, b] = [a, b].map(|v| neon.vreinterpretq_u32_f32(v));
        neon.vreinterpretq_f32_u32(neon.vaddq_u32(a, b))
    }

    #[inline(always)]
    fn to_f32(self, v: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vcvtq_f32_s32(neon.vreinterpretq_s32_f32(v))
    }

    #[inline(always)]
    fn to_i32(self, v: float32x4_t) -> float32x4_t {
        let neon = self.neon.neon;
        neon.vreinterpretq_f32_s32(neon.vcvtnq_s32_f32(v))
    }
}

/// What every AArch64 has: sums of two products of 8 bits fit 16, as weights are no less than −127.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeonWords {
    simd: Neon,
}

impl NeonWords {
    /// # Safety
    /// The CPU has NEON.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Neon::new_unchecked() } }
    }
}

impl Int8 for NeonWords {
    type Simd = Neon;
    type Weights = [i8; 4];
    const SIGNED: bool = true;

    features! { Int8Kernel: "neon" }

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        let neon = self.simd.neon.neon;
        let [a, b] = [a, b].map(|v| neon.vreinterpretq_s8_f32(v));
        let low = neon.vmull_s8(neon.vget_low_s8(a), neon.vget_low_s8(b));
        let pairs = neon.vpaddq_s16(low, neon.vmull_high_s8(a, b));
        let sums = neon.vpadalq_s16(neon.vreinterpretq_s32_f32(c), pairs);
        neon.vreinterpretq_f32_s32(sums)
    }

    // The compiler would multiply far ahead of the additions.
    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        self,
        a: float32x4_t,
        b: float32x4_t,
        mut c: float32x4_t,
    ) -> float32x4_t {
        let (_pairs, _high): (float32x4_t, float32x4_t);
        // SAFETY: `self` has the instructions.
        unsafe {
            asm!(
                "dup {high:v}.4s, {a:v}.s[{lane}]",
                "smull {pairs:v}.8h, {high:v}.8b, {b:v}.8b",
                "smull2 {high:v}.8h, {high:v}.16b, {b:v}.16b",
                "addp {pairs:v}.8h, {pairs:v}.8h, {high:v}.8h",
                "sadalp {c:v}.4s, {pairs:v}.8h",
                high = out(vreg) _high, pairs = out(vreg) _pairs, a = in(vreg) a, b = in(vreg) b,
                c = inout(vreg) c, lane = const LANE, options(pure, nomem, nostack, preserves_flags)
            );
        }
        c
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 4]) -> float32x4_t {
        // SAFETY: groups of four bytes are lanes.
        unsafe { self.simd.load(p.cast()) }
    }
}

/// FEAT_DotProd (Armv8.2, part of Armv8.4) besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeonDot {
    simd: Neon,
}

impl NeonDot {
    /// # Safety
    /// The CPU has NEON and FEAT_DotProd.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Neon::new_unchecked() } }
    }
}

impl Int8 for NeonDot {
    type Simd = Neon;
    type Weights = [i8; 4];
    const SIGNED: bool = true;

    features! { Int8Kernel: "dotprod" "neon" }

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    #[inline(always)]
    fn dot(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        multiply_add!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", c, b, vreg a)
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        self,
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        multiply_add!("sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]", c, b, vreg a, LANE)
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 4]) -> float32x4_t {
        // SAFETY: groups of four bytes are lanes.
        unsafe { self.simd.load(p.cast()) }
    }
}

/// FEAT_I8MM (Armv8.6) besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeonI8mm {
    simd: Neon,
}

impl NeonI8mm {
    /// # Safety
    /// The CPU has NEON and FEAT_I8MM.
    #[inline(always)]
    const unsafe fn new_unchecked() -> Self {
        // SAFETY: the CPU has what these tokens prove, by the caller's word.
        unsafe { Self { simd: Neon::new_unchecked() } }
    }
}

impl Int8Matrix for NeonI8mm {
    type Simd = Neon;

    features! { Int8MatrixKernel: "i8mm" "neon" }

    #[inline(always)]
    fn simd(self) -> Neon {
        self.simd
    }

    #[inline(always)]
    fn multiply(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        multiply_add!("smmla {0:v}.4s, {2:v}.16b, {1:v}.16b", c, b, vreg a)
    }

    #[inline(always)]
    fn zip_halves(self, a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] {
        let neon = self.simd.neon.neon;
        let [a, b] = [a, b].map(|v| neon.vreinterpretq_f64_f32(v));
        [neon.vzip1q_f64(a, b), neon.vzip2q_f64(a, b)].map(|v| neon.vreinterpretq_f32_f64(v))
    }
}
