//! The peak of the calling core, the yardstick of every speed figure.

use crate::arithmetic::Arithmetic;
use crate::error::{Error, Result};
use crate::fma_loop::CHAINS;
use crate::level::Level;
use crate::table;

/// Executes multiply-adds of f32 in registers and returns how many (lanes × operations): at least
/// `at_least`. They are those of a plan in this arithmetic: fused unless it is
/// [`Arithmetic::Unfused`], or [`Arithmetic::Bf16`] on a level without fused multiply-adds. Time
/// the call to get the peak of `level` on the calling core.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let start = std::time::Instant::now();
/// let multiply_adds = burn_multiply_adds(Level::best(), Arithmetic::Exact, 100_000)?;
/// let peak = 2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64(); // FLOP/s
/// assert!(multiply_adds >= 100_000 && peak > 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::LevelUnavailable`], [`Error::ArithmeticUnavailable`].
pub fn burn_multiply_adds(level: Level, arithmetic: Arithmetic, at_least: u64) -> Result<u64> {
    let (level, arithmetic) = (level.checked()?, arithmetic.checked()?);
    let kernels = table::of(level).ok_or(Error::LevelUnavailable { level })?;
    let per_round = (CHAINS * kernels.gemm.lanes) as u64;
    let rounds = at_least.div_ceil(per_round);
    let is_fused = match arithmetic {
        Arithmetic::Exact | Arithmetic::Fast => true,
        Arithmetic::Unfused => false,
        Arithmetic::Bf16 => level.has_fma(),
    };
    let run = kernels.unfused_loop.filter(|_| !is_fused).unwrap_or(kernels.fma_loop);
    // SAFETY: the level is available.
    core::hint::black_box(unsafe { run(&rounds) });
    Ok(rounds.saturating_mul(per_round))
}
