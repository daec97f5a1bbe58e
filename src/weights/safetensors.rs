//! Reads timm's models from safetensors files, and passes files of this crate's own format on.
//!
//! A file has a JSON header with the name, type, shape and place of each tensor, followed by the
//! bytes of the tensors.
//!
//! The `safetensors` crate checks that types, shapes and places in the header match and leave no
//! gaps. It gets the header only, so that tensors can be read one by one.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::bytes::Bytes;
use super::elements::{Format, check_finite};
use super::timm::{self, Hint, modules, timm_name};
use super::{Model, Tensor, Variable, Weights, saved, variables};
use crate::network::Network;

/// The most bytes of a header. It takes up to fifty times as much memory. Xception-71's has 100 KB.
pub(super) const MAX_HEADER: u64 = 1 << 20;
/// The number of bytes that hold the header's length, before the header.
const LENGTH: u64 = 8;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// Whether a file is of this kind: a header follows after eight bytes.
pub(crate) fn recognises(bytes: &Bytes) -> bool {
    matches!(bytes.head::<9>(), Ok([.., b'{']))
}

/// Loads a model. Its network is what the header or timm's `config.json` in `folder` says, or what
/// the tensors show.
pub(crate) fn load(bytes: &Bytes, folder: Option<&Path>) -> Result<Model> {
    let file = File::open(bytes)?;
    if saved::recognises(&file) {
        return saved::load(&file);
    }
    let hint = Hint::of(file.metadata(timm::ARCHITECTURE), folder);
    let (network, note) = timm::recognise(&file.tensors, &hint)?;
    let weights = file.weights(&network);
    let weights = weights
        .map_err(|e| format!("{} timm's {}: {e}", hint.recognised(), timm_name(&network)))?;
    let mut model = Model::new(network, weights);
    hint.describe(&mut model);
    model.metadata.notes.extend(note);
    Ok(model)
}

/// Loads the weights of a network. The file must have exactly its tensors.
pub(crate) fn load_weights(bytes: &Bytes, network: &Network) -> Result<Weights> {
    let file = File::open(bytes)?;
    match saved::recognises(&file) {
        true => saved::weights(&file, network),
        false => file.weights(network),
    }
}

pub(super) struct File {
    tensors: Metadata,
    data: Bytes,
}

impl File {
    /// What the header says under a key.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.tensors.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// All tensors by name.
    pub(super) fn tensors(&self) -> BTreeMap<String, &TensorInfo> {
        self.tensors.tensors().into_iter().collect()
    }

    /// The elements of a tensor of F32 and of this shape, which must be finite.
    pub(super) fn floats(&self, info: &TensorInfo, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.values(info, shape, Dtype::F32)?;
        let data = Format::F32.read(&values, false).map_err(|e| e.to_string())?;
        check_finite(&data)?;
        Ok(data)
    }

    /// The elements of a tensor of I8 and of this shape.
    pub(super) fn integers(&self, info: &TensorInfo, shape: &[usize]) -> Result<Vec<i8>> {
        let values = self.values(info, shape, Dtype::I8)?;
        // As many as the file has.
        let mut bytes = vec![0; values.len() as usize];
        values.read_at(0, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes.into_iter().map(|byte| byte as i8).collect())
    }

    fn values(&self, info: &TensorInfo, shape: &[usize], dtype: Dtype) -> Result<Bytes> {
        if info.shape != shape {
            return Err(format!("expected shape {shape:?}, got {:?}", info.shape));
        }
        if info.dtype != dtype {
            return Err(format!("expected elements of {dtype}, got {}", info.dtype));
        }
        self.place(info)
    }

    /// The bytes of a tensor.
    fn place(&self, info: &TensorInfo) -> Result<Bytes> {
        let (start, end) = info.data_offsets;
        let values = self.data.range(start as u64, (end - start) as u64);
        values.ok_or_else(|| {
            format!("bytes {start}..{end} lie outside the {} of all tensors", self.data.len())
        })
    }

    fn open(bytes: &Bytes) -> Result<Self> {
        let length = u64::from_le_bytes(bytes.head().map_err(|e| e.to_string())?);
        if length > MAX_HEADER {
            return Err(format!("the header has {length} bytes; at most {MAX_HEADER} are read"));
        }
        let start = LENGTH + length;
        let header = bytes.range(LENGTH, length);
        let data = bytes.len().checked_sub(start).and_then(|rest| bytes.range(start, rest));
        let (Some(header), Some(data)) = (header, data) else {
            return Err(format!("the header claims {length} bytes, the file has {}", bytes.len()));
        };
        let mut json = vec![0; length as usize];
        header.read_at(0, &mut json).map_err(|e| e.to_string())?;
        let tensors: Metadata =
            serde_json::from_slice(&json).map_err(|e| format!("header: {e}"))?;
        if tensors.data_len() as u64 != data.len() {
            let (claimed, found) = (tensors.data_len(), data.len());
            return Err(format!(
                "the header claims tensors of {claimed} bytes, the file has {found}"
            ));
        }
        Ok(Self { tensors, data })
    }

    /// Reads a tensor for each of the network's variables. No tensor of the file may be left over.
    fn weights(&self, network: &Network) -> Result<Weights> {
        let modules = modules(network);
        let mut left = self.tensors();
        let mut norms = HashSet::new();
        let mut weights = Weights::default();
        for variable in variables(network).map_err(|e| e.to_string())? {
            let module = &modules[variable.layer.as_str()];
            let name = module.tensor(&variable);
            let place = Place::of(&variable);
            let Some(info) = left.remove(&name) else {
                return Err(format!("tensor {name:?}: missing; expected shape {:?}", place.shape));
            };
            let data = self.read(info, &place).map_err(|e| format!("tensor {name:?}: {e}"))?;
            if variable.name == "moving_mean" {
                norms.insert(module.name.as_str());
            }
            let tensor = Tensor { shape: variable.shape.clone(), data };
            let inserted = weights.insert(&variable.layer, variable.name, tensor);
            inserted.map_err(|e| e.to_string())?;
        }
        // The count of training steps next to the statistics of a norm.
        left.retain(|name, _| {
            !name.strip_suffix(".num_batches_tracked").is_some_and(|norm| norms.contains(norm))
        });
        match left.first_key_value() {
            None => Ok(weights),
            Some((name, info)) => {
                let (network, shape) = (timm_name(network), &info.shape);
                Err(format!("{network} has no tensor {name:?} (shape {shape:?})"))
            }
        }
    }

    fn read(&self, info: &TensorInfo, place: &Place) -> Result<Vec<f32>> {
        if info.shape != place.shape {
            return Err(format!("expected shape {:?}, got {:?}", place.shape, info.shape));
        }
        let format = match info.dtype {
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            Dtype::F32 => Format::F32,
            Dtype::F64 => Format::F64,
            other => {
                return Err(format!("expected elements of F16, BF16, F32 or F64, got {other}"));
            }
        };
        let values = self.place(info)?;
        let data = format.read(&values, false).map_err(|e| e.to_string())?;
        check_finite(&data)?;
        Ok(place.transpose(data))
    }
}

/// The shape of a variable's tensor in timm's files.
pub(super) fn shape(variable: &Variable) -> Vec<usize> {
    Place::of(variable).shape
}

/// How a variable lies in a file.
struct Place {
    /// Its shape there.
    shape: Vec<usize>,
    /// The axes here, \[taps, inputs, outputs\]; the file has them in reverse order.
    axes: [usize; 3],
}

impl Place {
    fn of(variable: &Variable) -> Self {
        match (variable.name, &variable.shape[..]) {
            ("depthwise_kernel", &[h, w, c, m]) => {
                Self { shape: vec![c * m, 1, h, w], axes: [h * w, 1, c * m] }
            }
            (_, &[h, w, i, o]) => Self { shape: vec![o, i, h, w], axes: [h * w, i, o] },
            (_, &[i, o]) => Self { shape: vec![o, i], axes: [1, i, o] },
            (_, shape) => Self { shape: shape.into(), axes: [1, 1, variable.elements()] },
        }
    }

    fn transpose(&self, data: Vec<f32>) -> Vec<f32> {
        let [taps, inputs, outputs] = self.axes;
        if taps * inputs == 1 {
            return data;
        }
        let mut transposed = Vec::with_capacity(data.len());
        for t in 0..taps {
            for i in 0..inputs {
                transposed.extend((0..outputs).map(|o| data[(o * inputs + i) * taps + t]));
            }
        }
        transposed
    }
}
