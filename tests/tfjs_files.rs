//! TensorFlow.js layers models: those that `tests/keras/make_tfjs.py` wrote, and damaged ones.
#![cfg(feature = "keras")]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use sepconv::network::{NetworkPlan, PlanOptions, Session};
use sepconv::weights::{Model, load, load_bytes, load_weights};
use tempfile::TempDir;
use zip::ZipArchive;

mod common;

const MODELS: &[u8] = include_bytes!("keras/fixtures/tfjs.zip");

fn entry(name: &str) -> Vec<u8> {
    common::entry(MODELS, name)
}

fn floats(name: &str) -> Vec<f32> {
    entry(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// All files in a folder that lives as long as the first part.
fn unpacked() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    ZipArchive::new(Cursor::new(MODELS)).unwrap().extract(folder.path()).unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// The probabilities for the input of the fixtures.
fn outputs(model: &Model) -> Vec<f32> {
    let options = PlanOptions::default().outputs(["classes"]);
    let plan = NetworkPlan::new(&model.network, &model.weights, [1, 12, 10, 3], &options).unwrap();
    let mut session = Session::new(plan).unwrap();
    session.run(&floats("x")).unwrap();
    session.node("classes").unwrap().0.to_vec()
}

fn assert_close(model: &Model, expected: &str) {
    let (y, expected) = (outputs(model), floats(expected));
    let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let pairs = y.iter().zip(&expected);
    assert!(pairs.clone().all(|(y, e)| (y - e).abs() <= 1e-5 * largest), "{y:?} for {expected:?}");
}

#[test]
fn every_type_of_weights_computes_as_keras_does() {
    let (_folder, path) = unpacked();
    for kind in ["float32", "uint8", "uint16", "float16"] {
        assert_close(&load(path.join(kind).join("model.json")).unwrap(), &format!("y_{kind}"));
    }
}

#[test]
fn modules_and_memory_hold_the_same_model() {
    let (_folder, path) = unpacked();
    let model = load(path.join("uint8/model.json")).unwrap();
    assert_eq!(load(path.join("module/model.min.js")).unwrap(), model);
    assert_eq!(load_bytes("memory.json", entry("memory.json")).unwrap(), model);
    let weights = load_weights(path.join("module/model.min.js"), &model.network).unwrap();
    assert_eq!(weights, model.weights);
}

/// The error of a changed configuration of `float32`.
fn refusal(path: &Path, from: &str, to: &str) -> String {
    let text = String::from_utf8(entry("float32/model.json")).unwrap();
    assert!(text.contains(from), "{from}");
    let changed = path.join("float32/changed.json");
    fs::write(&changed, text.replacen(from, to, 1)).unwrap();
    load(changed).unwrap_err().to_string()
}

#[test]
fn wrong_files_are_refused_with_their_numbers() {
    let (_folder, path) = unpacked();
    let graph = load(path.join("graph/model.json")).unwrap_err().to_string();
    assert!(graph.contains("graph models are not supported"), "{graph}");
    let memory = load_bytes("model.json", entry("float32/model.json")).unwrap_err().to_string();
    assert!(memory.contains("group1-shard1of2.bin") && memory.contains("in memory"), "{memory}");
    for (from, to, part) in [
        ("group1-shard2of2.bin", "group1-shard1of2.bin", "twice"),
        ("group1-shard2of2.bin", "../secret.bin", "not in the model's folder"),
        ("group1-shard2of2.bin", "/etc/passwd", "not in the model's folder"),
        ("group1-shard2of2.bin", "group1-shard3of2.bin", "does not exist"),
        ("\"shape\": [3, 3, 3, 8]", "\"shape\": [3, 3, 8, 3]", "expected shape [3, 3, 3, 8]"),
        ("\"shape\": [3, 3, 3, 8]", "\"shape\": [3, 3, 3, 7]", "the arrays of group 0 have"),
        ("\"shape\": [3, 3, 3, 8]", "\"shape\": [3, 3, 3, 8000000000]", "does not fit into"),
        ("\"shape\": [3, 3, 3, 8]", "\"shape\": [9223372036854775807, 9]", "does not fit into"),
        (
            "\"shape\": [3, 3, 3, 8], \"dtype\": \"float32\"",
            "\"shape\": [3, 3, 3, 8], \"dtype\": \"int32\"",
            "type int32 is not supported",
        ),
        ("\"class_name\": \"ReLU\"", "\"class_name\": \"Lambda\"", "(Lambda)"),
    ] {
        let error = refusal(&path, from, to);
        assert!(error.contains(part), "{to}: {error}");
    }
    fs::write(path.join("float32/group1-shard1of2.bin"), [0; 7]).unwrap();
    let short = load(path.join("float32/model.json")).unwrap_err().to_string();
    assert!(short.contains("does not fit into"), "{short}");
}

#[test]
fn every_cut_of_a_module_is_refused() {
    let (_folder, path) = unpacked();
    let file = entry("module/model.min.js");
    for end in (0..file.len() - 40).step_by(53) {
        let cut = path.join("module/cut.js");
        fs::write(&cut, &file[..end]).unwrap();
        assert!(load(&cut).is_err(), "{end}");
    }
}
