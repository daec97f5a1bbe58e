//! Pools of 8-bit integers, and what is done element by element: one output pixel, all channels.
//!
//! ```text
//! for c in 0..channels
//!   v = max, or sum, over the taps inside the input of x[tap][c]
//!   t = f32(v − zero) · multiplier            // of a sum zero is that of all its taps
//!   t = t + f32(residual[c] − residual_zero) · residual_step
//!   y[c] = requantize(t)
//! ```
//!
//! An element by itself is the maximum of one tap. An input of f32 has `t = clamp(x) / scale`, the
//! output's; its NaN are 0.
//!
//! Departures: channels go by vectors. Maxima are those of bytes; where nothing follows, they are
//! the outputs. Where a clamp follows, vectors of bytes become such of lanes by zipping them with
//! zeros, and these bytes again at once. There a number is divided by the output's scale s by
//! y = 1 / s and two corrections, each an FMA of the rest of the division and y: with y rounded to
//! nearest and a quotient within a unit of its last place the second gives the nearest one, as a
//! division does (Markstein, "Computation of elementary functions on the IBM RISC System/6000
//! processor", 1990).

use crate::element::{ElementType, Pointer, PointerMut};
use crate::int8::quantization::{Quantization, Requantization};
use crate::int8::requantize::Requantizer;
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, MAX_BYTES, SUMS, Vector};

/// The kernel.
#[derive(Debug)]
pub(crate) struct Pool;

/// One call.
#[derive(Debug)]
pub(crate) struct PoolRun {
    /// The first tap.
    pub(crate) x: Pointer,
    /// Elements from one row of taps, and from one tap of a row, to the next.
    pub(crate) steps: [usize; 2],
    /// Rows and columns of taps.
    pub(crate) taps: [usize; 2],
    pub(crate) channels: usize,
    /// Whether taps are added up, not their maximum taken.
    pub(crate) sums: bool,
    /// Whether maxima are the outputs, as they are.
    pub(crate) as_is: bool,
    /// Of the maximum, or of the sum.
    pub(crate) zero_point: i32,
    pub(crate) multiplier: f32,
    pub(crate) y: PointerMut,
    pub(crate) residual: Option<Pointer>,
    /// The clamp of the input's integers.
    pub(crate) bounds: (f32, f32),
    pub(crate) epilogue: Requantization,
}

impl Int8Kernel for Pool {
    type Args = PoolRun;
    type Output = ();

    /// # Safety
    /// - Each tap is valid for reading `channels` elements of the input's type.
    /// - The residual is valid for reading, `y` for writing as many; no other thread touches those.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &PoolRun) {
        let chunk = SUMS * <T::Simd as Simd>::LANES;
        let is_f32 = run.x.element == ElementType::F32;
        let in_i32 = !is_f32 && run.epilogue.in_i32(255, run.multiplier);
        let requantizer = Requantizer::new(token, &run.epilogue, in_i32);
        let divides = is_f32 && divides_by_reciprocal::<T>(run);
        // SAFETY: the caller's contract, for n channels from c on.
        unsafe {
            for c in (0..run.channels).step_by(chunk) {
                let n = (run.channels - c).min(chunk);
                match (run.x.element, run.sums) {
                    (ElementType::F32, _) if divides => {
                        quotients(token, run, &requantizer, c, n);
                    }
                    (ElementType::F32, _) => numbers(token, run, &requantizer, c, n),
                    (_, true) => sums(token, run, &requantizer, c, n),
                    (ElementType::I8, false) => maxima::<T, true>(token, run, &requantizer, c, n),
                    (_, false) => maxima::<T, false>(token, run, &requantizer, c, n),
                }
            }
        }
    }
}

/// The least and the largest scale by which [`quotients`] divides: between these no step overflows,
/// and none underflows for a number whose integer that could change.
const SCALES: [f32; 2] = [8.673_617e-19, 1.152_921_5e18]; // 2⁻⁶⁰, 2⁶⁰

/// More steps than any integer has, whatever the zero point.
const MOST_STEPS: f32 = 1024.0;

/// Whether integers come of numbers by a division, a clamp and nothing else.
#[inline(always)]
fn divides_by_reciprocal<T: Int8>(run: &PoolRun) -> bool {
    // Without vectors a division is the faster one.
    let has_vectors = const { <T::Simd as Simd>::LANES > 1 };
    let scale = run.epilogue.quantization.scale;
    let [least, most] = SCALES;
    has_vectors
        && run.epilogue.is_clamp()
        && run.residual.is_none()
        && (least..=most).contains(&scale)
}

/// Elements of f32, to integers by a clamp.
///
/// # Safety
/// As [`Pool::run`], for `n` channels from `c` on.
#[inline(always)]
unsafe fn quotients<T: Int8>(
    token: T,
    run: &PoolRun,
    requantizer: &Requantizer<T>,
    c: usize,
    n: usize,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let scale = run.epilogue.quantization.scale;
    // Beyond so many steps numbers are no other integers.
    let most = MOST_STEPS * scale;
    let bounds = [run.bounds.0.clamp(-most, most), run.bounds.1.clamp(-most, most)];
    let bounds = [simd.splat(bounds[0]), simd.splat(bounds[1])];
    let (scale, reciprocal) = (simd.splat(scale), simd.splat(1.0 / scale));
    let mut t = [simd.splat(0.0); SUMS];
    for (v, t) in t.iter_mut().enumerate() {
        let left = n.saturating_sub(v * l).min(l);
        if left > 0 {
            let x = run.x.at.cast::<f32>().wrapping_add(c + v * l);
            // SAFETY: so many channels exist.
            let x = unsafe { clamped_numbers(simd, x, left, bounds) };
            *t = quotient(simd, x, scale, reciprocal);
        }
    }
    let bytes = requantizer.as_output(simd.in_order(requantizer.bytes(t)));
    // SAFETY: n channels from c on exist.
    unsafe { simd.store_bytes(run.y.at.add(c), bytes, n) };
}

/// The first `n` lanes of f32, clamped, 0 for NaN.
///
/// # Safety
/// `x` is valid for reading `n` ≤ lanes elements.
#[inline(always)]
unsafe fn clamped_numbers<S: Simd>(
    simd: S,
    x: *const f32,
    n: usize,
    [lo, hi]: [S::Vector; 2],
) -> S::Vector {
    // SAFETY: n elements are valid for reading.
    let x =
        unsafe { if n == S::LANES { simd.load(x) } else { simd.mask_load(simd.mem_mask(n), x) } };
    let x = simd.select(simd.is_ordered(x), x, simd.splat(0.0));
    simd.clamp_max(hi, simd.clamp_min(lo, x))
}

/// x / scale, rounded to nearest.
#[inline(always)]
fn quotient<S: Simd>(simd: S, x: S::Vector, scale: S::Vector, reciprocal: S::Vector) -> S::Vector {
    let minus = simd.sub(simd.splat(0.0), scale);
    let mut quotient = simd.mul(x, reciprocal);
    for _ in 0..2 {
        let rest = simd.mul_add(quotient, minus, x);
        quotient = simd.mul_add(rest, reciprocal, quotient);
    }
    quotient
}

/// Elements of f32.
///
/// # Safety
/// As [`Pool::run`], for `n` channels from `c` on.
#[inline(always)]
unsafe fn numbers<T: Int8>(
    token: T,
    run: &PoolRun,
    requantizer: &Requantizer<T>,
    c: usize,
    n: usize,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let bounds = [simd.splat(run.bounds.0), simd.splat(run.bounds.1)];
    for (c, n) in (c..c + n).step_by(l).map(|at| (at, (c + n - at).min(l))) {
        let x = run.x.at.cast::<f32>().wrapping_add(c);
        // SAFETY: n channels from c on exist.
        unsafe {
            let x = clamped_numbers(simd, x, n, bounds);
            requantize(
                run,
                requantizer,
                simd.div(x, simd.splat(run.epilogue.quantization.scale)),
                c,
                n,
            );
        }
    }
}

/// Sums of the taps.
///
/// # Safety
/// As [`Pool::run`], for `n` channels from `c` on.
#[inline(always)]
unsafe fn sums<T: Int8>(token: T, run: &PoolRun, requantizer: &Requantizer<T>, c: usize, n: usize) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let signed = run.x.element == ElementType::I8;
    for (c, n) in (c..c + n).step_by(l).map(|at| (at, (c + n - at).min(l))) {
        let mut sum = simd.splat_i32(run.zero_point.wrapping_neg());
        for row in 0..run.taps[0] {
            for column in 0..run.taps[1] {
                let x = run.x.at.wrapping_add(row * run.steps[0] + column * run.steps[1] + c);
                // SAFETY: n channels from c on of a tap.
                let v = unsafe { integers(token, x, n, signed) };
                sum = simd.add_i32(sum, bounded(token, v, run.bounds));
            }
        }
        // SAFETY: n channels from c on exist.
        unsafe {
            requantize(
                run,
                requantizer,
                simd.mul(simd.to_f32(sum), simd.splat(run.multiplier)),
                c,
                n,
            )
        };
    }
}

/// Integers of i32, clamped.
#[inline(always)]
fn bounded<T: Int8>(token: T, v: Vector<T>, (lo, hi): (f32, f32)) -> Vector<T> {
    let simd = token.simd();
    let v = simd.clamp_min(simd.splat(lo), simd.to_f32(v));
    simd.to_i32(simd.clamp_max(simd.splat(hi), v))
}

/// The first `n` lanes of i32 from bytes.
///
/// # Safety
/// `x` is valid for reading `n` ≤ lanes bytes.
#[inline(always)]
unsafe fn integers<T: Int8>(token: T, x: *const u8, n: usize, signed: bool) -> Vector<T> {
    let simd = token.simd();
    // SAFETY: n bytes are valid for reading.
    let bytes = unsafe { simd.load_lowest(x, n) };
    if signed {
        // With 0x80 added they are unsigned ones, 128 larger.
        simd.add_i32(simd.xor(bytes, simd.splat_i32(0x80)), simd.splat_i32(-0x80))
    } else {
        bytes
    }
}

/// Maxima of the taps, or the elements themselves.
///
/// # Safety
/// As [`Pool::run`], for `n` channels from `c` on.
#[inline(always)]
unsafe fn maxima<T: Int8, const SIGNED: bool>(
    token: T,
    run: &PoolRun,
    requantizer: &Requantizer<T>,
    c: usize,
    n: usize,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let mut max = simd.splat_byte(if SIGNED { 0x80 } else { 0 });
    for row in 0..run.taps[0] {
        for column in 0..run.taps[1] {
            let x = run.x.at.wrapping_add(row * run.steps[0] + column * run.steps[1] + c);
            // SAFETY: n channels from c on of a tap.
            max = simd.max_bytes::<SIGNED>(max, unsafe { simd.load_bytes(x, n) });
        }
    }
    let byte = |bound: f32| simd.splat_byte(bound as i32 as u8);
    if run.taps != [0, 0] {
        max = simd.max_bytes::<SIGNED>(max, byte(run.bounds.0));
        max = simd.min_bytes::<SIGNED>(max, byte(run.bounds.1));
    }
    let mut bytes = [0; MAX_BYTES];
    // SAFETY: n channels from c on exist; no vector has more bytes than there is room for.
    unsafe {
        if run.as_is {
            return simd.store_bytes(run.y.at.add(c), max, n);
        }
        if run.epilogue.is_clamp() {
            let mut t = steps::<T, SIGNED>(token, max, run.zero_point, run.multiplier);
            if let Some(residual) = run.residual {
                let Quantization { scale, zero_point } = run.epilogue.residual;
                let bytes = simd.load_bytes(residual.at.add(c), n);
                let residual = if residual.element == ElementType::I8 {
                    steps::<T, true>(token, bytes, zero_point, scale)
                } else {
                    steps::<T, false>(token, bytes, zero_point, scale)
                };
                for (t, residual) in t.iter_mut().zip(residual) {
                    *t = simd.add(*t, residual);
                }
            }
            let bytes = requantizer.as_output(requantizer.bytes(t));
            return simd.store_bytes(run.y.at.add(c), bytes, n);
        }
        simd.store_bytes(bytes.as_mut_ptr(), max, 4 * l);
        for at in (0..n).step_by(l) {
            let of_vector = (n - at).min(l);
            let v = integers(token, bytes.as_ptr().add(at), l, SIGNED);
            let v = simd.add_i32(v, simd.splat_i32(run.zero_point.wrapping_neg()));
            let t = simd.mul(simd.to_f32(v), simd.splat(run.multiplier));
            requantize(run, requantizer, t, c + at, of_vector);
        }
    }
}

/// The numbers of steps that bytes are, counted from the zero point, times `step`: in the order of
/// [`channel`](crate::simd::int8::channel).
#[inline(always)]
fn steps<T: Int8, const SIGNED: bool>(
    token: T,
    bytes: Vector<T>,
    zero_point: i32,
    step: f32,
) -> [Vector<T>; SUMS] {
    let simd = token.simd();
    // With 0x80 added signed bytes are unsigned ones, 128 larger.
    let bytes = if SIGNED { simd.xor(bytes, simd.splat_byte(0x80)) } else { bytes };
    let zero = simd.splat_i32((if SIGNED { -0x80 } else { 0_i32 }).wrapping_sub(zero_point));
    let none = simd.splat(0.0);
    let mut lanes = token.interleave([bytes, none, none, none]);
    for lane in &mut lanes {
        *lane = simd.mul(simd.to_f32(simd.add_i32(*lane, zero)), simd.splat(step));
    }
    lanes
}

/// Makes outputs, of `n` channels from `c` on.
///
/// # Safety
/// They are valid for reading in the residual and for writing in the output.
#[inline(always)]
unsafe fn requantize<T: Int8>(
    run: &PoolRun,
    requantizer: &Requantizer<T>,
    mut t: Vector<T>,
    c: usize,
    n: usize,
) {
    // SAFETY: these channels exist.
    unsafe {
        if let Some(residual) = run.residual {
            t = requantizer.add_residual(t, residual.add(c), n);
        }
        requantizer.store(run.y.add(c).at, requantizer.activate(t), n);
    }
}
