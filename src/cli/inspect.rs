//! `sepconv inspect`: lists a network's layers, kernels and costs.

use std::fmt::Write as _;

use clap::ArgGroup;
use sepconv::network::{Network, NetworkPlan, PlanOptions};
use sepconv::weights::{self, Model, ParameterCount, Weights};
use serde::Serialize;

use super::source::Source;
use super::threads::{self, Threads};
use super::{Result, input_size, parse_size, print, print_json, thousands};

/// List a model's layers, kernels and costs
///
/// Prints one line for each step. A step is what one kernel computes at once, often several layers.
/// The columns are the output shape (H×W×C), parameters, multiply-adds for one picture, turns,
/// kernel and layers. Totals follow.
///
/// A step with turns runs depth first: it computes a few rows of its output at a time, alternating
/// with its neighbours, so that the values between them take less memory. The column says how many
/// turns it takes for one picture.
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
    /// "multiply_adds", "turns", "kernel", "layers"}], "parameters", "trainable_parameters",
    /// "multiply_adds", "arena_bytes", "scratch_bytes"}
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
    threads: usize,
    steps: Vec<Step>,
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
        Ok(Self {
            name: network.name().into(),
            input,
            level: plan.level().name(),
            threads,
            steps: (plan.steps().zip(plan.turns(threads)))
                .map(|(step, turns)| Step {
                    output: step.output,
                    parameters: step.parameters,
                    multiply_adds: step.multiply_adds,
                    turns,
                    kernel: step.kernel.clone(),
                    layers: step.nodes.clone(),
                })
                .collect(),
            parameters: total,
            trainable_parameters: trainable,
            multiply_adds: plan.multiply_adds(),
            arena_bytes: plan.arena_bytes(threads),
            scratch_bytes: plan.scratch_bytes(threads),
        })
    }

    fn table(&self) -> String {
        let shape = |[_, h, w, c]: [usize; 4]| format!("{h}×{w}×{c}");
        let heading = ["output", "parameters", "multiply-adds", "turns", "kernel", "layers"]
            .map(String::from);
        let rows: Vec<[String; 6]> = std::iter::once(heading)
            .chain(self.steps.iter().map(|step| {
                [
                    shape(step.output),
                    thousands(step.parameters as u64),
                    thousands(step.multiply_adds),
                    Some(step.turns)
                        .filter(|&turns| turns > 0)
                        .map_or(String::new(), |t| t.to_string()),
                    step.kernel.clone(),
                    step.layers.join(" "),
                ]
            }))
            .collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
        let [w0, w1, w2, w3, w4] = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0));

        let mut text =
            format!("{}, input {}, level {}\n\n", self.name, shape(self.input), self.level);
        for [output, parameters, multiply_adds, turns, kernel, layers] in &rows {
            let _ = writeln!(
                text,
                "{output:>w0$}  {parameters:>w1$}  {multiply_adds:>w2$}  {turns:>w3$}  {kernel:w4$}  {layers}"
            );
        }
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let _ = write!(
            text,
            "\nparameters     {} trainable, {} total\n\
             multiply-adds  {:.3} G\n\
             memory         {:.1} MiB between layers, {:.1} MiB scratch for {} threads\n",
            thousands(self.trainable_parameters as u64),
            thousands(self.parameters as u64),
            self.multiply_adds as f64 / 1e9,
            mib(self.arena_bytes),
            mib(self.scratch_bytes),
            self.threads,
        );
        text
    }
}
