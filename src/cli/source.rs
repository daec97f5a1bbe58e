//! `--weights` or `--model`.

use std::path::PathBuf;

use clap::ValueEnum;
use sepconv::models::{self, XceptionConfig};
use sepconv::network::Network;
use sepconv::weights::{self, Weights};

use super::Result;

/// Where a network comes from.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Source {
    /// Model with weights: .keras, .weights.h5 or .h5 by Keras, .safetensors by timm
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    weights: Option<PathBuf>,
    /// A model by name, for which no file is needed
    #[arg(long, value_enum, value_name = "NAME")]
    model: Option<ModelName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelName {
    Xception,
}

impl Source {
    /// The file's model, or else Xception with synthetic weights.
    pub(super) fn load(&self) -> Result<(Network, Weights)> {
        if let Some(path) = &self.weights {
            let model = weights::load(path)?;
            return Ok((model.network, model.weights));
        }
        let network = match self.model.unwrap_or(ModelName::Xception) {
            ModelName::Xception => models::xception(&XceptionConfig::default())?,
        };
        let weights = weights::synthetic::weights(&network)?;
        Ok((network, weights))
    }
}
