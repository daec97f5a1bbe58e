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
//! Departures: columns go by vectors. Where bytes come of a clamp, as many rows of NR columns as
//! make a vector of bytes become that at once, and the clamp is that of the conversions, which
//! saturate. Else the last vector of a row is a part of one if columns end inside it.

use crate::activation::{Activation, apply};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::gemm::tile::tile_size;
use crate::int8::quantization::{Quantization, Requantization};
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS, Vector};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Requantize;

/// One call.
#[derive(Debug)]
pub(crate) struct RequantizeRun {
    /// i32, row after row, NR of each.
    pub(crate) sums: *const f32,
    /// At least 1.
    pub(crate) rows: usize,
    /// 1 to NR.
    pub(crate) columns: usize,
    /// NR of them.
    pub(crate) multipliers: *const f32,
    /// Output of the first column; row r is at `y_rows[r]`.
    pub(crate) y: PointerMut,
    pub(crate) y_rows: *const usize,
    /// Likewise, of the output's type; row r is at `residual_rows[r]`.
    pub(crate) residual: Option<Pointer>,
    pub(crate) residual_rows: *const usize,
    /// Whether i32 holds all numbers of steps.
    pub(crate) in_i32: bool,
    pub(crate) epilogue: Requantization,
}

impl Int8Kernel for Requantize {
    type Args = RequantizeRun;
    type Output = ();

    /// # Safety
    /// - NR sums of each row and NR multipliers are valid for reading.
    /// - There are as many offsets as rows. At these the residual is valid for reading `columns`
    ///   elements, `y` for writing them; no other thread touches those. A row of `y` may begin
    ///   where its sums do: outputs are no larger.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &RequantizeRun) {
        let requantizer = Requantizer::new(token, &run.epilogue, run.in_i32);
        // SAFETY: the caller's contract.
        unsafe {
            match run.residual {
                _ if !run.epilogue.is_clamp() => numbers(token, run, &requantizer),
                None => integers::<T, false>(token, run, &requantizer),
                Some(_) => integers::<T, true>(token, run, &requantizer),
            }
        }
    }
}

/// Vectors of a row of sums.
#[inline(always)]
const fn vectors<T: Int8>() -> usize {
    tile_size::<T::Simd>().nr / <T::Simd as Simd>::LANES
}

/// Rows of sums that become a vector of bytes.
#[inline(always)]
const fn rows_of_bytes<T: Int8>() -> usize {
    SUMS / vectors::<T>()
}

/// Bytes by a clamp; with a residual if RESIDUAL.
///
/// # Safety
/// As [`Requantize::run`].
#[inline(always)]
unsafe fn integers<T: Int8, const RESIDUAL: bool>(
    token: T,
    run: &RequantizeRun,
    requantizer: &Requantizer<T>,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let (vectors, at_once) = const { (vectors::<T>(), rows_of_bytes::<T>()) };
    const { assert!(rows_of_bytes::<T>() == 1 || rows_of_bytes::<T>() == 2) };
    let mut multipliers = [simd.splat(0.0); SUMS];
    for (i, multiplier) in multipliers.iter_mut().enumerate() {
        // SAFETY: there are NR multipliers.
        *multiplier = unsafe { simd.load(run.multipliers.add(i % vectors * l)) };
    }
    for r in (0..run.rows).step_by(at_once) {
        // Not a loop, which the compiler might leave one, through memory.
        // SAFETY: row r is one of the rows, and so is the next one where it is stored; each has NR
        // sums, and its columns of output and residual.
        unsafe {
            let t = [
                number::<T, RESIDUAL>(token, run, requantizer, multipliers[0], [r, 0]),
                number::<T, RESIDUAL>(token, run, requantizer, multipliers[1], [r, 1]),
                number::<T, RESIDUAL>(token, run, requantizer, multipliers[2], [r, 2]),
                number::<T, RESIDUAL>(token, run, requantizer, multipliers[3], [r, 3]),
            ];
            let bytes = requantizer.as_output(simd.in_order(requantizer.bytes(t)));
            simd.store_bytes(run.y.add(*run.y_rows.add(r)).at, bytes, run.columns);
            if at_once == 2 && r + 1 < run.rows {
                let y = run.y.add(*run.y_rows.add(r + 1)).at;
                simd.store_bytes(y, simd.upper_half(bytes), run.columns);
            }
        }
    }
}

/// The steps of vector `i` of the rows from `r` on that become bytes at once; of a row or vector
/// beyond the last, those of another one.
///
/// # Safety
/// As [`Requantize::run`]; row `r` is one of the rows.
#[inline(always)]
unsafe fn number<T: Int8, const RESIDUAL: bool>(
    token: T,
    run: &RequantizeRun,
    requantizer: &Requantizer<T>,
    multiplier: Vector<T>,
    [r, i]: [usize; 2],
) -> Vector<T> {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let (vectors, at_once) = const { (vectors::<T>(), rows_of_bytes::<T>()) };
    let (row, v) = (r + (i / vectors).min(at_once - 1), i % vectors);
    let row = row.min(run.rows - 1);
    // SAFETY: the row has NR sums, `vectors` vectors, and its columns of the residual.
    unsafe {
        let sums = simd.load(run.sums.add((row * vectors + v) * l));
        let mut t = simd.mul(simd.to_f32(sums), multiplier);
        let n = run.columns.saturating_sub(v * l).min(l);
        if let (true, Some(residual), true) = (RESIDUAL, run.residual, n > 0) {
            let residual = residual.add(*run.residual_rows.add(row) + v * l);
            t = requantizer.add_residual(t, residual, n);
        }
        t
    }
}

/// Outputs of f32, or of an activation that is no clamp.
///
/// # Safety
/// As [`Requantize::run`].
#[inline(always)]
unsafe fn numbers<T: Int8>(token: T, run: &RequantizeRun, requantizer: &Requantizer<T>) {
    let (l, nr) = (<T::Simd as Simd>::LANES, const { tile_size::<T::Simd>().nr });
    let simd = token.simd();
    for r in 0..run.rows {
        let sums = run.sums.wrapping_add(r * nr);
        for c in (0..run.columns).step_by(l) {
            let n = (run.columns - c).min(l);
            // SAFETY: there are as many offsets as rows; whole vectors of sums and multipliers
            // exist, and the n columns from c on of output and residual.
            unsafe {
                let sums = simd.to_f32(simd.load(sums.add(c)));
                let mut t = simd.mul(sums, simd.load(run.multipliers.add(c)));
                if let Some(residual) = run.residual {
                    let residual = residual.add(*run.residual_rows.add(r) + c);
                    t = requantizer.add_residual(t, residual, n);
                }
                let y = run.y.add(*run.y_rows.add(r) + c);
                requantizer.store(y.at, requantizer.activate(t), n);
            }
        }
    }
}

/// More than any byte, whatever zero point is added.
const MOST_OF_16: f32 = 32767.0;

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
    /// Whether conversions to bytes are all the clamp there is: i32 holds all numbers of steps.
    saturates: bool,
    /// The bits by which the output's bytes differ from unsigned ones.
    sign: Vector<T>,
    residual: Quantization,
    activation: Option<Activation>,
    scale: f32,
    output: ElementType,
}

impl<T: Int8> Requantizer<T> {
    #[inline(always)]
    pub(crate) fn new(token: T, epilogue: &Requantization, in_i32: bool) -> Self {
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
            saturates: in_i32 && epilogue.byte_bounds == [0, 255],
            sign: simd.splat_byte(if epilogue.output == ElementType::I8 { 0x80 } else { 0 }),
            residual: epilogue.residual,
            activation: epilogue.activation,
            scale: epilogue.quantization.scale,
            output: epilogue.output,
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
        if self.saturates {
            return simd.narrow(t, self.zero_words);
        }
        // Numbers too large for i32 would become its least.
        let (most, [a, b, c, d]) = (simd.splat(MOST_OF_16), t);
        let ab = [simd.clamp_max(most, a), simd.clamp_max(most, b)];
        let cd = [simd.clamp_max(most, c), simd.clamp_max(most, d)];
        let bytes = simd.narrow([ab[0], ab[1], cd[0], cd[1]], self.zero_words);
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
