//! Xception in other Rust engines, timed in turns with sepconv.

mod engine;
mod graph;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sepconv::kernels::{Level, burn_fma};

use crate::engine::{Engine, Picture};
use crate::graph::Graph;
use crate::report::{Report, Series};

/// Run Xception in sepconv, rten, tract, candle and burn in turns, and compare times and logits
///
/// A round gives each engine its turn, in an order that moves on by one from round to round: one run
/// to warm up, then the timed ones. A ratio is the median over the rounds of (sepconv's median of the
/// round) / (the engine's). Pin the process to as many CPUs as there are threads.
#[derive(Parser)]
struct Args {
    /// The network as ONNX, from NCHW
    onnx: PathBuf,
    /// The same network as Keras saves it
    keras: PathBuf,
    /// The input, 1×H×W×3 [default: made by formula, 299×299]
    #[arg(long, value_name = "X.npy")]
    input: Option<PathBuf>,
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Timed runs in a turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Leave out the others
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "rten,tract,candle,burn"
    )]
    engines: Vec<String>,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let threads = usize::from(args.threads);
    // candle makes pools of its own, and asks only the environment how large.
    // SAFETY: no other thread has been started.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };
    // burn computes on the global pool.
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;

    let x = picture(args.input.as_deref())?;
    let graph = Graph::read(&args.onnx)?;
    let ours = engine::ours::Sepconv::new(&args.keras, &x, threads)?;
    let multiply_adds = ours.multiply_adds();
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(ours)];
    for name in &args.engines {
        let made = engine::make(name, &args.onnx, &graph, &x, threads);
        engines.push(made.with_context(|| name.clone())?);
    }
    drop(graph);

    let mut expected = Vec::new();
    let mut series = Vec::new();
    for engine in &mut engines {
        engine.run().with_context(|| engine.name())?;
        let logits = engine.logits()?;
        if expected.is_empty() {
            expected.clone_from(&logits);
        }
        let difference = difference(&logits, &expected)?;
        ensure!(
            difference <= 1e-4,
            "{}: differs by {difference:e} of the largest logit",
            engine.name()
        );
        series.push(Series::new(engine.name(), engine.version(), difference));
    }

    let mut peaks = Vec::new();
    for round in 0..usize::from(args.rounds) {
        peaks.push(peak(threads)?);
        for turn in 0..engines.len() {
            let i = (round + turn) % engines.len();
            // The last one's threads go to sleep.
            std::thread::sleep(Duration::from_millis(50));
            engines[i].run()?;
            let mut times = Vec::new();
            for _ in 0..args.runs {
                let start = Instant::now();
                engines[i].run()?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            series[i].rounds.push(times);
        }
    }

    let report = Report { threads, runs: args.runs, multiply_adds, peaks, series };
    print!("{}", report.table());
    if let Some(path) = args.report {
        let json = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&path, json + "\n").with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn picture(path: Option<&std::path::Path>) -> Result<Picture> {
    let Some(path) = path else {
        let [height, width] = [299, 299];
        let values = sepconv::weights::synthetic::uniform("input");
        let nhwc = values.take(height * width * 3).map(|u| u as f32).collect();
        return Ok(Picture { height, width, nhwc });
    };
    let tensor = sepconv::npy::read(path)?;
    let [1, height, width, 3] = tensor.shape[..] else {
        anyhow::bail!("{}: shape {:?} where 1×H×W×3 is needed", path.display(), tensor.shape);
    };
    Ok(Picture { height, width, nhwc: tensor.data })
}

/// The largest difference as a part of the largest magnitude.
fn difference(got: &[f32], expected: &[f32]) -> Result<f64> {
    ensure!(got.len() == expected.len(), "{} logits, not {}", got.len(), expected.len());
    let largest = expected.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let delta = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // NaN must not get lost.
    let delta = delta.fold(0.0, |m: f32, d| if d <= m { m } else { d });
    Ok(f64::from(delta) / f64::from(largest))
}

/// GFLOP/s of multiply-adds on registers, of all threads together.
fn peak(threads: usize) -> Result<f64> {
    let level = Level::from_env()?;
    let start = Instant::now();
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(move || burn_fma(level, 2_000_000_000))).collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).sum::<Result<u64, _>>()
    })?;
    Ok(2.0 * done as f64 / start.elapsed().as_secs_f64() / 1e9)
}
