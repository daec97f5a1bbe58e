//! Puts the rows of A panels of 8-bit integers in pairs, in place: what products of matrices
//! multiply.
//!
//! ```text
//! for row in 0..MR
//!   for k in 0..depth
//!     panel'[k / 16][row / 2][k / 8 % 2][row % 2][k % 8] = panel[k / 16][row][k % 16]
//! ```
//!
//! Departures: the blocks of two rows, a vector each, become two vectors of both rows at a time.
//! (So producers serve dot products and matrices alike. The price is a load and a store for each
//! vector of A, once for all output channels.)

use crate::simd::Simd;
use crate::simd::int8::{Int8Matrix, Int8MatrixKernel};

/// The kernel.
#[derive(Debug)]
#[allow(dead_code, reason = "of levels with products of matrices")]
pub(crate) struct PairRows;

/// One call.
#[derive(Debug)]
pub(crate) struct PairRowsRun {
    pub(crate) panels: *mut f32,
    /// Their elements, in whole blocks of an even number of rows.
    pub(crate) count: usize,
}

impl Int8MatrixKernel for PairRows {
    type Args = PairRowsRun;
    type Output = ();

    /// # Safety
    /// `count` elements are valid for reading and writing at `panels`; no other thread touches
    /// them.
    #[inline(always)]
    unsafe fn run<T: Int8Matrix>(token: T, run: &PairRowsRun) {
        let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
        for at in (0..run.count).step_by(2 * l) {
            let rows = run.panels.wrapping_add(at);
            // SAFETY: `count` is a multiple of two vectors, so that both exist from here on.
            unsafe {
                let [first, second] = token.zip_halves(simd.load(rows), simd.load(rows.add(l)));
                simd.store(rows, first);
                simd.store(rows.add(l), second);
            }
        }
    }
}
