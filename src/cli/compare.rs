//! `sepconv compare`: compares separable with standard convolution, by layer and by network.

use std::path::PathBuf;

use clap::ArgGroup;
use sepconv::kernels::{Activation, Aligned, Level, Padding, Window};
use sepconv::models::{ModelName, Order, SpectrumConfig, spectrum};
use sepconv::network::{Network, NetworkPlan, NodeId, Op, PlanOptions, Quantized, Session};
use sepconv::weights::{count_parameters, synthetic};

use super::comparison::{Form, LayerRow, NetworkRow, Published, Report, SpectrumRow};
use super::layer::{Layer, Runner};
use super::machine::cpu_name;
use super::outputs::{self, Content};
use super::plot;
use super::progress::Progress;
use super::source::Source;
use super::speed::{Rounds, Speed, Turns, median_peaks, quartiles};
use super::threads::{self, Threads};
use super::types::Multiply;
use super::{Failure, Result, error, input_size, parse_size, print, print_json, quantize};

/// Compare separable with standard convolution
///
/// Prints three tables, measured on this machine with pseudorandom weights. Times are medians; the
/// things compared run alternately. GFLOP/s and shares of the peak follow from them, and the peak
/// is the median of those measured beside the rounds. Rounds beside which the peak fell are
/// dropped, as by `sepconv bench`.
///
/// 1. Every shape of a separable layer in Xception (299×299) below a standard 3×3 convolution of
///    the same shape: parameters, multiply-adds, time, GFLOP/s (a multiply-add counts as two), and
///    how much work and time the separable layer saves: the standard one's ÷ its own.
///
/// 2. The blocks in between: a 1×1 convolution, then a 3×3 one in S segments of the channels, from
///    one segment (standard) to one for each channel (depthwise), at the shape of Xception's middle
///    flow.
///
/// 3. Xception, Inception V3 and MobileNetV1 as a whole, next to the parameters and training speeds
///    that the Xception paper reports.
///
/// With --model or --weights: the separable layers of that network (also a depthwise and a
/// pointwise convolution in a row), then the network as a whole. Of a file, only the architecture
/// is used. A file of 8-bit integers is compared in f32, too, unless --arithmetic says otherwise.
/// With --layer: only these layers.
///
/// With --arithmetic int8, both forms of each layer have values of u8 and weights of i8, and the
/// blocks and networks are quantized on the input that is timed. "of peak" then means the peak of
/// f32, and may exceed 100 %.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("network").args(["weights", "model"]).multiple(true))]
#[command(after_help = "\
Examples:
  sepconv compare --threads 1
  sepconv compare --plot compare.svg
  sepconv compare --json |
    jq '.layers[] | [.layer, .promised, .obtained]'
  sepconv compare --model mobilenet --size 192 --batch 4
  sepconv compare --model xception --arithmetic int8
  sepconv compare --weights mine.keras
  sepconv compare --layer 'sep 1x56x56x128 o256 k5 s2 relu' --arithmetic bf16")]
pub(super) struct Args {
    /// Compare this layer alone: a sep, as `sepconv bench --help` describes. Repeatable
    #[arg(long, value_name = "SPEC", value_parser = separable,
          conflicts_with_all = ["network", "batch", "size"])]
    layer: Vec<Layer>,
    #[command(flatten)]
    source: Source,
    /// Number of pictures in one run of the network [default: 1]
    #[arg(long, value_name = "N", requires = "network",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: Option<u16>,
    /// Side of the network's input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", requires = "network", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Number of timed runs, after one warm-up run
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Draw tables 1 and 3 to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    multiply: Multiply,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON
    ///
    /// {"cpu", "level", "threads", "arithmetic", "peak_gflops", "rounds",
    /// "dropped_rounds", "layers": [{"layer", "count", "standard", "separable", "promised",
    /// "obtained"}], "spectrum": [{"block", "segments", …}], "networks": [{"network", "size",
    /// "batch", …, "paper"}]}. Each measurement also has "parameters", "multiply_adds" and the
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

/// Reads a layer that has a standard form.
fn separable(text: &str) -> std::result::Result<Layer, String> {
    let layer = Layer::parse(text)?;
    match layer.standard() {
        Some(_) => Ok(layer),
        None => Err(format!("expected a sep layer, got {text:?}; only these are compared")),
    }
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    if let Some(path) = &args.plot {
        outputs::check(&[path])?;
    }
    let report = args.threads.run(|| measure(Subject::new(&args)?, &args, progress))?;
    if let Some(path) = &args.plot {
        let picture = plot::comparison(&report);
        outputs::write(&[(path, Content::Text(&picture))])?;
    }
    if args.json { print_json(&report) } else { print(&report.tables()) }
}

/// What is compared.
struct Subject {
    /// The network that the layers are from.
    name: Option<String>,
    /// Labels, separable layers, and how often the network has each.
    layers: Vec<(String, Layer, usize)>,
    /// Whether to measure the blocks in between.
    spectrum: bool,
    networks: Vec<Named>,
}

struct Named {
    name: String,
    network: Network,
    input: [usize; 4],
    paper: Option<Published>,
}

impl Subject {
    fn new(args: &Args) -> Result<Self> {
        if !args.layer.is_empty() {
            let layers = args.layer.iter().map(|layer| (layer.text().into(), layer.clone(), 1));
            let (layers, networks) = (layers.collect(), Vec::new());
            return Ok(Self { name: None, layers, spectrum: false, networks });
        }
        if !args.source.is_given() {
            return Self::paper();
        }
        let mut network = args.source.load()?.network;
        network.clear_quantizations();
        let (size, channels) = input_size(&network, args.size)?;
        let input = [args.batch.unwrap_or(1).into(), size[0], size[1], channels];
        let layers = separable_layers(&network, input)?;
        let name = network.name().to_string();
        if layers.is_empty() {
            return error(format!("{name} has no separable layers to compare"));
        }
        let networks = vec![Named { name: name.clone(), network, input, paper: None }];
        Ok(Self { name: Some(name), layers, spectrum: false, networks })
    }

    /// What the Xception paper compares.
    fn paper() -> Result<Self> {
        let all = [
            ("Xception", ModelName::Xception, Some(XCEPTION)),
            ("Inception V3", ModelName::InceptionV3, Some(INCEPTION_V3)),
            ("MobileNetV1", ModelName::MobileNet(1.0), None),
        ];
        let mut networks = Vec::new();
        for (name, model, paper) in all {
            let network = model.network()?;
            networks.push(Named { name: name.into(), input: native(&network), network, paper });
        }
        let layers = separable_layers(&networks[0].network, networks[0].input)?;
        Ok(Self { name: Some("Xception".into()), layers, spectrum: true, networks })
    }
}

fn measure(subject: Subject, args: &Args, progress: Progress) -> Result<Report> {
    let Subject { name, layers, spectrum, networks } = subject;
    let (runs, multiply) = (args.runs, args.multiply);
    let integers = multiply.is_int8() || layers.iter().any(|(_, layer, _)| layer.is_int8());
    let how = How { options: multiply.options(integers)?, quantizes: multiply.is_int8() };
    let level = Level::from_env()?;
    let series = layers.len() + usize::from(spectrum) + usize::from(!networks.is_empty());
    let bar = progress.bar(series as u64 * u64::from(runs), "rounds of layers and networks");
    let turns = Turns { level, arithmetic: multiply.arithmetic(), rounds: runs, bar: &bar };
    let mut pairs = Vec::new();
    for (label, separable, count) in layers {
        let separable = if multiply.is_int8() {
            separable.int8().map_err(Failure::Error)?
        } else {
            separable.arithmetic(multiply.arithmetic())
        };
        pairs.push(Pair::time(&turns, label, &separable.amx(multiply.amx()), count)?);
    }
    let blocks = if spectrum { Some(Blocks::time(&turns, &how)?) } else { None };
    let models =
        if networks.is_empty() { None } else { Some(time_models(&turns, networks, &how)?) };
    bar.finish_and_clear();
    // One peak for all that is reported.
    let series = pairs.iter().map(|pair| &pair.series);
    let series = series.chain(blocks.iter().map(|b| &b.series)).chain(models.iter().map(|m| &m.1));
    let rounds = series.map(|series| &series.rounds);
    let [peak, _] = median_peaks(rounds.clone().flat_map(|rounds| &rounds.peaks));
    let dropped = rounds.clone().map(|rounds| rounds.dropped).sum();
    let rounds = rounds.map(|rounds| rounds.dropped + rounds.peaks.len()).sum();
    Ok(Report {
        cpu: cpu_name(),
        level: level.name(),
        threads: threads::current(),
        arithmetic: multiply.name(),
        peak_gflops: peak / 1e9,
        rounds,
        dropped_rounds: dropped,
        layers: pairs.into_iter().map(|pair| pair.row(peak)).collect(),
        spectrum: blocks.map_or_else(Vec::new, |blocks| blocks.rows(peak)),
        networks: match models {
            Some((named, series)) => {
                named.into_iter().zip(series.speeds(peak)).map(Named::row).collect::<Result<_>>()?
            }
            None => Vec::new(),
        },
        name,
    })
}

/// Things that ran alternately, before the peak of the whole report is known.
struct Series {
    /// Of each thing.
    multiply_adds: Vec<u64>,
    rounds: Rounds,
}

impl Series {
    /// The multiply-adds and the speed of each thing.
    fn speeds(&self, peak: f64) -> impl Iterator<Item = (u64, Speed)> {
        let things = self.multiply_adds.iter().zip(&self.rounds.times);
        things.map(move |(&n, times)| (n, Speed::new(n, times, peak)))
    }
}

/// A network's separable layers for an input of this shape: labels, layers, and the number of each.
fn separable_layers(network: &Network, input: [usize; 4]) -> Result<Vec<(String, Layer, usize)>> {
    let mut found: Vec<(String, Layer, usize)> = Vec::new();
    let shapes = network.shapes(input)?;
    for node in network.nodes() {
        let (from, window, multiplier, filters) = match node.op {
            Op::Separable { window, multiplier, filters, .. } => {
                (node.inputs[0], window, multiplier, filters)
            }
            Op::Conv { window, groups: 1, filters, .. }
                if window.kernel == [1, 1] && window.stride == [1, 1] =>
            {
                match depthwise_before(network, node.inputs[0]) {
                    Some((from, window, multiplier)) => (from, window, multiplier, filters),
                    None => continue,
                }
            }
            _ => continue,
        };
        let shape = shapes[from.index()];
        let layer = Layer::parse(&spec(shape, &window, multiplier, filters));
        let layer = layer.map_err(Failure::Error)?;
        match found.iter_mut().find(|(_, other, _)| *other == layer) {
            Some((_, _, count)) => *count += 1,
            None => found.push((label(shape, &window, filters), layer, 1)),
        }
    }
    Ok(found)
}

/// The depthwise convolution that makes a node's value, perhaps with batch norm and activation
/// after it: its operand, window and multiplier.
fn depthwise_before(network: &Network, mut id: NodeId) -> Option<(NodeId, Window, usize)> {
    loop {
        let node = network.node(id);
        match node.op {
            Op::Depthwise { window, multiplier, .. } => {
                return Some((node.inputs[0], window, multiplier));
            }
            Op::BatchNorm { .. } | Op::Activation(_) | Op::Identity => id = node.inputs[0],
            _ => return None,
        }
    }
}

/// A layer as [`Layer::parse`] reads it.
fn spec([n, h, w, c]: [usize; 4], window: &Window, multiplier: usize, filters: usize) -> String {
    let pair = |[a, b]: [usize; 2]| format!("{a}x{b}");
    let padding = match window.padding {
        Padding::Valid => " p0".into(),
        Padding::Explicit { top, bottom, left, right } => {
            format!(" p{top},{bottom},{left},{right}")
        }
        _ => String::new(),
    };
    let [kernel, stride, dilation] = [window.kernel, window.stride, window.dilation].map(pair);
    format!("sep {n}x{h}x{w}x{c} o{filters} k{kernel} s{stride} d{dilation} m{multiplier}{padding}")
}

/// `147×147, 64 → 128`, and how the layer differs from most.
fn label([_, h, w, c]: [usize; 4], window: &Window, filters: usize) -> String {
    let mut label = format!("{h}×{w}, {c} → {filters}");
    let Window { kernel: [kh, kw], stride, dilation, .. } = *window;
    if [kh, kw] != [3, 3] {
        label += &format!(", {kh}×{kw}");
    }
    for (what, [vertical, horizontal]) in [("stride", stride), ("dilation", dilation)] {
        if [vertical, horizontal] != [1, 1] {
            label += &match vertical == horizontal {
                true => format!(", {what} {vertical}"),
                false => format!(", {what} {vertical}×{horizontal}"),
            };
        }
    }
    label
}

/// One picture of the size that a network was made for.
fn native(network: &Network) -> [usize; 4] {
    let (size, channels) = network.input();
    let [h, w] = size.map(|side| side.expect("named models have a size"));
    [1, h, w, channels]
}

/// A standard and a separable layer.
struct Pair {
    label: String,
    count: usize,
    parameters: [u64; 2],
    series: Series,
}

impl Pair {
    fn time(turns: &Turns<'_>, label: String, separable: &Layer, count: usize) -> Result<Self> {
        let standard = separable.standard().expect("only separable layers get here");
        let specs = [&standard, separable];
        let mut runners = Vec::new();
        for spec in specs {
            runners.push(spec.prepare(turns.level, threads::current()).map_err(Failure::Error)?);
        }
        let multiply_adds = runners.iter().map(Runner::multiply_adds).collect();
        let [first, second] = &mut runners[..] else { unreachable!("two have been prepared") };
        let rounds = turns.time(&mut [&mut || Ok(first.run().map(drop)?), &mut || {
            Ok(second.run().map(drop)?)
        }])?;
        let series = Series { multiply_adds, rounds };
        Ok(Self { label, count, parameters: specs.map(Layer::parameters), series })
    }

    fn row(self, peak: f64) -> LayerRow {
        let [standard, separable] = &self.series.rounds.times[..] else {
            unreachable!("two were timed")
        };
        let obtained_quartiles = quartiles(standard.iter().zip(separable).map(|(a, b)| a / b));
        let forms = self.parameters.into_iter().zip(self.series.speeds(peak));
        let mut forms = forms.map(|(parameters, (multiply_adds, speed))| Form {
            parameters,
            multiply_adds,
            speed,
        });
        let mut next = || forms.next().expect("two were timed");
        let (standard, separable) = (next(), next());
        LayerRow {
            layer: self.label,
            count: self.count,
            promised: standard.multiply_adds as f64 / separable.multiply_adds as f64,
            obtained: standard.speed.median_ms / separable.speed.median_ms,
            obtained_quartiles,
            standard,
            separable,
        }
    }
}

/// How networks are planned.
struct How {
    options: PlanOptions,
    /// Whether they are quantized first, on the picture that they run on.
    quantizes: bool,
}

/// A network with synthetic weights and a picture for it, ready to run.
struct Ready {
    session: Session,
    x: Aligned,
}

impl Ready {
    fn new(network: &Network, shape: [usize; 4], how: &How) -> Result<Self> {
        let weights = synthetic::weights(network)?;
        let mut x = Aligned::new(shape.iter().product(), 0.0)?;
        for (x, u) in x.iter_mut().zip(synthetic::uniform("input")) {
            *x = u as f32;
        }
        let plan = if how.quantizes {
            let Quantized { network, weights, .. } =
                quantize::on_first(network, &weights, shape, &x)?;
            NetworkPlan::new(&network, weights, shape, &how.options)?
        } else {
            NetworkPlan::new(network, weights, shape, &how.options)?
        };
        Ok(Self { session: Session::new(plan)?, x })
    }

    fn run(&mut self) -> Result {
        Ok(self.session.run(&self.x)?)
    }
}

/// Times networks alternately.
fn time_networks(turns: &Turns<'_>, ready: &mut [Ready]) -> Result<Series> {
    let multiply_adds = ready.iter().map(|ready| ready.session.plan().multiply_adds()).collect();
    let mut runners: Vec<_> = ready.iter_mut().map(|ready| || ready.run()).collect();
    let mut things: Vec<_> =
        runners.iter_mut().map(|run| run as &mut dyn FnMut() -> Result).collect();
    Ok(Series { multiply_adds, rounds: turns.time(&mut things)? })
}

/// The blocks in between.
struct Blocks {
    /// Labels, segments, parameters.
    blocks: Vec<(String, usize, u64)>,
    series: Series,
}

impl Blocks {
    fn time(turns: &Turns<'_>, how: &How) -> Result<Self> {
        let mut configs = Vec::new();
        for segments in SEGMENTS {
            let config = SpectrumConfig { segments, ..SpectrumConfig::default() };
            configs.push((format!("1×1, then 3×3 in S = {segments}"), config));
        }
        let relu = SpectrumConfig { between: Activation::Relu, ..SpectrumConfig::default() };
        configs.push(("1×1, ReLU, then 3×3 in S = 728".into(), relu));
        let separable = SpectrumConfig { order: Order::SpatialFirst, ..SpectrumConfig::default() };
        configs.push(("separable: 3×3 depthwise, then 1×1".into(), separable));

        let (mut blocks, mut ready) = (Vec::new(), Vec::new());
        for (label, config) in configs {
            let network = spectrum(&config)?;
            ready.push(Ready::new(&network, native(&network), how)?);
            let parameters = count_parameters(&network)?.total as u64;
            blocks.push((label, config.segments, parameters));
        }
        Ok(Self { blocks, series: time_networks(turns, &mut ready)? })
    }

    fn rows(self, peak: f64) -> Vec<SpectrumRow> {
        let rows = self.blocks.into_iter().zip(self.series.speeds(peak));
        let rows = rows.map(|((block, segments, parameters), (multiply_adds, speed))| {
            SpectrumRow { block, segments, parameters, multiply_adds, speed }
        });
        rows.collect()
    }
}

/// Times networks as a whole.
fn time_models(turns: &Turns<'_>, networks: Vec<Named>, how: &How) -> Result<(Vec<Named>, Series)> {
    let ready = networks.iter().map(|named| Ready::new(&named.network, named.input, how));
    let mut ready: Vec<Ready> = ready.collect::<Result<_>>()?;
    let series = time_networks(turns, &mut ready)?;
    Ok((networks, series))
}

impl Named {
    fn row((named, (multiply_adds, speed)): (Self, (u64, Speed))) -> Result<NetworkRow> {
        let Self { name, network, input: [batch, h, w, _], paper } = named;
        let parameters = count_parameters(&network)?.total as u64;
        Ok(NetworkRow {
            network: name,
            size: [h, w],
            batch,
            parameters,
            multiply_adds,
            speed,
            paper,
        })
    }
}
