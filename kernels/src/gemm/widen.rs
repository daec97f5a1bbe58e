//! Makes f32 of 16-bit weights: a block of one B panel, which all micro-tiles of a tile of pixels then share.
//!
//! ```text
//! for i in 0..depth·NR
//!   to[i] = f32(from[i])
//! ```
//!
//! Departures: by vectors, of which a panel's rows are made. (Converted in the micro-kernel as they are loaded, which
//! is done for few pixels, weights take FMA ports for each of its tiles: on an Intel CPU (Emerald Rapids) 1.1 to 1.3
//! times the time of f32.)

use crate::element::Pointer;
use crate::isa::Isa;
use crate::isa::element::{Element, with_element};

/// One call.
#[derive(Debug)]
pub(crate) struct WidenRun {
    pub(crate) from: Pointer,
    pub(crate) to: *mut f32,
    /// A multiple of the lanes.
    pub(crate) count: usize,
}

/// # Safety
/// The level of `I` is available; `count` elements are valid for reading at `from` and for writing at `to`.
#[inline(always)]
pub(crate) unsafe fn widen<I: Isa>(run: &WidenRun) {
    // SAFETY: the caller's contract.
    unsafe { with_element!(run.from.element, W => vectors::<I, W>(run)) }
}

/// # Safety
/// As [`widen`]; `from` is of elements W.
#[inline(always)]
unsafe fn vectors<I: Isa, W: Element>(run: &WidenRun) {
    let from = run.from.at.cast::<W::Bits>();
    for i in (0..run.count).step_by(I::LANES) {
        // SAFETY: the caller's contract, for a vector from i on.
        unsafe { I::store(run.to.add(i), W::load::<I>(from.add(i))) };
    }
}
