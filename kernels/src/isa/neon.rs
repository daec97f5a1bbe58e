//! NEON (AArch64 Advanced SIMD): 4 lanes, 32 registers.

use core::arch::aarch64::*;
use core::arch::asm;

use pulp::Simd;

use crate::Level;
use crate::isa::{Head, Isa, V, instantiate, read_head_16, write_head_16};

/// pulp's `Neon`.
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
    type S = pulp::aarch64::Neon;
    type H = uint16x4_t;

    // 8×12: 24 accumulators, 3 vectors of B and 4 of A, of half the rows, fit 32 registers.
    const MR: usize = 8;
    const NV: usize = 3;
    const LANE_FMA: bool = true;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        // SAFETY: the caller vouches that the level is available, which `Neon::try_new` decided.
        unsafe { pulp::aarch64::Neon::new_unchecked() }
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

    // fmax gives +0 for (+0, −0) and would lose the −0 of `x`: compare and select instead.
    #[inline(always)]
    fn at_least(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.select_f32s(s.greater_than_f32s(bound, x), bound, x)
    }

    #[inline(always)]
    fn at_most(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        s.select_f32s(s.less_than_f32s(bound, x), bound, x)
    }

    #[inline(always)]
    fn settle(v: V<Self>) -> V<Self> {
        let mut register: float32x4_t = pulp::cast(v);
        // SAFETY: no instruction.
        unsafe { asm!("/* {0:v} */", inout(vreg) register, options(nostack, preserves_flags)) };
        pulp::cast(register)
    }

    #[inline(always)]
    fn opaque(mut x: usize) -> usize {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
        x
    }

    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(a: V<Self>, b: V<Self>, c: V<Self>) -> V<Self> {
        let (a, b, c) = (pulp::cast(a), pulp::cast(b), pulp::cast(c));
        // SAFETY: kernels run only where the level is available.
        pulp::cast(unsafe { vfmaq_laneq_f32::<LANE>(c, b, a) })
    }

    // The intrinsics are unstable.
    #[inline(always)]
    fn dot(a: V<Self>, b: V<Self>, c: V<Self>) -> V<Self> {
        let (a, b): (float32x4_t, float32x4_t) = (pulp::cast(a), pulp::cast(b));
        let mut sum: float32x4_t = pulp::cast(c);
        // SAFETY: `DOT`'s kernels run only where FEAT_BF16 is available; any bits are bf16.
        unsafe {
            asm!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.8h",
                inout(vreg) sum, in(vreg) b, in(vreg) a,
                options(pure, nomem, nostack, preserves_flags));
        }
        pulp::cast(sum)
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(a: V<Self>, b: V<Self>, c: V<Self>) -> V<Self> {
        let (a, b): (float32x4_t, float32x4_t) = (pulp::cast(a), pulp::cast(b));
        let mut sum: float32x4_t = pulp::cast(c);
        // SAFETY: as above.
        unsafe {
            asm!("bfdot {0:v}.4s, {1:v}.8h, {2:v}.2h[{3}]",
                inout(vreg) sum, in(vreg) b, in(vreg) a, const LANE,
                options(pure, nomem, nostack, preserves_flags));
        }
        pulp::cast(sum)
    }

    // The intrinsics of f16 are unstable, the instructions are part of every AArch64.
    #[inline(always)]
    fn f16_to_f32(v: uint16x4_t) -> V<Self> {
        let to: float32x4_t;
        // SAFETY: kernels run only where the level is available.
        unsafe {
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) to, in(vreg) v,
                options(pure, nomem, nostack, preserves_flags));
        }
        pulp::cast(to)
    }

    #[inline(always)]
    fn f32_to_f16(v: V<Self>) -> uint16x4_t {
        let from: float32x4_t = pulp::cast(v);
        let to: uint16x4_t;
        // SAFETY: as above.
        unsafe {
            asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) to, in(vreg) from,
                options(pure, nomem, nostack, preserves_flags));
        }
        to
    }

    #[inline(always)]
    fn bf16_to_f32(v: uint16x4_t) -> V<Self> {
        // SAFETY: as above.
        pulp::cast(unsafe { vshlq_n_u32::<16>(vmovl_u16(v)) })
    }

    // See `element::f32_to_bf16`.
    #[inline(always)]
    fn f32_to_bf16(v: V<Self>) -> uint16x4_t {
        let x: float32x4_t = pulp::cast(v);
        let bits: uint32x4_t = pulp::cast(v);
        // SAFETY: as above.
        unsafe {
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
            let number = vceqq_f32(x, x);
            vshrn_n_u32::<16>(vbslq_u32(number, rounded, quiet))
        }
    }

    #[inline(always)]
    unsafe fn load_head_16(head: Head<Self>, p: *const u16) -> uint16x4_t {
        // SAFETY: the caller's contract; a head has at most 4 lanes.
        pulp::cast(unsafe { read_head_16(p, head.n) } as u64)
    }

    #[inline(always)]
    unsafe fn store_head_16(head: Head<Self>, p: *mut u16, v: uint16x4_t) {
        let bits: u64 = pulp::cast(v);
        // SAFETY: the caller's contract; a head has at most 4 lanes.
        unsafe { write_head_16(p, head.n, u128::from(bits)) }
    }

    // There are no masks, and a branch per lane multiplies into many copies of each loop. Instead all lanes
    // are moved, those beyond the head to or from the place of its last one.
    #[inline(always)]
    unsafe fn load_head(_: Self::S, head: Head<Self>, p: *const f32) -> V<Self> {
        // SAFETY: the caller's contract; all four places are in the head.
        let lane = |i: usize| unsafe { *p.add(i.min(head.n - 1)) };
        pulp::f32x4(lane(0), lane(1), lane(2), lane(3))
    }

    #[inline(always)]
    unsafe fn store_head(_: Self::S, head: Head<Self>, p: *mut f32, v: V<Self>) {
        // Backwards: the lane that belongs there is the last to be written.
        for (i, lane) in [(3, v.3), (2, v.2), (1, v.1), (0, v.0)] {
            // SAFETY: the caller's contract; all four places are in the head.
            unsafe { *p.add(i.min(head.n - 1)) = lane };
        }
    }
}

/// FEAT_BF16 (Armv8.6).
mod bf16 {
    use super::*;
    use crate::gemm::kernel::{GemmTile, tile};
    use crate::isa::element::Pair;
    use crate::isa::{DotKernels, GemmFn, GemmKernels};

    /// All rows of a tile for some vectors.
    macro_rules! rows {
        ($n:literal) => {
            [
                gemm::<1, $n> as GemmFn,
                gemm::<2, $n>,
                gemm::<3, $n>,
                gemm::<4, $n>,
                gemm::<5, $n>,
                gemm::<6, $n>,
                gemm::<7, $n>,
                gemm::<8, $n>,
            ]
        };
    }

    /// 8×12 as for f32.
    pub(super) const DOT: DotKernels = DotKernels {
        is_available,
        gemm: GemmKernels {
            name: "gemm_dot_bf16_8x12_neon",
            packed: &[&rows!(1), &rows!(2), &rows!(3)],
            direct: &[],
        },
        pair,
    };

    fn is_available() -> bool {
        #[cfg(feature = "std")]
        {
            std::arch::is_aarch64_feature_detected!("bf16")
        }
        #[cfg(not(feature = "std"))]
        {
            cfg!(target_feature = "bf16")
        }
    }

    #[target_feature(enable = "neon,bf16")]
    unsafe fn gemm<const M: usize, const N: usize>(t: &GemmTile) {
        // SAFETY: the caller vouches for the tile and for the CPU.
        unsafe { tile::<Neon, Pair, M, N, false>(Neon::token(), t) }
    }

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
                    Neon::f32_to_bf16(pulp::cast(k))
                });
                panel[at(i)..at(i) + L].copy_from_slice(&pulp::cast::<_, [f32; L]>(halves));
            }
        }
    }
}

// Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.
instantiate!(Neon, "neon", ["neon"],
    rows: [1 2 3 4 5 6 7 8], vectors: [1 2 3],
    gemm: "8x12", window: "8", pixels: [8 4 2 1],
    slide: "14", [14 8 5 3 2 1],
    strip: "6", [6 5 4 3 2 1], [6 4 3 1],
    dot: bf16::DOT);
