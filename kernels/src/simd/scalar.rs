//! Scalar: one lane, plain Rust. The fused multiply-add is correctly rounded, by a library call
//! where the compilation target has no instruction, hence slow there but the same bits.

use crate::element;
use crate::level::Level;
use crate::simd::{Kernel, MAX_LANES, Simd};

/// One f32 at a time, which all CPUs have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type Vector = f32;
    type Vector16 = u16;
    type Mask = bool;
    // The first lanes of a vector of one lane are all of it.
    type MemMask = ();
    // As is the only order of one lane.
    type Indices = ();

    const LEVEL: Level = Level::Scalar;
    const LANES: usize = 1;

    fn detect() -> Option<Self> {
        Some(Self)
    }

    unsafe fn entry<K: Kernel>(args: &K::Args) -> K::Output {
        // SAFETY: the caller keeps the kernel's contract; every CPU has the level.
        unsafe { K::run(Self, args) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
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
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }

    #[inline(always)]
    fn neg_abs(self, x: f32) -> f32 {
        -x.abs()
    }

    #[inline(always)]
    fn power_of_two(self, n: f32) -> f32 {
        f32::from_bits((n.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
    }

    #[inline(always)]
    fn clamp_min(self, bound: f32, x: f32) -> f32 {
        if bound > x { bound } else { x }
    }

    #[inline(always)]
    fn clamp_max(self, bound: f32, x: f32) -> f32 {
        if bound < x { bound } else { x }
    }

    #[inline(always)]
    fn less_than(self, a: f32, b: f32) -> bool {
        a < b
    }

    #[inline(always)]
    fn is_ordered(self, x: f32) -> bool {
        !x.is_nan()
    }

    #[inline(always)]
    fn and(self, a: bool, b: bool) -> bool {
        a & b
    }

    #[inline(always)]
    fn select(self, mask: bool, a: f32, b: f32) -> f32 {
        if mask { a } else { b }
    }

    #[inline(always)]
    fn indices(self, _: [u32; MAX_LANES]) {}

    #[inline(always)]
    fn permute(self, v: f32, (): ()) -> f32 {
        v
    }

    // A square of one.
    #[inline(always)]
    fn transpose(self, _: &mut [f32; MAX_LANES]) {}

    #[inline(always)]
    fn prefetch_l2<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_l1<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_write<T>(self, _: *const T) {}

    #[inline(always)]
    fn f16_to_f32(self, v: u16) -> f32 {
        element::f16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_f16(self, v: f32) -> u16 {
        element::f32_to_f16(v)
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: u16) -> f32 {
        element::bf16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_bf16(self, v: f32) -> u16 {
        element::f32_to_bf16(v)
    }

    #[inline(always)]
    fn mem_mask(self, _: usize) {}

    #[inline(always)]
    unsafe fn mask_load(self, (): (), p: *const f32) -> f32 {
        // SAFETY: the mask's lanes are valid for reading.
        unsafe { p.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn mask_store(self, (): (), p: *mut f32, v: f32) {
        // SAFETY: the mask's lanes are valid for writing.
        unsafe { p.write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, (): (), p: *const u16) -> u16 {
        // SAFETY: the mask's elements are valid for reading.
        unsafe { p.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, (): (), p: *mut u16, v: u16) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { p.write_unaligned(v) }
    }
}
