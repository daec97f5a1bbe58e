//! `--weights` and `--model`.

use std::path::{Path, PathBuf};

use sepconv::models::ModelName;
use sepconv::weights::{self, Model};

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
        let name = self.model.unwrap_or(ModelName::Xception);
        Ok(Model::named(name, weights::synthetic::weights)?)
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
    Ok(Model::named(name, |network| weights::load_weights(path, network))?)
}
