//! The embedded small Xception: the logits that Keras computed, and the same blocks as the full
//! one.
#![cfg(feature = "cli")]

use std::path::Path;

use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};
use sepconv::models::{Head, XceptionConfig, xception};
use sepconv::network::{NetworkPlan, PlanOptions, Session};
use sepconv::weights::{self, Model};

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

#[test]
fn digits_are_read_as_keras_reads_them() {
    let model = model();
    let plan =
        NetworkPlan::new(&model.network, &model.weights, [1, 32, 32, 3], &PlanOptions::default())
            .unwrap();
    let mut session = Session::new(plan).unwrap();
    let sheet = Picture::decode(Path::new("digits.png"), &asset("digits.png")).unwrap().picture;
    let (labels, goldens) = (text("digits.labels.txt"), text("digits.logits.txt"));
    assert_eq!((labels.lines().count(), goldens.lines().count()), (100, 100));
    let (mut right, mut worst) = (0, 0.0_f32);
    for (i, (label, golden)) in labels.lines().zip(goldens.lines()).enumerate() {
        let (top, left) = (i / 10 * DIGIT, i % 10 * DIGIT);
        let mut rgb = Vec::new();
        for y in top..top + DIGIT {
            let start = (y * sheet.size()[1] + left) * 3;
            rgb.extend_from_slice(&sheet.rgb()[start..start + DIGIT * 3]);
        }
        let digit = Picture::new([DIGIT, DIGIT], rgb).unwrap();
        let pixels = digit.resize([32, 32], Resize::Nearest, Channels::Rgb).unwrap();
        session.run(&Preprocess::new(Scaling::Tf).apply(pixels).unwrap()).unwrap();
        let logits = session.output();
        let expected: Vec<f32> = golden.split(' ').map(|v| v.parse().unwrap()).collect();
        assert_eq!(logits.len(), expected.len());
        for (got, expected) in logits.iter().zip(&expected) {
            worst = worst.max((got - expected).abs());
        }
        let best = (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        right += usize::from(best.to_string() == label);
    }
    println!("{right} of 100 right, logits within {worst:.1e} of Keras's");
    assert!(worst <= 1e-4);
    assert_eq!(right, 99);
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
