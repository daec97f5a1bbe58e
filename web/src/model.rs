//! A model that is ready to run: its plan, how pictures become its input, and what its output
//! means.

use std::collections::BTreeMap;
use std::path::Path;

use sepconv::image::{Channels, Picture, Transform};
use sepconv::kernels::{Arithmetic, Level};
use sepconv::network::{
    Classes, Network, NetworkPlan, NodeId, Output, PlanOptions, Session, StepInfo, StepTime,
};
use sepconv::weights::{self, Link, Metadata, Model, synthetic};
use serde::Serialize;

use crate::boundary::{clock, report};
use crate::timing::seconds;
use crate::{Result, sentence};

/// See assets/README.md.
const DIGITS: &[u8] = include_bytes!("../../assets/digits.keras");
const CLASSES: &str = include_str!("../../assets/digits.classes.txt");
const SHEET: &[u8] = include_bytes!("../../assets/digits.png");
const LABELS: &str = include_str!("../../assets/digits.labels.txt");
/// Of all logits of the sheet, by arithmetic: those of every other platform. tests/digits.rs
/// describes them.
const DIGESTS: &str = include_str!("../../tests/digests/digits.txt");
/// Side of one digit on the sheet.
const DIGIT: usize = 8;

/// The longest side of an input: a file's own size is not trusted.
const MOST_SIDE: usize = 2048;

/// Which model, and how it is used.
pub(crate) struct Source<'a> {
    /// The file's name, for messages.
    pub(crate) name: &'a str,
    /// \[Height, width\] of the input; None for the model's own.
    pub(crate) size: Option<[usize; 2]>,
    /// Whether outputs that are neither a softmax nor a sigmoid are logits.
    pub(crate) logits: bool,
    /// None for what is fast here.
    pub(crate) arithmetic: Option<Arithmetic>,
}

pub(crate) struct Loaded {
    pub(crate) session: Session,
    pub(crate) arithmetic: Arithmetic,
    /// The last input; random numbers before the first.
    pub(crate) x: Vec<f32>,
    name: String,
    /// The names of the model's outputs, and the nodes that compute them.
    outputs: Vec<(String, String)>,
    /// How pictures become the input, and what the output means; or why it doesn't classify.
    classifier: Result<(Pictures, Head)>,
    labels: Option<Vec<String>>,
    notes: Vec<String>,
}

/// How pictures become the input.
struct Pictures {
    /// \[Height, width\].
    size: [usize; 2],
    channels: Channels,
    transform: Transform,
}

/// What the output means.
struct Head {
    classes: Classes,
    /// The names of its nodes.
    shown: String,
    logits: Option<String>,
}

/// A model's number, and what it is.
#[derive(Serialize)]
pub(crate) struct Described<'a> {
    pub(crate) model: u32,
    #[serde(flatten)]
    pub(crate) info: Info<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info<'a> {
    name: &'a str,
    /// \[N, H, W, C\].
    input: [usize; 4],
    output: [usize; 4],
    parameters: usize,
    multiply_adds: u64,
    level: &'static str,
    arithmetic: &'static str,
    /// The names of the classes, if the file has them.
    labels: Option<&'a [String]>,
    /// How pixels x from 0 to 255 become the input, if pictures do.
    scaling: Option<String>,
    /// Where that is from.
    why_scaling: Option<&'a str>,
    /// Why it doesn't classify pictures, if it doesn't.
    why_not: Option<&'a str>,
    notes: &'a [String],
}

/// Numbers go with it, as JSON has no NaN: those of `top`, all outputs that are shown, and as many
/// before softmax or sigmoid, if there is one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Classified {
    milliseconds: f64,
    top: Vec<Class>,
    outputs: usize,
    has_logits: bool,
    /// Whether these are probabilities.
    is_probable: bool,
    /// What is wrong with the picture's file.
    warning: Option<String>,
}

#[derive(Serialize)]
struct Class {
    index: usize,
    label: Option<String>,
}

/// An output, whose values go with it.
#[derive(Serialize)]
pub(crate) struct Computed<'a> {
    name: &'a str,
    /// \[N, H, W, C\].
    shape: [usize; 4],
    /// Of the run, for all outputs.
    milliseconds: f64,
}

/// A sheet of digits, whose gray pixels go with it.
#[derive(Serialize)]
pub(crate) struct Sheet {
    /// \[Height, width\].
    size: [usize; 2],
    /// Side of a digit.
    digit: usize,
    labels: Vec<&'static str>,
    /// The digest of all logits in each arithmetic.
    digests: BTreeMap<&'static str, &'static str>,
}

/// The network that knows handwritten digits, and is part of the program.
pub(crate) fn digits(arithmetic: Arithmetic) -> Result<Loaded> {
    let mut model = weights::load_bytes("digits.keras", DIGITS).map_err(sentence)?;
    model.metadata.labels = Some(CLASSES.lines().map(str::to_owned).collect());
    // It was trained on logits.
    model.metadata.logits = Some(Link::Softmax);
    let arithmetic = Some(arithmetic);
    Loaded::new(model, Source { name: "digits.keras", size: None, logits: false, arithmetic })
}

/// Digits that it has never seen.
pub(crate) fn sheet() -> Result<(Sheet, Vec<u8>)> {
    let (picture, _) = decode("digits.png", SHEET)?;
    let gray = picture.rgb().iter().step_by(3).copied().collect();
    let (size, labels) = (picture.size(), LABELS.lines().collect());
    let digests = DIGESTS.lines().filter_map(|line| line.split_once(' ')).collect();
    Ok((Sheet { size, digit: DIGIT, labels, digests }, gray))
}

/// Reads a file of any kind that the executor reads.
pub(crate) fn load(source: Source<'_>, bytes: Vec<u8>) -> Result<Loaded> {
    let model = weights::load_bytes(source.name, bytes).map_err(sentence)?;
    Loaded::new(model, source)
}

/// Decodes a JPEG or PNG file, upright. A damaged one gives a warning.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<(Picture, Option<String>)> {
    let decoded = Picture::decode(Path::new(name), bytes).map_err(sentence)?;
    Ok((decoded.picture.upright(decoded.orientation), decoded.warning))
}

impl Loaded {
    fn new(model: Model, source: Source<'_>) -> Result<Self> {
        let name = source.name.to_owned();
        let error = |message: String| format!("{name}: {message}");
        let Model { mut network, weights, metadata, .. } = model;
        let (size, channels) = input_size(&network, source.size).map_err(error)?;
        let input = [1, size[0], size[1], channels];
        let arithmetic = match source.arithmetic {
            // Sums of integers are exact, and that is its only arithmetic.
            _ if network.is_quantized() => Arithmetic::Exact,
            Some(arithmetic) => arithmetic,
            None if Level::best().has_fma() => Arithmetic::Exact,
            None => Arithmetic::Unfused,
        };
        let node = |output: &Output| network.node(output.node).name.clone();
        let outputs = network.outputs().iter().map(|output| (output.name.clone(), node(output)));
        let outputs: Vec<_> = outputs.collect();
        let shapes = network.shapes(input).map_err(|e| error(e.to_string()))?;
        let output = shapes[network.outputs()[0].node.index()];
        let pictures = Pictures::new(&network, size, &metadata);
        let classifier = pictures.and_then(|pictures| {
            let head = Head::new(&mut network, output, source.logits, metadata.logits)?;
            Ok((pictures, head))
        });
        let mut kept: Vec<String> = outputs.iter().map(|(_, node)| node.clone()).collect();
        if let Ok((_, head)) = &classifier {
            kept.extend([Some(head.shown.clone()), head.logits.clone()].into_iter().flatten());
        }
        let options = PlanOptions::default().arithmetic(arithmetic).outputs(kept);
        let plan = NetworkPlan::new(&network, weights, input, &options);
        let session = plan.and_then(Session::new).map_err(|e| error(e.to_string()))?;
        let elements: usize = input.iter().product();
        let x = synthetic::uniform("input").take(elements).map(|u| u as f32).collect();
        let Metadata { labels, notes, .. } = metadata;
        Ok(Self { session, arithmetic, x, name, outputs, classifier, labels, notes })
    }

    pub(crate) fn info(&self) -> Info<'_> {
        let plan = self.session.plan();
        let pictures = self.classifier.as_ref().map(|(pictures, _)| pictures);
        Info {
            name: &self.name,
            input: plan.input_shape(),
            output: plan.output_shape(),
            parameters: plan.parameters(),
            multiply_adds: plan.multiply_adds(),
            level: plan.level().name(),
            arithmetic: self.arithmetic.name(),
            labels: self.labels.as_deref(),
            scaling: pictures.ok().map(|pictures| pictures.transform.preprocess.to_string()),
            why_scaling: pictures.ok().map(|pictures| pictures.transform.why.as_str()),
            why_not: pictures.err().map(String::as_str),
            notes: &self.notes,
        }
    }

    /// Classifies a picture, which came with a warning.
    pub(crate) fn classify(
        &mut self,
        (picture, warning): (Picture, Option<String>),
        top: usize,
    ) -> Result<(Classified, Vec<u8>)> {
        let (pictures, head) = self.classifier.as_ref().map_err(Clone::clone)?;
        self.x = pictures.input(&picture)?;
        let milliseconds = run(&mut self.session, &self.x)?;
        let values = |node: &str| self.session.node(node).map(|(values, _)| values.to_vec());
        let shown = values(&head.shown).unwrap_or_default();
        let logits = head.logits.as_deref().and_then(values);
        let largest = head.classes.largest(&shown, top);
        let label = |index: usize| self.labels.as_ref()?.get(index).cloned();
        let class = |&(index, _): &(usize, f32)| Class { index, label: label(index) };
        let classified = Classified {
            milliseconds,
            top: largest.iter().map(class).collect(),
            outputs: shown.len(),
            has_logits: logits.is_some(),
            is_probable: head.classes.is_probable,
            warning,
        };
        let of_top = largest.iter().map(|&(_, value)| value);
        let numbers = of_top.chain(shown).chain(logits.into_iter().flatten());
        Ok((classified, numbers.flat_map(f32::to_le_bytes).collect()))
    }

    /// Computes all outputs of an input. Elements are f32 in little-endian order.
    pub(crate) fn run(&mut self, input: &[u8]) -> Result<(Vec<Computed<'_>>, Vec<u8>)> {
        let (elements, rest) = input.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(format!("input: expected 4 bytes for each element, got {}", input.len()));
        }
        let x: Vec<f32> = elements.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let milliseconds = run(&mut self.session, &x)?;
        self.x = x;
        let (mut computed, mut bytes) = (Vec::new(), Vec::new());
        for (name, node) in &self.outputs {
            let Some((values, shape)) = self.session.node(node) else { continue };
            computed.push(Computed { name, shape, milliseconds });
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok((computed, bytes))
    }
}

/// Runs a session and tells how far it is. Returns the milliseconds that it took.
fn run(session: &mut Session, x: &[f32]) -> Result<f64> {
    let plan = session.plan().clone();
    let steps: Vec<&StepInfo> = plan.steps().collect();
    let all = plan.multiply_adds().max(1) as f64;
    let mut done = 0.0;
    let start = seconds();
    let on_step = |time: StepTime| {
        let step = steps[time.step];
        // Depth first, some rows at a time.
        let part = time.rows.len() as f64 / step.output[1] as f64;
        done += step.multiply_adds as f64 * part;
        report(done / all);
    };
    session.run_timed_by(&clock, x, on_step).map_err(sentence)?;
    report(1.0);
    Ok((seconds() - start) * 1e3)
}

/// The requested height and width, or the model's own, and the model's channels.
fn input_size(network: &Network, size: Option<[usize; 2]>) -> Result<([usize; 2], usize)> {
    let (own, channels) = network.input();
    let size = match (size, own) {
        (Some(size), _) => size,
        (None, [Some(height), Some(width)]) => [height, width],
        _ => return Err("the model takes pictures of any size: choose one".into()),
    };
    match size.iter().all(|side| (1..=MOST_SIDE).contains(side)) {
        true => Ok((size, channels)),
        false => Err(format!(
            "size: expected sides of 1 to {MOST_SIDE}, got {}×{} (height × width)",
            size[0], size[1]
        )),
    }
}

impl Pictures {
    /// As the file says, or else as is usual.
    fn new(network: &Network, size: [usize; 2], metadata: &Metadata) -> Result<Self> {
        if network.is_of_sequences() || network.input_steps().is_some() {
            return Err("the model takes sequences, not pictures".into());
        }
        let channels = Channels::new(network.input().1)
            .map_err(|e| format!("the model does not take pictures: {e}"))?;
        let transform = Transform::of(metadata).map_err(sentence)?;
        transform.preprocess.check(channels).map_err(sentence)?;
        Ok(Self { size, channels, transform })
    }

    fn input(&self, picture: &Picture) -> Result<Vec<f32>> {
        self.transform.apply(picture, self.size, self.channels).map_err(sentence)
    }
}

impl Head {
    /// Of an output of this shape. It is followed by a softmax or sigmoid if there is none and it
    /// has logits: as the file says, or because they were `called` so.
    fn new(
        network: &mut Network,
        output: [usize; 4],
        called: bool,
        trained: Option<Link>,
    ) -> Result<Self> {
        let [_, height, width, outputs] = output;
        if [height, width] != [1, 1] {
            return Err(format!(
                "the model gives a feature map of {height}×{width}×{outputs}, not classes"
            ));
        }
        let link = trained.or(called.then(|| Link::usual(outputs)));
        let classes = Classes::new(network, outputs, link).map_err(sentence)?;
        let name = |node: NodeId| network.node(node).name.clone();
        Ok(Self { classes, shown: name(classes.shown), logits: classes.logits.map(name) })
    }
}
