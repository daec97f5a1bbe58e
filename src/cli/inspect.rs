//! `sepconv inspect`: lists a network's layers, kernels and costs.

use std::fmt::Write as _;

use clap::ArgGroup;
use sepconv::network::{Network, NetworkPlan, PlanOptions};
use sepconv::weights::{self, Model, ParameterCount, Weights};
use serde::Serialize;

use super::info::without_fma;
use super::source::Source;
use super::text::{Row, columns, list, table, wrap};
use super::threads::{self, Threads};
use super::{Result, input_size, parse_size, print, print_json, thousands};

/// List a model's layers, kernels and costs
///
/// Prints each step: what one kernel computes at once, often several layers. The columns are the
/// output shape (H×W×C), parameters, multiply-adds for one picture and turns, and beside or below
/// them kernel and layers. Totals follow.
///
/// A step with turns runs depth first: it computes a few rows of its output at a time, alternating
/// with its neighbours, so that the values between them take less memory. The column says how many
/// turns it takes for one picture.
///
/// Of a network of 8-bit integers there are two more columns: the scale and the zero point of the
/// output, if that is rounded to u8. The scales of the weights of i8 follow the layers, least and
/// largest of all output channels.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv inspect --model xception
  sepconv inspect --model mobilenet-0.5
  sepconv inspect --weights kitchen.keras --size 224
  sepconv inspect --model xception --json |
    jq -r '.steps[] | [.kernel, .multiply_adds] | @tsv'")]
#[group(skip)]
#[command(group = ArgGroup::new("any source").required(true).multiple(true).args(["weights", "model"]))]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    /// Side of the input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    #[command(flatten)]
    threads: Threads,
    /// Print one line of JSON
    ///
    /// {"name", "input": [n, h, w, c], "level", "threads", "steps": [{"output": [n, h, w, c], "parameters",
    /// "multiply_adds", "turns", "kernel", "layers", "scale", "zero_point", "weights": [{"tensor",
    /// "scales": [least, largest]}]}], "input_scale", "input_zero_point", "parameters",
    /// "trainable_parameters", "multiply_adds", "arena_bytes", "scratch_bytes"}. Scales and zero
    /// points are null of what is not rounded to integers
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result {
    let Model { network, weights, .. } = args.source.load()?;
    args.threads.run(|| {
        let report = Report::new(&network, &weights, args.size)?;
        if args.json { print_json(&report) } else { print(&report.table()) }
    })
}

#[derive(Serialize)]
struct Report {
    name: String,
    input: [usize; 4],
    level: &'static str,
    #[serde(skip)]
    without_fma: Option<String>,
    threads: usize,
    steps: Vec<Step>,
    input_scale: Option<f32>,
    input_zero_point: Option<i32>,
    parameters: usize,
    trainable_parameters: usize,
    multiply_adds: u64,
    /// The memory for values between layers.
    arena_bytes: usize,
    /// The scratch memory of all threads.
    scratch_bytes: usize,
}

/// Layers that one kernel computes together.
#[derive(Serialize)]
struct Step {
    output: [usize; 4],
    parameters: usize,
    multiply_adds: u64,
    /// The number of turns for a picture; 0 if the step runs as a whole.
    turns: usize,
    kernel: String,
    layers: Vec<String>,
    /// Of the output.
    scale: Option<f32>,
    zero_point: Option<i32>,
    /// Of i8.
    weights: Vec<Int8>,
}

#[derive(Serialize)]
struct Int8 {
    tensor: String,
    /// The least and the largest of all output channels.
    scales: [f32; 2],
}

impl Report {
    fn new(network: &Network, weights: &Weights, size: Option<[usize; 2]>) -> Result<Self> {
        let (size, channels) = input_size(network, size)?;
        let input = [1, size[0], size[1], channels];
        let others = network.outputs()[1..].iter();
        let outputs = others.map(|output| network.node(output.node).name.as_str());
        let options = PlanOptions::default().outputs(outputs);
        let plan = NetworkPlan::new(network, weights, input, &options)?;
        let ParameterCount { trainable, total, .. } = weights::count_parameters(network)?;
        let threads = threads::current();
        let quantization =
            |name: &str| network.find(name).and_then(|node| network.node(node).quantization);
        let of_input = network.nodes()[0].quantization;
        Ok(Self {
            name: network.name().into(),
            input,
            level: plan.level().name(),
            without_fma: without_fma(plan.level()).filter(|_| !network.is_quantized()),
            threads,
            steps: (plan.steps().zip(plan.turns(threads)))
                .map(|(step, turns)| Step {
                    output: step.output,
                    parameters: step.parameters,
                    multiply_adds: step.multiply_adds,
                    turns,
                    kernel: step.kernel.clone(),
                    layers: step.nodes.clone(),
                    scale: quantization(&step.name).map(|q| q.scale),
                    zero_point: quantization(&step.name).map(|q| q.zero_point),
                    weights: int8(network, weights, &step.nodes),
                })
                .collect(),
            input_scale: of_input.map(|q| q.scale),
            input_zero_point: of_input.map(|q| q.zero_point),
            parameters: total,
            trainable_parameters: trainable,
            multiply_adds: plan.multiply_adds(),
            arena_bytes: plan.arena_bytes(threads),
            scratch_bytes: plan.scratch_bytes(threads),
        })
    }

    fn table(&self) -> String {
        let shape = |[_, h, w, c]: [usize; 4]| format!("{h}×{w}×{c}");
        let quantized = self.input_scale.is_some() || self.steps.iter().any(|s| s.scale.is_some());
        let mut heading =
            Row::new("output", ["parameters", "multiply-adds", "turns"]).details("kernel: layers");
        if quantized {
            heading.numbers.extend(["scale", "zero"].map(String::from));
            heading.details += "; weights' scales";
        }
        let row = |step: &Step| {
            let turns = Some(step.turns).filter(|&turns| turns > 0);
            let mut row = Row::new(
                shape(step.output),
                [
                    thousands(step.parameters as u64),
                    thousands(step.multiply_adds),
                    turns.map_or(String::new(), |turns| turns.to_string()),
                ],
            );
            if quantized {
                let scale = step.scale.map_or(String::new(), |scale| format!("{scale:.3e}"));
                let zero = step.zero_point.map_or(String::new(), |zero| zero.to_string());
                row.numbers.extend([scale, zero]);
            }
            let scales = step
                .weights
                .iter()
                .map(|Int8 { scales: [least, largest], .. }| format!("{least:.1e}–{largest:.1e}"));
            let scales = scales.collect::<Vec<_>>().join(", ");
            let semicolon = if scales.is_empty() { "" } else { "; " };
            let layers = step.layers.join(" ");
            row.details(format!("{}: {layers}{semicolon}{scales}", step.kernel))
        };

        let columns = columns();
        let mut text = format!("{}, input {}, level {}", self.name, shape(self.input), self.level);
        if let (Some(scale), Some(zero)) = (self.input_scale, self.input_zero_point) {
            let _ = write!(text, ", input scale {scale:.3e}, zero point {zero}");
        }
        text = wrap(&text, columns) + "\n";
        text += &table(heading, self.steps.iter().map(row).collect(), columns);
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let parameters = [self.trainable_parameters, self.parameters].map(|n| thousands(n as u64));
        let [trainable, total] = parameters;
        let totals = [
            ("parameters", format!("{trainable} trainable, {total} total")),
            ("multiply-adds", format!("{:.3} G", self.multiply_adds as f64 / 1e9)),
            (
                "memory",
                format!(
                    "{:.1} MiB between layers, {:.1} MiB scratch for {} threads",
                    mib(self.arena_bytes),
                    mib(self.scratch_bytes),
                    self.threads
                ),
            ),
        ];
        text.push('\n');
        text += &list(totals, columns);
        if let Some(note) = &self.without_fma {
            let _ = write!(text, "\n{}", wrap(note, columns));
        }
        text
    }
}

/// The weights of 8-bit integers of these nodes.
fn int8(network: &Network, weights: &Weights, nodes: &[String]) -> Vec<Int8> {
    let layers = nodes.iter().filter_map(|name| Some(&network.node(network.find(name)?).layer));
    let tensors = layers.flat_map(|layer| {
        ["depthwise_kernel", "kernel"].into_iter().filter_map(move |variable| {
            let scales = &weights.find_int8(layer, variable)?.scales;
            let least = scales.iter().copied().fold(f32::INFINITY, f32::min);
            let largest = scales.iter().copied().fold(0.0, f32::max);
            Some(Int8 { tensor: format!("{layer}/{variable}"), scales: [least, largest] })
        })
    });
    tensors.collect()
}
