//! How a GEMM multiplies.

use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::blocking::{Heights, KC, MicroTileHeights, TILE_KC};
use crate::gemm::kernels::{
    Bf16Gemm, Bf16Pairs, ChainGemm, DotKernels, GemmKernels, MicroKernels, TileUnit, TilesGemm,
};
use crate::gemm::tile::TILE_ROWS;
use crate::int8::layer::Int8Layer;

/// How a GEMM multiplies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Products {
    /// In f32, by multiply-adds in one chain: exact or unfused.
    Chain(&'static ChainGemm),
    /// In the arithmetic bf16.
    Bf16(&'static Bf16Gemm),
    /// The same by multiply-adds of bf16, of which A and B have pairs.
    Bf16Pairs(&'static Bf16Pairs),
    /// The same by tile registers, which the process may use.
    Tiles(&'static TilesGemm),
    /// By dot products of pairs of bf16.
    Dot(&'static DotKernels),
    /// 8-bit integers, in sums of i32; by tile registers if the layer says so.
    Int8(Int8Layer),
}

impl Products {
    /// The k that are one element to the micro-kernels.
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Chain(_) | Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Tiles(_) => 1,
            Self::Dot(_) => 2,
            Self::Int8(layer) => layer.kernels.group,
        }
    }

    /// What blocks of k begin at multiples of.
    pub(crate) fn unit_of_k(self, kernels: &GemmKernels) -> usize {
        match self {
            Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Tiles(_) => BLOCK,
            // Groups, too, are in whole vectors.
            Self::Chain(_) | Self::Dot(_) | Self::Int8(_) => self.group() * kernels.lanes,
        }
    }

    /// What the k of packed weights are padded to multiples of.
    pub(crate) fn packed_unit_of_k(self) -> usize {
        match self {
            Self::Tiles(_) => BLOCK,
            Self::Bf16Pairs(_) => 2,
            Self::Int8(layer) => layer.packed_unit_of_k(),
            Self::Chain(_) | Self::Bf16(_) | Self::Dot(_) => self.group(),
        }
    }

    /// KC, the k of a block, at most.
    pub(crate) fn kc(self) -> usize {
        match self {
            Self::Tiles(_) => TILE_KC,
            Self::Chain(_) | Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Dot(_) => KC,
            // As many bytes as of bf16.
            Self::Int8(layer) if layer.tiles.is_some() => 2 * TILE_KC,
            Self::Int8(layer) => KC * layer.kernels.group,
        }
    }

    /// Whether in the arithmetic bf16.
    pub(crate) fn is_bf16(self) -> bool {
        matches!(self, Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Tiles(_))
    }

    /// Whether bf16 themselves are multiplied, in pairs along k, not f32 made of them.
    pub(crate) fn takes_bf16(self) -> bool {
        matches!(self, Self::Bf16Pairs(_) | Self::Tiles(_))
    }

    /// What multiplies by tile registers, if it is these that do.
    pub(crate) fn tile_unit(self) -> Option<&'static TileUnit> {
        match self {
            Self::Tiles(tiles) => Some(&tiles.unit),
            Self::Int8(layer) => layer.tiles,
            Self::Chain(_) | Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Dot(_) => None,
        }
    }

    /// The micro-kernels, if there are some for fewer vectors of columns than a panel has.
    pub(crate) fn micro_kernels(self) -> Option<&'static MicroKernels> {
        match self {
            Self::Chain(chain) => Some(&chain.f32),
            Self::Dot(dot) => Some(&dot.gemm),
            Self::Bf16(_) | Self::Bf16Pairs(_) | Self::Tiles(_) | Self::Int8(_) => None,
        }
    }

    /// Whether there are micro-kernels that take the input itself for A.
    pub(crate) fn takes_input(self) -> bool {
        matches!(self, Self::Chain(chain) if !chain.f32.direct.is_empty())
    }

    /// Rows of an A panel.
    pub(crate) fn panel_rows(self, kernels: &GemmKernels) -> usize {
        if self.tile_unit().is_some() { TILE_ROWS } else { kernels.tile.mr }
    }

    /// How the pixels of a tile are divided into micro-tiles.
    pub(crate) fn heights(self) -> Heights {
        Heights::Listed(MicroTileHeights::new(match self {
            Self::Tiles(_) => return Heights::Even,
            Self::Int8(layer) if layer.tiles.is_some() => return Heights::Even,
            Self::Chain(chain) => chain.f32.rows,
            Self::Bf16(bf16) => bf16.rows,
            Self::Bf16Pairs(pairs) => pairs.rows,
            Self::Dot(dot) => dot.gemm.rows,
            Self::Int8(layer) => layer.rows(),
        }))
    }
}
