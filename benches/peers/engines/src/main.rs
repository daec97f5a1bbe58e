//! Xception in other Rust engines, timed in turns with sepconv.

mod engine;
mod graph;
mod report;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sepconv::kernels::{Arithmetic, Level, burn_multiply_adds};

use crate::engine::{Engine, Picture, Sepconv};
use crate::report::{Report, Series};

/// In which the last one's threads go to sleep.
const REST: Duration = Duration::from_millis(50);

/// Of the largest magnitude, between any engine's logits and sepconv's.
const TOLERANCE: f64 = 1e-4;

/// Run Xception in sepconv and other Rust engines in turns, and compare times and logits
///
/// A round gives each engine its turn, in an order that moves on by one from round to round: one
/// run to warm up, then the timed ones. A ratio is the median over the rounds of (sepconv's median
/// of the round) / (the engine's). Pin the process to as many CPUs as there are threads.
#[derive(Parser)]
struct Args {
    /// Folder of xception.onnx, xception.keras and xception.x.npy, as export.py writes them
    models: PathBuf,
    /// Threads; RAYON_NUM_THREADS must say the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Timed runs in a turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Measure only these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = engine::PEERS, default_values = engine::PEERS)]
    engines: Vec<String>,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let threads = usize::from(args.threads);
    // candle asks nothing else, and sepconv and burn compute on rayon's global pool, which asks it
    // too.
    ensure!(
        std::env::var("RAYON_NUM_THREADS").is_ok_and(|n| n == threads.to_string()),
        "set RAYON_NUM_THREADS={threads}"
    );

    let x = Picture::read(&args.models.join("xception.x.npy"))?;
    let onnx = args.models.join("xception.onnx");
    let ours = Sepconv::load(&args.models.join("xception.keras"), &x)?;
    let (level, multiply_adds) = (ours.plan().level(), ours.plan().multiply_adds());
    let mut engines: Vec<(String, Box<dyn Engine>)> = vec![("sepconv".into(), Box::new(ours))];
    for name in args.engines {
        let engine = engine::load(&name, &onnx, &x, threads).with_context(|| name.clone())?;
        engines.push((name, engine));
    }

    let mut series = Vec::new();
    let mut expected = Vec::new();
    for (name, engine) in &mut engines {
        let logits = engine.run().with_context(|| name.clone())?;
        if expected.is_empty() {
            expected.clone_from(&logits);
        }
        let difference = difference(&logits, &expected).with_context(|| name.clone())?;
        ensure!(
            difference <= TOLERANCE,
            "{name}: logits differ by {difference:.1e} of the largest"
        );
        let version = engine::version(name)?;
        series.push(Series { name: name.clone(), version, difference, rounds: Vec::new() });
    }

    let mut peaks = Vec::new();
    for round in 0..usize::from(args.rounds) {
        peaks.push(peak(level)?);
        for turn in 0..engines.len() {
            let i = (round + turn) % engines.len();
            sleep(REST);
            series[i].rounds.push(times(engines[i].1.as_mut(), args.runs)?);
        }
    }

    let report = Report {
        size: [x.height, x.width],
        level: level.name(),
        threads,
        runs: args.runs,
        multiply_adds,
        peaks,
        series,
    };
    print!("{}", report.table());
    if let Some(path) = args.report {
        let json = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&path, json + "\n").with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// In ms, of `runs` runs after one that isn't counted.
fn times(engine: &mut dyn Engine, runs: u16) -> Result<Vec<f64>> {
    engine.run()?;
    let time = |_| {
        let start = Instant::now();
        engine.run()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    (0..runs).map(time).collect()
}

/// The largest difference as a part of the largest magnitude; NaN where there is one in `got`.
fn difference(got: &[f32], expected: &[f32]) -> Result<f64> {
    ensure!(got.len() == expected.len(), "{} logits, not {}", got.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.map(f32::abs).fold(0.0, |m, v| if v <= m { m } else { v })
    };
    let delta = largest(&mut got.iter().zip(expected).map(|(a, b)| a - b));
    Ok(f64::from(delta) / f64::from(largest(&mut expected.iter().copied())))
}

/// GFLOP/s of multiply-adds on registers, of all threads together.
fn peak(level: Level) -> Result<f64> {
    let start = Instant::now();
    let done = rayon::broadcast(|_| burn_multiply_adds(level, Arithmetic::Exact, 2_000_000_000));
    let time = start.elapsed().as_secs_f64();
    let multiply_adds = done.into_iter().sum::<Result<u64, _>>()?;
    Ok(2.0 * multiply_adds as f64 / time / 1e9)
}
