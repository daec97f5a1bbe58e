//! MR and NR, the size of each level's micro-tile: MR pixels × NR output channels, in registers.

use crate::level::Level;
use crate::simd::{Simd, scalar};

/// The size of a level's micro-tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileSize {
    /// Pixels.
    pub(crate) mr: usize,
    /// Output channels.
    pub(crate) nr: usize,
}

/// Rows of a tile register (AMX), and so of the A panels that tile registers multiply.
pub(crate) const TILE_ROWS: usize = 16;

/// k that a product of matrices takes of a row, and of a column.
pub(crate) const MATRIX_K: usize = 8;

/// The size for S.
pub(crate) const fn tile_size<S: Simd>() -> TileSize {
    let (mr, vectors) = match S::LEVEL {
        // 4×4: 16 accumulators, 4 numbers of B and of A fit 32 registers, with 0.5 loads for a
        // multiply-add. (6×4 would take 0.42, but without fused multiply-adds the compiler puts
        // much of it on the stack.)
        Level::Scalar if scalar::IS_ALONE => (4, 4),
        // 4×2: eight accumulators hide some of the latency, and nothing else matters here.
        Level::Scalar => (4, 2),
        // 4×8: 8 accumulators, 2 vectors of B, 4 of A (broadcasts in WebAssembly), a lane of these
        // and a product are the 16 registers, and 8 chains cover the latency of two additions per
        // cycle (4 cycles).
        Level::Sse | Level::Simd128 | Level::RelaxedSimd => (4, 2),
        // 8×12: 24 accumulators, 3 vectors of B and 4 of A, of half the rows, fit 32 registers.
        Level::Neon => (8, 3),
        // 6×16: 12 accumulators, 2 vectors of B and 1 broadcast of A use 15 of the 16 registers,
        // and 12 independent chains cover the latency of two FMAs per cycle (4–5 cycles).
        Level::Avx2 => (6, 2),
        // 12×32: 24 accumulators, 2 vectors of B and a few broadcasts of A in flight fit 32
        // registers.
        Level::Avx512 => (12, 2),
    };
    TileSize { mr, nr: vectors * S::LANES }
}
