//! What a table holds.

use crate::activation::ActivateRun;
use crate::element::ElementType;
use crate::gemm::kernels::GemmKernels;
use crate::level::Level;
use crate::window::kernels::InputKernels;

/// Everything that one level runs.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) level: Level,
    pub(crate) gemm: GemmKernels,
    /// By the [`ElementType`] of the input.
    pub(crate) inputs: [InputKernels; 3],
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&ActivateRun),
    /// Runs a given number of independent FMAs on registers, for measuring the peak.
    pub(crate) fma_loop: unsafe fn(&u64) -> f32,
}

impl Kernels {
    /// Those for inputs of a type.
    pub(crate) fn input(&self, element: ElementType) -> &InputKernels {
        &self.inputs[element as usize]
    }
}
