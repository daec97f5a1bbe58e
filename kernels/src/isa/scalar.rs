//! Scalar: one lane, plain Rust. The fused multiply-add is correctly rounded, by a library call where the
//! compilation target has no instruction, hence slow there but the same bits.

use crate::isa::{Isa, MAX_LANES, instantiate};
use crate::{Level, element};

/// One f32 at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

const LEVEL: Level = Level::Scalar;

impl Isa for Scalar {
    type V = f32;
    type H = u16;
    type Mask = bool;
    // A head of a vector of one lane is all of it.
    type Head = ();
    // As is the only order of one lane.
    type Places = ();

    const LANES: usize = 1;
    // 4×2: eight accumulators hide some of the latency, and nothing else matters here.
    const MR: usize = 4;
    const NV: usize = 2;

    #[inline(always)]
    fn splat(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        #[cfg(feature = "std")]
        {
            a.mul_add(b, c)
        }
        #[cfg(not(feature = "std"))]
        {
            libm::fmaf(a, b, c)
        }
    }

    #[inline(always)]
    fn add(a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn sub(a: f32, b: f32) -> f32 {
        a - b
    }

    #[inline(always)]
    fn mul(a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn div(a: f32, b: f32) -> f32 {
        a / b
    }

    #[inline(always)]
    fn minus_abs(x: f32) -> f32 {
        -x.abs()
    }

    #[inline(always)]
    fn power_of_two(n: f32) -> f32 {
        f32::from_bits((n.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
    }

    #[inline(always)]
    fn at_least(bound: f32, x: f32) -> f32 {
        if bound > x { bound } else { x }
    }

    #[inline(always)]
    fn at_most(bound: f32, x: f32) -> f32 {
        if bound < x { bound } else { x }
    }

    #[inline(always)]
    fn less(a: f32, b: f32) -> bool {
        a < b
    }

    #[inline(always)]
    fn ordered(x: f32) -> bool {
        !x.is_nan()
    }

    #[inline(always)]
    fn and(a: bool, b: bool) -> bool {
        a & b
    }

    #[inline(always)]
    fn select(mask: bool, a: f32, b: f32) -> f32 {
        if mask { a } else { b }
    }

    #[inline(always)]
    fn places(_: [u32; MAX_LANES]) {}

    #[inline(always)]
    fn permute(v: f32, (): ()) -> f32 {
        v
    }

    #[inline(always)]
    fn prefetch(_: *const f32) {}

    #[inline(always)]
    fn prefetch_near(_: *const f32) {}

    #[inline(always)]
    fn prefetch_write(_: *const f32) {}

    #[inline(always)]
    fn f16_to_f32(v: u16) -> f32 {
        element::f16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_f16(v: f32) -> u16 {
        element::f32_to_f16(v)
    }

    #[inline(always)]
    fn bf16_to_f32(v: u16) -> f32 {
        element::bf16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_bf16(v: f32) -> u16 {
        element::f32_to_bf16(v)
    }

    #[inline(always)]
    fn head(_: usize) {}

    #[inline(always)]
    unsafe fn load_head((): (), p: *const f32) -> f32 {
        // SAFETY: the caller's contract.
        unsafe { p.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_head((): (), p: *mut f32, v: f32) {
        // SAFETY: the caller's contract.
        unsafe { p.write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_head_16((): (), p: *const u16) -> u16 {
        // SAFETY: the caller's contract.
        unsafe { p.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_head_16((): (), p: *mut u16, v: u16) {
        // SAFETY: the caller's contract.
        unsafe { p.write_unaligned(v) }
    }
}

// The general window kernels alone: this level is for comparison, and for CPUs that have no other.
instantiate!(Scalar, "scalar", [], rows: [1, 2, 3, 4], vectors: [1 2],
    gemm: "4x2", window: "4", pixels: [4 1]);
