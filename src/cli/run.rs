//! `sepconv run`: computes logits, features and any layer from a NumPy array.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sepconv::network::{Network, NetworkPlan, NodeId, Session};
use sepconv::npy;
use sepconv::weights::{Model, Tensor};

use super::outputs::{self, Content};
use super::source::ModelFile;
use super::threads::Threads;
use super::types::Types;
use super::{Failure, Result, error, input_shape, note};

/// Compute a model's outputs from a NumPy array
///
/// The input is float32 in C order, of shape N×H×W×C, or N×L×C for a model of sequences, and is
/// used as it is. (Xception expects pixels x / 127.5 − 1.) H, W and L may differ from the model's
/// own.
///
/// Outputs have the shapes that Keras gives them: N×classes, or N×H×W×C or N×L×C if the model ends
/// in a feature map. If the model ends in softmax, `--output FILE` writes the logits. With
/// --predict it writes the probabilities, as Keras's predict does.
///
/// Files are written completely or not at all, even if the disk is full or the command is
/// interrupted.
#[derive(clap::Args)]
#[command(
    override_usage = "sepconv run [OPTIONS] --weights <FILE> --input <X.npy>\n  --output <[NAME=]FILE>…"
)]
#[command(after_help = "\
Examples:
  sepconv run --weights xception.keras --input x.npy --output logits.npy
  sepconv run --weights xception.keras --input x.npy --output p.npy --predict
  sepconv run --weights mobilenet.weights.h5 --model mobilenet \\
    --input x.npy --output logits.npy
  sepconv run --weights xception.keras --input x.npy --output logits.npy \\
    --output block4_sepconv2_act=b4.npy --output avg_pool=features.npy
  sepconv run --weights two_heads.keras --input x.npy \\
    --output kind=kind.npy --output age=age.npy")]
pub(super) struct Args {
    #[command(flatten)]
    file: ModelFile,
    /// Input array
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Write the model's first output, or the output or node NAME, to FILE. Repeatable
    ///
    /// A node is a layer of Keras or a module of timm; `sepconv inspect` lists them. The node of a
    /// softmax holds probabilities. `LAYER/logits` holds what a layer's own softmax or sigmoid is
    /// applied to.
    #[arg(long, value_name = "[NAME=]FILE", required = true)]
    output: Vec<Wanted>,
    /// Write probabilities instead of logits if the model ends in softmax, as Keras's
    /// predict does
    #[arg(long)]
    predict: bool,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    threads: Threads,
}

/// `FILE`, `NAME=FILE`, or `=FILE` for a file whose name has a `=`.
#[derive(Debug, Clone)]
struct Wanted {
    /// The output or node. None for the model's output.
    name: Option<String>,
    path: PathBuf,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, path) = text.split_once('=').unwrap_or(("", text));
        if path.is_empty() {
            return Err("the file name is empty".into());
        }
        let name = Some(name).filter(|name| !name.is_empty());
        Ok(Self { name: name.map(str::to_owned), path: path.into() })
    }
}

/// The most pictures computed at a time: enough to feed all threads, and a bound on memory.
const BATCH: usize = 8;

pub(super) fn run(args: Args) -> Result {
    let paths: Vec<&Path> = args.output.iter().map(|wanted| wanted.path.as_path()).collect();
    outputs::check(&paths)?;
    let input = npy::read(&args.input)?;
    let model = args.file.load()?;
    let shape = input_shape(&input, &args.input, &model.network)?;
    let values = values(&model.network, &args)?;
    let outputs = args.threads.run(|| compute(model, &values, &input.data, shape, args.types))?;
    let files: Vec<_> = paths.into_iter().zip(outputs.iter().map(Content::Npy)).collect();
    outputs::write(&files)
}

/// The value to write to a file.
struct Value {
    node: NodeId,
    /// How many dimensions it has in Keras: N×C, N×L×C, N×H×W×C or N×T×H×W×C.
    rank: usize,
    /// T.
    steps: Option<usize>,
}

/// The values to write to the files.
fn values(network: &Network, args: &Args) -> Result<Vec<Value>> {
    let all = network.outputs();
    let is_named = |name: &String| args.output.iter().any(|w| w.name.as_ref() == Some(name));
    let mut values = Vec::new();
    for Wanted { name, .. } in &args.output {
        values.push(match name {
            None => {
                let shown = all[0].node;
                let node = if args.predict { shown } else { network.output() };
                Value { node, rank: network.rank(shown), steps: network.steps(shown) }
            }
            Some(name) => {
                let output = all.iter().find(|output| output.name == *name);
                let node = output.map(|output| output.node).or_else(|| network.find(name));
                let Some(node) = node else {
                    let outputs: Vec<_> = all.iter().map(|o| format!("{:?}", o.name)).collect();
                    return error(format!(
                        "{:?} has no output or node {name:?}; its outputs: {}",
                        network.name(),
                        outputs.join(", ")
                    ));
                };
                Value { node, rank: network.rank(node), steps: network.steps(node) }
            }
        });
    }
    let others: Vec<_> = (all.iter().skip(1).map(|output| &output.name))
        .filter(|name| !is_named(name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !others.is_empty() && args.output.iter().any(|wanted| wanted.name.is_none()) {
        let (first, others) = (&all[0].name, others.join(", "));
        note(&format!(
            "{first:?} was written; other outputs, written with --output NAME=FILE: {others}"
        ));
    }
    Ok(values)
}

/// Computes the values for all pictures.
fn compute(
    model: Model,
    values: &[Value],
    x: &[f32],
    shape: [usize; 4],
    types: Types,
) -> Result<Vec<Tensor>> {
    let [batch, height, width, channels] = shape;
    // All runs have one size, and the last is padded. Another plan would need its own copy of the
    // weights.
    let size = batch.div_ceil(batch.div_ceil(BATCH));
    let name = |value: &Value| model.network.node(value.node).name.clone();
    let names: Vec<String> = values.iter().map(name).collect();
    let options = types.of_given(model.network.is_quantized())?.outputs(&names);
    let input = [size, height, width, channels];
    let plan = NetworkPlan::new(&model.network, model.weights, input, &options)?;
    let mut session = Session::new(plan)?;
    let mut outputs: Vec<Tensor> = Vec::new();
    let picture = height * width * channels;
    let mut last = Vec::new();
    for x in x.chunks(size * picture) {
        let pictures = x.len() / picture;
        if pictures == size {
            session.run(x)?;
        } else {
            last.extend_from_slice(x);
            last.resize(size * picture, 0.0);
            session.run(&last)?;
        }
        for (i, (name, value)) in names.iter().zip(values).enumerate() {
            let Some((data, [n, h, w, c])) = session.node(name) else {
                return Err(Failure::Error(format!("{name:?} was not computed")));
            };
            // Of a sequence some values have one for each step.
            let each = n / size;
            if outputs.len() == i {
                let batch = batch * each;
                let shape = match (value.rank, value.steps) {
                    (5, Some(steps)) => vec![batch, steps, h / steps, w, c],
                    (2, _) => vec![batch, h * w * c],
                    (3, _) => vec![batch, h * w, c],
                    _ => vec![batch, h, w, c],
                };
                outputs.push(Tensor { shape, data: Vec::new() });
            }
            outputs[i].data.extend_from_slice(&data[..pictures * each * h * w * c]);
        }
    }
    Ok(outputs)
}
