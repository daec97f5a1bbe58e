//! The embedded small Xception: the logits that Keras computed, and the same blocks as the full
//! one.
#![cfg(feature = "cli")]

use std::path::Path;

use common::digest::{Table, digest};
use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};
use sepconv::kernels::Arithmetic;
use sepconv::models::{Head, XceptionConfig, xception};
use sepconv::network::{
    Calibration, Network, NetworkPlan, PlanOptions, QuantizeOptions, Quantized, RangeRule, Session,
};
use sepconv::weights::{self, Model, Weights};

const DIGIT: usize = 8;

fn asset(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(asset(name)).unwrap()
}

fn model() -> Model {
    weights::load_bytes("digits.keras", asset("digits.keras")).unwrap()
}

/// The inputs of the sheet's digits, and which they are.
fn digits() -> Vec<(Vec<f32>, usize)> {
    let labels: Vec<usize> =
        text("digits.labels.txt").lines().map(|label| label.parse().unwrap()).collect();
    assert_eq!(labels.len(), 100);
    on_sheet(&asset("digits.png"), labels)
}

/// The 200 digits for validation and the 400 that were held out: see `tests/keras/digits.py`.
fn all_digits() -> Vec<(Vec<f32>, usize)> {
    let labels = include_str!("images/digits-600.txt").trim().bytes();
    let labels: Vec<usize> = labels.map(|label| usize::from(label - b'0')).collect();
    assert_eq!(labels.len(), 600);
    on_sheet(include_bytes!("images/digits-600.png"), labels)
}

/// The inputs of digits on a sheet, row by row.
fn on_sheet(sheet: &[u8], labels: Vec<usize>) -> Vec<(Vec<f32>, usize)> {
    let sheet = Picture::decode(Path::new("digits.png"), sheet).unwrap().picture;
    let columns = sheet.size()[1] / DIGIT;
    let digit = |(i, label): (usize, usize)| {
        let (top, left) = (i / columns * DIGIT, i % columns * DIGIT);
        let mut rgb = Vec::new();
        for y in top..top + DIGIT {
            let start = (y * sheet.size()[1] + left) * 3;
            rgb.extend_from_slice(&sheet.rgb()[start..start + DIGIT * 3]);
        }
        let digit = Picture::new([DIGIT, DIGIT], rgb).unwrap();
        let pixels = digit.resize([32, 32], Resize::Nearest, Channels::Rgb).unwrap();
        (Preprocess::new(Scaling::Tf).apply(pixels).unwrap(), label)
    };
    labels.into_iter().enumerate().map(digit).collect()
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

#[test]
fn digits_are_read_as_keras_reads_them() {
    let model = model();
    let plan =
        NetworkPlan::new(&model.network, &model.weights, [1, 32, 32, 3], &PlanOptions::default())
            .unwrap();
    let mut session = Session::new(plan).unwrap();
    let goldens = text("digits.logits.txt");
    assert_eq!(goldens.lines().count(), 100);
    let (mut right, mut worst) = (0, 0.0_f32);
    for ((x, label), golden) in digits().iter().zip(goldens.lines()) {
        session.run(x).unwrap();
        let logits = session.output();
        let expected: Vec<f32> = golden.split(' ').map(|v| v.parse().unwrap()).collect();
        assert_eq!(logits.len(), expected.len());
        for (got, expected) in logits.iter().zip(&expected) {
            worst = worst.max((got - expected).abs());
        }
        right += usize::from(best(logits) == *label);
    }
    println!("{right} of 100 right, logits within {worst:.1e} of Keras's");
    assert!(worst <= 1e-4);
    assert_eq!(right, 99);
}

/// The logits of all digits, one after the other, have the digests of the committed table on every
/// level. `web/` compares WebAssembly's logits with it, too. After a change that is meant to change
/// bits:
/// `SEPCONV_BLESS=1 cargo test --release --test digits digests`.
#[test]
fn digests_of_digits() {
    let Model { network, weights, .. } = model();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/digits.txt");
    let mut table = Table::new(file, include_str!("digests/digits.txt"));
    let digits = digits();
    for arithmetic in [Arithmetic::Exact, Arithmetic::Unfused] {
        for level in common::levels() {
            let options = PlanOptions::default().arithmetic(arithmetic).level(level);
            let plan = NetworkPlan::new(&network, &weights, [1, 32, 32, 3], &options).unwrap();
            for step in plan.steps() {
                common::ledger::ran(level, &step.kernel);
            }
            let mut session = Session::new(plan).unwrap();
            let mut logits = Vec::new();
            for (x, _) in &digits {
                session.run(x).unwrap();
                logits.extend_from_slice(session.output());
            }
            let entered = table.enter(arithmetic.name(), digest(&logits));
            common::holds(entered.is_ok(), || format!("{level}: {entered:?}"));
        }
    }
    table.close();
}

/// How many of these digits a network has right.
fn right(network: &Network, weights: &Weights, digits: &[(Vec<f32>, usize)]) -> usize {
    let plan = NetworkPlan::new(network, weights, [1, 32, 32, 3], &PlanOptions::default());
    let mut session = Session::new(plan.unwrap()).unwrap();
    let is_right = |(x, label): &&(Vec<f32>, usize)| {
        session.run(x).unwrap();
        best(session.output()) == *label
    };
    digits.iter().filter(is_right).count()
}

/// Of the 400 held-out digits, quantized on those for validation.
#[test]
fn held_out_digits_are_read_with_8_bit_integers() {
    let Model { network, weights, .. } = model();
    let all = all_digits();
    let (validation, held_out) = all.split_at(200);
    assert_eq!(right(&network, &weights, held_out), 399);
    let mut calibration = Calibration::new(&network, &weights, [1, 32, 32, 3]).unwrap();
    validation.iter().for_each(|(x, _)| calibration.add(x).unwrap());
    for options in [QuantizeOptions::default(), QuantizeOptions::default().keep_until(28.0)] {
        let Quantized { network, weights, layers, .. } = calibration.quantize(&options).unwrap();
        let right = right(&network, &weights, held_out);
        let kept = layers.iter().filter(|layer| layer.kept).count();
        println!("{right} of 400 right, {kept} of {} layers in f32", layers.len());
        assert!(right >= 397, "{right}");
    }
}

/// Quantized on 20 of them, by each rule.
#[test]
fn digits_are_read_with_8_bit_integers() {
    let Model { network, weights, .. } = model();
    let mut calibration = Calibration::new(&network, &weights, [1, 32, 32, 3]).unwrap();
    let digits = digits();
    digits[..20].iter().for_each(|(x, _)| calibration.add(x).unwrap());
    for range in [RangeRule::MinMax, RangeRule::Percentile(99.99), RangeRule::MeanSquare] {
        let options = QuantizeOptions::default().range(range);
        let Quantized { network, weights, .. } = calibration.quantize(&options).unwrap();
        let right = right(&network, &weights, &digits);
        println!("{range:?}: {right} of 100 right");
        assert!(right >= 98, "{range:?}: {right}");
    }
}

/// What Keras's config.json describes is what the table of blocks builds.
#[test]
fn the_same_blocks_narrower_and_shorter() {
    let config = XceptionConfig {
        size: [Some(32); 2],
        stem: [8, 16],
        entry: vec![16, 24],
        middle_blocks: 2,
        exit: 24,
        last: [24, 40],
        head: Head::None,
        ..XceptionConfig::default()
    };
    let built = xception(&config).unwrap();
    let read = model().network;
    let blocks = built.nodes().len();
    assert_eq!(read.nodes()[..blocks], *built.nodes());
    let head: Vec<&str> = read.nodes()[blocks..].iter().map(|n| n.name.as_str()).collect();
    assert_eq!(head, ["avg_pool", "predictions"]);
}
