//! An operation of two tensors, element by element.
//!
//! ```text
//! for p in 0..pixels
//!   for c in 0..channels
//!     y[p][c] = round(activation(a[p][c] ∘ b[p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors, of which the last is masked.
//! 2. An operand with one pixel or one channel for all is not copied: its distance from one pixel,
//!    or channel, to the next is 0.
//! 3. Results of 16 bits wait in f32, at most [`BLOCK`] of them; see
//!    [`stages`](crate::lines::stages).

use core::mem::MaybeUninit;

use crate::activation::Activation;
use crate::element::{Pointer, PointerMut};
use crate::lines::stages::{BLOCK, Finish, waiting};
use crate::params::BinaryOp;
use crate::simd::element::{Element, ForElement, for_element};
use crate::simd::{Kernel, Simd};

/// Some pixels of one row.
#[derive(Debug)]
pub(crate) struct BinaryArgs {
    pub(crate) op: BinaryOp,
    /// The first operand and the second.
    pub(crate) operands: [Line; 2],
    pub(crate) y: PointerMut,
    /// Elements from one pixel of y to the next.
    pub(crate) y_pixel: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) activation: Activation,
}

/// An operand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Channel 0 of the first pixel.
    pub(crate) at: Pointer,
    /// Elements from one pixel to the next, 0 if there is one for all.
    pub(crate) pixel: usize,
    /// Whether there is one channel for all.
    pub(crate) is_single: bool,
}

impl Line {
    /// From channel c of pixel p on.
    #[inline(always)]
    fn of(&self, p: usize, c: usize) -> Self {
        let channel = if self.is_single { 0 } else { c };
        Self { at: self.at.add(p.wrapping_mul(self.pixel).wrapping_add(channel)), ..*self }
    }
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct Binary;

impl Kernel for Binary {
    type Args = BinaryArgs;
    type Output = ();

    /// # Safety
    /// - For all pixels and channels the operands are valid for reading and the output for writing;
    ///   no other thread touches it.
    /// - This build has kernels for the types of all three.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &BinaryArgs) {
        let mut block = MaybeUninit::uninit();
        for p in 0..args.pixels {
            for c in (0..args.channels).step_by(BLOCK) {
                let count = BLOCK.min(args.channels - c);
                let [a, b] = args.operands.map(|operand| operand.of(p, c));
                let y = args.y.add(p * args.y_pixel + c);
                let values = waiting(y, &mut block);
                let activation = args.activation;
                // SAFETY: the caller vouches for these channels of the pixel in operands and
                // output; at most a block of them fits where they wait.
                unsafe {
                    for_element(a.at.element, First { simd, op: args.op, a, b, values, count });
                    Finish { values, count, residual: None, activation, y }.run(simd);
                }
            }
        }
    }
}

/// Part of a line, the type of whose first operand is looked at first.
struct First<S> {
    simd: S,
    op: BinaryOp,
    a: Line,
    b: Line,
    values: *mut f32,
    count: usize,
}

impl<S: Simd> ForElement for First<S> {
    /// # Safety
    /// The first operand is of elements A; `count` elements of both are valid for reading, or one
    /// of a single channel, and `count` values for writing.
    #[inline(always)]
    unsafe fn run<A: Element>(self) {
        let element = self.b.at.element;
        // SAFETY: the caller's word; the type is that of the second operand.
        unsafe {
            for_element(element, Second::<S, A> { first: self, a: core::marker::PhantomData })
        }
    }
}

struct Second<S, A> {
    first: First<S>,
    a: core::marker::PhantomData<A>,
}

impl<S: Simd, A: Element> ForElement for Second<S, A> {
    /// # Safety
    /// As [`First`]; the second operand is of elements B.
    #[inline(always)]
    unsafe fn run<B: Element>(self) {
        let First { simd, op, a, b, values, count } = self.first;
        // SAFETY: the operands have that many elements, or one.
        let (a, b) = unsafe { (Source::<S, A>::new(simd, a), Source::<S, B>::new(simd, b)) };
        for i in (0..count).step_by(S::LANES) {
            let n = S::LANES.min(count - i);
            // SAFETY: n elements from i on exist in the operands, or one, and in the values.
            unsafe {
                if n == S::LANES {
                    let value = combined(simd, op, a.load(simd, i), b.load(simd, i));
                    simd.store(values.add(i), value);
                } else {
                    let mask = simd.mem_mask(n);
                    let [a, b] = [a.mask_load(simd, mask, i), b.mask_load(simd, mask, i)];
                    simd.mask_store(mask, values.add(i), combined(simd, op, a, b));
                }
            }
        }
    }
}

/// Where vectors of an operand come from.
struct Source<S: Simd, X: Element> {
    at: *const X::Bits,
    /// In all lanes, if there is one channel for all.
    single: Option<S::Vector>,
}

impl<S: Simd, X: Element> Source<S, X> {
    /// # Safety
    /// An element of X is valid for reading.
    #[inline(always)]
    unsafe fn new(simd: S, line: Line) -> Self {
        let at = line.at.at.cast::<X::Bits>();
        // SAFETY: there is one.
        let single = line.is_single.then(|| simd.splat(X::widen(unsafe { at.read_unaligned() })));
        Self { at, single }
    }

    /// # Safety
    /// A vector's elements from i on are valid for reading, unless there is one for all.
    #[inline(always)]
    unsafe fn load(&self, simd: S, i: usize) -> S::Vector {
        match self.single {
            Some(single) => single,
            // SAFETY: these elements are valid for reading.
            None => unsafe { X::load(simd, self.at.add(i)) },
        }
    }

    /// # Safety
    /// The mask's elements from i on are valid for reading, unless there is one for all.
    #[inline(always)]
    unsafe fn mask_load(&self, simd: S, mask: S::MemMask, i: usize) -> S::Vector {
        match self.single {
            Some(single) => single,
            // SAFETY: these elements are valid for reading.
            None => unsafe { X::mask_load(simd, mask, self.at.add(i)) },
        }
    }
}

/// a ∘ b, lane by lane. Of a maximum or minimum a NaN is passed on, whichever operand it is.
#[inline(always)]
fn combined<S: Simd>(simd: S, op: BinaryOp, a: S::Vector, b: S::Vector) -> S::Vector {
    match op {
        BinaryOp::Add => simd.add(a, b),
        BinaryOp::Subtract => simd.sub(a, b),
        BinaryOp::Multiply => simd.mul(a, b),
        BinaryOp::Maximum => simd.select(simd.is_ordered(b), simd.clamp_min(b, a), b),
        BinaryOp::Minimum => simd.select(simd.is_ordered(b), simd.clamp_max(b, a), b),
        BinaryOp::PRelu => simd.select(simd.less_than(a, simd.splat(0.0)), simd.mul(b, a), a),
    }
}
