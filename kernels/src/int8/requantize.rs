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

use crate::activation::{Activation, apply};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::int8::quantization::{Quantization, Requantization};
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS, Vector};

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
    pub(crate) epilogue: Requantization,
}

impl Int8Kernel for Requantize {
    type Args = RequantizeRun;
    type Output = ();

    /// # Safety
    /// - Sums and multipliers are valid for reading whole vectors of `columns` elements of each
    ///   row.
    /// - There are as many offsets as rows. At these the residual is valid for reading `columns`
    ///   elements, `y` for writing them; no other thread touches those. A row of `y` may begin where
    ///   its sums do: outputs are no larger.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &RequantizeRun) {
        let l = <T::Simd as Simd>::LANES;
        let RequantizeRun { columns, rows, sums_row, multipliers, .. } = *run;
        let (y, residual, requantizer) =
            (run.y, run.residual, Requantizer::new(token, &run.epilogue));
        let whole = columns / l * l;
        for r in 0..rows {
            let sums = run.sums.wrapping_add(r * sums_row);
            // SAFETY: there are as many offsets as rows; whole vectors of sums and multipliers
            // exist, and the columns of output and residual.
            unsafe {
                let residual = residual.map(|residual| residual.add(*run.residual_rows.add(r)));
                let y = y.add(*run.y_rows.add(r));
                for c in (0..whole).step_by(l) {
                    let residual = residual.map(|residual| residual.add(c));
                    requantizer.requantize(sums.add(c), multipliers.add(c), residual, y.add(c), l);
                }
                if whole < columns {
                    let residual = residual.map(|residual| residual.add(whole));
                    let (sums, multipliers) = (sums.add(whole), multipliers.add(whole));
                    requantizer.requantize(
                        sums,
                        multipliers,
                        residual,
                        y.add(whole),
                        columns - whole,
                    );
                }
            }
        }
    }
}

/// What comes after sums, in registers: what is stored through `y` could as well change it in
/// memory, as far as the compiler knows.
pub(crate) struct Requantizer<T: Int8> {
    token: T,
    lo: Vector<T>,
    hi: Vector<T>,
    zero_point: Vector<T>,
    /// 16 bits of it: see [`Requantization::zero_point`].
    zero_words: Vector<T>,
    byte_bounds: [Vector<T>; 2],
    /// The bits by which the output's bytes differ from unsigned ones.
    sign: Vector<T>,
    residual: Quantization,
    activation: Option<Activation>,
    scale: f32,
    output: ElementType,
}

impl<T: Int8> Requantizer<T> {
    #[inline(always)]
    pub(crate) fn new(token: T, epilogue: &Requantization) -> Self {
        let simd = token.simd();
        Self {
            token,
            lo: simd.splat(epilogue.bounds.0),
            hi: simd.splat(epilogue.bounds.1),
            zero_point: simd.splat_i32(epilogue.quantization.zero_point),
            zero_words: simd.splat_i32(epilogue.zero_point * 0x1_0001),
            byte_bounds: [
                simd.splat_byte(epilogue.byte_bounds[0]),
                simd.splat_byte(epilogue.byte_bounds[1]),
            ],
            sign: simd.splat_byte(if epilogue.output == ElementType::I8 { 0x80 } else { 0 }),
            residual: epilogue.residual,
            activation: epilogue.activation,
            scale: epilogue.quantization.scale,
            output: epilogue.output,
        }
    }

    /// Makes outputs of the first `n` ≤ lanes sums.
    ///
    /// # Safety
    /// - A vector of sums and one of multipliers are valid for reading.
    /// - `n` elements of the residual are valid for reading, of `y` for writing; no other thread
    ///   touches these.
    #[inline(always)]
    unsafe fn requantize(
        &self,
        sums: *const f32,
        multipliers: *const f32,
        residual: Option<Pointer>,
        y: PointerMut,
        n: usize,
    ) {
        let simd = self.token.simd();
        // SAFETY: the caller keeps the contract.
        unsafe {
            let mut t = simd.mul(simd.to_f32(simd.load(sums)), simd.load(multipliers));
            if let Some(residual) = residual {
                t = self.add_residual(t, residual, n);
            }
            self.store(y.at, self.activate(t), n);
        }
    }

    /// Adds `n` elements of the residual.
    ///
    /// # Safety
    /// `residual` is valid for reading `n` ≤ lanes elements.
    #[inline(always)]
    pub(crate) unsafe fn add_residual(
        &self,
        t: Vector<T>,
        residual: Pointer,
        n: usize,
    ) -> Vector<T> {
        let (simd, Quantization { scale, zero_point }) = (self.token.simd(), self.residual);
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
    pub(crate) fn activate(&self, t: Vector<T>) -> Vector<T> {
        let simd = self.token.simd();
        let t = match self.activation {
            Some(activation) => {
                let scale = simd.splat(self.scale);
                simd.div(apply(simd, simd.mul(t, scale), activation), scale)
            }
            None => t,
        };
        simd.clamp_max(self.hi, simd.clamp_min(self.lo, t))
    }

    /// The clamped integers, unsigned, that numbers of steps become, in the order of [`channel`].
    ///
    /// [`channel`]: crate::simd::int8::channel
    #[inline(always)]
    pub(crate) fn bytes(&self, t: [Vector<T>; SUMS]) -> Vector<T> {
        let (simd, [lo, hi]) = (self.token.simd(), self.byte_bounds);
        let bytes = simd.narrow(t, self.zero_words);
        simd.min_bytes::<false>(hi, simd.max_bytes::<false>(lo, bytes))
    }

    /// Unsigned bytes as those of the output.
    #[inline(always)]
    pub(crate) fn as_output(&self, bytes: Vector<T>) -> Vector<T> {
        self.token.simd().xor(bytes, self.sign)
    }

    /// The integers that numbers of steps become.
    #[inline(always)]
    pub(crate) fn round(&self, t: Vector<T>) -> Vector<T> {
        let simd = self.token.simd();
        simd.add_i32(simd.to_i32(t), self.zero_point)
    }

    /// Rounds and stores the first `n` lanes.
    ///
    /// # Safety
    /// `y` is valid for writing `n` ≤ lanes elements of the output's type; no other thread touches
    /// them.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, y: *mut u8, t: Vector<T>, n: usize) {
        let simd = self.token.simd();
        // SAFETY: n elements are valid for writing.
        unsafe {
            match self.output {
                ElementType::F32 if n < <T::Simd as Simd>::LANES => {
                    simd.mask_store(simd.mem_mask(n), y.cast(), t);
                }
                ElementType::F32 => simd.store(y.cast(), t),
                _ => simd.store_lowest(y, self.round(t), n),
            }
        }
    }
}
