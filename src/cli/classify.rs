//! `sepconv classify`: classifies pictures.

use std::fmt::Write as _;
use std::path::PathBuf;

use sepconv::image::{Channels, Preprocess};
use sepconv::network::{Network, NetworkPlan, NodeId, OutputKind, Session};
use sepconv::weights::Link;
use serde::Serialize;

use super::labels;
use super::pictures::Pictures;
use super::progress::Progress;
use super::source::ModelFile;
use super::threads::Threads;
use super::types::Types;
use super::{Failure, Result, error, input_size, note, parse_size, print, report, to_json, warn};

/// Classify pictures
///
/// Each picture is resized to the model's input size, without keeping its proportions unless the
/// model or --crop says so, and scaled to the numbers that the model was trained on. A rescaling
/// layer in the file, or a known network of Keras Applications or timm, says how to scale.
/// Otherwise x / 127.5 − 1 is assumed.
/// --preprocess overrides this. The scaling in use is printed. A file of `sepconv quantize` also
/// says how to resize and scale pictures, and has the names of the classes if it was given any.
///
/// The model's last layer says how to print each class. Softmax and sigmoid give probabilities; a
/// sigmoid with one output is a yes or no with two labels. Other outputs are printed as raw values,
/// unless the model was compiled with a loss that takes logits or --logits is given.
///
/// A picture that can't be read is reported on standard error. The others are still classified, and
/// the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv classify --weights kitchen.keras --labels kitchen.txt photos/*.jpg
  sepconv classify --weights xception.keras --size 200x320 --top 1 cat.jpg
  sepconv classify --weights mine.keras --resize tf-bilinear \\
    --preprocess unit cat.jpg
  sepconv classify --weights kitchen.keras --json photos/*.jpg |
    jq -r '[.file, .top[0].index] | @tsv'")]
pub(super) struct Args {
    #[command(flatten)]
    file: ModelFile,
    /// File with the names of the classes
    ///
    /// Either text with one name in each line, or JSON: a list, Keras's class_indices or
    /// imagenet_class_index.json. If every line starts with the number of its class, as in `0 cat`,
    /// these numbers decide. A sigmoid with one output takes two labels: for 0 and for 1.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Side of the input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    #[command(flatten)]
    pictures: Pictures,
    /// Treat the model's outputs as logits: apply softmax, or sigmoid to a single output
    #[arg(long)]
    logits: bool,
    /// Number of classes to print for each picture
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON for each picture
    ///
    /// {"file": path, "preprocess": {"mode", "formula", "why"}, "logits": [the outputs before
    /// softmax or sigmoid] or null, "probabilities": [0 to 1] or null, "values": [outputs that are
    /// no probabilities] or null, "top": [{"index": class, "label": name or null, "probability" or
    /// "value"}], largest first}
    #[arg(long)]
    json: bool,
    /// JPEG or PNG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    args.threads.run(|| classify(&args, progress))
}

fn classify(args: &Args, progress: Progress) -> Result {
    let mut model = args.file.load()?;
    let (size, channels) = input_size(&model.network, args.size)?;
    let model_error = |message| error(format!("{}: {message}", args.file.path().display()));
    if model.network.is_of_sequences() {
        return model_error("the model takes sequences, not pictures; use `sepconv run`".into());
    }
    let colours = match Channels::new(channels) {
        Ok(colours) => colours,
        Err(e) => return model_error(format!("the model does not take pictures: {e}")),
    };
    let chosen = args.pictures.chosen(&model.metadata)?;
    chosen.preprocess.check(colours)?;
    let input = [1, size[0], size[1], channels];
    let first = model.network.outputs()[0].node;
    let [_, height, width, outputs] = model.network.shapes(input)?[first.index()];
    if [height, width] != [1, 1] {
        return model_error(format!(
            "the model gives a feature map of {height}×{width}×{outputs}, not classes; use `sepconv run`"
        ));
    }
    let head = Head::new(&mut model.network, outputs, args.logits, model.metadata.logits)?;
    let yes_or_no = head.is_sigmoid && outputs == 1;
    let labels =
        class_names(args, model.metadata.labels.take(), if yes_or_no { 2 } else { outputs })?;
    let name = |node: NodeId| model.network.node(node).name.clone();
    let (shown, logits) = (name(head.output), head.logits.map(name));
    let nodes = [Some(shown.clone()), logits.clone()].into_iter().flatten();
    let integers = model.network.is_quantized();
    let options = args.types.of_given(integers)?.outputs(nodes);
    let plan = NetworkPlan::new(&model.network, model.weights, input, &options)?;
    let mut session = Session::new(plan)?;
    let preprocess_said = Said::new(&chosen.preprocess, &chosen.why);
    if !args.json {
        note(&format!("pictures are scaled to {} ({})", preprocess_said.formula, chosen.why));
        head.notes.iter().for_each(|text| note(text));
    }

    let bar = progress.bar(args.images.len() as u64, "");
    let mut failed = false;
    for path in &args.images {
        bar.set_message(path.display().to_string());
        match args.pictures.read(path, size, colours, &chosen) {
            Ok((tensor, warning)) => {
                if let Some(warning) = warning {
                    bar.suspend(|| warn(&warning));
                }
                session.run(&tensor)?;
                let values = |name: &String| session.node(name).map(|(values, _)| values);
                let result = Classified {
                    file: path.display().to_string(),
                    preprocess: &preprocess_said,
                    logits: logits.as_ref().and_then(values),
                    probabilities: values(&shown).filter(|_| head.is_probable),
                    values: values(&shown).filter(|_| !head.is_probable),
                    top: top(values(&shown).unwrap_or_default(), yes_or_no, args.top)
                        .into_iter()
                        .map(|(index, number)| Class {
                            index,
                            label: labels.as_ref().map(|labels| labels[index].as_str()),
                            probability: head.is_probable.then_some(number),
                            value: (!head.is_probable).then_some(number),
                        })
                        .collect(),
                };
                let text = if args.json { to_json(&result)? } else { result.table() };
                bar.suspend(|| print(&text))?;
            }
            Err(e) => {
                failed = true;
                bar.suspend(|| report(&e.to_string()));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if failed { Err(Failure::Reported) } else { Ok(()) }
}

/// The names of the classes: those of `--labels`, or the model's own.
fn class_names(
    args: &Args,
    own: Option<Vec<String>>,
    classes: usize,
) -> Result<Option<Vec<String>>> {
    match (&args.labels, own) {
        (Some(path), _) => Ok(Some(labels::read(path, classes)?)),
        (None, Some(own)) if own.len() != classes => error(format!(
            "{}: expected {classes} labels, one for each class, got {}",
            args.file.path().display(),
            own.len()
        )),
        (None, own) => Ok(own),
    }
}

/// The meaning of the model's first output.
struct Head {
    /// The node that is shown: after a softmax or sigmoid, if one is applied.
    output: NodeId,
    /// The node that the softmax or sigmoid is applied to.
    logits: Option<NodeId>,
    /// Whether probabilities are shown.
    is_probable: bool,
    is_sigmoid: bool,
    notes: Vec<String>,
}

impl Head {
    /// Appends a softmax or sigmoid if the model has none and its outputs are logits: because it
    /// was `trained` on logits, or because the user `asked` for it.
    fn new(
        network: &mut Network,
        outputs: usize,
        asked: bool,
        trained: Option<Link>,
    ) -> Result<Self> {
        let first = network.outputs()[0].clone();
        let others: Vec<_> =
            network.outputs()[1..].iter().map(|output| format!("{:?}", output.name)).collect();
        let mut output = first.node;
        let mut notes = Vec::new();
        if !others.is_empty() {
            let (name, others) = (first.name, others.join(", "));
            notes.push(format!(
                "only output {name:?} is shown; `sepconv run` gives the others: {others}"
            ));
        }
        let kind = network.kind(output);
        if kind == OutputKind::Values {
            let by_count = if outputs == 1 { Link::Sigmoid } else { Link::Softmax };
            match trained.or(asked.then_some(by_count)) {
                Some(link) => {
                    let function = if link == Link::Sigmoid { "sigmoid" } else { "softmax" };
                    let why = match trained {
                        Some(_) => "the model was trained on logits",
                        None => "--logits requests it",
                    };
                    notes.push(format!("a {function} is applied to the model's output: {why}"));
                    let mut name = "probabilities".to_owned();
                    while network.find(&name).is_some() {
                        name.push('_');
                    }
                    output = network.push(&name, link.op(), &[output])?;
                }
                None => notes.push(
                    "the model file does not say whether its outputs are logits, so they are printed \
                     as raw values; --logits turns logits into probabilities"
                        .into(),
                ),
            }
        } else if asked {
            return error("--logits does not apply: the model's outputs are probabilities already");
        }
        let kind = network.kind(output);
        Ok(Self {
            output,
            logits: match kind {
                OutputKind::Softmax { logits } | OutputKind::Sigmoid { logits } => Some(logits),
                _ => None,
            },
            is_probable: kind != OutputKind::Values,
            is_sigmoid: matches!(kind, OutputKind::Sigmoid { .. }),
            notes,
        })
    }
}

/// The largest numbers and their classes. With `yes_or_no`, the only number is the probability of
/// class 1.
fn top(numbers: &[f32], yes_or_no: bool, count: u32) -> Vec<(usize, f32)> {
    let both;
    let numbers = match numbers {
        [yes] if yes_or_no => {
            both = [1.0 - yes, *yes];
            &both
        }
        numbers => numbers,
    };
    let mut order: Vec<(usize, f32)> = numbers.iter().copied().enumerate().collect();
    // NaN comes last. The sort is stable, so of equal numbers the first class comes first.
    order.sort_by(|(_, a), (_, b)| a.is_nan().cmp(&b.is_nan()).then((-a).total_cmp(&-b)));
    order.truncate(count as usize);
    order
}

/// How pictures were scaled.
#[derive(Serialize)]
struct Said<'a> {
    mode: &'static str,
    formula: String,
    why: &'a str,
}

impl<'a> Said<'a> {
    fn new(preprocess: &Preprocess, why: &'a str) -> Self {
        Self { mode: preprocess.scaling().name(), formula: preprocess.to_string(), why }
    }
}

#[derive(Serialize)]
struct Classified<'a> {
    file: String,
    preprocess: &'a Said<'a>,
    logits: Option<&'a [f32]>,
    probabilities: Option<&'a [f32]>,
    values: Option<&'a [f32]>,
    top: Vec<Class<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
}

impl Classified<'_> {
    fn table(&self) -> String {
        let width = |text: usize, class: &Class<'_>| {
            text.max(class.label.map_or(0, |label| label.chars().count()))
        };
        let width = self.top.iter().fold(0, width);
        let digits = self.top.iter().map(|class| class.index.to_string().len()).max().unwrap_or(0);
        let mut text = format!("{}\n", self.file);
        for class in &self.top {
            let _ = write!(text, "  {:>digits$}  ", class.index);
            if let Some(label) = class.label {
                let _ = write!(text, "{label:width$}  ");
            }
            let _ = match (class.probability, class.value) {
                (Some(p), _) => writeln!(text, "{:>8.4} %", f64::from(p) * 100.0),
                (None, value) => writeln!(text, "{:>12.6}", value.unwrap_or(f32::NAN)),
            };
        }
        text
    }
}
