//! The kernels that a GEMM is made of, as one level has them.

use crate::activation::ActivateRun;
use crate::arithmetic::Arithmetic;
use crate::element::{ElementType, F16Bf16};
use crate::gemm::micro_kernel::MicroTiles;
use crate::gemm::narrow::NarrowRun;
use crate::gemm::pack::PackRun;
use crate::gemm::pair::PairRun;
use crate::gemm::pair_rows::PairRowsRun;
use crate::gemm::round::RoundRun;
use crate::gemm::tile::TileSize;
use crate::gemm::tile_rows::TileRowsRun;
use crate::gemm::widen::WidenRun;

pub(crate) type MicroKernelFn = unsafe fn(&MicroTiles);

/// All of them.
#[derive(Debug)]
pub(crate) struct GemmKernels {
    /// f32 lanes of a vector; also the depth of a block of the A panel.
    pub(crate) lanes: usize,
    pub(crate) tile: TileSize,
    pub(crate) exact: ChainGemm,
    /// With the feature `unfused`.
    pub(crate) unfused: Option<ChainGemm>,
    /// Copies channels of pixels of f32 into A panels.
    pub(crate) pack: unsafe fn(&PackRun),
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&ActivateRun),
    /// With the feature `f16-bf16`.
    pub(crate) f16_bf16: Option<F16Bf16Gemm>,
    /// With the feature `bf16`.
    pub(crate) bf16: Option<Bf16Gemm>,
    /// With the feature `bf16`, on levels whose CPUs may multiply and add bf16.
    pub(crate) bf16_pairs: Option<Bf16Pairs>,
    /// With the feature `bf16`, on levels whose CPUs may have tile registers.
    pub(crate) tiles: Option<TilesGemm>,
}

/// The GEMM in an arithmetic whose outputs are one chain each: exact or unfused.
#[derive(Debug)]
pub(crate) struct ChainGemm {
    pub(crate) f32: MicroKernels,
    /// For few pixels, by the type of the weights, which these widen as they load them; with the
    /// feature `f16-bf16`, if the level has such.
    pub(crate) small_m: Option<F16Bf16<PanelKernels>>,
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

/// What a GEMM needs besides for inputs, outputs and weights of f16 and bf16.
#[derive(Debug)]
pub(crate) struct F16Bf16Gemm {
    pub(crate) dot: Option<DotKernels>,
    /// Copies channels of pixels into A panels, by the type of the input.
    pub(crate) pack: F16Bf16<unsafe fn(&PackRun)>,
    /// Makes f32 of weights.
    pub(crate) widen: unsafe fn(&WidenRun),
    /// Its name for each type of weights.
    pub(crate) widen_names: F16Bf16<&'static str>,
    /// Ends the chains of sums that wait in scratch.
    pub(crate) narrow: unsafe fn(&NarrowRun),
    /// Its name for each type of outputs.
    pub(crate) narrow_names: F16Bf16<&'static str>,
}

/// Micro-kernels of packed A and of whole B panels, whose last columns the layer may not have.
#[derive(Debug)]
pub(crate) struct PanelKernels {
    pub(crate) name: &'static str,
    /// By the index in the list of heights.
    pub(crate) packed: &'static [MicroKernelFn],
}

/// The GEMM in the arithmetic bf16.
#[derive(Debug)]
pub(crate) struct Bf16Gemm {
    /// As in [`MicroKernels`].
    pub(crate) rows: &'static [usize],
    /// Of weights of f32, packed so or widened.
    pub(crate) large_m: PanelKernels,
    /// For few pixels: of bf16 weights.
    pub(crate) small_m: PanelKernels,
    /// Rounds A panels in place.
    pub(crate) round: unsafe fn(&RoundRun),
}

/// The same by multiply-adds of bf16, on CPUs that have these besides the level.
#[derive(Debug)]
pub(crate) struct Bf16Pairs {
    pub(crate) is_available: fn() -> bool,
    /// As in [`MicroKernels`].
    pub(crate) rows: &'static [usize],
    /// Of weights in pairs along k, however few pixels there are.
    pub(crate) gemm: PanelKernels,
    /// Makes an A panel of pairs, rounded, of one of f32 in its place.
    pub(crate) pair: unsafe fn(&PairRun),
}

/// The GEMM of 8-bit integers by products of matrices, on CPUs that have these besides dot
/// products.
#[derive(Debug)]
pub(crate) struct MatrixGemm {
    pub(crate) is_available: fn() -> bool,
    /// The heights of micro-tiles, ascending, of which one is 1, the others are even, and the last
    /// is MR: any other is made of an even one and another.
    pub(crate) rows: &'static [usize],
    pub(crate) gemm: PanelKernels,
    /// Puts the rows of A panels in pairs.
    pub(crate) pair_rows: unsafe fn(&PairRowsRun),
}

/// What multiplies by tile registers (AMX), in processes that may use them.
#[derive(Debug)]
pub(crate) struct TileUnit {
    /// One, for all heights.
    pub(crate) gemm: PanelKernels,
    /// Configures the thread's tiles for so many rows.
    pub(crate) configure: unsafe fn(usize),
    /// Gives them back.
    pub(crate) release: unsafe fn(),
}

/// The GEMM in the arithmetic bf16 by tile registers.
#[derive(Debug)]
pub(crate) struct TilesGemm {
    pub(crate) unit: TileUnit,
    /// Copies channels of pixels of f32 into rows of tiles.
    pub(crate) pack_f32: unsafe fn(&PackRun),
    /// The same by the type of the input.
    pub(crate) pack_16: F16Bf16<unsafe fn(&PackRun)>,
    /// Makes rows of tiles of A panels of f32 in their place.
    pub(crate) rows: unsafe fn(&TileRowsRun),
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

impl TilesGemm {
    /// What copies channels of an input of a type.
    pub(crate) fn pack(&self, element: ElementType) -> unsafe fn(&PackRun) {
        *self.pack_16.of(element).unwrap_or(&self.pack_f32)
    }
}

impl ChainGemm {
    /// The GEMM of few pixels by weights of a type; none for f32.
    pub(crate) fn small_m(&self, element: ElementType) -> Option<&PanelKernels> {
        self.small_m.as_ref()?.of(element)
    }
}

impl GemmKernels {
    /// Those for 16-bit operands, which a plan has in a build with these kernels alone.
    pub(crate) fn of_16_bits(&self) -> &F16Bf16Gemm {
        self.f16_bf16.as_ref().expect("16-bit operands are refused without the feature f16-bf16")
    }

    /// The GEMM in an arithmetic of chains that this build has.
    pub(crate) fn chain(&self, arithmetic: Arithmetic) -> &ChainGemm {
        match (arithmetic, &self.unfused) {
            (Arithmetic::Unfused, Some(unfused)) => unfused,
            _ => &self.exact,
        }
    }

    /// The GEMM by dot products, if the level has one.
    pub(crate) fn dot(&self) -> Option<&DotKernels> {
        self.f16_bf16.as_ref()?.dot.as_ref()
    }

    /// The name of `widen` for weights of a type; none for f32.
    pub(crate) fn widen_name(&self, element: ElementType) -> Option<&'static str> {
        self.f16_bf16.as_ref()?.widen_names.of(element).copied()
    }

    /// The name of `narrow` for outputs of a type; none for f32.
    pub(crate) fn narrow_name(&self, element: ElementType) -> Option<&'static str> {
        self.f16_bf16.as_ref()?.narrow_names.of(element).copied()
    }

    /// What copies channels of an input of a type that this build has kernels for.
    pub(crate) fn pack(&self, element: ElementType) -> unsafe fn(&PackRun) {
        let f16_bf16 = self.f16_bf16.as_ref().and_then(|kernels| kernels.pack.of(element));
        *f16_bf16.unwrap_or(&self.pack)
    }
}
