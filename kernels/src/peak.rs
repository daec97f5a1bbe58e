//! The FMA peak of the calling core, the yardstick of every speed figure.

use crate::error::{Error, Result};
use crate::fma_loop::CHAINS;
use crate::level::Level;
use crate::table;

/// Executes fused multiply-adds on registers and returns how many multiply-adds (lanes × FMAs) that
/// were: at least `at_least`. Time the call to get the peak of `level` on the calling core.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
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
