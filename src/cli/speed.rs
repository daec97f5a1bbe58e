//! Times, compared with the peak of multiply-adds. The clock of a machine varies; the share of its
//! peak varies less.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sepconv::kernels::{Arithmetic, Level, burn_multiply_adds};
use serde::Serialize;

use super::{Result, threads};

/// The statistics of a series of runs.
#[derive(Serialize)]
pub(super) struct Speed {
    pub(super) min_ms: f64,
    pub(super) median_ms: f64,
    /// The rate of the median run. A multiply-add counts as two operations.
    pub(super) gflops: f64,
    /// The median of the runs' shares of the peak measured next to each.
    pub(super) peak_share: f64,
}

impl Speed {
    /// From the times of at least one run in seconds, and the peak in FLOP/s measured next to each.
    /// Each run does `multiply_adds`.
    pub(super) fn new(multiply_adds: u64, times: &[f64], peaks: &[f64]) -> Self {
        let flop = 2.0 * multiply_adds as f64;
        let min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let median_time = median(times.iter().copied());
        Self {
            min_ms: min * 1e3,
            median_ms: median_time * 1e3,
            gflops: flop / median_time / 1e9,
            peak_share: median(times.iter().zip(peaks).map(|(time, peak)| flop / time / peak)),
        }
    }
}

/// The least duration of a timing. A faster thing is run several times in a row, after an untimed
/// run.
const LEAST: Duration = Duration::from_millis(2);

/// The results of timing several things alternately: seconds of one run, and the peak in FLOP/s of
/// each round.
pub(super) struct Rounds {
    /// Indexed by thing, then by round.
    pub(super) times: Vec<Vec<f64>>,
    pub(super) peaks: Vec<f64>,
}

/// How to time things alternately, so that a disturbance affects all of them.
pub(super) struct Turns<'a> {
    pub(super) level: Level,
    /// The arithmetic of the things, whose peak is measured beside them.
    pub(super) arithmetic: Arithmetic,
    pub(super) rounds: u32,
    /// Counts the rounds.
    pub(super) bar: &'a ProgressBar,
}

impl Turns<'_> {
    /// Times things after a few warm-up runs.
    pub(super) fn time(&self, things: &mut [&mut dyn FnMut() -> Result]) -> Result<Rounds> {
        let mut repeats = vec![1_u32; things.len()];
        for (thing, repeats) in things.iter_mut().zip(&mut repeats) {
            while time(thing, *repeats)? < LEAST {
                *repeats *= 2;
            }
        }
        let mut series = Rounds { times: vec![Vec::new(); things.len()], peaks: Vec::new() };
        for _ in 0..self.rounds {
            for (i, thing) in things.iter_mut().enumerate() {
                if repeats[i] > 1 {
                    thing()?;
                }
                let time = time(thing, repeats[i])?;
                series.times[i].push(time.as_secs_f64() / f64::from(repeats[i]));
            }
            series.peaks.push(peak(self.level, self.arithmetic)?);
            self.bar.inc(1);
        }
        Ok(series)
    }
}

fn time(thing: &mut dyn FnMut() -> Result, repeats: u32) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..repeats {
        thing()?;
    }
    Ok(start.elapsed())
}

/// The median; of two middle values, the upper one.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The FLOP/s that all threads together reach on registers by multiply-adds of an arithmetic: the
/// FMA peak, or that of multiplications and additions.
pub(super) fn peak(level: Level, arithmetic: Arithmetic) -> Result<f64> {
    // About 10 ms of the fastest level, 100 ms of the slowest.
    let fused = matches!(arithmetic, Arithmetic::Exact | Arithmetic::Fast);
    let slow = level == Level::Scalar || fused && !level.has_fma();
    let work = if slow { 20_000_000 } else { 500_000_000 };
    let start = Instant::now();
    let done = threads::broadcast(|| burn_multiply_adds(level, arithmetic, work));
    let time = start.elapsed().as_secs_f64();
    let mut multiply_adds = 0;
    for count in done {
        multiply_adds += count?;
    }
    Ok(2.0 * multiply_adds as f64 / time)
}
