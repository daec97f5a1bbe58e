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
//! Departures: channels go by vectors of lanes.

use crate::element::{ElementType, Pointer, PointerMut};
use crate::int8::quantization::Epilogue;
use crate::int8::requantize::{add_residual, finish, store};
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, Vector};

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
    /// The maximum, or the sum, of no taps.
    pub(crate) least: i32,
    /// Of the maximum, or of the sum.
    pub(crate) zero_point: i32,
    pub(crate) multiplier: f32,
    pub(crate) y: PointerMut,
    pub(crate) residual: Option<Pointer>,
    /// The clamp of the input's integers.
    pub(crate) bounds: (f32, f32),
    pub(crate) epilogue: Epilogue,
}

impl Int8Kernel for Pool {
    type Args = PoolRun;
    type Output = ();

    /// # Safety
    /// - Each tap is valid for reading `channels` elements of the input's type.
    /// - The residual is valid for reading, `y` for writing as many; no other thread touches those.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &PoolRun) {
        let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
        let size = run.y.element.size();
        for c in (0..run.channels).step_by(l) {
            let n = (run.channels - c).min(l);
            // SAFETY: n channels from c on of each tap, of the residual and of the output.
            unsafe {
                let mut t = if run.x.element == ElementType::F32 {
                    let x = run.x.at.cast::<f32>().add(c);
                    let x = if n == l { simd.load(x) } else { simd.mask_load(simd.mem_mask(n), x) };
                    let x = simd.select(simd.is_ordered(x), x, simd.splat(0.0));
                    let x = simd.clamp_max(
                        simd.splat(run.bounds.1),
                        simd.clamp_min(simd.splat(run.bounds.0), x),
                    );
                    simd.div(x, simd.splat(run.epilogue.quantization.scale))
                } else {
                    let v = combine(token, run, c, n);
                    let v =
                        simd.to_f32(simd.add_i32(v, simd.splat_i32(run.zero_point.wrapping_neg())));
                    simd.mul(v, simd.splat(run.multiplier))
                };
                if let Some(residual) = run.residual {
                    t = add_residual(token, t, residual.add(c), n, &run.epilogue);
                }
                let t = finish(token, t, &run.epilogue);
                store(token, run.y.at.add(c * size), t, n, &run.epilogue);
            }
        }
    }
}

/// The maximum or the sum of the taps, in lanes of i32, bounded first.
///
/// # Safety
/// Each tap is valid for reading `n` channels from `c` on.
#[inline(always)]
unsafe fn combine<T: Int8>(token: T, run: &PoolRun, c: usize, n: usize) -> Vector<T> {
    let simd = token.simd();
    // Signed bytes with 0x80 added are unsigned ones, 128 larger.
    let above = if run.x.element == ElementType::I8 { 0x80 } else { 0 };
    let (flip, below) = (simd.splat_i32(above), simd.splat_i32(-above));
    let (lo, hi) = (simd.splat(run.bounds.0), simd.splat(run.bounds.1));
    let mut all = simd.splat_i32(run.least);
    for row in 0..run.taps[0] {
        for column in 0..run.taps[1] {
            let tap = row * run.steps[0] + column * run.steps[1];
            // SAFETY: tap of the window, n channels from c on.
            let bytes = unsafe { simd.load_lowest(run.x.at.add(tap + c), n) };
            let v = simd.to_f32(simd.add_i32(simd.xor(bytes, flip), below));
            let v = simd.to_i32(simd.clamp_max(hi, simd.clamp_min(lo, v)));
            all = if run.sums { simd.add_i32(all, v) } else { larger(token, v, all) };
        }
    }
    all
}

/// The larger of integers that f32 holds exactly.
#[inline(always)]
fn larger<T: Int8>(token: T, a: Vector<T>, b: Vector<T>) -> Vector<T> {
    let simd = token.simd();
    simd.to_i32(simd.clamp_min(simd.to_f32(a), simd.to_f32(b)))
}
