//! `sepconv classify`: pictures to labels.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sepconv::image::{Channels, Mode, Preprocess};
use sepconv::network::{NetworkPlan, Session};
use serde::Serialize;

use super::labels;
use super::pictures::Pictures;
use super::progress::Progress;
use super::source::ModelFile;
use super::threads::Threads;
use super::types::Types;
use super::{
    Failure, Result, error, input_size, parse_size, print, report, softmax, to_json, warn,
};

/// Name what pictures show
///
/// Each picture is resized to the model's input (its proportions are not kept) and scaled to
/// x / 127.5 − 1, as Keras does for Xception. For each are printed its file and the likeliest classes: index,
/// label and probability. A picture that can't be read is reported on standard error; the others
/// are done all the same, and the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv classify --weights kitchen.keras --labels kitchen.txt photos/*.jpg
  sepconv classify --weights xception.keras --size 200x320 --resize bicubic --top 1 cat.jpg
  sepconv classify --weights kitchen.keras --json photos/*.jpg | jq -r '[.file, .top[0].index] | @tsv'")]
pub(super) struct Args {
    #[command(flatten)]
    file: ModelFile,
    /// Names of the classes: a text file with one a line, or JSON (a list, Keras's class_indices or
    /// imagenet_class_index.json). Lines that begin with the classes' numbers, as `0 cat`, are taken by these
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Side of the input, or HEIGHTxWIDTH [default: the model's own]
    #[arg(long, value_name = "N", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    #[command(flatten)]
    pictures: Pictures,
    /// How many classes to print for each picture
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    #[command(flatten)]
    types: Types,
    #[command(flatten)]
    threads: Threads,
    /// One line of JSON for each picture: {"file": path, "logits": [number of each class], "top": [{"index": class,
    /// "label": its name or null, "probability": 0 to 1}]}, the likeliest first
    #[arg(long)]
    json: bool,
    /// JPEG or PNG pictures
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    args.threads.run(|| classify(&args, progress))
}

fn classify(args: &Args, progress: Progress) -> Result {
    let model = args.file.load()?;
    let (size, channels) = input_size(&model.network, args.size)?;
    let model_error = |message| error(format!("{}: {message}", args.file.path().display()));
    let colours = match Channels::new(channels) {
        Ok(colours) => colours,
        Err(e) => return model_error(format!("its input has {e}")),
    };
    let preprocess = args.pictures.preprocess()?.unwrap_or(Preprocess::new(Mode::Tf));
    preprocess.check(colours)?;
    let input = [1, size[0], size[1], channels];
    let plan = NetworkPlan::new(&model.network, model.weights, input, &args.types.options())?;
    let [_, height, width, classes] = plan.output_shape();
    if [height, width] != [1, 1] {
        return model_error(format!(
            "a feature map of {height}×{width}×{classes} comes out, not classes: use `sepconv run`"
        ));
    }
    let labels = match &args.labels {
        Some(path) => Some(labels::read(path, classes)?),
        None => None,
    };
    let mut session = Session::new(plan)?;

    let bar = progress.bar(args.images.len() as u64, "");
    let mut failed = false;
    for path in &args.images {
        bar.set_message(path.display().to_string());
        match args.pictures.read(path, size, colours, &preprocess) {
            Ok((tensor, warning)) => {
                if let Some(warning) = warning {
                    bar.suspend(|| warn(&warning));
                }
                session.run(&tensor)?;
                let result = Classified::new(path, session.output(), labels.as_deref(), args.top);
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

#[derive(Serialize)]
struct Classified<'a> {
    file: String,
    logits: &'a [f32],
    top: Vec<Class<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: Option<&'a str>,
    probability: f64,
}

impl<'a> Classified<'a> {
    fn new(path: &Path, logits: &'a [f32], labels: Option<&'a [String]>, top: u32) -> Self {
        let probabilities = softmax(logits);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // NaN last; of equal logits the first class first, as the sort is stable.
        let rank = |&i: &usize| (logits[i].is_nan(), -logits[i]);
        order.sort_by(|a, b| {
            let ((a_nan, a), (b_nan, b)) = (rank(a), rank(b));
            a_nan.cmp(&b_nan).then(a.total_cmp(&b))
        });
        let class = |&index: &usize| Class {
            index,
            label: labels.map(|labels| labels[index].as_str()),
            probability: probabilities[index],
        };
        Self {
            file: path.display().to_string(),
            logits,
            top: order.iter().take(top as usize).map(class).collect(),
        }
    }

    fn table(&self) -> String {
        let width = |text: usize, class: &Class<'_>| {
            text.max(class.label.map_or(0, |label| label.chars().count()))
        };
        let width = self.top.iter().fold(0, width);
        let digits = self.logits.len().saturating_sub(1).to_string().len();
        let mut text = format!("{}\n", self.file);
        for class in &self.top {
            let _ = write!(text, "  {:>digits$}  ", class.index);
            if let Some(label) = class.label {
                let _ = write!(text, "{label:width$}  ");
            }
            let _ = writeln!(text, "{:>8.4} %", class.probability * 100.0);
        }
        text
    }
}
