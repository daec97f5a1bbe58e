//! Copies the transpose of a matrix of 8-bit integers, or of the f32 of layers that have these:
//! pixels out of planes of channels, and back.
//!
//! ```text
//! for r in 0..rows
//!   for c in 0..columns
//!     to[c][r] = from[r][c]
//! ```
//!
//! Departures: bytes go in squares of 8×8, a row of which is an integer of 64 bits; halves,
//! quarters and bytes change places in these. This is the same code on every level.

use core::ops::Range;

use crate::element::{Pointer, PointerMut};

/// The rows and columns of a square of bytes.
const SQUARE: usize = 8;

/// One call. Both matrices are of the same type.
#[derive(Debug)]
pub(crate) struct Transpose {
    pub(crate) from: Pointer,
    /// Elements from one row to the next.
    pub(crate) from_row: usize,
    pub(crate) to: PointerMut,
    pub(crate) to_row: usize,
    /// Of `from`.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Transpose {
    /// Copies the matrix.
    ///
    /// # Safety
    /// - `from` is valid for reading `columns` elements of each of `rows` rows, of one or four
    ///   bytes.
    /// - `to` is valid for writing `rows` elements of each of `columns` rows; no other thread
    ///   touches them, and none is of `from`.
    pub(crate) unsafe fn run(&self) {
        let (rows, columns) = (self.rows, self.columns);
        // SAFETY: the caller's contract, for parts of the matrix.
        unsafe {
            if self.from.element.size() > 1 {
                return self.elements::<u32>(0..rows, 0..columns);
            }
            let [whole_rows, whole_columns] = [rows, columns].map(|n| n / SQUARE * SQUARE);
            for r in (0..whole_rows).step_by(SQUARE) {
                for c in (0..whole_columns).step_by(SQUARE) {
                    self.square(r, c);
                }
            }
            self.elements::<u8>(0..whole_rows, whole_columns..columns);
            self.elements::<u8>(whole_rows..rows, 0..columns);
        }
    }

    /// The square of bytes from row `r` and column `c` on.
    ///
    /// # Safety
    /// As [`Transpose::run`], for a square that exists.
    #[inline(always)]
    unsafe fn square(&self, r: usize, c: usize) {
        let (from, to) = (self.from.add(c).at, self.to.add(r).at);
        let mut square = [0_u64; SQUARE];
        for (i, row) in square.iter_mut().enumerate() {
            let row_at = from.wrapping_add((r + i).wrapping_mul(self.from_row));
            // SAFETY: eight columns from c on of row r + i.
            *row = u64::from_le_bytes(unsafe { *row_at.cast::<[u8; SQUARE]>() });
        }
        for (i, row) in transposed(square).into_iter().enumerate() {
            let row_at = to.wrapping_add((c + i).wrapping_mul(self.to_row));
            // SAFETY: eight elements from r on of row c + i.
            unsafe { *row_at.cast::<[u8; SQUARE]>() = row.to_le_bytes() };
        }
    }

    /// Some rows and columns, one element at a time.
    ///
    /// # Safety
    /// As [`Transpose::run`], for these; of elements T.
    unsafe fn elements<T: Copy>(&self, rows: Range<usize>, columns: Range<usize>) {
        let (from, to) = (self.from.at.cast::<T>(), self.to.at.cast::<T>());
        for r in rows {
            let from = from.wrapping_add(r.wrapping_mul(self.from_row));
            for c in columns.clone() {
                let to = to.wrapping_add(c.wrapping_mul(self.to_row).wrapping_add(r));
                // SAFETY: row r and column c exist in both.
                unsafe { *to = *from.wrapping_add(c) };
            }
        }
    }
}

/// A square of bytes, of which each integer is a row and its lowest bits the first column, as its
/// transpose.
#[inline(always)]
fn transposed(mut rows: [u64; SQUARE]) -> [u64; SQUARE] {
    for (distance, low) in
        [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)]
    {
        for i in (0..SQUARE).filter(|i| i & distance == 0) {
            // What lies above the diagonal changes places with what lies below it.
            let changed = ((rows[i] >> (8 * distance)) ^ rows[i + distance]) & low;
            rows[i + distance] ^= changed;
            rows[i] ^= changed << (8 * distance);
        }
    }
    rows
}
