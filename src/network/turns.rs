//! The list by which steps run depth first.

use std::ops::Range;

/// Steps that run depth first.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) steps: Range<usize>,
    pub(super) pictures: usize,
    /// For one picture.
    pub(super) turns: Vec<Turn>,
    /// The steps of whose results only some rows are held, and how many.
    pub(super) held: Vec<(usize, usize)>,
}

/// Some rows of a step's result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) step: usize,
    pub(super) rows: Range<usize>,
    /// The rows of the operand that they take.
    pub(super) x: Range<usize>,
    /// The rows with which the buffers of x, the residual and the result begin.
    pub(super) tops: [usize; 3],
    /// Rows of the result's buffer that move to its front before, none if empty.
    pub(super) kept: Range<usize>,
}
