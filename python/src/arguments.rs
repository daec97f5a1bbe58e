//! Arguments by name, as the command line and Keras call them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sepconv::kernels::{
    Activation, Arithmetic, BinaryOp, Coordinates, DepthOrder, ElementType, Interpolation, Level,
    NormalizationKind, Padding, PoolKind, TensorLayout, TransposedPadding, WeightLayout,
};
use sepconv::weights::{KERAS_ACTIVATIONS, Resize, Scaling};

use crate::errors::kernel_error;

/// The value that a name of a table stands for.
fn find<T: Copy, const N: usize>(what: &str, table: &[(&str, T); N], name: &str) -> PyResult<T> {
    let named = table.iter().find(|(known, _)| *known == name);
    let names = table.each_ref().map(|(known, _)| *known);
    named.map_or_else(|| unknown(what, &names, name), |(_, value)| Ok(*value))
}

fn unknown<T>(what: &str, names: &[&str], name: &str) -> PyResult<T> {
    let names = names.join(", ");
    Err(PyValueError::new_err(format!("{what}: expected one of {names}, got {name:?}")))
}

/// None for the environment's choice, or else the best.
pub(crate) fn level(name: Option<&str>) -> PyResult<Option<Level>> {
    name.map(|name| Level::parse(name).and_then(Level::checked)).transpose().map_err(kernel_error)
}

pub(crate) fn arithmetic(name: &str) -> PyResult<Arithmetic> {
    find("arithmetic", &Arithmetic::ALL.map(|arithmetic| (arithmetic.name(), arithmetic)), name)
}

/// f32, f16 or bf16.
pub(crate) fn float(what: &str, name: &str) -> PyResult<ElementType> {
    find(what, &ElementType::FLOATS.map(|element| (element.name(), element)), name)
}

/// f32, f16, bf16, u8 or i8.
pub(crate) fn element(what: &str, name: &str) -> PyResult<ElementType> {
    find(what, &ElementType::ALL.map(|element| (element.name(), element)), name)
}

pub(crate) fn scaling(name: &str) -> PyResult<Scaling> {
    find("scaling", &Scaling::ALL.map(|scaling| (scaling.name(), scaling)), name)
}

pub(crate) fn resize(name: &str) -> PyResult<Resize> {
    find("resize", &Resize::ALL.map(|resize| (resize.name(), resize)), name)
}

pub(crate) fn layout(what: &str, name: &str) -> PyResult<TensorLayout> {
    find(what, &[("NHWC", TensorLayout::Nhwc), ("NCHW", TensorLayout::Nchw)], name)
}

pub(crate) fn weight_layout(name: &str) -> PyResult<WeightLayout> {
    const LAYOUTS: [(&str, WeightLayout); 5] = [
        ("HWIO", WeightLayout::Hwio),
        ("OIHW", WeightLayout::Oihw),
        ("IOHW", WeightLayout::Iohw),
        ("OHWI", WeightLayout::Ohwi),
        ("HWOI", WeightLayout::Hwoi),
    ];
    find("weights_layout", &LAYOUTS, name)
}

pub(crate) fn pool(name: &str) -> PyResult<PoolKind> {
    const KINDS: [(&str, PoolKind); 3] = [
        ("max", PoolKind::Max),
        ("average", PoolKind::Average),
        ("average_of_padded", PoolKind::AverageOfPadded),
    ];
    find("kind", &KINDS, name)
}

pub(crate) fn binary(name: &str) -> PyResult<BinaryOp> {
    const OPERATIONS: [(&str, BinaryOp); 6] = [
        ("add", BinaryOp::Add),
        ("subtract", BinaryOp::Subtract),
        ("multiply", BinaryOp::Multiply),
        ("maximum", BinaryOp::Maximum),
        ("minimum", BinaryOp::Minimum),
        ("prelu", BinaryOp::PRelu),
    ];
    find("operation", &OPERATIONS, name)
}

/// `groups` counts if the kind is `group`.
pub(crate) fn normalization(name: &str, groups: usize) -> PyResult<NormalizationKind> {
    let kinds = [
        ("layer", NormalizationKind::Layer),
        ("rms", NormalizationKind::Rms),
        ("unit", NormalizationKind::Unit),
        ("group", NormalizationKind::Group { groups }),
    ];
    find("kind", &kinds, name)
}

pub(crate) fn interpolation(name: &str) -> PyResult<Interpolation> {
    const INTERPOLATIONS: [(&str, Interpolation); 2] =
        [("nearest", Interpolation::Nearest), ("bilinear", Interpolation::Bilinear)];
    find("interpolation", &INTERPOLATIONS, name)
}

pub(crate) fn coordinates(name: &str) -> PyResult<Coordinates> {
    const COORDINATES: [(&str, Coordinates); 3] = [
        ("half_pixel", Coordinates::HalfPixel),
        ("align_corners", Coordinates::AlignCorners),
        ("asymmetric", Coordinates::Asymmetric),
    ];
    find("coordinates", &COORDINATES, name)
}

pub(crate) fn depth_order(name: &str) -> PyResult<DepthOrder> {
    const ORDERS: [(&str, DepthOrder); 2] =
        [("block_first", DepthOrder::BlockFirst), ("channel_first", DepthOrder::ChannelFirst)];
    find("order", &ORDERS, name)
}

/// The name of an activation, or the bounds of a clamp.
#[derive(FromPyObject)]
pub(crate) enum ActivationName {
    #[pyo3(transparent)]
    Named(String),
    #[pyo3(transparent)]
    Clamp((f32, f32)),
}

impl ActivationName {
    pub(crate) fn activation(&self) -> PyResult<Activation> {
        match self {
            Self::Clamp((lo, hi)) => Ok(Activation::Clamp { lo: *lo, hi: *hi }),
            Self::Named(name) => find("activation", &KERAS_ACTIVATIONS, name),
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
            Self::Named(name) => {
                find("padding", &[("valid", Padding::Valid), ("same", Padding::Same)], name)
            }
        }
    }
}

/// The same for a transposed convolution; explicitly, the pixels of the height and of the width
/// that are cut off at both sides, and those that are then added at the end.
#[derive(FromPyObject)]
pub(crate) enum TransposedPaddingName {
    #[pyo3(transparent)]
    Named(String),
    #[pyo3(transparent)]
    Explicit(([usize; 2], [usize; 2])),
}

impl TransposedPaddingName {
    pub(crate) fn padding(&self) -> PyResult<TransposedPadding> {
        match self {
            &Self::Explicit((padding, output_padding)) => {
                Ok(TransposedPadding::Explicit { padding, output_padding })
            }
            Self::Named(name) => find(
                "padding",
                &[("valid", TransposedPadding::Valid), ("same", TransposedPadding::Same)],
                name,
            ),
        }
    }
}
