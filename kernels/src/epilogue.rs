//! What happens to values in registers: as they are loaded, and before they are stored.
//!
//! ```text
//! x = load(x), bounded or activated          // the prologue
//! y = round(activation(sum + residual))      // the epilogue
//! ```
//!
//! All kernels take theirs from here. A vector that lies partly beyond the channels is masked.

use crate::activation::{Activation, apply};
use crate::element::ElementType;
use crate::functions::{Clamp, Function};
use crate::simd::Simd;
use crate::simd::element::{Element, F32, ForElement, for_element};

/// What a depthwise convolution or a pool makes of input elements as it loads them.
pub(crate) trait Prologue {
    /// Whether elements are compared with a bound, which takes a register.
    const BOUNDS: bool;
    /// Whether the kernel is the general one, which is slow: any activation of input and output,
    /// any depth multiplier, outputs of any type. It applies the input's activation itself.
    const GENERAL: bool = false;

    /// Input elements as the kernel uses them. `bound` is the lower bound of [`Bounded`].
    fn apply<S: Simd>(simd: S, x: S::Vector, bound: f32) -> S::Vector;
}

/// The input as it is.
#[derive(Debug)]
pub(crate) struct AsIs;

/// ReLU of the input.
#[derive(Debug)]
pub(crate) struct Relu;

/// The input bounded from below by a number that the kernel is given: 0 for ReLU, −∞ for the input
/// as it is.
#[derive(Debug)]
pub(crate) struct Bounded;

/// See [`Prologue::GENERAL`].
#[derive(Debug)]
pub(crate) struct General;

impl Prologue for AsIs {
    const BOUNDS: bool = false;

    #[inline(always)]
    fn apply<S: Simd>(_: S, x: S::Vector, _: f32) -> S::Vector {
        x
    }
}

impl Prologue for Relu {
    const BOUNDS: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::Vector, _: f32) -> S::Vector {
        simd.clamp_min(simd.splat(0.0), x)
    }
}

impl Prologue for Bounded {
    const BOUNDS: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::Vector, bound: f32) -> S::Vector {
        simd.clamp_min(simd.splat(bound), x)
    }
}

impl Prologue for General {
    const BOUNDS: bool = false;
    const GENERAL: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(_: S, x: S::Vector, _: f32) -> S::Vector {
        x
    }
}

/// The prologue of what is copied into A panels: a clamp, (−∞, ∞) for none.
#[inline(always)]
pub(crate) fn clamped<S: Simd>(simd: S, x: S::Vector, (lo, hi): (f32, f32)) -> S::Vector {
    Clamp { lo, hi }.of(simd, x)
}

/// Runs `body` for outputs of type `element`, of a kernel with prologue L for input elements X: f32
/// or X, but any type if the kernel is the general one. Where f32 is the only choice nothing is
/// looked at.
///
/// # Safety
/// - As `body` asks.
/// - `element` is one of the types named.
#[inline(always)]
pub(crate) unsafe fn for_output<X: Element, L: Prologue, F: ForElement>(
    element: ElementType,
    body: F,
) {
    // SAFETY: the caller keeps the contract of `body` for `element`, which is the type that it is
    // run for.
    unsafe {
        if L::GENERAL {
            for_element(element, body);
        } else if const { matches!(X::TYPE, ElementType::F32) }
            || matches!(element, ElementType::F32)
        {
            body.run::<F32>();
        } else {
            body.run::<X>();
        }
    }
}

/// The bytes of an output element that [`for_output`] stores, known at compile time where its type
/// is.
#[inline(always)]
pub(crate) fn output_size<X: Element, L: Prologue>(element: ElementType) -> usize {
    if L::GENERAL {
        element.size()
    } else if const { matches!(X::TYPE, ElementType::F32) } || matches!(element, ElementType::F32) {
        size_of::<f32>()
    } else {
        size_of::<X::Bits>()
    }
}

/// Vectors side by side, all but perhaps the last of them whole.
#[derive(Clone, Copy)]
pub(crate) struct Extent<S: Simd> {
    /// Whether the last is whole, too.
    pub(crate) whole: bool,
    /// The lanes of the last.
    pub(crate) mask: S::MemMask,
}

/// Adds the residual to N vectors side by side.
///
/// # Safety
/// `residual` is valid for reading the lanes of the extent.
#[inline(always)]
pub(crate) unsafe fn add_residual<S: Simd, Y: Element, const N: usize>(
    simd: S,
    sums: &mut [S::Vector; N],
    residual: *const Y::Bits,
    extent: &Extent<S>,
) {
    for (n, v) in sums.iter_mut().enumerate() {
        let r = residual.wrapping_add(n * S::LANES);
        // SAFETY: all vectors but the last are whole, and of the last the mask's lanes are valid.
        let r = unsafe {
            if n + 1 < N || extent.whole {
                Y::load(simd, r)
            } else {
                Y::mask_load(simd, extent.mask, r)
            }
        };
        *v = simd.add(*v, r);
    }
}

/// Compares only with bounds that exist: a comparison takes the place of an FMA. (Loop by loop: one
/// for both is too long to be unrolled for a GEMM's tile on NEON, and accumulators that a loop
/// indexes live in memory, from the first k on.)
#[inline(always)]
pub(crate) fn clamp<S: Simd>(simd: S, values: &mut [S::Vector], (lo, hi): (f32, f32)) {
    if lo > f32::NEG_INFINITY {
        clamp_min(simd, values, lo);
    }
    if hi < f32::INFINITY {
        clamp_max(simd, values, hi);
    }
}

/// Bounds values from below.
#[inline(always)]
pub(crate) fn clamp_min<S: Simd>(simd: S, values: &mut [S::Vector], lo: f32) {
    for v in values {
        *v = simd.clamp_min(simd.splat(lo), *v);
    }
}

/// Bounds values from above.
#[inline(always)]
pub(crate) fn clamp_max<S: Simd>(simd: S, values: &mut [S::Vector], hi: f32) {
    for v in values {
        *v = simd.clamp_max(simd.splat(hi), *v);
    }
}

/// The activation, by its bounds if it is a clamp, as all but a few are.
#[inline(always)]
pub(crate) fn activate<S: Simd>(
    simd: S,
    values: &mut [S::Vector],
    bounds: Option<(f32, f32)>,
    activation: Activation,
) {
    match bounds {
        Some(bounds) => clamp(simd, values, bounds),
        None => {
            for v in values {
                *v = apply(simd, *v, activation);
            }
        }
    }
}

/// Rounds and stores N vectors side by side. SUMS if they are sums of products of elements Y: see
/// [`Element::store_sum`].
///
/// # Safety
/// `y` is valid for writing the lanes of the extent; no other thread touches them.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd, Y: Element, const N: usize, const SUMS: bool>(
    simd: S,
    values: &[S::Vector; N],
    y: *mut Y::Bits,
    extent: &Extent<S>,
) {
    for (n, &v) in values.iter().enumerate() {
        let y = y.wrapping_add(n * S::LANES);
        // SAFETY: all vectors but the last are whole, and of the last the mask's lanes are valid
        // for writing, by this thread alone.
        unsafe {
            let whole = n + 1 < N || extent.whole;
            match SUMS {
                true if whole => Y::store_sum(simd, y, v),
                true => Y::mask_store_sum(simd, extent.mask, y, v),
                false if whole => Y::store(simd, y, v),
                false => Y::mask_store(simd, extent.mask, y, v),
            }
        }
    }
}
