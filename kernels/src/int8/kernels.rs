//! The kernels of 8-bit integers, as one way to multiply them has them.

use crate::gemm::kernels::{MatrixGemm, PanelKernels, TileUnit};
use crate::int8::depthwise::DepthwiseRun;
use crate::int8::pack::PackRun;
use crate::int8::pool::PoolRun;
use crate::int8::requantize::RequantizeRun;

/// All of them.
#[derive(Debug)]
pub(crate) struct Int8Kernels {
    /// Whether the CPU has the instructions.
    pub(crate) is_available: fn() -> bool,
    /// Whether these are dot products, which not every CPU of the level has.
    pub(crate) has_dot_products: bool,
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    /// The k of a group: 4 or 2.
    pub(crate) group: usize,
    /// Whether the bytes of A are signed.
    pub(crate) signed: bool,
    /// The heights of micro-tiles, ascending, of which one is 1 and the last MR; any other is made
    /// of two.
    pub(crate) rows: &'static [usize],
    pub(crate) gemm: PanelKernels,
    /// What takes its place on CPUs that have products of matrices, too.
    pub(crate) matrices: Option<MatrixGemm>,
    /// What multiplies the same panels by tile registers, on levels whose CPUs may have these.
    pub(crate) tiles: Option<TileUnit>,
    /// Copies channels of pixels into A panels.
    pub(crate) pack: unsafe fn(&PackRun),
    pub(crate) requantize_name: &'static str,
    /// Makes outputs of sums.
    pub(crate) requantize: unsafe fn(&RequantizeRun),
    pub(crate) depthwise_name: &'static str,
    pub(crate) depthwise: unsafe fn(&DepthwiseRun),
    pub(crate) pool_name: &'static str,
    /// Pools, and what is done element by element.
    pub(crate) pool: unsafe fn(&PoolRun),
}

impl Int8Kernels {
    /// Of all that have one.
    pub(crate) fn names(&self) -> [&'static str; 4] {
        [self.gemm.name, self.requantize_name, self.depthwise_name, self.pool_name]
    }

    /// What the bytes of an input of i8, if `signed`, are changed by where A has those of the other
    /// kind.
    pub(crate) fn flip(&self, signed: bool) -> u8 {
        if self.signed == signed { 0 } else { 0x80 }
    }
}
