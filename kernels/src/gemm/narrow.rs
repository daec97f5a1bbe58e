//! Finishes outputs of the GEMM that are stored in 16 bits, and those of f32 whose sums waited
//! elsewhere.
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

use crate::activation::Activation;
use crate::element::{Pointer, PointerMut};
use crate::epilogue::{Extent, activate, add_residual, store};
use crate::simd::element::{Element, ForElement, for_element};
use crate::simd::{Kernel, Simd};

/// The kernel, for outputs of any type.
#[derive(Debug)]
pub(crate) struct Narrow;

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
    /// Likewise, of the output's type; row r is at `residual_rows[r]`.
    pub(crate) residual: Option<Pointer>,
    pub(crate) residual_rows: *const usize,
    pub(crate) activation: Activation,
    /// The activation as a clamp, if it is one.
    pub(crate) bounds: Option<(f32, f32)>,
}

impl Kernel for Narrow {
    type Args = NarrowRun;
    type Output = ();

    /// # Safety
    /// - The tile and the residual are valid for reading `columns` elements of each row.
    /// - `y` is valid for writing them; no other thread touches them.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &NarrowRun) {
        // SAFETY: the caller keeps the contract of `Rows` for the type of `y`.
        unsafe { for_element(run.y.element, Rows { simd, run }) }
    }
}

/// All rows.
struct Rows<'a, S> {
    simd: S,
    run: &'a NarrowRun,
}

impl<S: Simd> ForElement for Rows<'_, S> {
    /// # Safety
    /// - The tile and the residual are valid for reading `columns` elements of each row.
    /// - `y` is valid for writing them; no other thread touches them.
    /// - Output and residual are of elements Y.
    #[inline(always)]
    unsafe fn run<Y: Element>(self) {
        let Self { simd, run } = self;
        let l = S::LANES;
        let whole = run.columns / l * l;
        let mask = simd.mem_mask((run.columns - whole).max(1));
        for r in 0..run.rows {
            let tile = run.tile.wrapping_add(r * run.tile_row);
            // SAFETY: there are as many offsets as rows.
            let (y, residual) = unsafe {
                let residual = run.residual.map(|residual| {
                    residual.at.cast::<Y::Bits>().wrapping_add(*run.residual_rows.add(r))
                });
                (run.y.at.cast::<Y::Bits>().add(*run.y_rows.add(r)), residual)
            };
            for c in (0..run.columns).step_by(l) {
                let extent = Extent { whole: c < whole, mask };
                // SAFETY: the columns from c on exist in the output and the residual, of the tile
                // whole vectors.
                unsafe {
                    let mut v = [simd.load(tile.add(c))];
                    if let Some(residual) = residual {
                        add_residual::<S, Y, 1>(simd, &mut v, residual.add(c), &extent);
                    }
                    activate(simd, &mut v, run.bounds, run.activation);
                    store::<S, Y, 1, false>(simd, &v, y.add(c), &extent);
                }
            }
        }
    }
}
