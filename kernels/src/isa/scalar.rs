//! Scalar: one lane, plain Rust. The fused multiply-add is `f32::mul_add`: correctly rounded, by a
//! library call where the compilation target has no instruction, hence slow there but the same bits.

use crate::Level;
use crate::isa::{Isa, V, instantiate};

/// One f32 at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

const LEVEL: Level = Level::Scalar;

impl Isa for Scalar {
    type S = pulp::Scalar;

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
}

instantiate!(Scalar, "scalar", [], rows: [1 2 3 4], vectors: [1 2 3 4],
    gemm: "4x4", window: "4", pixels: [4 2 1],
    slide: "4", [4 3 2 1],
    strip: "2", [1 2]);
