//! A loop of multiply-adds on registers: the peak of a core.

use crate::simd::{Kernel, MAX_LANES, Simd};

/// Independent chains: enough to cover the latency of two FMAs per cycle, few enough for 16
/// registers.
pub(crate) const CHAINS: usize = 12;

/// The kernel: so many rounds of 12 independent multiply-adds that never leave registers. Returns a
/// number that depends on all of them.
#[derive(Debug)]
pub(crate) struct FmaLoop;

impl Kernel for FmaLoop {
    type Args = u64;
    type Output = f32;

    /// # Safety
    /// None of its own.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, &rounds: &u64) -> f32 {
        let mut acc = [simd.splat(1.0); CHAINS];
        let (x, y) = (simd.splat(core::hint::black_box(0.999_999)), simd.splat(1e-6));
        for _ in 0..rounds {
            for v in &mut acc {
                *v = if S::FUSED {
                    // Added to: where FMA is destructive (NEON), only the addend can be.
                    simd.accumulate(x, y, *v)
                } else {
                    // Multiplied: a product of constants would be computed once.
                    simd.accumulate(*v, x, y)
                };
            }
        }
        let mut sum = acc[0];
        for v in &acc[1..] {
            sum = simd.add(sum, *v);
        }
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: that many elements are at least a vector.
        unsafe { simd.store(lanes.as_mut_ptr(), sum) };
        lanes.into_iter().sum()
    }
}
