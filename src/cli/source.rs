//! `--weights` and `--model`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sepconv::models::{
    AlignedXceptionConfig, Flavour, InceptionV3Config, MobileNetConfig, XceptionConfig,
    aligned_xception, inception_v3, mobilenet, xception,
};
use sepconv::network::Network;
use sepconv::weights::{self, Link, Model};

use super::{Result, note};

/// A network with weights, from a file or by name.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Source {
    /// Model with weights: .keras, .weights.h5 or .h5 by Keras, .safetensors by timm
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// A model by name, of Keras: xception, inception-v3, mobilenet, mobilenet-WIDTH
    /// (mobilenet-0.25); of timm: legacy-xception, xception41, xception65, xception71; or
    /// xception-without-residuals. By itself its weights are made by formula; with --weights it
    /// says what a file of weights alone is for
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

/// A network with weights from a file.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct ModelFile {
    /// Model with weights: .keras, .weights.h5 or .h5 by Keras, .safetensors by timm
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// What a file of weights alone is for [default: xception]; see `sepconv inspect --help`
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

/// A model with its published parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ModelName {
    Xception,
    /// The paper's Figure 9.
    WithoutResiduals,
    /// Trained by timm.
    LegacyXception,
    Xception41,
    Xception65,
    Xception71,
    InceptionV3,
    /// Of this width.
    MobileNet(f64),
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "xception" => Ok(Self::Xception),
            "xception-without-residuals" => Ok(Self::WithoutResiduals),
            "legacy-xception" => Ok(Self::LegacyXception),
            "xception41" => Ok(Self::Xception41),
            "xception65" => Ok(Self::Xception65),
            "xception71" => Ok(Self::Xception71),
            "inception-v3" => Ok(Self::InceptionV3),
            "mobilenet" => Ok(Self::MobileNet(1.0)),
            _ => {
                let width = text.strip_prefix("mobilenet-").and_then(|width| width.parse().ok());
                width.map(Self::MobileNet).ok_or_else(|| {
                    "the models are xception, inception-v3, mobilenet, mobilenet-WIDTH, \
                     legacy-xception, xception41, xception65, xception71, xception-without-residuals"
                        .into()
                })
            }
        }
    }
}

impl ModelName {
    /// Whether its head ends in logits, as timm's do.
    fn is_of_timm(self) -> bool {
        use ModelName::{LegacyXception, Xception41, Xception65, Xception71};
        matches!(self, LegacyXception | Xception41 | Xception65 | Xception71)
    }

    pub(super) fn network(self) -> Result<Network> {
        Ok(match self {
            Self::Xception => xception(&XceptionConfig::default())?,
            Self::WithoutResiduals => {
                xception(&XceptionConfig { residuals: false, ..XceptionConfig::default() })?
            }
            Self::LegacyXception => {
                xception(&XceptionConfig { flavour: Flavour::Timm, ..XceptionConfig::default() })?
            }
            Self::Xception41 => aligned_xception(&AlignedXceptionConfig::xception41())?,
            Self::Xception65 => aligned_xception(&AlignedXceptionConfig::xception65())?,
            Self::Xception71 => aligned_xception(&AlignedXceptionConfig::xception71())?,
            Self::InceptionV3 => inception_v3(&InceptionV3Config::default())?,
            Self::MobileNet(alpha) => {
                mobilenet(&MobileNetConfig { alpha, ..MobileNetConfig::default() })?
            }
        })
    }
}

impl Source {
    /// The file's model, or the named one, with the file's weights or synthetic ones; Xception if
    /// nothing is said.
    pub(super) fn load(&self) -> Result<Model> {
        if let Some(path) = &self.weights {
            return load(path, self.model);
        }
        let network = self.model.unwrap_or(ModelName::Xception).network()?;
        let weights = weights::synthetic::weights(&network)?;
        Ok(Model::new(network, weights))
    }
}

impl ModelFile {
    pub(super) fn load(&self) -> Result<Model> {
        load(&self.weights, self.model)
    }

    pub(super) fn path(&self) -> &Path {
        &self.weights
    }
}

fn load(path: &Path, name: Option<ModelName>) -> Result<Model> {
    let Some(name) = name else {
        let model = weights::load(path)?;
        model.metadata.notes.iter().for_each(|text| note(&format!("{}: {text}", path.display())));
        return Ok(model);
    };
    let network = name.network()?;
    let weights = weights::load_weights(path, &network)?;
    let mut model = Model::new(network, weights);
    if name.is_of_timm() {
        model.metadata.logits = Some(Link::Softmax);
    }
    Ok(model)
}
