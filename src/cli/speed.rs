//! Times, compared with the peak of multiply-adds. The clock of a machine varies; the share of its
//! peak varies less. Rounds beside which the peak fell don't count.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sepconv::kernels::{Arithmetic, Level, burn_multiply_adds};
use serde::Serialize;

use super::{Result, threads};

/// The statistics of a series of runs. All but the least time follow from the median time, so that
/// no two of them contradict each other.
#[derive(Serialize)]
pub(super) struct Speed {
    pub(super) min_ms: f64,
    pub(super) median_ms: f64,
    /// Half of the runs lie between.
    pub(super) quartiles_ms: [f64; 2],
    /// The rate of the median run. A multiply-add counts as two operations.
    pub(super) gflops: f64,
    /// That rate ÷ the peak.
    pub(super) peak_share: f64,
}

impl Speed {
    /// From the times of at least one run in seconds, each of `multiply_adds`, and the peak in
    /// FLOP/s: the median of those that were measured beside the runs.
    pub(super) fn new(multiply_adds: u64, times: &[f64], peak: f64) -> Self {
        let min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let median_time = median(times.iter().copied());
        let rate = 2.0 * multiply_adds as f64 / median_time;
        Self {
            min_ms: min * 1e3,
            median_ms: median_time * 1e3,
            quartiles_ms: quartiles(times.iter().copied()).map(|time| time * 1e3),
            gflops: rate / 1e9,
            peak_share: rate / peak,
        }
    }
}

/// A share of the peak, in percent. A share above 100 % is not shown as a number: the peak was
/// disturbed when it was measured, or it is that of another arithmetic.
pub(super) fn percent(share: f64) -> String {
    if share > 1.0 { "> 100 %".into() } else { format!("{:.1} %", share * 100.0) }
}

/// A time with as many decimals as it has four digits: 0.003142, 13.23, 170.3.
pub(super) fn milliseconds(ms: f64) -> String {
    let before = if ms > 0.0 { ms.log10().floor() } else { 0.0 };
    let decimals = (3.0 - before).clamp(1.0, 6.0) as usize;
    format!("{ms:.decimals$}")
}

/// What shares of more than the FMA peak mean, if there are any among those of floats.
pub(super) fn doubt(shares: impl IntoIterator<Item = f64>) -> Option<&'static str> {
    // What the clock and its resolution account for.
    const MOST: f64 = 1.03;
    shares.into_iter().any(|share| share > MOST).then_some(
        "Nothing exceeds the peak: something else ran while that was measured. Repeat this when \
         the machine is quiet.",
    )
}

/// The least duration of a timing. A faster thing is run several times in a row, after an untimed
/// run.
const LEAST: Duration = Duration::from_millis(2);

/// The peaks in FLOP/s beside a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    /// Of all threads together.
    all: f64,
    /// Of one thread, while the others wait.
    one: f64,
}

/// The results of timing several things alternately, of the rounds that count.
pub(super) struct Rounds {
    /// Seconds of one run, indexed by thing, then by round.
    pub(super) times: Vec<Vec<f64>>,
    /// Of each round.
    pub(super) peaks: Vec<Peak>,
    /// How many rounds don't count.
    pub(super) dropped: usize,
}

impl Rounds {
    /// Drops the rounds beside which the peak fell.
    pub(super) fn new(times: Vec<Vec<f64>>, peaks: Vec<Peak>) -> Self {
        let kept = kept(&peaks, threads::current());
        let of = |values: Vec<f64>| {
            let values = values.into_iter().zip(&kept);
            values.filter_map(|(value, &kept)| kept.then_some(value)).collect()
        };
        let times = times.into_iter().map(of).collect();
        let all = peaks.len();
        let peaks: Vec<Peak> =
            peaks.into_iter().zip(&kept).filter_map(|(peak, &kept)| kept.then_some(peak)).collect();
        Self { times, dropped: all - peaks.len(), peaks }
    }
}

/// The medians of peaks in FLOP/s: of all threads together, and of one.
pub(super) fn median_peaks<'a>(peaks: impl Iterator<Item = &'a Peak> + Clone) -> [f64; 2] {
    [median(peaks.clone().map(|peak| peak.all)), median(peaks.map(|peak| peak.one))]
}

/// What the least peak that counts is to the best.
const FALLEN: f64 = 0.9;
/// What all threads' peak is at least to the sum of so many single ones: on two threads, 1.7 to one.
const LENT: f64 = 0.85;

/// Which rounds count: those whose peaks are near the best, and in which each thread has about as
/// much as one has alone. If no round meets the second condition, because the threads share a core
/// throughout, it is left out.
fn kept(peaks: &[Peak], threads: usize) -> Vec<bool> {
    let best = |of: fn(&Peak) -> f64| peaks.iter().map(of).fold(0.0, f64::max);
    let (all, one) = (best(|peak| peak.all), best(|peak| peak.one));
    let cores = available_parallelism().map_or(threads, usize::from).min(threads) as f64;
    let near = |peak: &Peak| peak.all >= FALLEN * all && peak.one >= FALLEN * one;
    let lent = |peak: &Peak| near(peak) && peak.all >= LENT * cores * peak.one;
    for rule in [&lent as &dyn Fn(&Peak) -> bool, &near] {
        if peaks.iter().any(rule) {
            return peaks.iter().map(rule).collect();
        }
    }
    vec![true; peaks.len()]
}

/// Tells how many of `rounds` don't count, if any.
pub(super) fn dropped_text(dropped: usize, rounds: usize) -> Option<String> {
    let of = format!("Dropped {dropped} of {rounds} rounds, beside which the FMA peak fell.");
    (dropped > 0).then_some(of)
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
        let (mut times, mut peaks) = (vec![Vec::new(); things.len()], Vec::new());
        for _ in 0..self.rounds {
            for (i, thing) in things.iter_mut().enumerate() {
                if repeats[i] > 1 {
                    thing()?;
                }
                let time = time(thing, repeats[i])?;
                times[i].push(time.as_secs_f64() / f64::from(repeats[i]));
            }
            peaks.push(peak(self.level, self.arithmetic)?);
            self.bar.inc(1);
        }
        Ok(Rounds::new(times, peaks))
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

/// The values between which the middle half lies.
pub(super) fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let quarter = values.len() / 4;
    [values[quarter], values[values.len() - 1 - quarter]]
}

/// The bursts of multiply-adds by which a thread measures its peak.
const BURSTS: u64 = 5;

/// The FLOP/s reached on registers by multiply-adds of an arithmetic: the FMA peak, or that of
/// multiplications and additions. A thread's is the median of a few bursts, so that what takes the
/// CPU away from one of them doesn't lower it.
pub(super) fn peak(level: Level, arithmetic: Arithmetic) -> Result<Peak> {
    // About 10 ms of the fastest level, 100 ms of the slowest.
    let fused = matches!(arithmetic, Arithmetic::Exact | Arithmetic::Fast);
    let slow = level == Level::Scalar || fused && !level.has_fma();
    let work = if slow { 20_000_000 } else { 500_000_000 };
    let burst = || -> Result<f64> {
        let start = Instant::now();
        let multiply_adds = burn_multiply_adds(level, arithmetic, work / BURSTS)?;
        Ok(2.0 * multiply_adds as f64 / start.elapsed().as_secs_f64())
    };
    let thread = || -> Result<f64> {
        let rates: Vec<f64> = (0..BURSTS).map(|_| burst()).collect::<Result<_>>()?;
        Ok(median(rates.into_iter()))
    };
    let all = threads::broadcast(thread).into_iter().sum::<Result<f64>>()?;
    let one = if threads::current() == 1 { all } else { thread()? };
    Ok(Peak { all, one })
}

#[cfg(test)]
mod tests {
    use super::{Peak, Rounds, Speed, doubt, kept, milliseconds, percent, quartiles};

    /// All numbers follow from the median time and the peak.
    #[test]
    fn numbers_agree() {
        let speed = Speed::new(3_000_000, &[0.004, 0.001, 0.002], 6e9);
        assert_eq!((speed.min_ms, speed.median_ms), (1.0, 2.0));
        assert_eq!(speed.quartiles_ms, [1.0, 4.0]);
        assert_eq!(quartiles((0..9).map(f64::from)), [2.0, 6.0]);
        assert_eq!((speed.gflops, speed.peak_share), (3.0, 0.5));
        assert!(doubt([0.5, 1.01]).is_none() && doubt([0.5, 1.41]).is_some());
    }

    #[test]
    fn rounds_whose_peak_fell_are_dropped() {
        let peaks = |of: &[[f64; 2]]| -> Vec<Peak> {
            of.iter().map(|&[all, one]| Peak { all, one }).collect()
        };
        let alone = peaks(&[[100.0; 2], [89.0; 2], [91.0; 2]]);
        assert_eq!(kept(&alone, 1), [true, false, true]);
        let rounds = Rounds::new(vec![vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]], alone);
        assert_eq!(rounds.times, [[1.0, 3.0], [4.0, 6.0]]);
        assert_eq!((rounds.peaks.len(), rounds.dropped), (2, 1));
        // One thread alone was faster than the mean of two: the other's core was taken away.
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
        if threads == 2 {
            let two = peaks(&[[190.0, 100.0], [175.0, 104.0], [191.0, 85.0]]);
            assert_eq!(kept(&two, 2), [true, false, false]);
            // Two threads of a core.
            assert_eq!(kept(&peaks(&[[110.0, 100.0], [90.0, 100.0]]), 2), [true, false]);
        }
        assert!(kept(&[], 1).is_empty());
        assert_eq!((percent(0.5), percent(1.001)), ("50.0 %".into(), "> 100 %".into()));
    }

    #[test]
    fn times_have_four_digits() {
        for (ms, text) in [
            (0.0031416, "0.003142"),
            (13.234, "13.23"),
            (170.31, "170.3"),
            (4321.0, "4321.0"),
            (0.0, "0.000"),
        ] {
            assert_eq!(milliseconds(ms), text);
        }
    }
}
