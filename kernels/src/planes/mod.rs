//! NCHW: copies between planes of channels and pixels whose channels lie side by side.
//!
//! No other kernel knows planes. A layer with an NCHW input has its pixels made, as f32, where
//! the kernels want them: in A panels, or in rows that stay in cache. A layer with an NCHW output
//! leaves f32 sums there, and the residual, the activation and the rounding happen on their way
//! into the planes. Each value takes the same roundings as in NHWC, hence the same bits.

pub(crate) mod from_planes;
pub(crate) mod patch;
pub(crate) mod to_planes;

use crate::element::ElementType;
use crate::planes::from_planes::FromPlanesRun;
use crate::planes::to_planes::ToPlanesRun;

/// The copies of one level, by the type of the planes' elements.
#[derive(Debug)]
pub(crate) struct PlanesKernels {
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    pub(crate) from: [unsafe fn(&FromPlanesRun); 3],
    pub(crate) from_names: [&'static str; 3],
    pub(crate) to: [unsafe fn(&ToPlanesRun); 3],
    pub(crate) to_names: [&'static str; 3],
}

impl PlanesKernels {
    pub(crate) fn from(&self, element: ElementType) -> unsafe fn(&FromPlanesRun) {
        self.from[element as usize]
    }

    pub(crate) fn to(&self, element: ElementType) -> unsafe fn(&ToPlanesRun) {
        self.to[element as usize]
    }
}
