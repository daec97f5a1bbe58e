//! `--weights` and `--model`.

use std::path::PathBuf;
use std::str::FromStr;

use sepconv::models::{
    InceptionV3Config, MobileNetConfig, XceptionConfig, inception_v3, mobilenet, xception,
};
use sepconv::network::Network;
use sepconv::weights::{self, Weights, keras};

use super::Result;

/// Where a network comes from.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Source {
    /// Model with weights, as Keras saves it: .keras, .weights.h5 or .h5
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// A model by name: xception, inception-v3, mobilenet or mobilenet-WIDTH (mobilenet-0.25). By itself its
    /// weights are made by formula; with --weights it says what a file of weights alone is for
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

/// A model with its published parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ModelName {
    Xception,
    InceptionV3,
    /// Of this width.
    MobileNet(f64),
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "xception" => Ok(Self::Xception),
            "inception-v3" => Ok(Self::InceptionV3),
            "mobilenet" => Ok(Self::MobileNet(1.0)),
            _ => {
                let width = text.strip_prefix("mobilenet-").and_then(|width| width.parse().ok());
                let names = "xception, inception-v3, mobilenet and mobilenet-WIDTH";
                width.map(Self::MobileNet).ok_or_else(|| format!("the models are {names}"))
            }
        }
    }
}

impl ModelName {
    pub(super) fn network(self) -> Result<Network> {
        Ok(match self {
            Self::Xception => xception(&XceptionConfig::default())?,
            Self::InceptionV3 => inception_v3(&InceptionV3Config::default())?,
            Self::MobileNet(alpha) => {
                mobilenet(&MobileNetConfig { alpha, ..MobileNetConfig::default() })?
            }
        })
    }
}

impl Source {
    /// The file's model, or the named one, with the file's weights or synthetic ones; Xception if nothing is
    /// said.
    pub(super) fn load(&self) -> Result<(Network, Weights)> {
        match (&self.weights, self.model) {
            (Some(path), None) => {
                let model = keras::load(path)?;
                Ok((model.network, model.weights))
            }
            (Some(path), Some(model)) => {
                let network = model.network()?;
                let weights = keras::load_weights(path, &network)?;
                Ok((network, weights))
            }
            (None, model) => {
                let network = model.unwrap_or(ModelName::Xception).network()?;
                let weights = weights::synthetic::weights(&network)?;
                Ok((network, weights))
            }
        }
    }
}
