//! Finishes outputs of the GEMM that are stored in 16 bits, and those of f32 whose sums waited elsewhere.
//!
//! ```text
//! for r in 0..rows
//!   for c in 0..columns
//!     y[r][c] = round(activation(tile[r][c] + residual[r][c]))
//! ```
//!
//! The micro-kernel leaves f32 in a tile of one panel's columns, which stays in L1.
//!
//! Departures: columns go by vectors; the last is masked when they end inside it.

use crate::Activation;
use crate::activation::apply;
use crate::element::{Pointer, PointerMut};
use crate::isa::Isa;
use crate::isa::element::{Element, with_element};
use crate::window::kernel::clamp;

/// One call.
#[derive(Debug)]
pub(crate) struct NarrowRun {
    /// The sums, row after row, `tile_row` elements apart.
    pub(crate) tile: *const f32,
    /// At least `columns`, in whole vectors.
    pub(crate) tile_row: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Output of the first column; row r is at `y_rows[r]`.
    pub(crate) y: PointerMut,
    pub(crate) y_rows: *const usize,
    /// Likewise; null for none.
    pub(crate) residual: Pointer,
    pub(crate) residual_rows: *const usize,
    pub(crate) activation: Activation,
    /// The activation as a clamp, if it is one.
    pub(crate) bounds: Option<(f32, f32)>,
}

/// # Safety
/// The level of `I` is available; the tile and the residual are valid for reading and `y` for writing
/// `columns` elements of each row.
#[inline(always)]
pub(crate) unsafe fn narrow<I: Isa>(run: &NarrowRun) {
    // SAFETY: the caller's contract.
    unsafe { with_element!(run.y.element, Y => rows::<I, Y>(run)) }
}

/// # Safety
/// As [`narrow`]; output and residual are of elements Y.
#[inline(always)]
unsafe fn rows<I: Isa, Y: Element>(run: &NarrowRun) {
    let l = I::LANES;
    let whole = run.columns / l * l;
    let head = I::head((run.columns - whole).max(1));
    let add = !run.residual.at.is_null();
    for r in 0..run.rows {
        let tile = run.tile.wrapping_add(r * run.tile_row);
        // SAFETY: the caller's contract: there are as many offsets as rows.
        let (y, residual) = unsafe {
            let residual = run.residual.at.cast::<Y::Bits>();
            (
                run.y.at.cast::<Y::Bits>().add(*run.y_rows.add(r)),
                residual.wrapping_add(*run.residual_rows.add(r)),
            )
        };
        for c in (0..whole).step_by(l) {
            // SAFETY: the caller's contract, for l columns from c on.
            unsafe {
                let mut v = I::load(tile.add(c));
                if add {
                    v = I::add(v, Y::load::<I>(residual.add(c)));
                }
                Y::store::<I>(y.add(c), activate::<I>(run, v));
            }
        }
        if whole < run.columns {
            // SAFETY: the caller's contract, for the head from there on; of the tile whole vectors exist.
            unsafe {
                let mut v = I::load(tile.add(whole));
                if add {
                    v = I::add(v, Y::load_head::<I>(head, residual.add(whole)));
                }
                Y::store_head::<I>(head, y.add(whole), activate::<I>(run, v));
            }
        }
    }
}

/// All but a few of the activations are a clamp.
#[inline(always)]
fn activate<I: Isa>(run: &NarrowRun, mut v: I::V) -> I::V {
    match run.bounds {
        Some(bounds) => {
            clamp::<I>(core::slice::from_mut(&mut v), bounds);
            v
        }
        None => apply::<I>(v, run.activation),
    }
}
