//! The row kernel: some output pixels of one row, every channel by itself, one window each.
//! Depthwise convolution, max pool and average pool differ in how they combine the taps of a
//! window: [`Combine`].
//!
//! ```text
//! for c in 0..channels
//!   for p in 0..P                          // output pixels
//!     acc = start(c)                       // bias; −∞ for max; 0 for average
//!     for ky in 0..rows                    // taps inside the input only
//!       for kx in 0..columns
//!         acc = combine(acc, load(x[ky][p·stride + kx][c / multiplier]), w[ky][kx][c])
//!     y[p][c] = round(activation(end(acc) + residual[p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors. Where they end inside one, what is left has kernels of its own,
//!    masked and for few pixels at a time: [`MaskedRowKernel`].
//! 2. P pixels share each weight vector and give P independent chains, which hides the latency of
//!    the FMA. Each output has one chain, taps ascending, whatever P is.
//! 3. Borders cost nothing here: the caller passes the tap range that lies inside the input, the
//!    same for all P pixels. Dense depthwise kernels ask once for each of a row's input columns
//!    whether it lies inside, so that their tiles reach into the padding ([`Spans`]).
//! 4. The rows that this output row is the first to use are prefetched one tile ahead: a tile reads
//!    a few short pieces of each row, a pattern that hardware does not foresee. So is the residual.

use core::marker::PhantomData;
use core::ops::Range;

use crate::activation::{Activation, apply};
use crate::element::{Pointer, PointerMut};
use crate::epilogue::{Extent, Prologue, add_residual, clamp, for_output, store};
use crate::simd::element::{Element, ForElement};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// The largest number of pixels in a tile.
pub(crate) const MAX_PIXELS: usize = 8;

/// One call of the kernel.
#[derive(Debug)]
pub(crate) struct RowArgs {
    pub(crate) input: RowInput,
    /// The first tap's weights. Of depthwise convolutions alone.
    pub(crate) weights: RowWeights,
    /// Output channels: whole vectors, any number for [`MaskedRowKernel`].
    pub(crate) channels: usize,
    /// Output channels per input channel.
    pub(crate) multiplier: usize,
    pub(crate) output: RowOutput,
}

/// The windows of the pixels, as far as they lie inside the input.
#[derive(Debug)]
pub(crate) struct RowInput {
    /// Channel 0 of the first pixel's first column, in the first row inside the input. The column
    /// may lie outside, and the address then be any number: only what lies inside is dereferenced.
    pub(crate) x: *const u8,
    /// Elements from one output pixel's taps to the next one's.
    pub(crate) pixel: usize,
    /// Elements from one kernel row to the next.
    pub(crate) row: usize,
    /// Elements from one kernel column to the next.
    pub(crate) column: usize,
    /// Kernel rows inside the input.
    pub(crate) rows: usize,
    /// The columns inside the input: the kernel's, of all pixels alike, or for kernels that
    /// [span](Spans) the padding those of all windows together, counted from the first one's first.
    pub(crate) columns: Range<usize>,
    /// Columns of a window.
    pub(crate) kernel: usize,
    /// What an average pool divides by.
    pub(crate) count: f32,
    /// How many of the rows, the last ones, are prefetched for the tile to the right.
    pub(crate) new_rows: usize,
    /// Kernel columns, the last ones, that the pixel to the left had no use for.
    pub(crate) new_columns: Range<usize>,
    /// Applied to each element by the general kernel.
    pub(crate) activation: Activation,
    /// The lower bound of [`Bounded`](crate::epilogue::Bounded) ones.
    pub(crate) bound: f32,
}

/// Weights of the first tap and block of channels, and the biases.
#[derive(Debug)]
pub(crate) struct RowWeights {
    pub(crate) at: *const f32,
    /// Elements from one kernel row to the next.
    pub(crate) row: usize,
    /// Elements from one block of channels to the next.
    pub(crate) block: usize,
    /// Biases, padded to whole vectors.
    pub(crate) bias: *const f32,
}

/// Where the pixels go, and what happens to them before.
#[derive(Debug)]
pub(crate) struct RowOutput {
    /// Channel 0: of f32 or of the input's type; any type for the general kernel.
    pub(crate) y: PointerMut,
    /// Offsets of the pixels from `y`.
    pub(crate) pixels: [usize; MAX_PIXELS],
    /// Elements from one vector of channels to the next.
    pub(crate) block: usize,
    pub(crate) residual: Option<RowResidual>,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
    /// Applied to each output by the general kernel, after the clamp.
    pub(crate) activation: Activation,
}

/// The residual of the pixels, of the output's type. Its channels are contiguous.
#[derive(Debug)]
pub(crate) struct RowResidual {
    /// Channel 0.
    pub(crate) at: Pointer,
    /// Elements from one pixel to the next.
    pub(crate) pixel: usize,
}

/// Which tiles of pixels a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spans {
    /// Neighbours whose windows have the same taps inside the input.
    Nothing,
    /// Pixels a dilation apart, whose windows may reach into the padding as long as each has a
    /// column inside the input.
    Padding,
    /// The same, but at most as many pixels as the kernel has columns.
    PaddingOfLong,
}

/// How the taps of a window are combined.
pub(crate) trait Combine {
    /// Which tiles it takes.
    const SPANS: Spans = Spans::Nothing;

    /// What the chains of a block of channels begin with.
    ///
    /// # Safety
    /// Depthwise: biases are valid for reading a vector of this block of channels.
    unsafe fn start<S: Simd>(simd: S, args: &RowArgs, block: usize) -> S::Vector;

    /// Adds the taps of the pixels' windows to their chains, and ends these.
    ///
    /// # Safety
    /// For these channels and P pixels:
    /// - The input is valid for reading at `rows` × `columns` taps, and the pixels are such as
    ///   [`Combine::SPANS`] takes.
    /// - Depthwise: weights are valid for whole vectors.
    unsafe fn combine<S: Simd, X: Element, L: Prologue, const P: usize, const WHOLE: bool>(
        input: &Input<'_, S, L, WHOLE>,
        at: &Channels<S>,
        sums: &mut [S::Vector; P],
    );
}

/// The kernel of P pixels for an input of elements X, with prologue L, whose taps C combines: of
/// whole vectors of channels.
#[derive(Debug)]
pub(crate) struct RowKernel<C, X, L, const P: usize>(PhantomData<(C, X, L)>);

impl<C: Combine, X: Element, L: Prologue, const P: usize> Kernel for RowKernel<C, X, L, P> {
    type Args = RowArgs;
    type Output = ();

    /// # Safety
    /// For P pixels, `rows` × `columns` taps and all channels:
    /// - The input and the residual, if there is one, are valid for reading.
    /// - The output and the residual are of f32 or of elements X.
    /// - The output is valid for writing; no other thread touches it.
    /// - Depthwise: weights and biases are valid for whole vectors.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &RowArgs) {
        let l = S::LANES;
        for block in 0..args.channels / l {
            if (block * l).is_multiple_of(X::LINE) {
                prefetch_next::<S, X, P>(simd, args, block * l);
            }
            let at = Channels { block, mask: simd.mem_mask(l), count: l };
            // SAFETY: the caller vouches for all channels, and all lanes of this block are
            // channels.
            unsafe { channels::<S, C, X, L, P, true>(simd, args, &at) };
        }
    }
}

/// The same for any channels, each vector masked: for those that fill no vector, and for the
/// general kernels, which would be twice as much code with one for whole vectors.
#[derive(Debug)]
pub(crate) struct MaskedRowKernel<C, X, L, const P: usize>(PhantomData<(C, X, L)>);

impl<C: Combine, X: Element, L: Prologue, const P: usize> Kernel for MaskedRowKernel<C, X, L, P> {
    type Args = RowArgs;
    type Output = ();

    /// # Safety
    /// As [`RowKernel`]; the output and the residual of the general kernels are of any type.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &RowArgs) {
        let l = S::LANES;
        for block in 0..args.channels.div_ceil(l) {
            let count = l.min(args.channels - block * l);
            let at = Channels { block, mask: simd.mem_mask(count), count };
            // SAFETY: the caller vouches for all channels, and `count` lanes of this block are
            // channels.
            unsafe { channels::<S, C, X, L, P, false>(simd, args, &at) };
        }
    }
}

/// One vector of channels.
pub(crate) struct Channels<S: Simd> {
    /// The number of the vector.
    pub(crate) block: usize,
    /// The lanes that are channels.
    mask: S::MemMask,
    /// Their number.
    count: usize,
}

/// Prefetches a cache line of each input pixel that the next tile is the first to use, and of its
/// residual.
#[inline(always)]
fn prefetch_next<S: Simd, X: Element, const P: usize>(simd: S, args: &RowArgs, c: usize) {
    let input = &args.input;
    // Steps beyond the picture may be any number: see `RowPlan::run`.
    let x = input.x.cast::<X::Bits>();
    let next = x.wrapping_add(P.wrapping_mul(input.pixel)).wrapping_add(c);
    for ky in input.rows - input.new_rows..input.rows {
        let row = next.wrapping_add(ky * input.row);
        for p in 0..P {
            let pixel = row.wrapping_add(p.wrapping_mul(input.pixel));
            for kx in input.new_columns.clone() {
                simd.prefetch_l2(pixel.wrapping_add(kx.wrapping_mul(input.column)));
            }
        }
    }
    if let (1.., Some(residual)) = (input.new_rows, &args.output.residual) {
        for p in 0..P {
            simd.prefetch_l2(residual.at.add((P + p) * residual.pixel + c).at);
        }
    }
}

/// One vector of channels, all of them if WHOLE, of P pixels.
///
/// # Safety
/// For these channels, P pixels and `rows` × `columns` taps:
/// - The input and the residual, if there is one, are valid for reading.
/// - The output is valid for writing; no other thread touches it.
/// - The output and the residual are of f32 or of elements X; of any type for the general kernel.
/// - Depthwise: weights and biases are valid for whole vectors.
#[inline(always)]
unsafe fn channels<
    S: Simd,
    C: Combine,
    X: Element,
    L: Prologue,
    const P: usize,
    const WHOLE: bool,
>(
    simd: S,
    args: &RowArgs,
    at: &Channels<S>,
) {
    let input = Input::<S, L, WHOLE>::new(simd, args, at);
    let output = &args.output;
    // SAFETY: the caller keeps the contract, and all that is called is of these channels and
    // pixels.
    unsafe {
        let mut values = [C::start(simd, args, at.block); P];
        C::combine::<S, X, L, P, WHOLE>(&input, at, &mut values);
        if let Some(residual) = &output.residual {
            let body = AddResiduals::<S, P, WHOLE> { simd, residual, at, values: &mut values };
            for_output::<X, L, _>(output.y.element, body);
        }
        clamp(simd, &mut values, output.bounds);
        if L::GENERAL {
            for v in &mut values {
                *v = apply(simd, *v, output.activation);
            }
        }
        let prologue = PhantomData;
        let body = StorePixels::<S, L, P, WHOLE> { simd, output, at, values: &values, prologue };
        for_output::<X, L, _>(output.y.element, body);
    }
}

/// Adds one vector of channels of the pixels' residual.
struct AddResiduals<'a, S: Simd, const P: usize, const WHOLE: bool> {
    simd: S,
    residual: &'a RowResidual,
    at: &'a Channels<S>,
    values: &'a mut [S::Vector; P],
}

impl<S: Simd, const P: usize, const WHOLE: bool> ForElement for AddResiduals<'_, S, P, WHOLE> {
    /// # Safety
    /// The residual is of elements Y, and valid for reading these channels of the pixels.
    #[inline(always)]
    unsafe fn run<Y: Element>(self) {
        let Self { simd, residual, at: &Channels { block, mask, .. }, values } = self;
        let c = block * S::LANES;
        for (p, v) in values.iter_mut().enumerate() {
            let r = residual.at.at.cast::<Y::Bits>().wrapping_add(p * residual.pixel + c);
            let extent = Extent { whole: WHOLE, mask };
            // SAFETY: these channels of pixel p are valid for reading.
            unsafe { add_residual::<S, Y, 1>(simd, core::array::from_mut(v), r, &extent) };
        }
    }
}

/// Rounds and stores one vector of channels of the pixels.
struct StorePixels<'a, S: Simd, L: Prologue, const P: usize, const WHOLE: bool> {
    simd: S,
    output: &'a RowOutput,
    at: &'a Channels<S>,
    values: &'a [S::Vector; P],
    prologue: PhantomData<L>,
}

impl<S: Simd, L: Prologue, const P: usize, const WHOLE: bool> ForElement
    for StorePixels<'_, S, L, P, WHOLE>
{
    /// # Safety
    /// The output is of elements Y, and valid for writing these channels of the pixels; no other
    /// thread touches them.
    #[inline(always)]
    unsafe fn run<Y: Element>(self) {
        let Self { simd, output, at: &Channels { block, mask, .. }, values, .. } = self;
        let extent = Extent { whole: WHOLE, mask };
        for (p, v) in values.iter().enumerate() {
            let v = core::array::from_ref(v);
            // SAFETY: these channels of pixel p are valid for writing, by this thread alone.
            unsafe {
                let y = output.y.at.cast::<Y::Bits>();
                let y = y.add(output.pixels[p] + block * output.block);
                // Activations and conversions leave no sums of products.
                if L::GENERAL {
                    store::<S, Y, 1, false>(simd, v, y, &extent);
                } else {
                    store::<S, Y, 1, true>(simd, v, y, &extent);
                }
            }
        }
    }
}

/// How one vector of input channels is loaded, all of it if WHOLE.
pub(crate) struct Input<'a, S: Simd, L: Prologue, const WHOLE: bool> {
    pub(crate) simd: S,
    pub(crate) args: &'a RowArgs,
    /// The first channel.
    c: usize,
    mask: S::MemMask,
    repeated: Option<Repeated<S>>,
    prologue: PhantomData<L>,
}

impl<'a, S: Simd, L: Prologue, const WHOLE: bool> Input<'a, S, L, WHOLE> {
    #[inline(always)]
    fn new(simd: S, args: &'a RowArgs, at: &Channels<S>) -> Self {
        let c = at.block * S::LANES;
        let repeated = if L::GENERAL && args.multiplier > 1 {
            Some(Repeated::new(simd, c, at.count, args.multiplier))
        } else {
            None
        };
        Self { simd, args, c, mask: at.mask, repeated, prologue: PhantomData }
    }

    /// (Not a closure, which can't be `inline(always)`.)
    ///
    /// # Safety
    /// `x` is channel 0 of a tap inside the input, of elements X, whose channels exist.
    #[inline(always)]
    pub(crate) unsafe fn load<X: Element>(&self, x: *const X::Bits) -> S::Vector {
        let simd = self.simd;
        // SAFETY: the tap's channels are valid for reading: all lanes if WHOLE, else the mask's, or
        // those that `repeated` names.
        let x = unsafe {
            match &self.repeated {
                Some(repeated) if L::GENERAL => repeated.load::<X>(simd, x),
                _ if WHOLE => X::load(simd, x.add(self.c)),
                _ => X::mask_load(simd, self.mask, x.add(self.c)),
            }
        };
        if L::GENERAL {
            apply(simd, x, self.args.input.activation)
        } else {
            L::apply(simd, x, self.args.input.bound)
        }
    }
}

/// Elements from the first pixel's tap to another one's. Every fourth is addressed by itself, and
/// those between from there on: else the compiler adds up offsets from one pixel to the next, in
/// each step of a loop.
pub(crate) struct PixelOffsets {
    one: usize,
    three: usize,
    four: usize,
}

impl PixelOffsets {
    /// For pixels so many elements apart.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(simd: S, pixel: usize) -> Self {
        let three = simd.black_box(pixel.wrapping_mul(3));
        Self { one: pixel, three, four: simd.black_box(pixel.wrapping_mul(4)) }
    }

    /// To pixel p.
    #[inline(always)]
    pub(crate) fn of(&self, p: usize) -> usize {
        let rest = if p % 4 == 3 { self.three } else { (p % 4).wrapping_mul(self.one) };
        (p / 4).wrapping_mul(self.four).wrapping_add(rest)
    }
}

/// Of one vector of output channels, several to an input channel: which input channels, and which
/// lane each goes to.
struct Repeated<S: Simd> {
    first: usize,
    mask: S::MemMask,
    indices: S::Indices,
}

impl<S: Simd> Repeated<S> {
    /// For the output channels c..c + n, 1 ≤ n ≤ lanes, and a multiplier of at least 2. Input
    /// channel i has the output channels i·multiplier and on, so that no more than a vector of them
    /// is needed.
    #[inline(always)]
    fn new(simd: S, c: usize, n: usize, multiplier: usize) -> Self {
        let (first, mut phase) = (c / multiplier, c % multiplier);
        let mut lanes = [0; MAX_LANES];
        let mut input = 0;
        for lane in &mut lanes[..n] {
            if phase == multiplier {
                (input, phase) = (input + 1, 0);
            }
            *lane = input;
            phase += 1;
        }
        Self { first, mask: simd.mem_mask(input as usize + 1), indices: simd.indices(lanes) }
    }

    /// # Safety
    /// The input channels from `first` on, as many as the mask has, are valid for reading; `x` is
    /// channel 0.
    #[inline(always)]
    unsafe fn load<X: Element>(&self, simd: S, x: *const X::Bits) -> S::Vector {
        // SAFETY: the mask's channels from `first` on are valid for reading.
        let v = unsafe { X::mask_load(simd, self.mask, x.add(self.first)) };
        simd.permute(v, self.indices)
    }
}
