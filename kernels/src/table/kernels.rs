//! What a table holds.

use crate::activation::ActivateRun;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::ElementType;
use crate::gemm::kernels::GemmKernels;
use crate::level::Level;
use crate::planes::PlanesKernels;
use crate::pool::kernels::PoolKernels;

/// Everything that one level runs.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) level: Level,
    pub(crate) gemm: GemmKernels,
    /// By the [`ElementType`] of the input.
    pub(crate) depthwise: [DepthwiseKernels; 3],
    /// Likewise.
    pub(crate) pool: [PoolKernels; 3],
    /// Applies an activation to contiguous elements in place.
    pub(crate) planes: PlanesKernels,
    pub(crate) activate: unsafe fn(&ActivateRun),
    /// Runs a given number of independent FMAs on registers, for measuring the peak.
    pub(crate) fma_loop: unsafe fn(&u64) -> f32,
}

impl Kernels {
    /// Those of depthwise convolutions for inputs of a type.
    pub(crate) fn depthwise(&self, element: ElementType) -> &DepthwiseKernels {
        &self.depthwise[element as usize]
    }

    /// Those of pools for inputs of a type.
    pub(crate) fn pool(&self, element: ElementType) -> &PoolKernels {
        &self.pool[element as usize]
    }
}
