//! Times beside the FMA peak: the clock of a machine moves, a share of its peak moves less.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sepconv::kernels::{Level, burn_fma};
use serde::Serialize;

use super::{Result, threads};

/// What a series of runs shows.
#[derive(Serialize)]
pub(super) struct Speed {
    pub(super) min_ms: f64,
    pub(super) median_ms: f64,
    /// Of the median run; a multiply-add counts as two operations.
    pub(super) gflops: f64,
    /// The median of the runs' shares of the peak measured beside each.
    pub(super) peak_share: f64,
}

impl Speed {
    /// Of runs of `multiply_adds` each: their times in seconds, at least one, and the FLOP/s of the
    /// peak beside each.
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

/// What a timing lasts at least: what is faster is run several times in a row, and before it once
/// untimed.
const LEAST: Duration = Duration::from_millis(2);

/// Of several things timed in turns: seconds of one run, and the FLOP/s of the peak beside each
/// round.
pub(super) struct Rounds {
    /// By thing, then by round.
    pub(super) times: Vec<Vec<f64>>,
    pub(super) peaks: Vec<f64>,
}

/// How things are timed in turns, so that what disturbs one disturbs all.
pub(super) struct Turns<'a> {
    pub(super) level: Level,
    pub(super) rounds: u32,
    /// Counts the rounds.
    pub(super) bar: &'a ProgressBar,
}

impl Turns<'_> {
    /// Times things, after a few runs for warming up.
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
            series.peaks.push(peak(self.level)?);
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

/// The middle value; the upper one of two.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The FLOP/s that all threads together reach on registers.
pub(super) fn peak(level: Level) -> Result<f64> {
    // About 10 ms of the fastest level, 100 ms of the slowest.
    let work = if level == Level::Scalar { 20_000_000 } else { 500_000_000 };
    let start = Instant::now();
    let done = threads::broadcast(|| burn_fma(level, work));
    let time = start.elapsed().as_secs_f64();
    let mut multiply_adds = 0;
    for count in done {
        multiply_adds += count?;
    }
    Ok(2.0 * multiply_adds as f64 / time)
}
