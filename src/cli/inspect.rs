//! `sepconv inspect`: what a network is made of and what runs for it.

use std::fmt::Write as _;

use clap::ArgGroup;
use sepconv::network::{Network, NetworkPlan, PlanOptions};
use sepconv::weights::{self, Model, ParameterCount, Weights};

use super::source::Source;
use super::threads::{self, Threads};
use super::{Result, input_size, parse_size, print, thousands};

/// List a model's layers, the kernels that compute them, and their cost
///
/// A line for each step, that is, for the layers that one kernel computes together: the shape of what comes out
/// (H×W×C), parameters, multiply-adds for one picture, kernel, layers. Then the totals.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv inspect --model xception
  sepconv inspect --model mobilenet-0.5
  sepconv inspect --weights kitchen.keras --size 224")]
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
}

pub(super) fn run(args: Args) -> Result {
    let Model { network, weights } = args.source.load()?;
    args.threads.run(|| print(&table(&network, &weights, args.size)?))
}

fn table(network: &Network, weights: &Weights, size: Option<[usize; 2]>) -> Result<String> {
    let (size, channels) = input_size(network, size)?;
    let input = [1, size[0], size[1], channels];
    let plan = NetworkPlan::new(network, weights, input, &PlanOptions::default())?;

    let shape = |[_, h, w, c]: [usize; 4]| format!("{h}×{w}×{c}");
    let heading = ["output", "parameters", "multiply-adds", "kernel", "layers"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(heading)
        .chain(plan.steps().map(|step| {
            [
                shape(step.output),
                thousands(step.parameters as u64),
                thousands(step.multiply_adds),
                step.kernel.clone(),
                step.nodes.join(" "),
            ]
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));

    let mut text =
        format!("{}, input {}, level {}\n\n", network.name(), shape(input), plan.level());
    for [output, parameters, multiply_adds, kernel, layers] in &rows {
        let [w0, w1, w2, w3] = widths;
        let _ = writeln!(
            text,
            "{output:>w0$}  {parameters:>w1$}  {multiply_adds:>w2$}  {kernel:w3$}  {layers}"
        );
    }
    text.push('\n');
    text.push_str(&totals(network, &plan)?);
    Ok(text)
}

fn totals(network: &Network, plan: &NetworkPlan) -> Result<String> {
    let ParameterCount { trainable, total } = weights::count_parameters(network)?;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let threads = threads::current();
    Ok(format!(
        "parameters     {} trainable, {} total\n\
         multiply-adds  {:.3} G\n\
         memory         {:.1} MiB between layers, {:.1} MiB scratch for {threads} threads\n",
        thousands(trainable as u64),
        thousands(total as u64),
        plan.multiply_adds() as f64 / 1e9,
        mib(plan.arena_bytes()),
        mib(plan.scratch_bytes(threads)),
    ))
}
