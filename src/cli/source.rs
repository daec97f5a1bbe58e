//! `--weights` and `--model`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sepconv::models::{
    AlignedXceptionConfig, Flavour, InceptionV3Config, MobileNetConfig, TimmConfig, XceptionConfig,
    aligned_xception, inception_v3, mobilenet, timm, timm_names, xception,
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
    /// legacy-xception, xception41, xception65 and xception71; xception-without-residuals; and, as
    /// timm names them, mobilenetv2_*, mobilenetv3_*, mnasnet_*, semnasnet_*, efficientnet_b0 to
    /// b4, efficientnet_lite0 to lite4, efficientnetv2_s, those that start with tf_ (padding and ε
    /// of TensorFlow, also tf_efficientnetv2_b0 to b3), convnext_* and ghostnet_*. With --weights,
    /// this names the architecture of a file that holds weights only. Without --weights, the
    /// weights are pseudorandom.
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
    /// One of [`timm_names`].
    Timm(&'static str),
}

/// Keras's names, and those of timm's family of Xception.
const NAMES: [&str; 9] = [
    "xception",
    "inception-v3",
    "mobilenet",
    "mobilenet-WIDTH",
    "legacy-xception",
    "xception41",
    "xception65",
    "xception71",
    "xception-without-residuals",
];

/// What to say of a name that no model has.
fn unknown(text: &str) -> String {
    let all: Vec<&str> = NAMES.into_iter().chain(timm_names()).collect();
    let mut near = all.clone();
    near.sort_by_key(|name| edits(text, name));
    format!("the closest are {}; expected one of {}", near[..3].join(", "), all.join(", "))
}

/// The least number of characters to insert, remove or replace that make one text the other
/// (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // From a's beginning to each beginning of b.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
                let of_timm = || timm_names().find(|&name| name == text).map(Self::Timm);
                width.map(Self::MobileNet).or_else(of_timm).ok_or_else(|| unknown(text))
            }
        }
    }
}

impl ModelName {
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
            Self::Timm(name) => timm(&TimmConfig::new(name)?)?,
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
    // Its network is Keras's but for the head, which ends in logits.
    if name == ModelName::LegacyXception {
        model.metadata.logits = Some(Link::Softmax);
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::{edits, unknown};

    #[test]
    fn the_closest_names_come_first() {
        for (a, b, count) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(a, b), count, "{a:?}, {b:?}");
        }
        assert!(unknown("exception").starts_with("the closest are xception, "));
        assert!(unknown("mobilenetv2").starts_with("the closest are mobilenet, mobilenetv2_0"));
    }
}
