//! Times of several ways to compute the same, taken in turns beside the peak of the CPU.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use cpu_time::ProcessTime;
use sepconv_kernels::{Arithmetic, Level, burn_multiply_adds};
use serde_json::{Value, json};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// In which the last one's threads go to sleep.
const REST: Duration = Duration::from_millis(20);
/// A round counts if the peak before and after it was at least this part of the best of all rounds:
/// below it, somebody else was computing.
const QUIET: f64 = 0.9;
/// Of the largest magnitude, between what is timed and the first of its kind.
const TOLERANCE: f64 = 1e-5;

/// Time an engine alone and with sepconv
///
/// A round gives each its turn, in an order that moves on by one from round to round: one run to
/// warm up, then the timed ones. Pin the process to as many CPUs as there are threads.
#[derive(Debug, Parser)]
pub struct Args {
    /// Threads; RAYON_NUM_THREADS must say the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Timed runs in a turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: u16,
    /// Count the time that this process computes, not the time that passes: for a machine that does
    /// other things meanwhile. One thread only
    #[arg(long)]
    pub cpu_time: bool,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Args {
    /// Those of the command line, checked.
    ///
    /// # Errors
    /// The environment asks for another number of threads.
    pub fn read() -> Result<Self> {
        let args = Self::parse();
        let said = std::env::var("RAYON_NUM_THREADS");
        let threads = args.threads.to_string();
        ensure!(said.is_ok_and(|n| n == threads), "set RAYON_NUM_THREADS={threads}");
        ensure!(args.threads == 1 || !args.cpu_time, "--cpu-time: {threads} threads, must be 1");
        Ok(args)
    }

    /// Writes all series, where the command line asks for it.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, series: &[Value]) -> Result<()> {
        if let Some(path) = &self.report {
            std::fs::write(path, serde_json::to_string_pretty(series)? + "\n")?;
        }
        Ok(())
    }

    /// Times `ways`, which compute the same, prints a table and returns the figures.
    ///
    /// # Errors
    /// One fails, or differs from the first by more than rounding.
    pub fn time(&self, subject: &str, ways: &mut [Way<'_>]) -> Result<Value> {
        let mut differences = Vec::new();
        let expected = (ways[0].run)()?;
        for way in &mut *ways {
            let difference = crate::difference(&(way.run)()?, &expected)?;
            ensure!(difference <= TOLERANCE, "{}: {difference:.1e} of the largest off", way.name);
            differences.push(difference);
        }
        let mut peaks = vec![self.peak()?];
        let mut times = vec![Vec::new(); ways.len()];
        for round in 0..usize::from(self.rounds) {
            for turn in 0..ways.len() {
                let i = (round + turn) % ways.len();
                sleep(REST);
                times[i].push(self.turn(&mut ways[i])?);
            }
            peaks.push(self.peak()?);
        }
        let best = peaks.iter().copied().fold(0.0, f64::max);
        let quiet = |round: usize| peaks[round].min(peaks[round + 1]) >= QUIET * best;
        let kept: Vec<_> = (0..times[0].len()).filter(|&round| quiet(round)).collect();
        ensure!(!kept.is_empty(), "{subject}: no round was quiet, of peaks {peaks:.0?} GFLOP/s");
        let of_kept = |times: &[Vec<f64>]| -> Vec<Vec<f64>> {
            kept.iter().map(|&round| times[round].clone()).collect()
        };
        let times: Vec<_> = times.iter().map(|times| of_kept(times)).collect();
        println!(
            "\n{subject}, {} threads: {} of {} rounds quiet, peak {:.0} GFLOP/s",
            self.threads,
            kept.len(),
            self.rounds,
            best
        );
        let figures = ways.iter().zip(&times).zip(&differences).map(|((way, times_of), &off)| {
            let medians: Vec<_> = times_of.iter().map(|times| median(times)).collect();
            let ratios = times_of.iter().zip(&times[way.beside]);
            let ratios: Vec<_> = ratios.into_iter().map(|(a, b)| median(a) / median(b)).collect();
            let least = times_of.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let (ms, ratio) = (median(&medians), median(&ratios));
            println!(
                "{:36} least {least:8.2} median {ms:8.2} ms, {ratio:.3} of {}",
                way.name, ways[way.beside].name
            );
            json!({
                "name": way.name,
                "min_ms": least,
                "median_ms": ms,
                "round_medians_ms": medians,
                "over": ways[way.beside].name,
                "ratio": ratio,
                "difference": off,
            })
        });
        Ok(json!({
            "subject": subject,
            "level": Level::from_env()?.name(),
            "clock": if self.cpu_time { "CPU time of the process" } else { "wall" },
            "rounds": self.rounds,
            "quiet_rounds": kept.len(),
            "runs": self.runs,
            "peaks_gflops": peaks,
            "ways": figures.collect::<Vec<_>>(),
        }))
    }

    /// In ms, of the timed runs after one that isn't counted.
    fn turn(&self, way: &mut Way<'_>) -> Result<Vec<f64>> {
        (way.run)()?;
        let time = |_| {
            let start = self.now()?;
            (way.run)()?;
            Ok((self.now()? - start).as_secs_f64() * 1e3)
        };
        (0..self.runs).map(time).collect()
    }

    /// GFLOP/s of multiply-adds on registers, of all threads together.
    fn peak(&self) -> Result<f64> {
        let level = Level::from_env()?;
        let start = self.now()?;
        let done =
            rayon::broadcast(|_| burn_multiply_adds(level, Arithmetic::Exact, 2_000_000_000));
        let time = (self.now()? - start).as_secs_f64();
        let multiply_adds = done.into_iter().sum::<Result<u64, _>>()?;
        Ok(2.0 * multiply_adds as f64 / time / 1e9)
    }

    /// Since some point in the past.
    fn now(&self) -> Result<Duration> {
        let elapsed =
            if self.cpu_time { ProcessTime::try_now()?.as_duration() } else { START.elapsed() };
        Ok(elapsed)
    }
}

/// One way to compute the values.
pub struct Way<'a> {
    name: String,
    /// The index of the way that its time is divided by.
    beside: usize,
    run: Box<dyn FnMut() -> Result<Vec<f32>> + 'a>,
}

impl<'a> Way<'a> {
    pub fn new(
        name: impl Into<String>,
        beside: usize,
        run: impl FnMut() -> Result<Vec<f32>> + 'a,
    ) -> Self {
        Self { name: name.into(), beside, run: Box::new(run) }
    }
}

/// The middle value, or the mean of the two.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}
