//! What happens to a line after it was computed in f32: residual, activation, rounding. Each is a
//! loop of its own over values in L1, so that types and activations add up instead of multiplying.

use core::mem::MaybeUninit;

use crate::activation::{Activate, ActivateRun, Activation};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::simd::Simd;
use crate::simd::element::{Element, ForElement, for_element};

/// The most elements that are worked on at a time, if they must wait in f32 to be rounded.
pub(crate) const BLOCK: usize = 512;

/// Where values wait: in the output itself if it is of f32.
#[inline(always)]
pub(crate) fn waiting(y: PointerMut, block: &mut MaybeUninit<[f32; BLOCK]>) -> *mut f32 {
    if y.element == ElementType::F32 { y.at.cast() } else { block.as_mut_ptr().cast() }
}

/// Values that wait at `values`, to be stored in `y`.
pub(crate) struct Finish {
    pub(crate) values: *mut f32,
    pub(crate) count: usize,
    pub(crate) residual: Option<Pointer>,
    pub(crate) activation: Activation,
    pub(crate) y: PointerMut,
}

impl Finish {
    /// Adds the residual, applies the activation and rounds.
    ///
    /// # Safety
    /// - `values` came from [`waiting`] for `y`, and `count` of them were written.
    /// - `count` elements of the residual are valid for reading and of `y` for writing; no other
    ///   thread touches them.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, simd: S) {
        let Self { values, count, residual, activation, y } = self;
        // SAFETY: the caller vouches for `count` elements of each of these; `simd` proves that the
        // CPU has the level.
        unsafe {
            if let Some(residual) = residual {
                let add = AddLine { simd, values, residual: residual.at, count };
                for_element(residual.element, add);
            }
            if activation != Activation::None {
                // The level's one instance, as there is much code in it.
                S::entry::<Activate>(&ActivateRun { x: values, count, activation });
            }
            if y.element != ElementType::F32 {
                for_element(y.element, StoreLine { simd, values, y: y.at, count });
            }
        }
    }
}

struct AddLine<S> {
    simd: S,
    values: *mut f32,
    residual: *const u8,
    count: usize,
}

impl<S: Simd> ForElement for AddLine<S> {
    /// # Safety
    /// `count` elements of R are valid for reading, and as many values for reading and writing.
    #[inline(always)]
    unsafe fn run<R: Element>(self) {
        let Self { simd, values, residual, count } = self;
        let residual = residual.cast::<R::Bits>();
        for i in (0..count).step_by(S::LANES) {
            let n = S::LANES.min(count - i);
            // SAFETY: n elements from i on exist in both.
            unsafe {
                let (value, residual) = (values.add(i), residual.add(i));
                if n == S::LANES {
                    let sum = simd.add(simd.load(value), R::load(simd, residual));
                    simd.store(value, sum);
                } else {
                    let mask = simd.mem_mask(n);
                    let residual = R::mask_load(simd, mask, residual);
                    let sum = simd.add(simd.mask_load(mask, value), residual);
                    simd.mask_store(mask, value, sum);
                }
            }
        }
    }
}

struct StoreLine<S> {
    simd: S,
    values: *const f32,
    y: *mut u8,
    count: usize,
}

impl<S: Simd> ForElement for StoreLine<S> {
    /// # Safety
    /// `count` values are valid for reading, and as many elements of Y for writing.
    #[inline(always)]
    unsafe fn run<Y: Element>(self) {
        let Self { simd, values, y, count } = self;
        let y = y.cast::<Y::Bits>();
        for i in (0..count).step_by(S::LANES) {
            let n = S::LANES.min(count - i);
            // SAFETY: n elements from i on exist in both.
            unsafe {
                if n == S::LANES {
                    Y::store(simd, y.add(i), simd.load(values.add(i)));
                } else {
                    let mask = simd.mem_mask(n);
                    Y::mask_store(simd, mask, y.add(i), simd.mask_load(mask, values.add(i)));
                }
            }
        }
    }
}
