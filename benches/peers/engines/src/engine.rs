//! The engines behind one function: run the network on the picture.

mod burn;
mod candle;
mod rten;
mod sepconv;
mod steps;
mod tract;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

pub use self::sepconv::Sepconv;
use self::steps::Steps;
use crate::graph::Graph;

/// sepconv's peers.
pub const PEERS: [&str; 4] = ["rten", "tract", "candle", "burn"];

/// A network loaded, with its input.
pub trait Engine {
    /// Computes the logits.
    fn run(&mut self) -> Result<Vec<f32>>;
}

/// Loads the network of an ONNX file into one of [`PEERS`].
pub fn load(name: &str, onnx: &Path, x: &Picture, threads: usize) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "rten" => Box::new(rten::Rten::load(onnx, x, threads)?),
        "tract" => Box::new(tract::Tract::load(onnx, x, threads)?),
        "candle" => Box::new(Steps::new(candle::Candle, &Graph::read(onnx)?, x)?),
        "burn" => Box::new(Steps::new(burn::Burn::new(), &Graph::read(onnx)?, x)?),
        _ => bail!("none of {PEERS:?}"),
    })
}

/// The version of an engine that this program was built with.
pub fn version(name: &str) -> Result<&'static str> {
    let package = match name {
        "tract" => "tract-onnx",
        "candle" => "candle-core",
        "burn" => "burn-tensor",
        other => other,
    };
    let lock = include_str!("../Cargo.lock");
    let (_, entry) = lock
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .with_context(|| format!("{package} isn't in the lock file"))?;
    Ok(entry.split('"').next().unwrap_or(entry))
}

/// One picture, NHWC.
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub nhwc: Vec<f32>,
}

impl Picture {
    /// Reads an array 1×H×W×3.
    pub fn read(path: &Path) -> Result<Self> {
        let tensor = ::sepconv::npy::read(path)?;
        ensure!(
            matches!(tensor.shape[..], [1, _, _, 3]),
            "{}: expected shape 1×H×W×3, got {:?}",
            path.display(),
            tensor.shape
        );
        Ok(Self { height: tensor.shape[1], width: tensor.shape[2], nhwc: tensor.data })
    }

    pub fn nchw(&self) -> Vec<f32> {
        (0..3).flat_map(|c| self.nhwc.chunks_exact(3).map(move |pixel| pixel[c])).collect()
    }

    pub fn nchw_shape(&self) -> [usize; 4] {
        [1, 3, self.height, self.width]
    }
}
