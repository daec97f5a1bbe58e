//! `sepconv quantize`: makes a network of 8-bit integers from a trained one.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::ProgressBar;
use sepconv::image::{Channels, Transform};
use sepconv::network::{
    Calibration, Network, NetworkPlan, OutputKind, PlanOptions, QuantizeOptions, Quantized,
    QuantizedLayer, RangeRule, Session,
};
use sepconv::npy;
use sepconv::weights::{self, Model, Weights};
use serde::Serialize;

use super::files::Files;
use super::labels;
use super::outputs::{self, Content};
use super::pictures::{self, Pictures};
use super::progress::Progress;
use super::source::ModelFile;
use super::text::{Row, columns, table, wrap};
use super::threads::Threads;
use super::{
    Failure, Result, error, input_size, note, parse_size, print, print_json, thousands, warn,
};

/// Quantize a trained model to 8-bit integers
///
/// Weights become i8, with a scale for each output channel. Values between layers become u8. Batch
/// norms are folded first. To learn the ranges of the values, the model runs in f32 on the pictures
/// of --calibrate. Give it a few hundred pictures like those that it will see. Input and output
/// stay f32.
///
/// The file is safetensors. Its header holds the network, how to resize and scale pictures, and the
/// labels. `sepconv classify`, `run`, `inspect`, `bench` and `compare` read it.
///
/// A table lists the signal-to-noise ratio of each layer in decibels, on the first eight pictures.
/// "own" is the layer's own error, on exact inputs. "total" includes the errors of the layers
/// before it. At 20 dB the error is a tenth of the signal. The last lines compare the outputs of
/// both models on all pictures.
///
/// Some layers stay f32: those that add the most noise to the output for their multiply-adds. They
/// are kept until the output's ratio, by estimate, reaches --keep-until, but never more than
/// --keep-share of the multiply-adds. The model then takes about a quarter longer, and is still
/// twice as fast as in f32. With `--keep-until 0` all layers are of integers.
#[derive(clap::Args)]
#[command(override_usage = "sepconv quantize [OPTIONS] --weights <FILE>\n  \
                      --calibrate <PATH>… --output <FILE>")]
#[command(after_help = "\
Examples:
  sepconv quantize --weights kitchen.keras --labels kitchen.txt \\
    --calibrate photos/ --output kitchen.int8.safetensors
  sepconv classify --weights kitchen.int8.safetensors cat.jpg
  sepconv quantize --weights mine.keras --calibrate x.npy --range min-max \\
    --keep block1_conv1 --keep-below 15 --output mine.int8.safetensors")]
pub(super) struct Args {
    #[command(flatten)]
    file: ModelFile,
    /// JPEG or PNG files, folders of them, or .npy arrays of inputs
    ///
    /// Arrays are float32 of shape N×H×W×C; they are not resized or scaled. A folder stands for all
    /// files inside, at any depth, that end in .jpg, .jpeg, .png or .npy.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    calibrate: Vec<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// How to choose the range of a value from the numbers seen
    #[arg(long, value_enum, value_name = "RULE", default_value_t = Rule::Mse)]
    range: Rule,
    /// Percentage of the numbers that `--range percentile` keeps in range
    #[arg(long, value_name = "P", default_value_t = 99.99)]
    percentile: f64,
    /// Layer to keep in f32, with all that is fused with it. Repeatable
    #[arg(long, value_name = "LAYER")]
    keep: Vec<String>,
    /// Keep layers in f32 whose own ratio is below this many decibels
    #[arg(long, value_name = "DB")]
    keep_below: Option<f64>,
    /// Keep layers in f32 until the output's estimated ratio is this many decibels
    #[arg(long, value_name = "DB", default_value_t = 28.0)]
    keep_until: f64,
    /// Percentage of the multiply-adds that --keep-until may keep in f32
    #[arg(long, value_name = "P", default_value_t = 15.0)]
    keep_share: f64,
    /// File with the names of the classes, as for `sepconv classify`
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Side of the input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON
    ///
    /// {"file", "bytes", "range", "inputs" (how many), "size": [height, width], "layers": [{"layer",
    /// "kept", "own_db", "total_db"}], "outputs": {"correlation", "snr_db", "largest_difference",
    /// "same_first"}}. Decibels are null without noise, and "same_first", how many inputs have the
    /// same largest output, if the output is no list of classes.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rule {
    /// From the smallest to the largest
    MinMax,
    /// Leaves out the most distant, as --percentile says
    Percentile,
    /// The range with the smallest mean square error
    Mse,
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    outputs::check(&[&args.output])?;
    let report = args.threads.run(|| quantize(&args, progress))?;
    if args.json { print_json(&report) } else { print(&report.table()) }
}

fn quantize(args: &Args, progress: Progress) -> Result<Report> {
    let Model { network, weights, mut metadata, .. } = args.file.load()?;
    let (size, channels) = input_size(&network, args.size)?;
    let transform = args.pictures.transform(&metadata)?;
    let inputs = Inputs { args, size, channels, transform: &transform };
    let kinds = &["jpg", "jpeg", "png", "npy"];
    let paths: Vec<PathBuf> =
        Files::new(args.calibrate.clone(), None, kinds).collect::<Result<_>>()?;
    let shape = [1, size[0], size[1], channels];
    let first = network.outputs()[0].node;
    let [_, height, width, outputs] = network.shapes(shape)?[first.index()];
    if let Some(path) = &args.labels {
        let yes_or_no = outputs == 1 && matches!(network.kind(first), OutputKind::Sigmoid { .. });
        metadata.labels = Some(labels::read(path, if yes_or_no { 2 } else { outputs })?);
    }

    let mut calibration = Calibration::new(&network, &weights, shape)?;
    drop((network, weights));
    let bar = progress.bar(2 * paths.len() as u64, "calibration");
    let mut exact = Vec::new();
    inputs.each(&paths, &bar, |x, warning| {
        warning.iter().for_each(|text| bar.suspend(|| warn(text)));
        calibration.add(x)?;
        exact.push(calibration.output().to_vec());
        Ok(())
    })?;
    let Quantized { network, weights, layers, .. } = calibration.quantize(&args.options())?;
    drop(calibration);

    let plan = NetworkPlan::new(&network, &weights, shape, &PlanOptions::default())?;
    let mut session = Session::new(plan)?;
    let mut comparison = Comparison::default();
    let mut exact = exact.iter();
    let is_list = [height, width] == [1, 1] && outputs > 1;
    inputs.each(&paths, &bar, |x, _| {
        session.run(x)?;
        comparison.add(exact.next().map_or(&[], |exact| exact), session.output(), is_list);
        Ok(())
    })?;
    bar.finish_and_clear();
    if !args.json {
        note(&format!("pictures are scaled to {} ({})", transform.preprocess, transform.why));
    }

    pictures::store(transform, &mut metadata);
    let mut model = Model::new(network, weights);
    model.metadata = metadata;
    let file = weights::to_bytes(&model)?;
    outputs::write(&[(&args.output, Content::Bytes(&file))])?;
    Ok(Report {
        file: args.output.display().to_string(),
        bytes: file.len(),
        range: args.range.to_possible_value().map_or(String::new(), |v| v.get_name().into()),
        inputs: comparison.inputs,
        size,
        layers: layers.into_iter().map(Layer::from).collect(),
        outputs: comparison.outcome(),
    })
}

/// The network that `--arithmetic int8` times: quantized on the first picture of an input
/// \[N, H, W, C\].
pub(super) fn on_first(
    network: &Network,
    weights: &Weights,
    [_, h, w, channels]: [usize; 4],
    x: &[f32],
) -> Result<Quantized> {
    let mut calibration = Calibration::new(network, weights, [1, h, w, channels])?;
    calibration.add(&x[..h * w * channels])?;
    Ok(calibration.quantize(&QuantizeOptions::default())?)
}

impl Args {
    fn options(&self) -> QuantizeOptions {
        let range = match self.range {
            Rule::MinMax => RangeRule::MinMax,
            Rule::Percentile => RangeRule::Percentile(self.percentile),
            Rule::Mse => RangeRule::MeanSquare,
        };
        let mut options = QuantizeOptions::default()
            .range(range)
            .keep(&self.keep)
            .keep_until(self.keep_until)
            .keep_share(self.keep_share / 100.0);
        options.keep_below = self.keep_below;
        options
    }
}

/// What the network is calibrated on.
struct Inputs<'a> {
    args: &'a Args,
    size: [usize; 2],
    channels: usize,
    transform: &'a Transform,
}

impl Inputs<'_> {
    /// Passes each input to `f`, with a warning if it is of a damaged picture.
    fn each(
        &self,
        paths: &[PathBuf],
        bar: &ProgressBar,
        mut f: impl FnMut(&[f32], Option<String>) -> Result,
    ) -> Result {
        let [height, width] = self.size;
        for path in paths {
            if is_array(path) {
                let array = npy::read(path)?;
                let (shape, picture) = (&array.shape, height * width * self.channels);
                if !matches!(shape[..], [_, h, w, c] if [h, w, c] == [height, width, self.channels])
                    || array.data.is_empty()
                {
                    return error(format!(
                        "{}: expected an array of shape N×{height}×{width}×{}, got {shape:?}",
                        path.display(),
                        self.channels
                    ));
                }
                array.data.chunks_exact(picture).try_for_each(|x| f(x, None))?;
            } else {
                let colours = Channels::new(self.channels).map_err(|e| {
                    Failure::Error(format!(
                        "{}: the model does not take pictures: {e}",
                        self.args.file.path().display()
                    ))
                })?;
                self.transform.preprocess.check(colours)?;
                let (x, warning) =
                    self.args.pictures.read(path, self.size, colours, self.transform)?;
                f(&x, warning)?;
            }
            bar.inc(1);
        }
        Ok(())
    }
}

fn is_array(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// The outputs of both networks.
#[derive(Default)]
struct Comparison {
    inputs: usize,
    count: f64,
    /// Sums of the exact outputs, the others, their squares and products.
    sums: [f64; 5],
    noise: f64,
    largest: f64,
    same_first: Option<usize>,
}

impl Comparison {
    fn add(&mut self, exact: &[f32], rounded: &[f32], is_list: bool) {
        for (&x, &y) in exact.iter().zip(rounded) {
            let (x, y) = (f64::from(x), f64::from(y));
            let terms = [x, y, x * x, y * y, x * y];
            self.sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            self.count += 1.0;
            self.noise += (x - y) * (x - y);
            self.largest = self.largest.max((x - y).abs());
        }
        self.inputs += 1;
        if is_list {
            let first = |y: &[f32]| (0..y.len()).max_by(|&a, &b| y[a].total_cmp(&y[b]));
            let same = usize::from(first(exact) == first(rounded));
            self.same_first = Some(self.same_first.unwrap_or(0) + same);
        }
    }

    fn outcome(&self) -> Outputs {
        let [x, y, xx, yy, xy] = self.sums.map(|sum| sum / self.count);
        Outputs {
            correlation: (xy - x * y) / ((xx - x * x) * (yy - y * y)).sqrt(),
            snr_db: 10.0 * (self.sums[2] / self.noise).log10(),
            largest_difference: self.largest,
            same_first: self.same_first,
        }
    }
}

#[derive(Serialize)]
struct Report {
    file: String,
    bytes: usize,
    range: String,
    inputs: usize,
    size: [usize; 2],
    layers: Vec<Layer>,
    outputs: Outputs,
}

#[derive(Serialize)]
struct Layer {
    layer: String,
    kept: bool,
    own_db: f64,
    total_db: f64,
}

#[derive(Serialize)]
struct Outputs {
    correlation: f64,
    snr_db: f64,
    largest_difference: f64,
    same_first: Option<usize>,
}

impl From<QuantizedLayer> for Layer {
    fn from(layer: QuantizedLayer) -> Self {
        let QuantizedLayer { name, kept, own, total, .. } = layer;
        Self { layer: name, kept, own_db: own, total_db: total }
    }
}

impl Report {
    fn table(&self) -> String {
        let decibels = |db: f64| if db.is_finite() { format!("{db:.1}") } else { "–".into() };
        let rows = self.layers.iter().map(|Layer { layer, kept, own_db, total_db }| {
            let row = Row::new(layer.as_str(), [*own_db, *total_db].map(decibels));
            row.details(if *kept { "f32" } else { "" })
        });
        let columns = columns();
        let mut text = table(Row::new("layer", ["own dB", "total dB"]), rows.collect(), columns);
        let Outputs { correlation, snr_db, largest_difference, same_first } = &self.outputs;
        let inputs = self.inputs;
        let outcome = format!(
            "outputs of {inputs} input{}: correlation {correlation:.5}, {snr_db:.1} dB, largest \
             difference {largest_difference:.3}",
            if inputs == 1 { "" } else { "s" },
        );
        text.push('\n');
        text += &wrap(&outcome, columns);
        if let Some(same) = same_first {
            text += &wrap(&format!("{same} of {inputs} first classes the same"), columns);
        }
        text += &format!("{}: {} bytes\n", self.file, thousands(self.bytes as u64));
        text
    }
}
