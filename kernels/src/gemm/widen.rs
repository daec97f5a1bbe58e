//! Makes f32 of 16-bit weights: a block of one B panel, which all micro-tiles of a tile of pixels
//! then share.
//!
//! ```text
//! for i in 0..depth·NR
//!   to[i] = f32(from[i])
//! ```
//!
//! Departures: by vectors, of which a panel's rows are made. (Converted in the micro-kernel as they
//! are loaded, which is done for few pixels, weights take FMA ports for each of its tiles: on an
//! Intel CPU (Emerald Rapids) 1.1 to 1.3 times the time of f32.)

use crate::element::Pointer;
use crate::simd::element::{Element, ForElement, for_element};
use crate::simd::{Kernel, Simd};

/// The kernel, for weights of any type.
#[derive(Debug)]
pub(crate) struct Widen;

/// One call.
#[derive(Debug)]
pub(crate) struct WidenRun {
    pub(crate) from: Pointer,
    pub(crate) to: *mut f32,
    /// A multiple of the lanes.
    pub(crate) count: usize,
}

impl Kernel for Widen {
    type Args = WidenRun;
    type Output = ();

    /// # Safety
    /// `count` elements are valid for reading at `from` and for writing at `to`.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, run: &WidenRun) {
        // SAFETY: the caller keeps the contract of `Vectors` for the type of `from`.
        unsafe { for_element(run.from.element, Vectors { simd, run }) }
    }
}

/// All elements, by vectors.
struct Vectors<'a, S> {
    simd: S,
    run: &'a WidenRun,
}

impl<S: Simd> ForElement for Vectors<'_, S> {
    /// # Safety
    /// - `count` elements B are valid for reading at `from`.
    /// - `count` elements of f32 are valid for writing at `to`.
    #[inline(always)]
    unsafe fn run<B: Element>(self) {
        let Self { simd, run } = self;
        let from = run.from.at.cast::<B::Bits>();
        for i in (0..run.count).step_by(S::LANES) {
            // SAFETY: `count` is a multiple of the lanes, so a vector's elements from i on exist on
            // both sides.
            unsafe { simd.store(run.to.add(i), B::load(simd, from.add(i))) };
        }
    }
}
