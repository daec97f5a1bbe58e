//! What the adapters' tests and benchmarks share: ONNX files as lists of steps, inputs,
//! differences, and times taken in turns.

pub mod onnx;
pub mod turns;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The networks that `export.py` writes, from the folder that the variable `SEPCONV_MODELS` names.
///
/// # Errors
/// There is no such variable, or no such file.
pub fn model(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("SEPCONV_MODELS")
        .context("SEPCONV_MODELS must name the folder that export.py wrote")?;
    let path = Path::new(&folder).join(format!("{name}.onnx"));
    ensure!(path.exists(), "{} doesn't exist", path.display());
    Ok(path)
}

/// Numbers in −1..1, the same for the same seed (Knuth's MMIX generator).
pub fn uniform(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the good ones; 24 of them are an f32 exactly.
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The largest difference as a part of the largest magnitude; NaN where there is one in `got`.
///
/// # Errors
/// The lengths differ.
pub fn difference(got: &[f32], expected: &[f32]) -> Result<f64> {
    ensure!(got.len() == expected.len(), "{} values, not {}", got.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.map(f32::abs).fold(0.0, |m, v| if v <= m { m } else { v })
    };
    let delta = largest(&mut got.iter().zip(expected).map(|(a, b)| a - b));
    Ok(f64::from(delta) / f64::from(largest(&mut expected.iter().copied())))
}
