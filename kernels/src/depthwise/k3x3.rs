//! The 3×3 depthwise convolution, stride S of 1 or 2, of a rectangle of output pixels, every
//! channel.
//!
//! ```text
//! for c in 0..channels
//!   for r in 0..rows, p in 0..P             // output pixels
//!     acc = bias(c)
//!     for ky in 0..3, kx in 0..3            // taps inside the input only
//!       acc = fma(load(x[r·S + ky][p·S + kx][c]), w[ky][kx][c], acc)
//!     y[r][p][c] = round(clamp(acc + residual[r][p][c]))
//! ```
//!
//! Departures:
//! 1. Channels go by vectors. Where they end inside one, what is left has kernels of its own,
//!    masked and for few pixels at a time: [`Tail3x3`].
//! 2. Input rows are outermost and each is read once. With S = 1 it is the last row of one output
//!    row's window, the middle one of the next and the first of the one after, with S = 2 the last
//!    and the first or a middle one; the accumulators of all of them are alive at a time. Row by
//!    row an output vector takes 3·(P + 2) / P lines from L2 with S = 1, a tile of R rows takes
//!    (R + 2)·(P + 2) / (R·P), and lines are what a depthwise convolution waits for. Each output
//!    still has one chain, taps ascending.
//! 3. At the top and bottom of a tile fewer output rows are alive; each case is compiled by itself.
//! 4. Input rows above and below the picture are left out; so are the first and the last column if
//!    they lie outside, which decides once per row what a kernel for single pixels would pay for
//!    per pixel.
//! 5. Where two vectors of channels are a line (AVX2, f32), tiles of two columns take two at a
//!    time, so that no line comes twice: with S = 2, where few rows and pixels share what is loaded
//!    and a tile reaches more lines than L1 keeps, and with S = 1 if the lines of a tile compete
//!    for few sets of L1. Else three columns share more loads.
//! 6. The input of the tile that comes next is prefetched: a tile reads short pieces of many rows,
//!    a pattern that hardware does not foresee. So is a large output, which else waits for the
//!    lines that it writes: into L2, as one is written by channels, when the lines of a tile
//!    compete for few sets of L1.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

use crate::element::{Pointer, PointerMut};
use crate::epilogue::{
    Bounded, Extent, Prologue, add_residual, clamp_max, clamp_min, for_output, output_size, store,
};
use crate::memory::LINE_BYTES;
use crate::simd::element::{Element, ForElement};
use crate::simd::{Kernel, Simd};

/// Kernel rows and columns.
pub(crate) const K: usize = 3;
/// Columns of the widest tile.
pub(crate) const MAX_PIXELS: usize = 6;
/// Columns of the tiles where two vectors of channels go at a time.
pub(crate) const PAIR: usize = 2;
/// Input columns of the widest tile, stride 2.
const MAX_COLUMNS: usize = (MAX_PIXELS - 1) * 2 + K;

/// One call of the kernel.
#[derive(Debug)]
pub(crate) struct Args3x3 {
    pub(crate) input: Input3x3,
    /// The weights of the first block of channels: `[ky][kx][lane]`; those of the next follow.
    pub(crate) weights: *const f32,
    /// Biases, padded to whole vectors.
    pub(crate) bias: *const f32,
    /// Channels: whole vectors, or for [`Tail3x3`] less than one.
    pub(crate) channels: usize,
    /// Output rows, at least one.
    pub(crate) rows: usize,
    pub(crate) output: Output3x3,
}

/// The windows of the output pixels.
#[derive(Debug)]
pub(crate) struct Input3x3 {
    /// Channel 0 of the first output pixel's first tap, which may lie outside the input. Only what
    /// lies inside is dereferenced.
    pub(crate) x: *const u8,
    /// Elements from one input row to the next.
    pub(crate) row: usize,
    /// Elements from one input column to the next.
    pub(crate) column: usize,
    /// Of the (rows − 1)·S + 3 input rows those that lie inside the input.
    pub(crate) inside: Range<usize>,
    /// Whether the first input column lies outside.
    pub(crate) left_outside: bool,
    /// Whether the last input column lies outside.
    pub(crate) right_outside: bool,
    /// What is prefetched, if anything: the first of the S·P input columns that the next tile does
    /// not share with the one to its left, in its first row. Never dereferenced.
    pub(crate) next: Option<NonNull<u8>>,
    /// Whether that is one piece in each row: pixels without gaps, and all of their channels.
    pub(crate) contiguous: bool,
    /// The lower bound of [`Bounded`](crate::epilogue::Bounded) kernels.
    pub(crate) bound: f32,
}

/// Where the output pixels go.
#[derive(Debug)]
pub(crate) struct Output3x3 {
    /// Channel 0 of the first output row; of f32 or of the input's type.
    pub(crate) y: PointerMut,
    /// Elements from one output row to the next.
    pub(crate) row: usize,
    /// Pixel p of row r is at `y + r·row + pixels[r·pixels_row + p]`.
    pub(crate) pixels: *const usize,
    /// See there.
    pub(crate) pixels_row: usize,
    /// Elements from one vector of channels to the next.
    pub(crate) block: usize,
    /// Elements from an output pixel to the one in its place in the next tile, whose channels are
    /// prefetched as one piece; 0 for none.
    pub(crate) next: usize,
    /// Channel 0 of the first pixel of the residual, if there is one, of the output's type. Its
    /// channels are contiguous.
    pub(crate) residual: Option<Pointer>,
    /// Elements from one pixel of the residual to the next.
    pub(crate) residual_pixel: usize,
    /// Elements from one row of the residual to the next.
    pub(crate) residual_row: usize,
    /// Clamp, (−∞, ∞) for none.
    pub(crate) bounds: (f32, f32),
}

/// The kernel of P columns of output pixels for an input of elements X, with prologue L: of whole
/// vectors of channels.
#[derive(Debug)]
pub(crate) struct Depthwise3x3<X, L, const P: usize, const STRIDE: usize>(PhantomData<(X, L)>);

impl<X: Element, L: Prologue, const P: usize, const STRIDE: usize> Kernel
    for Depthwise3x3<X, L, P, STRIDE>
{
    type Args = Args3x3;
    type Output = ();

    /// # Safety
    /// For `rows` × P pixels and all channels:
    /// - The residual, if there is one, is valid for reading, the output for writing; no other
    ///   thread touches the output.
    /// - The output and the residual are of f32 or of elements X.
    /// - The input is valid for reading in the rows `inside` and the (P − 1)·STRIDE + 3 columns
    ///   without those that lie outside.
    /// - `pixels` has the elements described.
    /// - `weights` and `bias` are valid for whole vectors.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &Args3x3) {
        let l = S::LANES;
        let blocks = args.channels / l;
        let all = simd.mem_mask(l);
        let prefetches = const { prefetches_output::<S, L, STRIDE>() } && args.output.next > 0;
        let mut paired = 0;
        if const { P == PAIR && pairs::<S, X>() } {
            paired = blocks - blocks % 2;
            for block in (0..paired).step_by(2) {
                if prefetches {
                    prefetch_output::<S, X, L, P>(simd, args, block * l);
                }
                // SAFETY: the caller vouches for all channels, and all lanes of both blocks are
                // channels.
                unsafe { channels::<S, X, L, P, STRIDE, true, 2>(simd, args, block, all) };
            }
        }
        for block in paired..blocks {
            if prefetches && (block * l).is_multiple_of(X::LINE) {
                prefetch_output::<S, X, L, P>(simd, args, block * l);
            }
            // SAFETY: the caller vouches for all channels, and all lanes of this block are
            // channels.
            unsafe { channels::<S, X, L, P, STRIDE, true, 1>(simd, args, block, all) };
        }
    }
}

/// The same for less than a vector of channels, masked.
#[derive(Debug)]
pub(crate) struct Tail3x3<X, const P: usize, const STRIDE: usize>(PhantomData<X>);

impl<X: Element, const P: usize, const STRIDE: usize> Kernel for Tail3x3<X, P, STRIDE> {
    type Args = Args3x3;
    type Output = ();

    /// # Safety
    /// - As [`Depthwise3x3`].
    /// - There is at least one channel, and no more than a vector has lanes.
    #[inline(always)]
    unsafe fn run<S: Simd>(simd: S, args: &Args3x3) {
        let mask = simd.mem_mask(args.channels);
        // SAFETY: the caller vouches for these channels, which are the mask's lanes.
        unsafe { channels::<S, X, Bounded, P, STRIDE, false, 1>(simd, args, 0, mask) };
    }
}

/// Whether tiles of [`PAIR`] columns take two vectors of channels at a time: where these are a line
/// and registers so scarce that tiles are narrow anyway.
pub(crate) const fn pairs<S: Simd, X: Element>() -> bool {
    S::REGISTERS < 32 && S::LANES * 2 == X::LINE
}

/// Whether the kernel prefetches outputs: not with stride 2, which writes a quarter of what it
/// reads, nor where registers are scarce and bounds take one, as an accumulator would be in memory
/// then.
const fn prefetches_output<S: Simd, L: Prologue, const STRIDE: usize>() -> bool {
    STRIDE == 1 && (!L::BOUNDS || S::REGISTERS >= 32)
}

/// Prefetches a part of what the next tile writes: P lines of each row, for the line of channels
/// here that begins with `c`.
#[inline(always)]
fn prefetch_output<S: Simd, X: Element, L: Prologue, const P: usize>(
    simd: S,
    args: &Args3x3,
    c: usize,
) {
    let output = &args.output;
    let size = output_size::<X, L>(output.y.element);
    let mut y = output.y.skip(output.next + c * P, size);
    for _ in 0..args.rows {
        for at in (0..P * X::LINE * size).step_by(LINE_BYTES) {
            simd.prefetch_l2(y.at.wrapping_add(at));
        }
        y = y.skip(output.row, size);
    }
}

/// The accumulators of three output rows: P pixels of B vectors each.
type Sums<S, const P: usize, const B: usize> = [[[<S as Simd>::Vector; P]; B]; K];

/// B vectors of channels, from the block `block` on, of P columns of pixels: the lanes of `mask`,
/// all if WHOLE (as if B > 1).
///
/// # Safety
/// For these channels and `rows` × P pixels:
/// - The residual, if there is one, is valid for reading, the output for writing; no other thread
///   touches the output.
/// - The output and the residual are of f32 or of elements X.
/// - The input is valid for reading in the rows `inside` and the columns without those that lie
///   outside.
/// - `pixels` has the elements described.
/// - `weights` and `bias` are valid for B vectors.
#[inline(always)]
unsafe fn channels<
    S: Simd,
    X: Element,
    L: Prologue,
    const P: usize,
    const STRIDE: usize,
    const WHOLE: bool,
    const B: usize,
>(
    simd: S,
    args: &Args3x3,
    block: usize,
    mask: S::MemMask,
) {
    let c = block * S::LANES;
    let mut input = InputRows::<S, X, P, STRIDE, WHOLE>::new(simd, args, block, mask);
    let to = &args.output;
    let none = Pointer { at: core::ptr::null(), element: to.y.element };
    let mut output = OutputRows::<S, WHOLE> {
        simd,
        y: to.y.skip(block * to.block, output_size::<X, L>(to.y.element)),
        pixels: to.pixels,
        residual: to.residual.unwrap_or(none).skip(c, output_size::<X, L>(to.y.element)),
        mask,
    };
    // SAFETY: the caller keeps the contract, and both are of these channels and pixels.
    unsafe {
        if const { STRIDE == 1 } {
            stride_1::<S, X, L, P, STRIDE, WHOLE, B>(args, c, &mut input, &mut output);
        } else {
            stride_2::<S, X, L, P, STRIDE, WHOLE, B>(args, c, &mut input, &mut output);
        }
    }
}

/// The biases of B vectors of channels from `c` on, for P pixels. (Loops, and not `map`, for the
/// sake of the time in which this compiles.)
///
/// # Safety
/// `bias` is valid for reading B vectors from `c` on.
#[inline(always)]
unsafe fn biases<S: Simd, const P: usize, const B: usize>(
    simd: S,
    args: &Args3x3,
    c: usize,
) -> [[S::Vector; P]; B] {
    let mut start = [[simd.splat(0.0); P]; B];
    for (b, start) in start.iter_mut().enumerate() {
        // SAFETY: vector b of the B.
        *start = [unsafe { simd.load(args.bias.add(c + b * S::LANES)) }; P];
    }
    start
}

/// # Safety
/// For B vectors of channels from `c` on, of `rows` × P pixels:
/// - `input` and `output` are of these channels and pixels.
/// - The residual, if there is one, is valid for reading, the output for writing; no other thread
///   touches the output.
/// - The output and the residual are of f32 or of elements X.
/// - The input is valid for reading in the rows `inside` and the columns without those that lie
///   outside.
/// - `pixels` has the elements described.
/// - `weights` and `bias` are valid.
#[inline(always)]
unsafe fn stride_1<
    S: Simd,
    X: Element,
    L: Prologue,
    const P: usize,
    const STRIDE: usize,
    const WHOLE: bool,
    const B: usize,
>(
    args: &Args3x3,
    c: usize,
    input: &mut InputRows<S, X, P, STRIDE, WHOLE>,
    output: &mut OutputRows<S, WHOLE>,
) {
    let simd = input.simd;
    // SAFETY: the caller's channels begin with c and have biases.
    let mut start = unsafe { biases::<S, P, B>(simd, args, c) };
    // The output rows v − 2, v − 1 and v, for which input row v is the last, middle and first.
    let mut acc = [start; K];
    for v in 0..args.rows + K - 1 {
        if let Some(row) = input.next(args, v) {
            // SAFETY: this row lies inside the input, whose channels exist.
            unsafe {
                match (v < 2, v < 1, v + 1 > args.rows, v > args.rows) {
                    (false, _, false, _) => row.apply::<L, 0, 3, B>(args, &mut acc, 2),
                    (_, true, false, _) => row.apply::<L, 2, 3, B>(args, &mut acc, 0),
                    (true, _, false, _) => row.apply::<L, 1, 3, B>(args, &mut acc, 1),
                    (_, _, _, true) => row.apply::<L, 0, 1, B>(args, &mut acc, 2),
                    (false, ..) => row.apply::<L, 0, 2, B>(args, &mut acc, 2),
                    (true, ..) => row.apply::<L, 1, 2, B>(args, &mut acc, 1),
                }
            }
        }
        if v + 1 >= K {
            // SAFETY: the caller keeps the contract for all output rows, of which v − 2 is one.
            unsafe { output.store::<X, L, P, B>(args, &acc[0]) };
        }
        if const { B > 1 } {
            // Not kept from row to row, as registers are scarce.
            // SAFETY: the caller's channels begin with c and have biases.
            start = unsafe { biases::<S, P, B>(simd, args, c) };
        }
        acc = [acc[1], acc[2], start];
    }
}

/// # Safety
/// For B vectors of channels from `c` on, of `rows` × P pixels:
/// - `input` and `output` are of these channels and pixels.
/// - The residual, if there is one, is valid for reading, the output for writing; no other thread
///   touches the output.
/// - The output and the residual are of f32 or of elements X.
/// - The input is valid for reading in the rows `inside` and the columns without those that lie
///   outside.
/// - `pixels` has the elements described.
/// - `weights` and `bias` are valid.
#[inline(always)]
unsafe fn stride_2<
    S: Simd,
    X: Element,
    L: Prologue,
    const P: usize,
    const STRIDE: usize,
    const WHOLE: bool,
    const B: usize,
>(
    args: &Args3x3,
    c: usize,
    input: &mut InputRows<S, X, P, STRIDE, WHOLE>,
    output: &mut OutputRows<S, WHOLE>,
) {
    // SAFETY: the caller's channels begin with c and have biases.
    let start = unsafe { biases::<S, P, B>(input.simd, args, c) };
    // The output rows r − 1 and r, for which input row 2·r is the last and the first.
    let mut acc = [start; K];
    for r in 0..=args.rows {
        if let Some(row) = input.next(args, 2 * r) {
            // SAFETY: this row lies inside the input, whose channels exist.
            unsafe {
                match (r > 0, r < args.rows) {
                    (true, true) => row.apply::<L, 0, 2, B>(args, &mut acc, 2),
                    (true, false) => row.apply::<L, 0, 1, B>(args, &mut acc, 2),
                    (false, _) => row.apply::<L, 1, 2, B>(args, &mut acc, 0),
                }
            }
        }
        if r > 0 {
            // SAFETY: the caller keeps the contract for all output rows, of which r − 1 is one.
            unsafe { output.store::<X, L, P, B>(args, &acc[0]) };
        }
        acc = [acc[1], start, acc[2]];
        if r < args.rows
            && let Some(row) = input.next(args, 2 * r + 1)
        {
            // SAFETY: this row lies inside the input, whose channels exist.
            unsafe { row.apply::<L, 0, 1, B>(args, &mut acc, 1) };
        }
    }
}

/// Where the next output row goes, the first vector of channels of it.
struct OutputRows<S: Simd, const WHOLE: bool> {
    simd: S,
    y: PointerMut,
    pixels: *const usize,
    /// Likewise, if there is a residual.
    residual: Pointer,
    mask: S::MemMask,
}

impl<S: Simd, const WHOLE: bool> OutputRows<S, WHOLE> {
    /// Ends the chains of a row, stores it and moves on to the next.
    ///
    /// # Safety
    /// - The row exists in the tile, and so do the channels: the residual is valid for reading
    ///   them, the output for writing; no other thread touches the output.
    /// - The output is of f32 or of elements X.
    #[inline(always)]
    unsafe fn store<X: Element, L: Prologue, const P: usize, const B: usize>(
        &mut self,
        args: &Args3x3,
        sums: &[[S::Vector; P]; B],
    ) {
        // SAFETY: the caller keeps the contract of `StoreRow`, for the output's type.
        unsafe {
            let body = StoreRow { to: self, args, sums: *sums };
            for_output::<X, L, _>(self.y.element, body);
        }
        let size = output_size::<X, L>(self.y.element);
        self.y = self.y.skip(args.output.row, size);
        self.pixels = self.pixels.wrapping_add(args.output.pixels_row);
        self.residual = self.residual.skip(args.output.residual_row, size);
    }
}

/// Ends the chains of a row and stores it.
struct StoreRow<'a, S: Simd, const P: usize, const WHOLE: bool, const B: usize> {
    to: &'a OutputRows<S, WHOLE>,
    args: &'a Args3x3,
    sums: [[S::Vector; P]; B],
}

impl<S: Simd, const P: usize, const WHOLE: bool, const B: usize> ForElement
    for StoreRow<'_, S, P, WHOLE, B>
{
    /// # Safety
    /// - Output and residual are of elements Y.
    /// - The row exists in the tile, and so do the channels: the residual is valid for reading
    ///   them, the output for writing; no other thread touches the output.
    #[inline(always)]
    unsafe fn run<Y: Element>(self) {
        let Self { to, args, sums } = self;
        let (simd, output) = (to.simd, &args.output);
        let extent = Extent { whole: WHOLE, mask: to.mask };
        for (b, mut out) in sums.into_iter().enumerate() {
            if output.residual.is_some() {
                let residual = to.residual.at.cast::<Y::Bits>().wrapping_add(b * S::LANES);
                for (p, v) in out.iter_mut().enumerate() {
                    let r = residual.wrapping_add(p * output.residual_pixel);
                    // SAFETY: the residual is valid for reading the row's pixels and channels.
                    unsafe { add_residual::<S, Y, 1>(simd, core::array::from_mut(v), r, &extent) };
                }
            }
            // Looked at as bits in each row, and read only then: kept, bounds would take up
            // registers that rows need.
            if output.bounds.0.to_bits() != f32::NEG_INFINITY.to_bits() {
                clamp_min(simd, &mut out, read(&output.bounds.0));
            }
            if output.bounds.1.to_bits() != f32::INFINITY.to_bits() {
                clamp_max(simd, &mut out, read(&output.bounds.1));
            }
            for (p, v) in out.iter().enumerate() {
                // SAFETY: there are P offsets for the row; its pixels and channels are valid for
                // writing, by this thread alone.
                unsafe {
                    let y = to.y.at.cast::<Y::Bits>().add(*to.pixels.add(p) + b * output.block);
                    store::<S, Y, 1, true>(simd, core::array::from_ref(v), y, &extent);
                }
            }
        }
    }
}

/// From memory, here and now.
#[inline(always)]
fn read(bound: &f32) -> f32 {
    // SAFETY: a reference.
    unsafe { core::ptr::from_ref(bound).read_volatile() }
}

/// The input rows of a tile, the first vector of channels of them.
struct InputRows<S: Simd, X: Element, const P: usize, const STRIDE: usize, const WHOLE: bool> {
    simd: S,
    /// The next row, at the first column.
    x: *const X::Bits,
    mask: S::MemMask,
    weights: *const f32,
    left: bool,
    right: bool,
    /// Whether the next tile's are prefetched.
    prefetch: bool,
    /// Bytes from `x` to what is.
    next: usize,
    /// Elements from one line of it to the next.
    next_line: usize,
}

impl<S: Simd, X: Element, const P: usize, const STRIDE: usize, const WHOLE: bool>
    InputRows<S, X, P, STRIDE, WHOLE>
{
    #[inline(always)]
    fn new(simd: S, args: &Args3x3, block: usize, mask: S::MemMask) -> Self {
        let (input, l) = (&args.input, S::LANES);
        let c = block * l;
        let x = input.x.cast::<X::Bits>().wrapping_add(c);
        // Line after line of one piece, P per vector of channels, hardware sees the stream and runs
        // ahead of it in turn.
        let (next_line, next_c) =
            if input.contiguous { (X::LINE, c * STRIDE * P) } else { (input.column, c) };
        let next = input.next.map_or(0, |next| next.addr().get());
        Self {
            simd,
            x,
            mask,
            weights: args.weights.wrapping_add(block * (K * K * l)),
            left: input.left_outside,
            right: input.right_outside,
            // What is left of the channels lies in lines that come with the others, or nearly.
            prefetch: WHOLE && input.next.is_some() && c.is_multiple_of(X::LINE),
            next: next.wrapping_add(next_c * size_of::<X::Bits>()).wrapping_sub(x.addr()),
            next_line,
        }
    }

    /// Row v of the tile's, if it lies inside the input.
    #[inline(always)]
    fn next(&mut self, args: &Args3x3, v: usize) -> Option<Row<S, X, P, STRIDE, WHOLE>> {
        let Self { simd, x, mask, weights, left, right, .. } = *self;
        let inside = args.input.inside.contains(&v);
        if inside && self.prefetch {
            let next = x.wrapping_byte_add(self.next);
            for i in 0..STRIDE * P {
                simd.prefetch_l2(next.wrapping_add(i * self.next_line));
            }
        }
        self.x = x.wrapping_add(args.input.row);
        inside.then_some(Row { x, simd, mask, weights, left, right })
    }
}

/// One input row, of the first vector of channels.
struct Row<S: Simd, X: Element, const P: usize, const STRIDE: usize, const WHOLE: bool> {
    /// At the first column.
    x: *const X::Bits,
    simd: S,
    mask: S::MemMask,
    weights: *const f32,
    left: bool,
    right: bool,
}

impl<S: Simd, X: Element, const P: usize, const STRIDE: usize, const WHOLE: bool>
    Row<S, X, P, STRIDE, WHOLE>
{
    /// A column of the b-th vector. (Not a closure, which can't be `inline(always)`.)
    ///
    /// # Safety
    /// The column lies inside the input, and its channels exist.
    #[inline(always)]
    unsafe fn input<L: Prologue>(&self, args: &Args3x3, column: usize, b: usize) -> S::Vector {
        let simd = self.simd;
        let x = self.x.wrapping_add(column * args.input.column + b * S::LANES);
        // SAFETY: the column's channels are valid for reading: all lanes if WHOLE, else the mask's.
        let x = unsafe { if WHOLE { X::load(simd, x) } else { X::mask_load(simd, self.mask, x) } };
        L::apply(simd, x, args.input.bound)
    }

    /// [`Row::apply`] for two pixels and stride 1 where registers are scarce: 12 accumulators leave
    /// room for two columns and a weight. Weights that one pixel has a use for come from memory; at
    /// once, or the compiler would load them ahead. (Column by column that is 116 instructions for
    /// 36 FMAs; [`Row::apply`] with barriers makes 123 of it, as it loads columns first.)
    ///
    /// # Safety
    /// - The row lies inside the input, without the columns said to lie outside.
    /// - The channels exist in the input and in the weights.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "`skip` compiles to a call and memory traffic")]
    unsafe fn apply_pair<L: Prologue, const FIRST: usize, const END: usize, const B: usize>(
        &self,
        args: &Args3x3,
        acc: &mut Sums<S, P, B>,
        ky: usize,
    ) {
        let simd = self.simd;
        for b in 0..B {
            let weights = self.weights.wrapping_add(b * K * K * S::LANES);
            let weight = |j: usize, kx: usize| {
                let ky = ky - (j - FIRST);
                // SAFETY: tap (ky, kx) of the b-th vector of channels, which has weights.
                unsafe { simd.load(weights.add((ky * K + kx) * S::LANES)) }
            };
            if !self.left {
                // SAFETY: the first column lies inside.
                let x = unsafe { self.input::<L>(args, 0, b) };
                for j in FIRST..END {
                    acc[j][b][0] = simd.barrier(simd.accumulate(x, weight(j, 0), acc[j][b][0]));
                }
            }
            // SAFETY: a column in the middle lies inside.
            let x = unsafe { self.input::<L>(args, 1, b) };
            for j in FIRST..END {
                acc[j][b][1] = simd.barrier(simd.accumulate(x, weight(j, 0), acc[j][b][1]));
            }
            // SAFETY: a column in the middle lies inside.
            let next = unsafe { self.input::<L>(args, 2, b) };
            for j in FIRST..END {
                let w = weight(j, 1);
                acc[j][b][0] = simd.barrier(simd.accumulate(x, w, acc[j][b][0]));
                acc[j][b][1] = simd.barrier(simd.accumulate(next, w, acc[j][b][1]));
            }
            for j in FIRST..END {
                acc[j][b][0] = simd.barrier(simd.accumulate(next, weight(j, 2), acc[j][b][0]));
            }
            if !self.right {
                // SAFETY: the last column lies inside.
                let x = unsafe { self.input::<L>(args, 3, b) };
                for j in FIRST..END {
                    acc[j][b][1] = simd.barrier(simd.accumulate(x, weight(j, 2), acc[j][b][1]));
                }
            }
        }
    }

    /// Adds the row's taps to the accumulators `FIRST..END`: for the first it is row `ky` of the
    /// window, for each other one STRIDE rows less.
    ///
    /// # Safety
    /// - The row lies inside the input, without the columns said to lie outside.
    /// - The channels exist in the input and in the weights.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "`skip` compiles to a call and memory traffic")]
    unsafe fn apply<L: Prologue, const FIRST: usize, const END: usize, const B: usize>(
        &self,
        args: &Args3x3,
        acc: &mut Sums<S, P, B>,
        ky: usize,
    ) {
        let simd = self.simd;
        let l = S::LANES;
        let right = const { (P - 1) * STRIDE + K - 1 };
        let zero = simd.splat(0.0);
        if const { STRIDE == 1 && B > 1 } {
            // SAFETY: the caller keeps the contract, which is the same.
            unsafe { self.apply_pair::<L, FIRST, END, B>(args, acc, ky) };
            return;
        }
        for b in 0..B {
            let weight = |j: usize, kx: usize| {
                let ky = ky - (j - FIRST) * STRIDE;
                // SAFETY: tap (ky, kx) of the b-th vector of channels, which has weights.
                unsafe { simd.load(self.weights.add((b * K * K + ky * K + kx) * l)) }
            };
            let mut columns = [zero; MAX_COLUMNS];
            for i in 1..right {
                // SAFETY: a column in the middle lies inside.
                columns[i] = unsafe { self.input::<L>(args, i, b) };
                // Bounded one after the other: all comparisons first would want as many registers
                // again.
                if const { STRIDE > 1 && L::BOUNDS } {
                    columns[i] = simd.barrier(columns[i]);
                }
            }
            if !self.left {
                // SAFETY: the first column lies inside.
                let x = unsafe { self.input::<L>(args, 0, b) };
                for j in FIRST..END {
                    acc[j][b][0] = simd.accumulate(x, weight(j, 0), acc[j][b][0]);
                }
            }
            for j in FIRST..END {
                for kx in 0..K {
                    let w = weight(j, kx);
                    // Without the first and the last column.
                    for p in usize::from(kx == 0)..P - usize::from(kx == K - 1) {
                        acc[j][b][p] = simd.accumulate(columns[p * STRIDE + kx], w, acc[j][b][p]);
                    }
                    // Where registers are scarce weights must not be loaded ahead.
                    if const { STRIDE > 1 && S::REGISTERS < 32 } {
                        for acc in &mut acc[j][b] {
                            *acc = simd.barrier(*acc);
                        }
                    }
                }
            }
            if !self.right {
                // SAFETY: the last column lies inside.
                let x = unsafe { self.input::<L>(args, right, b) };
                for j in FIRST..END {
                    acc[j][b][P - 1] = simd.accumulate(x, weight(j, K - 1), acc[j][b][P - 1]);
                }
            }
        }
    }
}
