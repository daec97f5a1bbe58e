//! NCHW: copies between planes of channels and pixels whose channels lie side by side.
//!
//! No other kernel knows planes. A layer with an NCHW input has its pixels made, as f32, where
//! the kernels want them: in A panels, or in rows that stay in cache. A layer with an NCHW output
//! leaves f32 sums there, and the residual, the activation and the rounding happen on their way
//! into the planes. Each value takes the same roundings as in NHWC, hence the same bits.
//!
//! Integers are copied as they are, on both ways (`transpose`).

pub(crate) mod from_planes;
pub(crate) mod patch;
pub(crate) mod to_planes;
pub(crate) mod transpose;

use crate::element::{ElementType, F16Bf16};
use crate::planes::from_planes::FromPlanesRun;
use crate::planes::to_planes::ToPlanesRun;

/// The copies of one level.
#[derive(Debug)]
pub(crate) struct PlanesKernels {
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    pub(crate) f32: PlanesOf,
    /// With the feature `f16-bf16`.
    pub(crate) f16_bf16: Option<F16Bf16<PlanesOf>>,
}

/// The copies from and to planes of one type of elements.
#[derive(Debug)]
pub(crate) struct PlanesOf {
    pub(crate) from_name: &'static str,
    pub(crate) from: unsafe fn(&FromPlanesRun),
    pub(crate) to_name: &'static str,
    pub(crate) to: unsafe fn(&ToPlanesRun),
}

impl PlanesKernels {
    /// Those for a type that this build has kernels for.
    pub(crate) fn of(&self, element: ElementType) -> &PlanesOf {
        let f16_bf16 = self.f16_bf16.as_ref().and_then(|kernels| kernels.of(element));
        f16_bf16.unwrap_or(&self.f32)
    }
}
