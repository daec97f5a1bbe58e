//! `sepconv run`: raw tensors in, logits, features and intermediate activations out.

use std::path::{Path, PathBuf};

use sepconv::network::{Network, NetworkPlan, NodeId, Op, PlanOptions, Session};
use sepconv::npy;
use sepconv::weights::{Model, Tensor};

use super::outputs::{self, Content};
use super::source::ModelFile;
use super::threads::Threads;
use super::types::Types;
use super::{Failure, Result, error};

/// Compute a model's output, and any node's, from a NumPy array
///
/// The input is float32 in C order, N×H×W×C, and is taken as it is (Xception expects x / 127.5 − 1).
/// H and W may differ from the model's own. The output is N×classes, or N×H×W×C where the model
/// ends in a feature map; of a model that ends in softmax it is the logits. Either all files are
/// written, each whole, or none, also where the disk is full or the command is interrupted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv run --weights xception.keras --input x.npy --output logits.npy
  sepconv run --weights mobilenet.weights.h5 --model mobilenet --input x.npy --output logits.npy
  sepconv run --weights xception.keras --input x.npy --output logits.npy \\
    --node block4_sepconv2_act --node-output b4.npy --node avg_pool --node-output features.npy")]
pub(super) struct Args {
    #[command(flatten)]
    file: ModelFile,
    /// Input array
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where the model's output goes
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
    /// Also write this node's value, by the name of Keras's layer or timm's module; `inspect` lists them
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// Where it goes; as many as --node, in the same order
    #[arg(long, value_name = "FILE")]
    node_output: Vec<PathBuf>,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    threads: Threads,
}

/// Pictures computed at a time: enough to feed all threads, and memory doesn't grow with the batch.
const BATCH: usize = 8;

pub(super) fn run(args: Args) -> Result {
    if args.node.len() != args.node_output.len() {
        return error(format!(
            "{} of --node but {} of --node-output: each node needs its file",
            args.node.len(),
            args.node_output.len()
        ));
    }
    let paths: Vec<&Path> =
        [&args.output].into_iter().chain(&args.node_output).map(PathBuf::as_path).collect();
    outputs::check(&paths)?;
    let input = npy::read(&args.input)?;
    let [batch, height, width, channels] = input.shape[..] else {
        return error(format!(
            "{}: shape {:?} where N×H×W×C is needed",
            args.input.display(),
            input.shape
        ));
    };
    let model = args.file.load()?;
    let expected = model.network.input().1;
    if channels != expected || input.data.is_empty() {
        return error(format!(
            "{}: shape {:?} where N×H×W×{expected} is needed, each at least 1",
            args.input.display(),
            input.shape
        ));
    }
    let outputs = args.threads.run(|| {
        compute(&model, &args.node, &input.data, [batch, height, width, channels], args.types)
    })?;
    let files: Vec<_> = paths.into_iter().zip(outputs.iter().map(Content::Npy)).collect();
    outputs::write(&files)
}

/// The output, then the nodes.
fn compute(
    model: &Model,
    nodes: &[String],
    x: &[f32],
    shape: [usize; 4],
    types: Types,
) -> Result<Vec<Tensor>> {
    let [batch, height, width, channels] = shape;
    let options = PlanOptions { outputs: nodes.to_vec(), ..types.options() };
    let network = &model.network;
    let mut ids = vec![network.output()];
    for name in nodes {
        let missing = || Failure::Error(format!("{:?} has no node {name:?}", network.name()));
        ids.push(network.find(name).ok_or_else(missing)?);
    }
    let mut outputs: Vec<Tensor> = Vec::new();
    let picture = height * width * channels;
    let whole = batch - batch % BATCH;
    let (whole, rest) = x.split_at(whole * picture);
    for (x, size) in [(whole, BATCH), (rest, batch % BATCH)] {
        if x.is_empty() {
            continue;
        }
        let plan =
            NetworkPlan::new(network, &model.weights, [size, height, width, channels], &options)?;
        let mut session = Session::new(plan)?;
        for x in x.chunks_exact(size * picture) {
            session.run(x)?;
            let values = std::iter::once(Some((session.output(), session.output_shape())))
                .chain(nodes.iter().map(|name| session.node(name)));
            for (i, value) in values.enumerate() {
                let Some((data, [_, h, w, c])) = value else {
                    return error(format!("{:?} was not computed", nodes[i - 1]));
                };
                if outputs.len() == i {
                    let shape = if is_vector(network, ids[i]) {
                        vec![batch, c]
                    } else {
                        vec![batch, h, w, c]
                    };
                    outputs.push(Tensor { shape, data: Vec::new() });
                }
                outputs[i].data.extend_from_slice(data);
            }
        }
    }
    Ok(outputs)
}

/// Whether Keras gives the node N×C, not N×H×W×C.
fn is_vector(network: &Network, mut id: NodeId) -> bool {
    loop {
        let node = network.node(id);
        match node.op {
            Op::GlobalAveragePool | Op::Dense { .. } | Op::Flatten { .. } => return true,
            Op::Activation(_)
            | Op::Softmax
            | Op::BatchNorm { .. }
            | Op::Add
            | Op::Concat
            | Op::Identity => id = node.inputs[0],
            _ => return false,
        }
    }
}
