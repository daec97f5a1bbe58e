//! Arguments by name, as the command line and Keras call them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sepconv::kernels::{Activation, Arithmetic, ElementType, Level, Padding};

use crate::errors::kernel_error;

fn unknown<T>(what: &str, names: &[&str], name: &str) -> PyResult<T> {
    let names = names.join(", ");
    Err(PyValueError::new_err(format!("{what}: expected one of {names}, got {name:?}")))
}

/// None for the environment's choice, or else the best.
pub(crate) fn level(name: Option<&str>) -> PyResult<Option<Level>> {
    name.map(|name| Level::parse(name).and_then(Level::checked)).transpose().map_err(kernel_error)
}

pub(crate) fn arithmetic(name: &str) -> PyResult<Arithmetic> {
    let named = Arithmetic::ALL.into_iter().find(|arithmetic| arithmetic.name() == name);
    named.map_or_else(|| unknown("arithmetic", &Arithmetic::ALL.map(Arithmetic::name), name), Ok)
}

/// f32, f16 or bf16.
pub(crate) fn float(what: &str, name: &str) -> PyResult<ElementType> {
    let named = ElementType::FLOATS.into_iter().find(|element| element.name() == name);
    named.map_or_else(|| unknown(what, &ElementType::FLOATS.map(ElementType::name), name), Ok)
}

/// The name of an activation, or the bounds of a clamp.
#[derive(FromPyObject)]
pub(crate) enum ActivationName {
    #[pyo3(transparent)]
    Named(String),
    #[pyo3(transparent)]
    Clamp((f32, f32)),
}

/// With Keras's parameters.
const ACTIVATIONS: [(&str, Activation); 17] = [
    ("linear", Activation::None),
    ("relu", Activation::Relu),
    ("relu6", Activation::Relu6),
    ("elu", Activation::Elu { alpha: 1.0 }),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("hard_silu", Activation::HardSwish),
    ("hard_swish", Activation::HardSwish),
    ("sigmoid", Activation::Sigmoid),
    ("hard_sigmoid", Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }),
    ("tanh", Activation::Tanh),
    ("gelu", Activation::Gelu),
    ("softplus", Activation::Softplus),
    ("mish", Activation::Mish),
    ("leaky_relu", Activation::LeakyRelu { alpha: 0.2 }),
    ("softsign", Activation::Softsign),
    ("exponential", Activation::Exponential),
];

impl ActivationName {
    pub(crate) fn activation(&self) -> PyResult<Activation> {
        match self {
            Self::Clamp((lo, hi)) => Ok(Activation::Clamp { lo: *lo, hi: *hi }),
            Self::Named(name) => match ACTIVATIONS.iter().find(|(known, _)| known == name) {
                Some((_, activation)) => Ok(*activation),
                None => unknown("activation", &ACTIVATIONS.map(|(known, _)| known), name),
            },
        }
    }
}

/// `valid`, `same`, or the pixels at the top, bottom, left and right.
#[derive(FromPyObject)]
pub(crate) enum PaddingName {
    #[pyo3(transparent)]
    Named(String),
    #[pyo3(transparent)]
    Explicit([usize; 4]),
}

impl PaddingName {
    pub(crate) fn padding(&self) -> PyResult<Padding> {
        match self {
            Self::Explicit([top, bottom, left, right]) => {
                let (top, bottom, left, right) = (*top, *bottom, *left, *right);
                Ok(Padding::Explicit { top, bottom, left, right })
            }
            Self::Named(name) => match name.as_str() {
                "valid" => Ok(Padding::Valid),
                "same" => Ok(Padding::Same),
                _ => unknown("padding", &["valid", "same"], name),
            },
        }
    }
}
