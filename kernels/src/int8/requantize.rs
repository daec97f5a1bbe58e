//! Makes outputs of the sums of 8-bit products.
//!
//! ```text
//! for r in 0..rows
//!   for c in 0..columns
//!     t = f32(sums[r][c]) · multiplier[c]                      // in steps of the output's
//!     t = t + f32(residual[r][c] − residual_zero) · residual_step
//!     t = activation(t · scale) / scale                        // if it is no clamp
//!     y[r][c] = i32(clamp(t)) + zero                           // or clamp(t), if y is of f32
//! ```
//!
//! Each step is rounded to nearest, ties to even. The clamp comes before the conversion, which
//! therefore never overflows. See [`naive::requantize`](crate::naive::requantize).
//!
//! Departures: columns go by vectors; the last is a part of one when they end inside it.

use crate::activation::apply;
use crate::element::{ElementType, Pointer, PointerMut};
use crate::int8::quantization::{Epilogue, Quantization};
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, Vector};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Requantize;

/// One call.
#[derive(Debug)]
pub(crate) struct RequantizeRun {
    /// i32, row after row, `sums_row` elements apart.
    pub(crate) sums: *const f32,
    /// At least `columns`, in whole vectors.
    pub(crate) sums_row: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Of the columns, in whole vectors.
    pub(crate) multipliers: *const f32,
    /// Output of the first column; row r is at `y_rows[r]`.
    pub(crate) y: PointerMut,
    pub(crate) y_rows: *const usize,
    /// Likewise, of the output's type; row r is at `residual_rows[r]`.
    pub(crate) residual: Option<Pointer>,
    pub(crate) residual_rows: *const usize,
    pub(crate) epilogue: Epilogue,
}

impl Int8Kernel for Requantize {
    type Args = RequantizeRun;
    type Output = ();

    /// # Safety
    /// - Sums and multipliers are valid for reading whole vectors of `columns` elements of each row.
    /// - There are as many offsets as rows. At these the residual is valid for reading `columns` elements,
    ///   `y` for writing them; no other thread touches those.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &RequantizeRun) {
        let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
        let size = run.y.element.size();
        for r in 0..run.rows {
            let sums = run.sums.wrapping_add(r * run.sums_row);
            // SAFETY: there are as many offsets as rows.
            let (y, residual) = unsafe {
                let residual = run.residual.map(|residual| residual.add(*run.residual_rows.add(r)));
                (run.y.add(*run.y_rows.add(r)), residual)
            };
            for c in (0..run.columns).step_by(l) {
                let n = (run.columns - c).min(l);
                // SAFETY: whole vectors of sums and multipliers exist, and n columns from c on of output and
                // residual.
                unsafe {
                    let sums = simd.to_f32(simd.load(sums.add(c)));
                    let mut t = simd.mul(sums, simd.load(run.multipliers.add(c)));
                    if let Some(residual) = residual {
                        t = add_residual(token, t, residual.add(c), n, &run.epilogue);
                    }
                    let t = finish(token, t, &run.epilogue);
                    store(token, y.at.add(c * size), t, n, &run.epilogue);
                }
            }
        }
    }
}

/// Adds `n` elements of the residual.
///
/// # Safety
/// `residual` is valid for reading `n` ≤ lanes elements.
#[inline(always)]
pub(crate) unsafe fn add_residual<T: Int8>(
    token: T,
    t: Vector<T>,
    residual: Pointer,
    n: usize,
    epilogue: &Epilogue,
) -> Vector<T> {
    let (simd, Quantization { scale, zero_point }) = (token.simd(), epilogue.residual);
    // SAFETY: n elements are valid for reading.
    let residual = unsafe {
        match residual.element {
            ElementType::F32 if n < <T::Simd as Simd>::LANES => {
                simd.mask_load(simd.mem_mask(n), residual.at.cast())
            }
            ElementType::F32 => simd.load(residual.at.cast()),
            element => {
                // Signed bytes with 0x80 added are unsigned ones, 128 larger.
                let above = if element == ElementType::I8 { 0x80 } else { 0 };
                let bytes = simd.load_lowest(residual.at, n);
                let bytes = simd.xor(bytes, simd.splat_i32(above));
                simd.to_f32(simd.add_i32(bytes, simd.splat_i32(-zero_point - above)))
            }
        }
    };
    simd.add(t, simd.mul(residual, simd.splat(scale)))
}

/// Activation and clamp, in steps of the output's.
#[inline(always)]
pub(crate) fn finish<T: Int8>(token: T, t: Vector<T>, epilogue: &Epilogue) -> Vector<T> {
    let (simd, (lo, hi)) = (token.simd(), epilogue.bounds);
    let t = match epilogue.activation {
        Some(activation) => {
            let scale = simd.splat(epilogue.quantization.scale);
            simd.div(apply(simd, simd.mul(t, scale), activation), scale)
        }
        None => t,
    };
    simd.clamp_max(simd.splat(hi), simd.clamp_min(simd.splat(lo), t))
}

/// Rounds and stores the first `n` lanes.
///
/// # Safety
/// `y` is valid for writing `n` ≤ lanes elements of the output's type; no other thread touches them.
#[inline(always)]
pub(crate) unsafe fn store<T: Int8>(
    token: T,
    y: *mut u8,
    t: Vector<T>,
    n: usize,
    epilogue: &Epilogue,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    // SAFETY: n elements are valid for writing.
    unsafe {
        if epilogue.output == ElementType::F32 {
            if n == l {
                simd.store(y.cast(), t);
            } else {
                simd.mask_store(simd.mem_mask(n), y.cast(), t);
            }
        } else {
            let zero_point = simd.splat_i32(epilogue.quantization.zero_point);
            simd.store_lowest(y, simd.add_i32(simd.to_i32(t), zero_point), n);
        }
    }
}
