//! Operations without windows on the channels of a pixel, which lie side by side (a line): of two
//! tensors element by element, and normalizations.

pub(crate) mod binary;
pub(crate) mod normalize;
pub(crate) mod plan;
mod stages;

/// The kernels of a level, each for elements of any type.
#[derive(Debug)]
pub(crate) struct LineKernels {
    pub(crate) binary_name: &'static str,
    pub(crate) binary: unsafe fn(&binary::BinaryArgs),
    pub(crate) normalize_name: &'static str,
    pub(crate) normalize: unsafe fn(&normalize::NormalizeArgs),
}
