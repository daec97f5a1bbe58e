//! The operand A: panels of pixels × k, and the part of it that a producer makes at a time; or the
//! input itself.
//!
//! An A panel holds MR pixels × k in blocks `[k / L][MR][k % L]`, L the lanes of a vector; a tile
//! of pixels is a row of such panels.

use core::ops::Range;

use crate::element::Pointer;
use crate::gemm::micro_kernel::Runs;
use crate::gemm::pack::PackRun;
use crate::pixels::{Placement, Region};
use crate::view::Scale;

/// Some of A: pixels of a region × k of a group of channels.
#[derive(Debug)]
pub(crate) struct PartOfA<'a> {
    /// The input.
    pub(crate) x: Pointer,
    pub(crate) placement: Placement,
    /// Its factors, if it has some.
    pub(crate) scale: Option<Scale>,
    pub(crate) group: usize,
    pub(crate) region: &'a Region,
    /// Where the k of each kernel row of the region begin.
    pub(crate) k_starts: &'a [usize],
    /// Of all k these are produced. The first of them lies where the panels begin: all, unless the
    /// producer makes blocks.
    pub(crate) k: Range<usize>,
    pub(crate) pixels: Range<usize>,
    /// The pixel with which the tile after this one begins, if there is one.
    pub(crate) next: Option<usize>,
    /// The A panels of the tile.
    pub(crate) panels: *mut f32,
    /// Their elements.
    pub(crate) len: usize,
    /// Elements from a block of L k to the next, MR·L.
    pub(crate) block: usize,
    /// Where each pixel's row begins in the panels.
    pub(crate) rows: &'a [usize],
    /// What copies channels of pixels into the panels.
    pub(crate) pack: unsafe fn(&PackRun),
    /// The room for input pixels that the producer copies.
    pub(crate) patch: *mut f32,
}

/// An A that is the input itself: how the pixels of a region, and their k, lie in a view of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectA {
    /// Elements from the first tap of a pixel to that of the next one of a line.
    pub(crate) step: usize,
    pub(crate) lines: Lines,
    /// The rows of taps.
    pub(crate) runs: Runs,
    /// Input channels of a group.
    pub(crate) channels: usize,
}

/// Pixels of a region that lie in steps of equal length in the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Lines {
    /// All over the batch.
    All,
    /// Those of a row.
    Rows,
    /// Those of the one column of a picture.
    Columns,
}

impl DirectA {
    /// Whether k blocks are those of one run. Else all k are a block.
    pub(crate) fn is_one_run(&self) -> bool {
        self.runs.count == 1
    }
}
