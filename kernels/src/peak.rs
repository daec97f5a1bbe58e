//! The FMA peak of the calling core, the yardstick of every speed figure.

use crate::error::{Error, Result};
use crate::level::Level;
use crate::simd::{Kernel, MAX_LANES, Simd};
use crate::table;

/// Independent chains: enough to cover the latency of two FMAs per cycle, few enough for 16 registers.
const CHAINS: usize = 12;

/// The kernel: so many rounds of 12 independent FMAs that never leave registers. Returns a number that depends
/// on all of them.
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
            // Added to: where FMA is destructive (NEON), only the addend can be.
            for v in &mut acc {
                *v = simd.mul_add(x, y, *v);
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

/// Executes fused multiply-adds on registers and returns how many multiply-adds (lanes × FMAs) that
/// were: at least `at_least`. Time the call to get the peak of `level` on the calling core.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let start = std::time::Instant::now();
/// let multiply_adds = burn_fma(Level::best(), 100_000)?;
/// let peak = 2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64(); // FLOP/s
/// assert!(multiply_adds >= 100_000 && peak > 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::LevelUnavailable`].
pub fn burn_fma(level: Level, at_least: u64) -> Result<u64> {
    let level = level.checked()?;
    let kernels = table::of(level).ok_or(Error::LevelUnavailable { level })?;
    let per_round = (CHAINS * kernels.gemm.lanes) as u64;
    let rounds = at_least.div_ceil(per_round);
    // SAFETY: the level is available.
    core::hint::black_box(unsafe { (kernels.fma_loop)(&rounds) });
    Ok(rounds.saturating_mul(per_round))
}
