//! `sepconv compare`: compares separable with standard convolution, by layer and by network.

use std::path::PathBuf;

use sepconv::kernels::{Activation, Aligned, Level};
use sepconv::models::{Order, SpectrumConfig, spectrum};
use sepconv::network::{Network, NetworkPlan, Op, PlanOptions, Session};
use sepconv::weights::{count_parameters, synthetic};

use super::comparison::{Form, LayerRow, NetworkRow, Published, Report, SpectrumRow};
use super::info::cpu_name;
use super::layer::{Layer, Runner};
use super::outputs::{self, Content};
use super::plot;
use super::progress::Progress;
use super::source::ModelName;
use super::speed::{Rounds, Speed, Turns, median};
use super::threads::{self, Threads};
use super::{Failure, Result, print, print_json};

/// Compare separable with standard convolution
///
/// Prints three tables, measured on this machine with pseudorandom weights. Times are medians; the
/// things compared run alternately.
///
/// 1. Every shape of a separable layer in Xception (299×299) next to a standard 3×3 convolution of
///    the same shape: parameters, multiply-adds, time, GFLOP/s (a multiply-add counts as two), and
///    how much work and time the separable layer saves.
///
/// 2. The blocks in between: a 1×1 convolution, then a 3×3 one in S segments of the channels, from
///    one segment (standard) to one for each channel (depthwise), at the shape of Xception's middle
///    flow.
///
/// 3. Xception, Inception V3 and MobileNetV1 as a whole, next to the parameters and training speeds
///    that the Xception paper reports.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv compare --threads 1
  sepconv compare --plot compare.svg
  sepconv compare --json |
    jq '.layers[] | [.layer, .promised, .obtained]'")]
pub(super) struct Args {
    /// Number of timed runs, after one warm-up run
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Draw tables 1 and 3 to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON
    ///
    /// {"cpu", "level", "threads", "peak_gflops", "layers": [{"layer", "count", "standard", "separable",
    /// "promised", "obtained"}], "spectrum": [{"block", "segments", …}], "networks": [{"network",
    /// "size", …, "paper"}]}. Each measurement also has "parameters", "multiply_adds" and the
    /// numbers of `sepconv bench`.
    #[arg(long)]
    json: bool,
}

const XCEPTION: Published =
    Published { parameters: 22_855_952, steps_per_second: 28, top1: 0.790, top5: 0.945 };
const INCEPTION_V3: Published =
    Published { parameters: 23_626_728, steps_per_second: 31, top1: 0.782, top5: 0.941 };

/// Segments of the blocks in table 2: divisors of 728.
const SEGMENTS: [usize; 8] = [1, 2, 4, 8, 26, 91, 364, 728];

pub(super) fn run(args: Args, progress: Progress) -> Result {
    if let Some(path) = &args.plot {
        outputs::check(&[path])?;
    }
    let report = args.threads.run(|| measure(args.runs, progress))?;
    if let Some(path) = &args.plot {
        let picture = plot::comparison(&report).map_err(Failure::Error)?;
        outputs::write(&[(path, Content::Text(&picture))])?;
    }
    if args.json { print_json(&report) } else { print(&report.tables()) }
}

fn measure(runs: u32, progress: Progress) -> Result<Report> {
    let level = Level::from_env()?;
    let xception = ModelName::Xception.network()?;
    let shapes = separable_shapes(&xception)?;
    let bar =
        progress.bar((shapes.len() as u64 + 2) * u64::from(runs), "rounds of layers and networks");
    let turns = Turns { level, rounds: runs, bar: &bar };
    let mut peaks = Vec::new();
    let mut layers = Vec::new();
    for (shape, count) in shapes {
        layers.push(layer(&turns, shape, count, &mut peaks)?);
    }
    let spectrum = blocks(&turns, &mut peaks)?;
    let networks = networks(&turns, &mut peaks)?;
    bar.finish_and_clear();
    Ok(Report {
        cpu: cpu_name(),
        level: level.name(),
        threads: threads::current(),
        peak_gflops: median(peaks.into_iter()) / 1e9,
        layers,
        spectrum,
        networks,
    })
}

/// Height, width, channels and output channels of a layer.
type LayerShape = [usize; 4];

/// The shapes of a network's separable layers (all are 3×3 and SAME), and the number of each.
fn separable_shapes(network: &Network) -> Result<Vec<(LayerShape, usize)>> {
    let mut found: Vec<(LayerShape, usize)> = Vec::new();
    let shapes = network.shapes(native(network))?;
    for node in network.nodes() {
        if let Op::Separable { filters, .. } = node.op {
            let [_, h, w, c] = shapes[node.inputs[0].index()];
            let shape = [h, w, c, filters];
            match found.iter_mut().find(|(other, _)| *other == shape) {
                Some((_, count)) => *count += 1,
                None => found.push((shape, 1)),
            }
        }
    }
    Ok(found)
}

/// One picture of the size that a network was made for.
fn native(network: &Network) -> [usize; 4] {
    let (size, channels) = network.input();
    let [h, w] = size.map(|side| side.expect("named models have a size"));
    [1, h, w, channels]
}

fn layer(
    turns: &Turns<'_>,
    [h, w, c, o]: LayerShape,
    count: usize,
    peaks: &mut Vec<f64>,
) -> Result<LayerRow> {
    let prepare = |kind: &str| -> Result<Runner> {
        let spec = Layer::parse(&format!("{kind} 1x{h}x{w}x{c} o{o} k3 s1"));
        spec.and_then(|spec| spec.prepare(turns.level, threads::current())).map_err(Failure::Error)
    };
    let (mut standard, mut separable) = (prepare("conv")?, prepare("sep")?);
    let Rounds { times, peaks: beside } = turns
        .time(&mut [&mut || Ok(standard.run().map(drop)?), &mut || {
            Ok(separable.run().map(drop)?)
        }])?;
    let form = |runner: &Runner, times: &[f64], parameters: usize| Form {
        parameters: parameters as u64,
        multiply_adds: runner.multiply_adds(),
        speed: Speed::new(runner.multiply_adds(), times, &beside),
    };
    let row = LayerRow {
        layer: format!("{h}×{w}, {c} → {o}"),
        count,
        standard: form(&standard, &times[0], 9 * c * o),
        separable: form(&separable, &times[1], 9 * c + c * o),
        promised: standard.multiply_adds() as f64 / separable.multiply_adds() as f64,
        obtained: median(times[0].iter().zip(&times[1]).map(|(a, b)| a / b)),
    };
    peaks.extend(beside);
    Ok(row)
}

/// A network with synthetic weights and a picture for it, ready to run.
struct Ready {
    session: Session,
    x: Aligned,
}

impl Ready {
    fn new(network: &Network) -> Result<Self> {
        let shape = native(network);
        let weights = synthetic::weights(network)?;
        let plan = NetworkPlan::new(network, weights, shape, &PlanOptions::default())?;
        let mut x = Aligned::new(shape.iter().product(), 0.0)?;
        for (x, u) in x.iter_mut().zip(synthetic::uniform("input")) {
            *x = u as f32;
        }
        Ok(Self { session: Session::new(plan)?, x })
    }

    fn run(&mut self) -> Result {
        Ok(self.session.run(&self.x)?)
    }
}

/// Times networks alternately.
fn time_networks(turns: &Turns<'_>, ready: &mut [Ready]) -> Result<Rounds> {
    let mut runners: Vec<_> = ready.iter_mut().map(|ready| || ready.run()).collect();
    let mut things: Vec<_> =
        runners.iter_mut().map(|run| run as &mut dyn FnMut() -> Result).collect();
    turns.time(&mut things)
}

fn blocks(turns: &Turns<'_>, peaks: &mut Vec<f64>) -> Result<Vec<SpectrumRow>> {
    let mut blocks = Vec::new();
    for segments in SEGMENTS {
        let config = SpectrumConfig { segments, ..SpectrumConfig::default() };
        blocks.push((format!("1×1, then 3×3 in S = {segments}"), config));
    }
    let relu = SpectrumConfig { between: Activation::Relu, ..SpectrumConfig::default() };
    blocks.push(("1×1, ReLU, then 3×3 in S = 728".into(), relu));
    let separable = SpectrumConfig { order: Order::SpatialFirst, ..SpectrumConfig::default() };
    blocks.push(("separable: 3×3 depthwise, then 1×1".into(), separable));

    let networks: Vec<Network> =
        blocks.iter().map(|(_, config)| Ok(spectrum(config)?)).collect::<Result<_>>()?;
    let mut ready: Vec<Ready> = networks.iter().map(Ready::new).collect::<Result<_>>()?;
    let Rounds { times, peaks: beside } = time_networks(turns, &mut ready)?;
    let mut rows = Vec::new();
    for (i, (block, config)) in blocks.into_iter().enumerate() {
        let multiply_adds = ready[i].session.plan().multiply_adds();
        rows.push(SpectrumRow {
            block,
            segments: config.segments,
            parameters: count_parameters(&networks[i])?.total as u64,
            multiply_adds,
            speed: Speed::new(multiply_adds, &times[i], &beside),
        });
    }
    peaks.extend(beside);
    Ok(rows)
}

fn networks(turns: &Turns<'_>, peaks: &mut Vec<f64>) -> Result<Vec<NetworkRow>> {
    let all = [
        ("Xception", ModelName::Xception, Some(XCEPTION)),
        ("Inception V3", ModelName::InceptionV3, Some(INCEPTION_V3)),
        ("MobileNetV1", ModelName::MobileNet(1.0), None),
    ];
    let networks: Vec<Network> =
        all.iter().map(|(_, model, _)| model.network()).collect::<Result<_>>()?;
    let mut ready: Vec<Ready> = networks.iter().map(Ready::new).collect::<Result<_>>()?;
    let Rounds { times, peaks: beside } = time_networks(turns, &mut ready)?;
    let mut rows = Vec::new();
    for (i, (name, _, paper)) in all.into_iter().enumerate() {
        let plan = ready[i].session.plan();
        let [_, h, w, _] = plan.input_shape();
        rows.push(NetworkRow {
            network: name,
            size: [h, w],
            parameters: count_parameters(&networks[i])?.total as u64,
            multiply_adds: plan.multiply_adds(),
            speed: Speed::new(plan.multiply_adds(), &times[i], &beside),
            paper,
        });
    }
    peaks.extend(beside);
    Ok(rows)
}
