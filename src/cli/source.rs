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
    /// Weight file: .keras, .weights.h5 or .h5 of Keras, .tflite, model.json of TensorFlow.js,
    /// .safetensors of timm or `sepconv quantize`
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Architecture by name
    ///
    /// Keras's xception, inception-v3, mobilenet and mobilenet-WIDTH (mobilenet-0.25); timm's
    /// legacy-xception, xception41, xception65 and xception71; xception-without-residuals. With
    /// --weights, this names the architecture of a file that holds weights only. Without --weights,
    /// the weights are pseudorandom.
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

/// A network with weights from a file.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct ModelFile {
    /// Weight file: .keras, .weights.h5 or .h5 of Keras, .tflite, model.json of TensorFlow.js,
    /// .safetensors of timm or `sepconv quantize`
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Architecture of a file that holds weights only; `sepconv inspect --help` lists the names
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
}

/// A model with its published parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ModelName {
    Xception,
    /// Without residual connections: the paper's Figure 9.
    WithoutResiduals,
    /// Trained by timm.
    LegacyXception,
    Xception41,
    Xception65,
    Xception71,
    InceptionV3,
    /// MobileNet of this width.
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
                    "expected one of xception, inception-v3, mobilenet, mobilenet-WIDTH, \
                     legacy-xception, xception41, xception65, xception71, xception-without-residuals"
                        .into()
                })
            }
        }
    }
}

impl ModelName {
    /// Whether it is a network of timm, whose head ends in logits.
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
    /// Whether a file or a name is given.
    pub(super) fn is_given(&self) -> bool {
        self.weights.is_some() || self.model.is_some()
    }

    /// Loads the model of the file, or makes the named one with pseudorandom weights. Xception if
    /// neither is given.
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
