//! Copies channels of some pixels into A panels of 8-bit integers.
//!
//! ```text
//! for p in 0..pixels
//!   for i in 0..length
//!     panel(p)[k + i] = clamp(x[p][i] ^ flip)
//! ```
//!
//! A panel is one of f32 whose elements are groups along k, `[k / (L·GROUP)][MR][k % (L·GROUP)]`,
//! each integer in 8 bits, or in 16 where a group has two. Where MR is that of tile registers and
//! L·GROUP bytes are one of their rows, a panel is a row of tiles.
//!
//! Departures: bytes are moved by vectors as far as these end in one block of a panel; the last of
//! a block and of the pixel are parts of vectors. Pixels are innermost, so that the mask of such a
//! part stays in a register. Integers beyond the last k are left as they are: the weights there are
//! zeros.

use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, Vector};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Pack;

/// What becomes of the bytes of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytePrologue {
    /// Bits that are changed: those of the sign where A has the other kind.
    pub(crate) flip: u8,
    /// A clamp after that, in the integers of A.
    pub(crate) bounds: Option<[u8; 2]>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct PackRun {
    /// First byte of the first pixel.
    pub(crate) x: *const u8,
    /// Bytes from one pixel to the next.
    pub(crate) x_pixel: usize,
    /// Pixels.
    pub(crate) pixels: usize,
    /// Bytes of each pixel.
    pub(crate) length: usize,
    /// The panels, in groups; pixel p begins at `rows[p]`.
    pub(crate) a: *mut f32,
    /// As many as pixels.
    pub(crate) rows: *const usize,
    /// Elements from a block of a panel to the next, MR·L.
    pub(crate) block: usize,
    /// First k.
    pub(crate) k: usize,
    pub(crate) prologue: BytePrologue,
}

impl Int8Kernel for Pack {
    type Args = PackRun;
    type Output = ();

    /// # Safety
    /// - `x` is valid for reading `length` bytes of each of the pixels.
    /// - `rows` has an offset for each pixel.
    /// - The panels are valid for writing k..k + `length` of each pixel; no other thread touches
    ///   them.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &PackRun) {
        let bytes = 4 * <T::Simd as Simd>::LANES;
        let mut done = 0;
        while done < run.length {
            let in_block = block::<T>() - (run.k + done) % block::<T>();
            let n = (run.length - done).min(in_block).min(bytes);
            // SAFETY: n bytes from `done` on are of each pixel; n integers from k on are of its row
            // of one block of the panel.
            unsafe {
                if n == bytes {
                    move_part(token, run, done, bytes);
                } else {
                    move_part(token, run, done, n);
                }
            }
            done += n;
        }
    }
}

/// Moves `n` bytes of each pixel, from `done` on.
///
/// # Safety
/// As [`Pack::run`]; there are so many bytes, in one block of the panel.
#[inline(always)]
unsafe fn move_part<T: Int8>(token: T, run: &PackRun, done: usize, n: usize) {
    let PackRun { x_pixel, pixels, .. } = *run;
    let from = run.x.wrapping_add(done);
    for p in 0..pixels {
        // SAFETY: pixel p exists in the input, and has an offset, which lies in the panels.
        unsafe {
            let (x, row) = (from.add(p * x_pixel), run.a.add(*run.rows.add(p)));
            let bytes = prologue(token, token.simd().load_bytes(x, n), run.prologue);
            store(token, row, [run.block, run.k + done], bytes, n);
        }
    }
}

/// The k of a block of a panel.
#[inline(always)]
const fn block<T: Int8>() -> usize {
    <T::Simd as Simd>::LANES * T::GROUP
}

/// Bytes as A has them.
#[inline(always)]
pub(crate) fn prologue<T: Int8>(token: T, bytes: Vector<T>, prologue: BytePrologue) -> Vector<T> {
    let simd = token.simd();
    let BytePrologue { flip, bounds } = prologue;
    let bytes = flipped(token, bytes, flip);
    let Some([lo, hi]) = bounds else { return bytes };
    let (lo, hi) = (simd.splat_byte(lo), simd.splat_byte(hi));
    if T::SIGNED {
        simd.min_bytes::<true>(hi, simd.max_bytes::<true>(lo, bytes))
    } else {
        simd.min_bytes::<false>(hi, simd.max_bytes::<false>(lo, bytes))
    }
}

/// Bytes of which some bits are changed, if any are.
#[inline(always)]
pub(crate) fn flipped<T: Int8>(token: T, bytes: Vector<T>, flip: u8) -> Vector<T> {
    let simd = token.simd();
    if flip == 0 { bytes } else { simd.xor(bytes, simd.splat_byte(flip)) }
}

/// Writes the first `n` bytes to k..k + `n` of a pixel's row of a panel, whose blocks lie `step`
/// elements apart.
///
/// # Safety
/// Integers k..k + `n` are valid for writing, and lie in one block or begin one.
#[inline(always)]
pub(crate) unsafe fn store<T: Int8>(
    token: T,
    row: *mut f32,
    [step, k]: [usize; 2],
    bytes: Vector<T>,
    n: usize,
) {
    let (simd, block) = (token.simd(), block::<T>());
    let row = row.wrapping_add(k / block * step).cast::<u8>();
    // SAFETY: n bytes, or n integers of 16 bits of one block or two, are valid for writing there.
    unsafe {
        if T::GROUP == 4 {
            return simd.store_bytes(row.add(k % block), bytes, n);
        }
        // Half as many as bytes of a vector are a block.
        let [low, high] = simd.widen_bytes(bytes);
        simd.store_bytes(row.add(2 * (k % block)), low, 2 * n.min(block));
        if n > block {
            simd.store_bytes(row.add(size_of::<f32>() * step), high, 2 * (n - block));
        }
    }
}
