//! Subcommands, one file each, and what they share: options, errors, exit statuses.

mod bench;
mod classify;
mod compare;
mod comparison;
mod demo;
mod files;
mod in_order;
mod info;
mod inspect;
mod labels;
mod layer;
mod machine;
mod outputs;
mod pictures;
mod plot;
mod progress;
mod quantize;
mod rows;
mod rows_file;
mod run;
mod shell;
mod source;
mod speed;
mod svg;
mod text;
mod threads;
mod trace;
mod types;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::{Parser, Subcommand};
use sepconv::Error;
use sepconv::network::Network;
use sepconv::weights::Tensor;
use serde::Serialize;

use progress::Progress;
use text::Style;

#[derive(Parser)]
#[command(
    name = "sepconv",
    version,
    max_term_width = 80,
    about = "Run Xception and its family on the CPU",
    long_about = "Run Xception and its family on the CPU. Weight files may be Keras's (.keras, \
                  .weights.h5, .h5), those of TensorFlow Lite (.tflite) and TensorFlow.js \
                  (model.json), timm's (.safetensors), or those that `sepconv quantize` \
                  makes: networks of 8-bit integers.",
    after_help = "\
Environment:
  SEPCONV_LEVEL  The instruction set to use: scalar, sse, neon, avx2 or avx512.
                 By default the best one that the CPU has. Results have the
                 same bits on each.
  COLUMNS        The width of text, in place of the terminal's.
  NO_COLOR       Not empty: no colours, on terminals either.

Exit status:
  0    success
  1    an error
  2    a wrong command line
  130  interrupted (or ended by the signal)

Examples:
  sepconv demo
  sepconv classify --weights xception.keras --labels classes.txt cat.jpg
  sepconv quantize --weights xception.keras --calibrate photos/ \\
    --output xception.int8.safetensors
  sepconv inspect --model xception
  sepconv bench --layer 'sep 1x19x19x728 o728 k3 s1'"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    progress: Progress,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Classify(classify::Args),
    Run(run::Args),
    Quantize(quantize::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Info(info::Args),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Parses a command line that starts with the program's name. The fuzzer calls it too.
pub(crate) fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> std::result::Result<Cli, clap::Error> {
    Cli::try_parse_from(words)
}

/// Runs a command line that starts with the program's name. Returns the exit status. The Python
/// package calls it too.
pub(crate) fn main(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let Cli { command, progress } = match parse(words) {
        Ok(cli) => cli,
        Err(e) => {
            // Nobody is left to be told that it can't be printed.
            let _ = e.print();
            return u8::try_from(e.exit_code()).unwrap_or(1);
        }
    };
    let result = match command {
        Command::Demo(args) => demo::run(args),
        Command::Classify(args) => classify::run(args, progress),
        Command::Run(args) => run::run(args),
        Command::Quantize(args) => quantize::run(args, progress),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args, progress),
        Command::Compare(args) => compare::run(args, progress),
        Command::Info(args) => info::run(args),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    };
    match result {
        Ok(()) | Err(Failure::Closed) => 0,
        Err(Failure::Reported) => 1,
        Err(Failure::Error(message)) => {
            report(&message);
            1
        }
    }
}

/// Why a command ends early.
#[derive(Debug)]
enum Failure {
    /// An error that must be reported.
    Error(String),
    /// An error that was reported already.
    Reported,
    /// The reader of the output has gone (`sepconv … | head`).
    Closed,
}

type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<sepconv::kernels::Error> for Failure {
    fn from(error: sepconv::kernels::Error) -> Self {
        Self::Error(error.to_string())
    }
}

fn error<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::Error(message.into()))
}

/// Writes an error to stderr. `eprintln!` would panic if stderr is closed.
fn report(message: &str) {
    let _ = io::stderr().write_all(text::message("error:", Some(Style::Error), message).as_bytes());
}

/// Writes a note to stderr.
fn note(message: &str) {
    let _ = io::stderr().write_all(text::message("note:", None, message).as_bytes());
}

/// Writes a warning to stderr.
fn warn(message: &str) {
    let warning = text::message("warning:", Some(Style::Warning), message);
    let _ = io::stderr().write_all(warning.as_bytes());
}

/// Writes text to stdout and flushes it.
fn print(text: &str) -> Result {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Error(format!("standard output: {e}")),
    })
}

/// Writes a report as one line of JSON to stdout.
fn print_json(report: &impl Serialize) -> Result {
    print(&to_json(report)?)
}

/// One line of JSON.
fn to_json(report: &impl Serialize) -> Result<String> {
    let mut line =
        serde_json::to_string(report).map_err(|e| Failure::Error(format!("JSON: {e}")))?;
    line.push('\n');
    Ok(line)
}

/// The longest side of an input.
const MAX_SIDE: usize = 8192;

/// `N` or `HxW`, for `--size`.
fn parse_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    let side = |s: &str| s.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => {
            Err(format!("expected N or HEIGHTxWIDTH, each 1 to {MAX_SIDE}, such as 299 or 200x320"))
        }
    }
}

/// The requested height and width, or the model's own, and the model's channels.
fn input_size(network: &Network, size: Option<[usize; 2]>) -> Result<([usize; 2], usize)> {
    let (own, channels) = network.input();
    let most = if network.is_of_sequences() { MAX_SIDE * MAX_SIDE } else { MAX_SIDE };
    match (size, own) {
        (Some(size), _) => Ok((size, channels)),
        // The file's own size is not trusted.
        (None, [Some(height), Some(width)]) if height.max(width) > most => error(format!(
            "{:?} takes pictures of {height}×{width}, more than {most}: choose a size with --size",
            network.name()
        )),
        (None, [Some(height), Some(width)]) => Ok(([height, width], channels)),
        _ => error(format!(
            "{:?} takes pictures of any size: choose one with --size",
            network.name()
        )),
    }
}

/// The shape N×H×W×C of an array that was read from `path`, if it is an input of the network.
/// Sequences have one row; the pictures of a sequence stand one above the other.
fn input_shape(input: &Tensor, path: &Path, network: &Network) -> Result<[usize; 4]> {
    let wrong = |expected: &str| {
        error(format!(
            "{}: expected an array of shape {expected}, got {:?}",
            path.display(),
            input.shape
        ))
    };
    let (shape, rank) = match input.shape[..] {
        [n, h, w, c] => ([n, h, w, c], 4),
        [n, l, c] => ([n, 1, l, c], 3),
        // There are as many elements.
        [n, t, h, w, c] => ([n, t.saturating_mul(h), w, c], 5),
        _ => return wrong("N×H×W×C, N×L×C or N×T×H×W×C"),
    };
    let (_, expected) = network.input();
    let steps = network.input_steps();
    let wanted = match steps {
        Some(_) => 5,
        None if network.is_of_sequences() => 3,
        None => 4,
    };
    let has_steps = steps.is_none_or(|steps| input.shape[1] == steps);
    if shape[3] != expected || input.data.is_empty() || rank != wanted || !has_steps {
        let sides = match steps {
            Some(steps) => format!("N×{steps}×H×W"),
            None if wanted == 3 => "N×L".into(),
            None => "N×H×W".into(),
        };
        return wrong(&format!("{sides}×{expected}, each at least 1"));
    }
    Ok(shape)
}

/// 22855952 as 22,855,952.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
