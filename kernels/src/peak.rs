//! The FMA peak of the calling core, the yardstick of every speed figure.

use pulp::Simd;

use crate::error::Result;
use crate::isa::{self, Isa};
use crate::{Error, Level};

/// Independent chains: enough to cover the latency of two FMAs per cycle, few enough for 16 registers.
const CHAINS: usize = 12;

/// Runs `rounds` rounds of 12 independent FMAs that never leave registers, and returns a number that
/// depends on all of them.
#[inline(always)]
pub(crate) fn fma_loop<I: Isa>(s: I::S, rounds: u64) -> f32 {
    let mut acc = [s.splat_f32s(1.0); CHAINS];
    let (x, y) = (s.splat_f32s(core::hint::black_box(0.999_999)), s.splat_f32s(1e-6));
    for _ in 0..rounds {
        // Added to: where FMA is destructive (NEON), only the addend can be.
        for v in &mut acc {
            *v = s.mul_add_f32s(x, y, *v);
        }
    }
    acc.into_iter().map(|v| s.reduce_sum_f32s(v)).sum()
}

/// Executes fused multiply-adds on registers and returns how many multiply-adds (lanes × FMAs) that
/// were: at least `at_least`. Time the call to get the peak of `level` on the calling core.
///
/// # Errors
/// [`Error::LevelUnavailable`].
pub fn burn_fma(level: Level, at_least: u64) -> Result<u64> {
    let level = level.checked()?;
    let kernels = isa::kernels(level).ok_or(Error::LevelUnavailable { level })?;
    let per_round = (CHAINS * kernels.lanes) as u64;
    let rounds = at_least.div_ceil(per_round);
    // SAFETY: the level is available.
    core::hint::black_box(unsafe { (kernels.fma_loop)(rounds) });
    Ok(rounds.saturating_mul(per_round))
}
