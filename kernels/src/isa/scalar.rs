//! Scalar: one lane, plain Rust. The fused multiply-add is `f32::mul_add`: correctly rounded, by a
//! library call where the compilation target has no instruction, hence slow there but the same bits.

use crate::isa::{Head, Isa, V, instantiate};
use crate::{Level, element};

/// One f32 at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

const LEVEL: Level = Level::Scalar;

impl Isa for Scalar {
    type S = pulp::Scalar;
    type H = u16;

    // 4×4: sixteen accumulators fit where there are registers for them, and nothing else matters here.
    const MR: usize = 4;
    const NV: usize = 4;

    #[inline(always)]
    unsafe fn token() -> Self::S {
        pulp::Scalar::new()
    }

    #[inline(always)]
    fn prefetch(_: *const f32) {}

    #[inline(always)]
    fn prefetch_near(_: *const f32) {}

    #[inline(always)]
    fn prefetch_write(_: *const f32) {}

    #[inline(always)]
    fn at_least(_: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        if bound > x { bound } else { x }
    }

    #[inline(always)]
    fn at_most(_: Self::S, bound: V<Self>, x: V<Self>) -> V<Self> {
        if bound < x { bound } else { x }
    }

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

    // A head of a vector of one lane is all of it.
    #[inline(always)]
    unsafe fn load_head_16(_: Head<Self>, p: *const u16) -> u16 {
        // SAFETY: the caller's contract.
        unsafe { p.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_head_16(_: Head<Self>, p: *mut u16, v: u16) {
        // SAFETY: the caller's contract.
        unsafe { p.write_unaligned(v) }
    }
}

instantiate!(Scalar, "scalar", [], rows: [1 2 3 4], vectors: [1 2 3 4],
    gemm: "4x4", window: "4", pixels: [4 2 1],
    slide: "4", [4 2 1],
    strip: "2", [2 1], [2 1]);
