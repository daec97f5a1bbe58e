//! NEON (AArch64 Advanced SIMD): 4 lanes, 32 registers.

use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::transmute;

use crate::Level;
use crate::isa::{Isa, MAX_LANES, instantiate, operations, read_head_16, write_head_16};

/// 128-bit vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon;

const LEVEL: Level = Level::Neon;

/// A prefetch instruction. (The intrinsic is unstable.) `nomem`: else accumulators that are in memory at
/// that point of the optimisation stay there.
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

impl Isa for Neon {
    type V = float32x4_t;
    type H = uint16x4_t;
    type Mask = uint32x4_t;
    type Head = usize;
    // Numbers of bytes.
    type Places = uint8x16_t;

    const LANES: usize = 4;
    // 8×12: 24 accumulators, 3 vectors of B and 4 of A, of half the rows, fit 32 registers.
    const MR: usize = 8;
    const NV: usize = 3;
    const LANE_FMA: bool = true;

    operations! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        minus_abs(x: float32x4_t) -> float32x4_t = vnegq_f32(vabsq_f32(x));
        power_of_two(n: float32x4_t) -> float32x4_t = {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(n));
            let one = vreinterpretq_u32_f32(vdupq_n_f32(1.0));
            vreinterpretq_f32_u32(vaddq_u32(exponent, one))
        };
        // fmax gives +0 for (+0, −0) and would lose the −0 of `x`: compare and select instead.
        at_least(bound: float32x4_t, x: float32x4_t) -> float32x4_t =
            vbslq_f32(vcgtq_f32(bound, x), bound, x);
        at_most(bound: float32x4_t, x: float32x4_t) -> float32x4_t =
            vbslq_f32(vcltq_f32(bound, x), bound, x);
        less(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        ordered(x: float32x4_t) -> uint32x4_t = vceqq_f32(x, x);
        and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vbslq_f32(mask, a, b);
        places(lanes: [u32; MAX_LANES]) -> uint8x16_t = {
            let bytes = vdupq_n_u32(u32::from_le_bytes([0, 1, 2, 3]));
            let lanes = vld1q_u32(lanes.as_ptr());
            vreinterpretq_u8_u32(vmlaq_n_u32(bytes, lanes, u32::from_le_bytes([4; 4])))
        };
        permute(v: float32x4_t, places: uint8x16_t) -> float32x4_t =
            vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(v), places));
        bf16_to_f32(v: uint16x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(v)));
        // See `element::f32_to_bf16`.
        f32_to_bf16(x: float32x4_t) -> uint16x4_t = {
            let bits = vreinterpretq_u32_f32(x);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
            let number = vceqq_f32(x, x);
            vshrn_n_u32::<16>(vbslq_u32(number, rounded, quiet))
        };
        // A NaN of bf16 has no bits that carry anything upwards.
        sum_to_bf16(x: float32x4_t) -> uint16x4_t = {
            let bits = vreinterpretq_u32_f32(x);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            vaddhn_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)))
        };
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(
        a: float32x4_t,
        b: float32x4_t,
        c: float32x4_t,
    ) -> float32x4_t {
        // SAFETY: kernels run only where the level is available.
        unsafe { vfmaq_laneq_f32::<LANE>(c, b, a) }
    }

    #[inline(always)]
    fn settle(mut v: float32x4_t) -> float32x4_t {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0:v} */", inout(vreg) v, options(nostack, preserves_flags)) };
        v
    }

    #[inline(always)]
    fn opaque(mut x: usize) -> usize {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }

    #[inline(always)]
    fn prefetch(p: *const f32) {
        prfm!("pldl2keep", p);
    }

    #[inline(always)]
    fn prefetch_near(p: *const f32) {
        prfm!("pldl1keep", p);
    }

    #[inline(always)]
    fn prefetch_write(p: *const f32) {
        prfm!("pstl1keep", p);
    }

    // The intrinsics are unstable.
    #[inline(always)]
    fn dot(a: float32x4_t, b: float32x4_t, mut c: float32x4_t) -> float32x4_t {
        // SAFETY: `DOT`'s kernels run only where FEAT_BF16 is available; any bits are bf16.
        unsafe {
            asm!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.8h",
                inout(vreg) c, in(vreg) b, in(vreg) a,
                options(pure, nomem, nostack, preserves_flags));
        }
        c
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        a: float32x4_t,
        b: float32x4_t,
        mut c: float32x4_t,
    ) -> float32x4_t {
        // SAFETY: as above.
        unsafe {
            asm!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.2h[{3}]",
                inout(vreg) c, in(vreg) b, in(vreg) a, const LANE,
                options(pure, nomem, nostack, preserves_flags));
        }
        c
    }

    // The intrinsics of f16 are unstable, the instructions are part of every AArch64.
    #[inline(always)]
    fn f16_to_f32(v: uint16x4_t) -> float32x4_t {
        let to: float32x4_t;
        // SAFETY: kernels run only where the level is available.
        unsafe {
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) to, in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
        }
        to
    }

    #[inline(always)]
    fn f32_to_f16(v: float32x4_t) -> uint16x4_t {
        let to: uint16x4_t;
        // SAFETY: as above.
        unsafe {
            asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) to, in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
        }
        to
    }

    #[inline(always)]
    fn head(n: usize) -> usize {
        n
    }

    // There are no masks, and a branch per lane multiplies into many copies of each loop. Instead all lanes
    // are moved, those beyond the head to or from the place of its last one.
    #[inline(always)]
    unsafe fn load_head(n: usize, p: *const f32) -> float32x4_t {
        // SAFETY: the caller's contract; all four places are in the head.
        let lane = |i: usize| unsafe { *p.add(i.min(n - 1)) };
        // SAFETY: both are plain data of the same size.
        unsafe { transmute::<[f32; 4], float32x4_t>([lane(0), lane(1), lane(2), lane(3)]) }
    }

    #[inline(always)]
    unsafe fn store_head(n: usize, p: *mut f32, v: float32x4_t) {
        // SAFETY: both are plain data of the same size.
        let lanes = unsafe { transmute::<float32x4_t, [f32; 4]>(v) };
        // Backwards: the lane that belongs there is the last to be written.
        for (i, lane) in lanes.into_iter().enumerate().rev() {
            // SAFETY: the caller's contract; all four places are in the head.
            unsafe { *p.add(i.min(n - 1)) = lane };
        }
    }

    #[inline(always)]
    unsafe fn load_head_16(n: usize, p: *const u16) -> uint16x4_t {
        // SAFETY: the caller's contract; a head has at most 4 lanes; any bits are a vector.
        unsafe { transmute::<u64, uint16x4_t>(read_head_16(p, n) as u64) }
    }

    #[inline(always)]
    unsafe fn store_head_16(n: usize, p: *mut u16, v: uint16x4_t) {
        // SAFETY: the caller's contract; a head has at most 4 lanes; a vector is plain bits.
        unsafe { write_head_16(p, n, u128::from(transmute::<uint16x4_t, u64>(v))) }
    }
}

/// FEAT_BF16 (Armv8.6).
mod bf16 {
    use super::*;
    use crate::isa::instantiate_dot;

    // 8×12 as for f32.
    instantiate_dot!(Neon, "gemm_dot_bf16_8x12_neon", [
        "bf16" "neon"],
        rows: [1, 2, 3, 4, 5, 6, 8], vectors: [1 2 3], pair: pair);

    /// The panel's first `depth` k, of MR rows, become pairs; beyond them are zeros.
    ///
    /// Two blocks of 4 k of a row become one of 4 pairs. It lies no further on than what it is made of, so
    /// that nothing is overwritten that is still to be read.
    ///
    /// # Safety
    /// The level is available; the panel holds whole blocks of `depth` k.
    #[target_feature(enable = "neon")]
    unsafe fn pair(panel: &mut [f32], depth: usize) {
        const L: usize = 4;
        let block = Neon::MR * L;
        for i in 0..depth.div_ceil(2 * L) {
            for row in 0..Neon::MR {
                let at = |block_of: usize| block_of * block + row * L;
                let halves = [0, 1].map(|half| {
                    let first = (2 * i + half) * L;
                    let mut k = [0.0; L];
                    let n = depth.saturating_sub(first).min(L);
                    if n > 0 {
                        k[..n].copy_from_slice(&panel[at(2 * i + half)..][..n]);
                    }
                    // SAFETY: k has a vector's elements.
                    Neon::f32_to_bf16(unsafe { Neon::load(k.as_ptr()) })
                });
                // SAFETY: both are plain data of the same size.
                let pairs = unsafe { transmute::<[uint16x4_t; 2], [f32; L]>(halves) };
                panel[at(i)..at(i) + L].copy_from_slice(&pairs);
            }
        }
    }
}

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Neon, "neon", ["neon"],
    rows: [1, 2, 3, 4, 5, 6, 8], vectors: [1 2 3],
    gemm: "8x12", window: "8", pixels: [8 4 2 1],
    strips: [("6", [6 5 4 3 2 1]), ("6", [6 5 4 3 2 1])], [("6", [6 4 3 1]), ("6", [6 4 3 1])],
    dot: bf16::DOT);
