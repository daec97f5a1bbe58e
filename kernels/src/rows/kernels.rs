//! The instances of a row kernel.

use crate::rows::kernel::{MAX_PIXELS, RowArgs, Spans};

pub(crate) type RowFn = unsafe fn(&RowArgs);

/// The instances of one row kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// For channels that fill vectors; for any if there is no `tail`.
    pub(crate) whole: RowTiles,
    /// For the channels that are left, fewer than a vector has lanes.
    pub(crate) tail: Option<RowTiles>,
}

/// The instances for the pixels of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTiles {
    pub(crate) tiles: Tiles<RowFn>,
    pub(crate) spans: Spans,
    /// The instance for one pixel that no tile takes: some of its columns lie outside the input,
    /// or all if tiles span the padding.
    pub(crate) border: RowFn,
}

/// The instances of a kernel, each for a tile of so many pixels of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles<F> {
    /// \[room − 1\]: the pixels of the widest tile that a room of so many pixels holds, and its
    /// instance.
    widest: [(usize, F); MAX_PIXELS],
}

impl<F: Copy> Tiles<F> {
    /// With tiles of one pixel alone.
    pub(crate) const fn new(one: F) -> Self {
        Self { widest: [(1, one); MAX_PIXELS] }
    }

    /// With tiles of `pixels` pixels besides, more than those so far.
    pub(crate) const fn with(mut self, pixels: usize, tile: F) -> Self {
        assert!(self.widest[pixels - 1].0 <= pixels, "tiles are listed narrowest first");
        let mut room = pixels;
        while room <= MAX_PIXELS {
            self.widest[room - 1] = (pixels, tile);
            room += 1;
        }
        self
    }

    /// The tile to begin a run of `room` ≥ 1 pixels with, of at most `limit`, so that all tiles of
    /// the run are about equally wide: its pixels and its instance.
    pub(crate) fn begin(&self, room: usize, limit: usize) -> (usize, F) {
        let (widest, _) = self.widest[limit.min(MAX_PIXELS) - 1];
        let tiles = room.div_ceil(widest);
        self.widest[room.div_ceil(tiles) - 1]
    }
}
