//! The kernels that a GEMM is made of, as one level has them.

use crate::activation::ActivateRun;
use crate::element::ElementType;
use crate::gemm::micro_kernel::MicroTiles;
use crate::gemm::narrow::NarrowRun;
use crate::gemm::pack::PackRun;
use crate::gemm::pair::PairRun;
use crate::gemm::tile::TileSize;
use crate::gemm::widen::WidenRun;

pub(crate) type MicroKernelFn = unsafe fn(&MicroTiles);

/// All of them.
#[derive(Debug)]
pub(crate) struct GemmKernels {
    /// f32 lanes of a vector; also the depth of a block of the A panel.
    pub(crate) lanes: usize,
    pub(crate) tile: TileSize,
    pub(crate) f32: MicroKernels,
    /// For few pixels and 16-bit weights, by the type.
    pub(crate) small_m: [SmallMKernels; 2],
    pub(crate) dot: Option<DotKernels>,
    /// Copies channels of pixels into A panels, by the type of the input.
    pub(crate) pack: [unsafe fn(&PackRun); 3],
    /// Makes f32 of 16-bit weights.
    pub(crate) widen: unsafe fn(&WidenRun),
    /// Its name for each 16-bit type.
    pub(crate) widen_names: [&'static str; 2],
    /// Ends the chains of outputs that are stored in 16 bits.
    pub(crate) narrow: unsafe fn(&NarrowRun),
    /// Its name for each 16-bit type.
    pub(crate) narrow_names: [&'static str; 2],
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&ActivateRun),
}

/// The micro-kernels for one arithmetic.
#[derive(Debug)]
pub(crate) struct MicroKernels {
    pub(crate) name: &'static str,
    /// The heights of micro-tiles, ascending, of which one is 1 and the last MR; any other is made
    /// of two.
    pub(crate) rows: &'static [usize],
    /// By \[vectors − 1\] and the index in `rows`.
    pub(crate) packed: &'static [&'static [MicroKernelFn]],
    /// The same for an A that isn't packed; none if it always is.
    pub(crate) direct: &'static [&'static [MicroKernelFn]],
}

/// The micro-kernels that widen 16-bit weights as they load them.
#[derive(Debug)]
pub(crate) struct SmallMKernels {
    pub(crate) name: &'static str,
    /// Of packed A and any number of columns, by the index in [`MicroKernels::rows`].
    pub(crate) packed: &'static [MicroKernelFn],
}

/// The GEMM by dot products of bf16 pairs, on CPUs that have these besides the level. A level has
/// none, or all rows of its tile by all vectors.
#[derive(Debug)]
pub(crate) struct DotKernels {
    /// Whether the CPU has them, and they are faster than multiply-adds of f32.
    pub(crate) is_available: fn() -> bool,
    /// Like the others, but what they take for an f32 of A and of B is a pair along k.
    pub(crate) gemm: MicroKernels,
    /// Makes an A panel of pairs of one of f32 in its place.
    pub(crate) pair: unsafe fn(&PairRun),
}

impl GemmKernels {
    /// The GEMM of few pixels by weights of a type; none for f32.
    pub(crate) fn small_m(&self, element: ElementType) -> Option<&SmallMKernels> {
        (element as usize).checked_sub(1).map(|i| &self.small_m[i])
    }

    /// The name of `widen` for weights of a type; none for f32.
    pub(crate) fn widen_name(&self, element: ElementType) -> Option<&'static str> {
        (element as usize).checked_sub(1).map(|i| self.widen_names[i])
    }

    /// The name of `narrow` for outputs of a type; none for f32.
    pub(crate) fn narrow_name(&self, element: ElementType) -> Option<&'static str> {
        (element as usize).checked_sub(1).map(|i| self.narrow_names[i])
    }

    /// What copies channels of an input of a type.
    pub(crate) fn pack(&self, element: ElementType) -> unsafe fn(&PackRun) {
        self.pack[element as usize]
    }
}
