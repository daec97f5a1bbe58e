//! The kernels of pools, as one level has them for one type of the input.

use crate::rows::kernels::RowKernels;

/// All of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolKernels {
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    /// Max, input activation none.
    pub(crate) max: RowKernels,
    /// Max, any activation of input and output.
    pub(crate) max_general: RowKernels,
    /// Mean, input activation none.
    pub(crate) average: RowKernels,
    /// Mean, any activation of input and output.
    pub(crate) average_general: RowKernels,
}
