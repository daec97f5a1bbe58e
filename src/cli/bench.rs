//! `sepconv bench`: times a network, its steps or single layers, and compares them with the FMA
//! peak.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use indicatif::ProgressBar;
use sepconv::kernels::{Aligned, ElementType, Level};
use sepconv::network::{Network, NetworkPlan, Session, StepInfo};
use sepconv::npy;
use sepconv::weights::{Model, synthetic};
use serde::Serialize;

use super::layer::Layer;
use super::machine::cpu_name;
use super::outputs::{self, Content};
use super::progress::Progress;
use super::source::Source;
use super::speed::{
    Rounds, Speed, Turns, doubt, dropped_text, median, median_peaks, milliseconds, peak, percent,
};
use super::text::{Layout, Row, columns, table, wrap};
use super::threads::{self, Threads};
use super::types::Types;
use super::{
    Failure, Result, input_shape, input_size, parse_size, print, print_json, quantize, to_json,
    trace,
};

/// Time a network and each of its steps, or single layers
///
/// Times are in milliseconds. GFLOP/s are those of the median run and count a multiply-add as two
/// operations. Beside each run the FMA peak is measured: the rate of multiply-adds on registers, on
/// all threads together, then on one. "of peak" is the rate of the median run ÷ the median of the
/// peaks of all threads.
///
/// A run beside which the peak fell is dropped: below 0.9 of the best one, or, for all threads
/// together, below 0.85 of one thread's times their number. How many were dropped is printed.
///
/// A network is timed as a whole, then by steps, in turns; the share of a step is its part of the
/// time of all steps, each by its median. A layer that takes less than 2 ms is run several times in
/// a row.
#[derive(clap::Args)]
#[command(after_help = "\
Layers are written KIND NxHxWxC WORD… Weights and input are pseudorandom.
Kinds are dw (depthwise), pw (pointwise), sep (separable), conv. Words:
  o728         output channels (not dw)
  k3, k3x5     kernel size, height x width (not pw)
  s2, s2x1     stride
  d2, d2x1     dilation (not pw)
  p1           padding on each side (not pw) [default: SAME]
  p0,1,0,1     padding at the top, bottom, left, right
  m2           depth multiplier (dw, sep)
  g4           groups (conv)
  relu, relu6, elu, silu, hard_swish, sigmoid, hard_sigmoid, tanh, gelu,
  gelu_tanh, softplus, mish, leaky_relu, softsign, exponential
               activation of the output
  nchw         input and output lie in memory as NCHW
  abf16, af16  type of input and output
  wbf16, wf16  type of the weights
  apart        run a sep as two layers, with the values between in memory
  int8         input and output of u8, weights of i8 (not with a…, w…, apart);
               \"of peak\" is the share of f32's FMA peak and may exceed 100 %

Examples:
  sepconv bench --threads 1
  sepconv bench --size 150 --batch 4 --json | jq '[.median_ms, .peak_share]'
  sepconv bench --trace trace.json  # open it at https://ui.perfetto.dev
  sepconv bench --arithmetic bf16
  sepconv bench --arithmetic fast --weights-type bf16 --activations-type bf16
  sepconv bench --arithmetic int8
  sepconv bench --layer 'sep 1x19x19x728 o728 k3 s1' \\
    --layer 'sep 1x19x19x728 o728 k3 s1 apart'
  sepconv bench --layer 'dw 1x112x112x64 k3 s2 p0,1,0,1 relu6 nchw' --json
  sepconv bench --layer 'conv 1x56x56x128 o256 k3 d2 g32 abf16 wbf16'
  sepconv bench --layer 'sep 1x19x19x728 o728 k3 int8'")]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Time this layer instead of a network. Repeatable
    #[arg(long, value_name = "SPEC", value_parser = Layer::parse,
          conflicts_with_all = ["weights", "model", "input", "batch", "size", "weights_type", "activations_type", "trace"])]
    layer: Vec<Layer>,
    /// Input array of shape N×H×W×C or N×L×C [default: pseudorandom numbers from -1 to 1]
    ///
    /// The time of most networks does not depend on the input. It does where swish or GELU meet
    /// numbers far below 0: the results are subnormal, which slows many CPUs down a hundredfold.
    #[arg(long, value_name = "X.npy", conflicts_with_all = ["batch", "size"])]
    input: Option<PathBuf>,
    /// Number of pictures in one run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Side of the input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Number of timed runs, after one warm-up run
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Write a trace of one run's steps and threads for Perfetto or chrome://tracing
    ///
    /// The file is JSON in the Trace Event Format. It has an event for each step, with its kernel,
    /// rows and multiply-adds. A step that runs depth first has an event for each turn. Each thread
    /// has a track of its own, with an event for each time that it computed.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON, or one for each --layer
    ///
    /// For a network: {"cpu", "level", "threads", "weights_type", "activations_type", "arithmetic",
    /// "batch", "size": [height, width], "multiply_adds", "weights_bytes", "arena_bytes" (values
    /// between layers), "scratch_bytes", "runs", "dropped_runs", "peak_gflops" (of all threads),
    /// "one_thread_peak_gflops", "min_ms", "median_ms", "gflops",
    /// "peak_share" (0 to 1), "nodes": [{"name", "layers", "kernel", "output": [n, h, w, c],
    /// "multiply_adds", "min_ms", "median_ms", "gflops", "peak_share", "share" (of the time of all
    /// steps)}]}.
    ///
    /// For a layer: {"layer", "kernel", "level", "threads", "arithmetic", "multiply_adds",
    /// "min_ms", "median_ms", "gflops", "peak_share", "peak_gflops", "one_thread_peak_gflops",
    /// "runs", "dropped_runs"}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    if let Some(path) = &args.trace {
        outputs::check(&[path])?;
    }
    args.threads.run(|| {
        let runs = u64::from(args.runs);
        if args.layer.is_empty() {
            let bar = progress.bar(runs, "runs");
            let report = network(&args, &bar)?;
            bar.finish_and_clear();
            return if args.json { print_json(&report) } else { print(&report.table()) };
        }
        let width = args.layer.iter().map(|layer| layer.text().chars().count()).max().unwrap_or(0);
        // Before anything is timed: rows are printed one by one.
        let layout = Layout::new(columns(), width, NUMBERS.into(), usize::MAX);
        if !args.json {
            let level = Level::from_env()?;
            let context = context(level.name(), threads::current());
            print(&format!("{context}\n\n{}", layout.heading(&heading("layer"))))?;
        }
        let bar = progress.bar(args.layer.len() as u64 * runs, "runs");
        args.types.of_given(args.layer.iter().any(Layer::is_int8))?;
        let mut dropped = 0;
        for spec in &args.layer {
            let report = layer(spec, args.types, args.runs, &bar)?;
            let text = if args.json { to_json(&report)? } else { layout.row(&report.row()) };
            bar.suspend(|| print(&text))?;
            dropped += report.measured.dropped_runs;
        }
        bar.finish_and_clear();
        match dropped_text(dropped, args.layer.len() * args.runs as usize) {
            Some(text) if !args.json => print(&format!("\n{}", wrap(&text, columns()))),
            _ => Ok(()),
        }
    })
}

/// How it was measured.
#[derive(Serialize)]
struct Measured {
    runs: usize,
    dropped_runs: usize,
    peak_gflops: f64,
    one_thread_peak_gflops: f64,
}

impl Measured {
    /// Also returns the peak of all threads in FLOP/s.
    fn new(rounds: &Rounds) -> (Self, f64) {
        let [all, one] = median_peaks(rounds.peaks.iter());
        let measured = Self {
            runs: rounds.peaks.len() + rounds.dropped,
            dropped_runs: rounds.dropped,
            peak_gflops: all / 1e9,
            one_thread_peak_gflops: one / 1e9,
        };
        (measured, all)
    }
}

// ---------------------------------------------------------------- layers

#[derive(Serialize)]
struct LayerReport<'a> {
    layer: &'a str,
    kernel: String,
    level: &'static str,
    threads: usize,
    arithmetic: &'static str,
    multiply_adds: u64,
    #[serde(flatten)]
    speed: Speed,
    #[serde(flatten)]
    measured: Measured,
}

fn layer<'a>(
    spec: &'a Layer,
    types: Types,
    runs: u32,
    bar: &ProgressBar,
) -> Result<LayerReport<'a>> {
    let (level, threads) = (Level::from_env()?, threads::current());
    let arithmetic = types.arithmetic();
    let layer = spec.clone().arithmetic(arithmetic).amx(types.amx());
    let mut runner = layer.prepare(level, threads).map_err(Failure::Error)?;
    let turns = Turns { level, arithmetic, rounds: runs, bar };
    let rounds = turns.time(&mut [&mut || Ok(runner.run().map(drop)?)])?;
    let (measured, peak) = Measured::new(&rounds);
    let multiply_adds = runner.multiply_adds();
    Ok(LayerReport {
        layer: spec.text(),
        kernel: runner.kernel_name(),
        level: level.name(),
        threads,
        arithmetic: arithmetic.name(),
        multiply_adds,
        speed: Speed::new(multiply_adds, &rounds.times[0], peak),
        measured,
    })
}

impl LayerReport<'_> {
    fn row(&self) -> Row {
        Row::new(self.layer, numbers(&self.speed)).details(self.kernel.as_str())
    }
}

// ---------------------------------------------------------------- networks

#[derive(Serialize)]
struct NetworkReport {
    cpu: Option<String>,
    level: &'static str,
    threads: usize,
    weights_type: &'static str,
    activations_type: &'static str,
    arithmetic: &'static str,
    batch: usize,
    size: [usize; 2],
    multiply_adds: u64,
    weights_bytes: usize,
    arena_bytes: usize,
    scratch_bytes: usize,
    #[serde(flatten)]
    measured: Measured,
    #[serde(flatten)]
    speed: Speed,
    nodes: Vec<NodeReport>,
    #[serde(skip)]
    name: String,
}

#[derive(Serialize)]
struct NodeReport {
    name: String,
    layers: Vec<String>,
    kernel: String,
    output: [usize; 4],
    multiply_adds: u64,
    #[serde(flatten)]
    speed: Speed,
    /// The share of the time of all steps.
    share: f64,
}

fn network(args: &Args, bar: &ProgressBar) -> Result<NetworkReport> {
    let Model { mut network, mut weights, .. } = args.source.load()?;
    let (shape, x) = input(args, &network)?;
    let ([batch, height, width, _], x) = (shape, &x[..]);
    let size = [height, width];
    if args.types.is_int8() && !network.is_quantized() {
        let quantized = quantize::on_first(&network, &weights, shape, x)?;
        (network, weights) = (quantized.network, quantized.weights);
    }
    let options = args.types.options(network.is_quantized())?;
    let (arithmetic, [weights_type, activations_type]) = match network.is_quantized() {
        true => ("int8", [ElementType::I8, ElementType::U8]),
        false => (args.types.name(), [options.weights_type, options.activations_type]),
    };
    let plan = NetworkPlan::new(&network, weights, shape, &options)?;
    let mut session = Session::new(plan)?;
    let plan = session.plan().clone();
    let level = plan.level();

    session.run(x)?;
    // The whole, then each step.
    let mut times = vec![Vec::new(); 1 + plan.steps().len()];
    let mut peaks = Vec::new();
    for _ in 0..args.runs {
        let start = Instant::now();
        session.run(x)?;
        times[0].push(start.elapsed().as_secs_f64());
        let mut of_steps = vec![0.0; plan.steps().len()];
        session.run_timed(x, |step| of_steps[step.step] += step.time.as_secs_f64())?;
        times[1..].iter_mut().zip(of_steps).for_each(|(all, time)| all.push(time));
        peaks.push(peak(level, options.arithmetic)?);
        bar.inc(1);
    }
    let rounds = Rounds::new(times, peaks);
    let (measured, peak) = Measured::new(&rounds);
    let (whole, of_steps) = rounds.times.split_first().expect("the whole is timed");
    if let Some(path) = &args.trace {
        let mut times = Vec::new();
        session.run_timed(x, |step| times.push(step))?;
        let text = trace::text(&plan, network.name(), threads::current(), &times)?;
        outputs::write(&[(path, Content::Text(&text))])?;
    }
    Ok(NetworkReport {
        cpu: cpu_name(),
        level: level.name(),
        threads: threads::current(),
        weights_type: weights_type.name(),
        activations_type: activations_type.name(),
        arithmetic,
        batch,
        size,
        multiply_adds: plan.multiply_adds(),
        weights_bytes: plan.weights_bytes(),
        arena_bytes: plan.arena_bytes(threads::current()),
        scratch_bytes: plan.scratch_bytes(threads::current()),
        measured,
        speed: Speed::new(plan.multiply_adds(), whole, peak),
        nodes: nodes(plan.steps(), of_steps, peak),
        name: network.name().into(),
    })
}

/// The network's input, and its shape.
fn input(args: &Args, network: &Network) -> Result<([usize; 4], Aligned)> {
    if let Some(path) = &args.input {
        let given = npy::read(path)?;
        let shape = input_shape(&given, path, network)?;
        let mut x = Aligned::new(given.data.len(), f32::NAN)?;
        x.copy_from_slice(&given.data);
        return Ok((shape, x));
    }
    let ([height, width], channels) = input_size(network, args.size)?;
    let shape = [usize::from(args.batch), height, width, channels];
    let mut x = Aligned::new(shape.iter().product(), f32::NAN)?;
    for (x, u) in x.iter_mut().zip(synthetic::uniform("input")) {
        *x = u as f32;
    }
    Ok((shape, x))
}

/// The steps' reports, from the times of each in each run.
fn nodes<'a>(
    steps: impl Iterator<Item = &'a StepInfo>,
    times: &[Vec<f64>],
    peak: f64,
) -> Vec<NodeReport> {
    let all: f64 = times.iter().map(|times| median(times.iter().copied())).sum();
    let reports = steps.zip(times).map(|(step, times)| {
        let speed = Speed::new(step.multiply_adds, times, peak);
        NodeReport {
            name: step.name.clone(),
            layers: step.nodes.clone(),
            kernel: step.kernel.clone(),
            output: step.output,
            multiply_adds: step.multiply_adds,
            share: speed.median_ms / (all * 1e3),
            speed,
        }
    });
    reports.collect()
}

impl NetworkReport {
    fn table(&self) -> String {
        let ([height, width], columns) = (self.size, columns());
        let mut text = context(self.level, self.threads);
        let _ = writeln!(text, ", {:.1} GFLOP/s FMA peak", self.measured.peak_gflops);
        if let Some(cpu) = &self.cpu {
            let _ = writeln!(text, "{cpu}");
        }
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let memory = format!(
            "memory: {:.1} MiB weights, {:.1} MiB between layers, {:.1} MiB scratch",
            mib(self.weights_bytes),
            mib(self.arena_bytes),
            mib(self.scratch_bytes),
        );
        text += &(wrap(&memory, columns) + "\n");
        let name = format!("{} {height}×{width}, batch {}", self.name, self.batch);
        let whole = Row::new(name, numbers(&self.speed));
        text += &(table(Row::new("", HEADING), vec![whole], columns) + "\n");
        let rows = self.nodes.iter().map(|node| {
            let mut row = Row::new(node.name.as_str(), numbers(&node.speed));
            row.numbers.push(format!("{:.1} %", node.share * 100.0));
            row.details(node.kernel.as_str())
        });
        let mut heading = heading("step");
        heading.numbers.push("share".into());
        text += &table(heading, rows.collect(), columns);
        let Measured { runs, dropped_runs, .. } = self.measured;
        if let Some(dropped) = dropped_text(dropped_runs, runs) {
            text += &format!("\n{}", wrap(&dropped, columns));
        }
        // Others than f32's multiply-adds may be faster than these.
        if ["exact", "unfused"].contains(&self.arithmetic)
            && let Some(doubt) = doubt([self.speed.peak_share])
        {
            text += &format!("\n{}", wrap(doubt, columns));
        }
        text
    }
}

// ---------------------------------------------------------------- text

pub(super) fn context(level: &str, threads: usize) -> String {
    format!("level {level}, threads {threads}")
}

const HEADING: [&str; 4] = ["median ms", "min ms", "GFLOP/s", "of peak"];
/// The widths of these columns.
const NUMBERS: [usize; 4] = [9, 9, 8, 8];

fn heading(what: &str) -> Row {
    Row::new(what, HEADING).details("kernel")
}

fn numbers(speed: &Speed) -> [String; 4] {
    let Speed { min_ms, median_ms, gflops, peak_share, .. } = speed;
    [milliseconds(*median_ms), milliseconds(*min_ms), format!("{gflops:.1}"), percent(*peak_share)]
}
