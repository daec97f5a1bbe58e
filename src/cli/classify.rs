//! `sepconv classify`: classifies pictures.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use sepconv::image::{Channels, Transform};
use sepconv::network::{Classes, Network, NetworkPlan, NodeId, OutputKind, Session};
use sepconv::weights::Link;

use super::files::{Batches, Files, List};
use super::in_order::in_order;
use super::labels;
use super::outputs;
use super::pictures::Pictures;
use super::progress::Progress;
use super::rows::{Class, Columns, Form, Row, Said};
use super::rows_file::{Done, RowsFile};
use super::source::ModelFile;
use super::threads::{self, Team, Threads};
use super::types::Types;
use super::{Failure, Result, error, input_size, note, parse_size, print, report, thousands, warn};

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
/// A picture that can't be read is reported on standard error, and in its row of JSON. The others
/// are still classified, and the exit status is 1.
///
/// Any number of pictures takes no more memory than a few for each thread. Each thread reads and
/// classifies pictures of its own, if there are enough of them; rows are in the order of the
/// pictures. With --output, a second run continues where the first was stopped, at any moment.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sepconv classify --weights kitchen.keras --labels kitchen.txt photos/*.jpg
  sepconv classify --weights xception.keras --size 200x320 --top 1 cat.jpg
  sepconv classify --weights mine.keras --resize tf-bilinear \\
    --preprocess unit cat.jpg
  sepconv classify --weights kitchen.keras --json photos/*.jpg |
    jq -r '[.file, .top[0].index] | @tsv'
  sepconv classify --weights kitchen.keras --output kitchen.jsonl photos/
  find photos -newer kitchen.jsonl -name '*.jpg' |
    sepconv classify --weights kitchen.keras --columns --list -")]
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
    /// {"file": path, "error": why it can't be read or null, "warning": how it is damaged or null,
    /// "preprocess": {"mode", "formula", "why"}, "logits": [the outputs before
    /// softmax or sigmoid] or null, "probabilities": [0 to 1] or null, "values": [outputs that are
    /// no probabilities] or null, "top": [{"index": class, "label": name or null, "probability" or
    /// "value"}], largest first}
    #[arg(long)]
    json: bool,
    /// Print one line of JSON for each picture, of plain columns for tables and Parquet
    ///
    /// {"file", "error", "warning", "class": number, "label": name or null, "probability" or
    /// "value", "class_2", "label_2", …}: as many classes as --top says, the most likely first, all
    /// null for a picture that can't be read
    #[arg(long, conflicts_with = "json")]
    columns: bool,
    /// Write the lines of --columns, or of --json, to this file
    ///
    /// If the file has rows of the first of these pictures, the run continues after them: what was
    /// stopped at any moment needs the same command again. A row that was cut short is done again.
    /// Pictures that can't be read are reported in their rows alone.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// File with a picture or a folder in each line, after those on the command line; - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// JPEG or PNG files, or folders of them
    ///
    /// A folder stands for all files inside, at any depth and by name, that end in .jpg, .jpeg or
    /// .png.
    #[arg(required_unless_present = "list", value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

pub(super) fn run(args: Args, progress: Progress) -> Result {
    args.threads.run(|| classify(&args, progress))
}

fn classify(args: &Args, progress: Progress) -> Result {
    args.output.as_ref().map_or(Ok(()), |path| outputs::check(&[path]))?;
    let count = args.count(progress)?;
    let classifier = Classifier::new(args, count)?;
    let mut files = args.files()?;
    let mut workers = classifier.workers(count)?;
    let mut done = Done::default();
    let mut output = args.output.as_deref().map(RowsFile::open).transpose()?;
    if let Some(file) = &mut output {
        done = file.read(&mut files)?;
        if let (Some((picture, row)), Some(worker)) = (&done.last, workers.first_mut()) {
            classifier.check(worker, picture, row)?;
        }
        file.append_after(&done)?;
    }
    let bar = match count {
        Some(count) => progress.bar(count.saturating_sub(done.rows), ""),
        None => progress.count(),
    };
    let (start, mut sums) = (Instant::now(), Sums::default());
    let work = |worker: &mut Worker, paths: Result<_>| classifier.outcomes(worker, paths?);
    let batches = Batches::new(files, classifier.batch);
    in_order(batches, workers, work, |outcomes: Outcomes| {
        sums.add(&outcomes);
        if let Some(last) = outcomes.rows.last().filter(|_| !bar.is_hidden()) {
            bar.set_message(last.file.clone());
        }
        match &mut output {
            Some(file) => file.append(&outcomes.text())?,
            None => outcomes.rows.iter().try_for_each(|row| row.print(&bar))?,
        }
        bar.inc(outcomes.rows.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    let failed = done.failed + sums.failed;
    if let (Some(file), Some(path)) = (output, &args.output) {
        file.finish()?;
        sums.note(start.elapsed(), done.rows);
        if failed > 0 {
            let (failed, all) = (thousands(failed), thousands(done.rows + sums.rows));
            report(&format!("{}: {failed} of {all} rows have an error", path.display()));
        }
    }
    if failed > 0 { Err(Failure::Reported) } else { Ok(()) }
}

impl Args {
    fn files(&self) -> Result<Files> {
        let list = self.list.as_deref().map(List::open).transpose()?;
        Ok(Files::new(self.images.clone(), list, &["jpg", "jpeg", "png"]))
    }

    /// How many pictures there are: all of them for a bar, else enough for the threads. None if
    /// only a pipe knows.
    fn count(&self, progress: Progress) -> Result<Option<u64>> {
        if self.list.as_ref().is_some_and(|list| !list.is_file()) {
            return Ok(None);
        }
        let most = if progress.is_shown() { usize::MAX } else { ENOUGH * threads::current() };
        // What can't be listed is reported in its turn.
        Ok(Some(self.files()?.take(most).take_while(|file| file.is_ok()).count() as u64))
    }
}

/// The most memory for the values of networks in all threads; there is always one network.
const MEMORY: usize = 4 << 30;

/// The most pictures that a thread computes at once.
const MOST_AT_ONCE: usize = 16;
/// The batches that each thread should have, so that all end at about the same time.
const BATCHES: usize = 4;
/// The pictures for each thread from which on there are enough.
const ENOUGH: usize = MOST_AT_ONCE * BATCHES;
/// The multiply-adds of a batch. With 0.6 million for each picture, batches of 14 take 0.75 of the
/// time of single ones (38 µs on an Emerald Rapids); with 3 million, none is faster.
const MULTIPLY_ADDS: u64 = 8 << 20;

/// All that threads share to classify pictures.
struct Classifier<'a> {
    args: &'a Args,
    size: [usize; 2],
    colours: Channels,
    transform: Transform,
    said: Said,
    plan: Arc<NetworkPlan>,
    /// How many pictures a thread takes at a time, and the plan for as many, if several.
    batch: usize,
    batch_plan: Option<Arc<NetworkPlan>>,
    classes: Classes,
    labels: Option<Vec<String>>,
    /// The nodes that are shown, and what a softmax or sigmoid is applied to.
    shown: String,
    logits: Option<String>,
    form: Form,
}

/// Threads that classify one batch after the other.
struct Worker {
    team: Team,
    /// For one picture, and for a batch.
    one: Session,
    batch: Option<Session>,
}

/// What came of a batch of pictures.
struct Outcomes {
    rows: Vec<Outcome>,
    reading: Duration,
    computing: Duration,
}

/// What came of a picture.
struct Outcome {
    file: String,
    error: Option<String>,
    warning: Option<String>,
    text: String,
}

/// A picture's part of what a session computed.
#[derive(Clone, Copy)]
struct Computed<'a> {
    session: &'a Session,
    place: usize,
    of: usize,
}

impl<'a> Computed<'a> {
    fn node(self, name: &str) -> Option<&'a [f32]> {
        let (values, _) = self.session.node(name)?;
        values.chunks_exact(values.len() / self.of).nth(self.place)
    }
}

impl<'a> Classifier<'a> {
    /// For so many pictures, if their number is known.
    fn new(args: &'a Args, count: Option<u64>) -> Result<Self> {
        let mut model = args.file.load()?;
        let (size, channels) = input_size(&model.network, args.size)?;
        let model_error = |message| error(format!("{}: {message}", args.file.path().display()));
        if model.network.is_of_sequences() || model.network.input_steps().is_some() {
            return model_error(
                "the model takes sequences, not pictures; use `sepconv run`".into(),
            );
        }
        let colours = match Channels::new(channels) {
            Ok(colours) => colours,
            Err(e) => return model_error(format!("the model does not take pictures: {e}")),
        };
        let transform = args.pictures.transform(&model.metadata)?;
        transform.preprocess.check(colours)?;
        let input = [1, size[0], size[1], channels];
        let first = model.network.outputs()[0].node;
        let [_, height, width, outputs] = model.network.shapes(input)?[first.index()];
        if [height, width] != [1, 1] {
            return model_error(format!(
                "the model gives a feature map of {height}×{width}×{outputs}, not classes; use \
                 `sepconv run`"
            ));
        }
        let trained = model.metadata.logits;
        let (classes, notes) = head(&mut model.network, outputs, args.logits, trained)?;
        let numbers = if classes.is_yes_or_no { 2 } else { outputs };
        let labels = class_names(args, model.metadata.labels.take(), numbers)?;
        let name = |node: NodeId| model.network.node(node).name.clone();
        let (shown, logits) = (name(classes.shown), classes.logits.map(name));
        let nodes = [Some(shown.clone()), logits.clone()].into_iter().flatten();
        let integers = model.network.is_quantized();
        let options = args.types.of_given(integers)?.outputs(nodes);
        let plan = Arc::new(NetworkPlan::new(&model.network, model.weights, input, &options)?);
        let batch = batch(plan.multiply_adds(), count);
        let batch_plan = match batch {
            1 => None,
            _ => Some(Arc::new(plan.resized([batch, size[0], size[1], channels])?)),
        };
        let said = Said::new(&transform.preprocess, &transform.why);
        if !args.json {
            note(&format!("pictures are scaled to {} ({})", said.formula, transform.why));
            notes.iter().for_each(|text| note(text));
        }
        let form = args.form(numbers, classes.is_probable);
        Ok(Self {
            args,
            size,
            colours,
            transform,
            said,
            plan,
            batch,
            batch_plan,
            classes,
            labels,
            shown,
            logits,
            form,
        })
    }

    /// A worker for each thread. There are fewer, of several threads each, if so many pictures are
    /// not there, or would take too much memory.
    fn workers(&self, count: Option<u64>) -> Result<Vec<Worker>> {
        let bytes = self.plan.arena_bytes(1) + self.plan.scratch_bytes(1);
        let most = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let most = most.min(MEMORY / bytes.max(1)).max(1);
        let worker = |team: Team| {
            let session = |plan| Session::with_threads(Arc::clone(plan), team.threads());
            let (one, batch) = (session(&self.plan)?, self.batch_plan.as_ref());
            let batch = batch.map(session).transpose()?;
            Ok(Worker { team, one, batch })
        };
        Team::several(threads::current().min(most))?.into_iter().map(worker).collect()
    }

    /// Reads and classifies pictures.
    fn outcomes(&self, worker: &mut Worker, paths: Vec<PathBuf>) -> Result<Outcomes> {
        let start = Instant::now();
        let (mut inputs, mut warnings) = (Vec::new(), Vec::with_capacity(paths.len()));
        for path in &paths {
            let read = self.args.pictures.read(path, self.size, self.colours, &self.transform);
            warnings.push(read.map(|(input, warning)| {
                if inputs.is_empty() {
                    inputs = input
                } else {
                    inputs.extend(input)
                }
                warning
            }));
        }
        let reading = start.elapsed();
        let Worker { team, one, batch } = worker;
        let each = self.size[0] * self.size[1] * self.colours.count();
        // What is less than a batch goes one by one.
        let (session, of) = match batch {
            Some(batch) if inputs.len() == each * self.batch => (batch, self.batch),
            _ => (one, 1),
        };
        let mut rows = Vec::with_capacity(paths.len());
        let mut inputs = inputs.chunks_exact(each * of);
        let mut place = of;
        for (path, warning) in paths.iter().zip(warnings) {
            if warning.is_ok() {
                place += 1;
                if place >= of
                    && let Some(inputs) = inputs.next()
                {
                    team.run(|| session.run(inputs))?;
                    place = 0;
                }
            }
            rows.push(self.row(path, warning, Computed { session, place, of })?);
        }
        let computing = start.elapsed() - reading;
        Ok(Outcomes { rows, reading, computing })
    }

    /// The row of a picture that was read, with its warning, or wasn't.
    fn row(
        &self,
        path: &Path,
        read: sepconv::Result<Option<String>>,
        computed: Computed<'_>,
    ) -> Result<Outcome> {
        let file = path.display().to_string();
        let computed = read.is_ok().then_some(computed);
        let (warning, error) = match read {
            Ok(warning) => (warning, None),
            Err(e) => (None, Some(e.to_string())),
        };
        let shown = computed.and_then(|computed| computed.node(&self.shown));
        let logits = computed.and_then(|computed| computed.node(self.logits.as_deref()?));
        // Without the name of the file, which the row has.
        let message = |text: &str| match text.strip_prefix(&*file) {
            Some(rest) => rest.trim_start_matches(": ").to_owned(),
            None => text.to_owned(),
        };
        let row = Row {
            file: &file,
            error: error.as_deref().map(message),
            warning: warning.as_deref().map(message),
            preprocess: &self.said,
            logits,
            probabilities: shown.filter(|_| self.classes.is_probable),
            values: shown.filter(|_| !self.classes.is_probable),
            top: shown.map_or(Vec::new(), |shown| self.top(shown)),
        };
        let text = self.form.of(&row)?;
        Ok(Outcome { file, error, warning, text })
    }

    /// The first classes.
    fn top(&self, numbers: &[f32]) -> Vec<Class<'_>> {
        let class = |(index, number): (usize, f32)| Class {
            index,
            label: self.labels.as_ref().map(|labels| labels[index].as_str()),
            probability: self.classes.is_probable.then_some(number),
            value: (!self.classes.is_probable).then_some(number),
        };
        self.classes.largest(numbers, self.args.top as usize).into_iter().map(class).collect()
    }

    /// Whether a row that is there is what these options give: bits are the same in every run.
    fn check(&self, worker: &mut Worker, picture: &Path, row: &[u8]) -> Result {
        let outcomes = self.outcomes(worker, vec![picture.to_owned()])?;
        let same = |new: &Outcome| new.error.is_some() || new.text.as_bytes() == row;
        // A picture may have gone since.
        if outcomes.rows.iter().all(same) {
            return Ok(());
        }
        let output = self.args.output.as_deref().unwrap_or(Path::new(""));
        error(format!(
            "{}: the row of {:?} is not what this command gives: the picture, the model or \
             the options have changed; choose another --output",
            output.display(),
            picture.display().to_string()
        ))
    }
}

/// How many pictures a thread computes at once, by what each takes and how many there are.
fn batch(multiply_adds: u64, count: Option<u64>) -> usize {
    let faster = MULTIPLY_ADDS / multiply_adds.max(1);
    let shared = count.map_or(u64::MAX, |count| count / (BATCHES * threads::current()) as u64);
    usize::try_from(faster.min(shared)).unwrap_or(usize::MAX).clamp(1, MOST_AT_ONCE)
}

impl Args {
    fn form(&self, classes: usize, is_probable: bool) -> Form {
        if self.json {
            return Form::Json;
        }
        if !self.columns && self.output.is_none() {
            return Form::Text;
        }
        let shown = classes.min(self.top as usize);
        Form::Columns((0..shown).map(|place| Columns::new(place, is_probable)).collect())
    }
}

impl Outcome {
    /// To standard output, and what is wrong to standard error.
    fn print(&self, bar: &ProgressBar) -> Result {
        bar.suspend(|| {
            self.warning.iter().for_each(|text| warn(text));
            self.error.iter().for_each(|text| report(text));
            print(&self.text)
        })
    }
}

impl Outcomes {
    /// All rows as text.
    fn text(&self) -> String {
        self.rows.iter().map(|row| &*row.text).collect()
    }
}

/// Of all pictures.
#[derive(Default)]
struct Sums {
    rows: u64,
    failed: u64,
    reading: Duration,
    computing: Duration,
}

impl Sums {
    fn add(&mut self, outcomes: &Outcomes) {
        self.rows += outcomes.rows.len() as u64;
        self.failed += outcomes.rows.iter().filter(|row| row.error.is_some()).count() as u64;
        self.reading += outcomes.reading;
        self.computing += outcomes.computing;
    }

    /// Says how fast it was, and on what the time was spent.
    fn note(&self, time: Duration, before: u64) {
        let (rows, before) = (thousands(self.rows), thousands(before));
        let rate = self.rows as f64 / time.as_secs_f64();
        let all = (self.reading + self.computing).as_secs_f64();
        let share = |part: Duration| 100.0 * part.as_secs_f64() / all.max(f64::MIN_POSITIVE);
        note(&format!(
            "{rows} rows in {:.1} s after {before} that were there: {rate:.1} pictures per second; \
             the threads spent {:.0} % of the time on reading pictures, {:.0} % on the network",
            time.as_secs_f64(),
            share(self.reading),
            share(self.computing)
        ));
    }
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

/// What the model's first output means, and notes for the user. A softmax or sigmoid is appended if
/// there is none and the outputs are logits: because the model was `trained` on logits, or because
/// the user `asked` for it.
fn head(
    network: &mut Network,
    outputs: usize,
    asked: bool,
    trained: Option<Link>,
) -> Result<(Classes, Vec<String>)> {
    let first = network.outputs()[0].clone();
    let others: Vec<_> =
        network.outputs()[1..].iter().map(|output| format!("{:?}", output.name)).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        let (name, others) = (first.name, others.join(", "));
        notes.push(format!(
            "only output {name:?} is shown; `sepconv run` gives the others: {others}"
        ));
    }
    let link = trained.or(asked.then(|| Link::usual(outputs)));
    match (network.kind(first.node), link) {
        (OutputKind::Values, Some(link)) => {
            let function = if link == Link::Sigmoid { "sigmoid" } else { "softmax" };
            let why = match trained {
                Some(_) => "the model was trained on logits",
                None => "--logits requests it",
            };
            notes.push(format!("a {function} is applied to the model's output: {why}"));
        }
        (OutputKind::Values, None) => notes.push(
            "the model file does not say whether its outputs are logits, so they are printed \
             as raw values; --logits turns logits into probabilities"
                .into(),
        ),
        _ if asked => {
            return error("--logits does not apply: the model's outputs are probabilities already");
        }
        _ => {}
    }
    Ok((Classes::new(network, outputs, link)?, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_networks_take_batches_if_there_are_pictures_for_all_threads() {
        let threads = threads::current() as u64;
        for (multiply_adds, each, expected) in [
            (0, None, 16),
            (573_808, None, 14),
            (573_808, Some(1000), 14),
            (573_808, Some(4 * 9), 9),
            (573_808, Some(4 * 9 - 1), 8),
            (573_808, Some(1), 1),
            (3 << 20, None, 2),
            (8 << 30, None, 1),
            (u64::MAX, Some(u64::MAX / threads), 1),
        ] {
            assert_eq!(batch(multiply_adds, each.map(|each| each * threads)), expected);
        }
    }
}
