//! The depthwise convolution of 8-bit integers: some outputs of one row, all channels.
//!
//! ```text
//! for o in 0..outputs
//!   for c in 0..channels
//!     sum = bias[c]
//!     for ky in 0..kh
//!       for kx in 0..kw
//!         sum += x[ky][o·stride + kx·dilation][c / multiplier] · w[ky][kx][c]
//!     y[o][c] = requantize(sum)
//! ```
//!
//! Departures: channels go by chunks, as many as a vector has bytes. The taps of each input column,
//! groups of them one above the other, are interleaved first, so that a lane has a group of taps of
//! one channel; the outputs whose windows share a column then share that work. Where a group has
//! two taps and the kernel an odd height, its last row is left: the groups of that are two columns,
//! an even one and the next. Windows that begin with an odd column leave out the first of such a
//! group: they have weights of their own (3×3: 5 products, of 6 where the last row is by itself).
//! Interleaving twice within 128 bits changes the order of the channels: weights, biases and
//! multipliers are packed in that order, and narrowing the sums to bytes restores it. Outputs go by
//! twos, which share weights. Where a group has four taps, two rows of outputs of a 3×3 kernel
//! share all interleaved columns: these have the three rows of the first window and a fourth, the
//! last of the window below, which has weights of its own. Channels that are no more than half a
//! chunk share vectors: the first half has those of an output, the second half those of one further
//! on in its row. Padding is the zero point.

use core::ops::Range;

use crate::element::{ElementType, Elements, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::geometry::product;
use crate::int8::pack::{self, BytePrologue};
use crate::int8::quantization::{ChannelSums, Int8Weights, NO_INTEGERS, Requantization, operand};
use crate::int8::requantize::Requantizer;
use crate::memory::Aligned;
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, MAX_BYTES, SUMS, Vector, channel};
use crate::unpacked::Unpacked;

/// The most outputs of a row that one call computes: so many that their interleaved columns stay in
/// L1 (3×3, AVX-512: 17 KB). More calls would interleave more columns twice: those that their first
/// windows share with the call before.
pub(crate) const OUTPUTS: usize = 32;

/// How many outputs of a row of so many are computed at a time: an even number.
pub(crate) fn share(outputs: usize) -> usize {
    outputs.div_ceil(outputs.div_ceil(OUTPUTS).max(1)).next_multiple_of(2).clamp(2, OUTPUTS)
}

/// How the taps of a kernel are grouped.
#[derive(Debug, Clone, Copy)]
struct Groups {
    /// The width of the kernel.
    width: usize,
    /// Groups of a column.
    column: usize,
    /// Whether the last row's are of two columns.
    across: bool,
    /// Whether a column's also are those of a window that begins a row below.
    below: bool,
}

impl Groups {
    /// Of so many taps each.
    #[inline(always)]
    const fn new([height, width]: [usize; 2], group: usize) -> Self {
        let across = group == 2 && height % 2 == 1;
        let column = if across { height / 2 } else { height.div_ceil(group) };
        Self { width, column, across, below: shares_rows([height, width], group) }
    }

    /// Those that an interleaved column has room for: the last, if they are across, is that of an
    /// even column and the next.
    #[inline(always)]
    const fn room(self) -> usize {
        self.column + self.across as usize
    }

    /// The groups of weights: each column's, then those across for windows that begin with an even
    /// column and with an odd one, then those of a window below.
    #[inline(always)]
    const fn weights(self) -> usize {
        self.first_below() + if self.below { self.width * self.column } else { 0 }
    }

    /// The first of those below.
    #[inline(always)]
    const fn first_below(self) -> usize {
        self.first_across(1) + if self.across { self.width / 2 + 1 } else { 0 }
    }

    /// The first of those across.
    #[inline(always)]
    const fn first_across(self, odd: usize) -> usize {
        let even = if self.across { self.width.div_ceil(2) } else { 0 };
        self.width * self.column + odd * even
    }

    /// The groups of weights that have a tap, and where in these it is.
    fn of_tap(self, [ky, kx]: [usize; 2], group: usize) -> [(usize, usize); 2] {
        if ky / group < self.column {
            let place = |first, ky| (first + kx * self.column + ky / group, ky % group);
            let below = if self.below { place(self.first_below(), ky + 1) } else { place(0, ky) };
            return [place(0, ky), below];
        }
        [0, 1].map(|odd| (self.first_across(odd) + (kx + odd) / 2, (kx + odd) % 2))
    }
}

/// Whether two rows of outputs can share interleaved columns, one row below the other.
pub(crate) const fn shares_rows(kernel: [usize; 2], group: usize) -> bool {
    group == 4 && matches!(kernel, [3, 3])
}

/// Weights, biases and multipliers, packed: by chunks, `[chunk][group][vector][lane][tap]`, the
/// others `[chunk][vector][lane]`. A group of weights is a lane, of integers of 8 bits or, where it
/// has two, of 16: there are few, and each is used for a whole picture. Where half the last chunk
/// or more would be without channels, its second half has those of the first again.
#[derive(Debug)]
pub(crate) struct DepthwiseWeights {
    weights: Aligned,
    biases: Aligned,
    multipliers: Aligned,
    pub(crate) channels: usize,
    /// See [`ChannelSums::in_i32`].
    in_i32: bool,
}

impl DepthwiseWeights {
    /// Of `channels` output channels, for vectors of so many lanes.
    pub(crate) fn new(
        lanes: usize,
        [kh, kw]: [usize; 2],
        channels: usize,
        unpacked: Unpacked<'_>,
        int8: &Int8Weights<'_>,
    ) -> Result<Self> {
        let taps = product("kernel elements", &[kh, kw])?;
        let expected = product("depthwise weights", &[taps, channels])?;
        unpacked.check(["depthwise weights", "depthwise bias"], [expected, channels])?;
        let (Elements::I8(from), None) = (unpacked.weights, unpacked.bias) else {
            return Err(NO_INTEGERS);
        };
        let strides = unpacked.layout.strides(taps, 1, channels);
        let sums = ChannelSums::new(from, strides, [taps, 1, channels], int8)?;
        let (chunk, groups) = (SUMS * lanes, Groups::new([kh, kw], int8.group));
        let padded = channels
            .checked_next_multiple_of(chunk)
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        let total = product("packed depthwise weights", &[padded, groups.weights()])?;
        let mut weights = Aligned::new(total, 0.0)?;
        let [mut biases, mut multipliers] =
            [Aligned::new(padded, 0.0)?, Aligned::new(padded, 0.0)?];
        for (at, mut c) in order(lanes, padded).enumerate() {
            if channels <= c - c % chunk + chunk / 2 && c % chunk >= chunk / 2 {
                c -= chunk / 2;
            }
            if c >= channels {
                continue;
            }
            (biases[at], multipliers[at]) = (sums.biases[c], sums.multipliers[c]);
            for tap in 0..taps {
                let weight = from[tap * strides.tap + c * strides.output];
                for (row, i) in groups.of_tap([tap / kw, tap % kw], int8.group) {
                    let row = at / chunk * groups.weights() + row;
                    let lane = &mut weights[row * chunk + at % chunk];
                    *lane = f32::from_bits(lane.to_bits() | of_lane(weight, i, int8.group));
                }
            }
        }
        Ok(Self { weights, biases, multipliers, channels, in_i32: sums.in_i32 })
    }

    pub(crate) fn bytes(&self) -> usize {
        let all = [&self.weights, &self.biases, &self.multipliers];
        all.map(|part| part.len()).iter().sum::<usize>() * size_of::<f32>()
    }

    /// Those of some output channels, of which the first begins a chunk.
    pub(crate) fn pointers(&self, channels: &Range<usize>) -> Weights {
        // A lane of each group of weights for each channel and what pads them.
        let groups = self.weights.len() / self.biases.len();
        Weights {
            weights: self.weights.as_ptr().wrapping_add(channels.start * groups),
            biases: self.biases.as_ptr().wrapping_add(channels.start),
            multipliers: self.multipliers.as_ptr().wrapping_add(channels.start),
            channels: channels.len(),
            in_i32: self.in_i32,
        }
    }
}

/// The bits of a weight, the `i`th of its group, in a lane.
fn of_lane(weight: i8, i: usize, group: usize) -> u32 {
    let mut bytes = [0; 4];
    if group == 4 {
        bytes[i] = weight as u8;
    } else {
        bytes[2 * i..][..2].copy_from_slice(&i16::from(weight).to_ne_bytes());
    }
    u32::from_ne_bytes(bytes)
}

/// The channels in the order in which chunks of them have their lanes.
fn order(lanes: usize, padded: usize) -> impl Iterator<Item = usize> {
    let chunk = SUMS * lanes;
    (0..padded).map(move |at| {
        let of_chunk = at % chunk;
        at - of_chunk + channel(lanes, of_chunk / lanes, of_chunk % lanes)
    })
}

/// The vectors of lanes that the interleaved columns of a call take: of an even number of outputs.
pub(crate) fn columns(outputs: usize, kernel: [usize; 2], step: usize, group: usize) -> usize {
    let last = outputs.next_multiple_of(2) - 1;
    last.saturating_mul(step)
        .saturating_add(kernel[1])
        .saturating_mul(Groups::new(kernel, group).room())
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct Depthwise;

/// Packed weights, of so many output channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    weights: *const f32,
    biases: *const f32,
    multipliers: *const f32,
    channels: usize,
    in_i32: bool,
}

/// One call.
#[derive(Debug)]
pub(crate) struct DepthwiseRun {
    /// Where the picture's first element is, or would be.
    pub(crate) x: *const u8,
    /// Bytes from one row, and from one pixel, to the next.
    pub(crate) x_row: usize,
    pub(crate) x_pixel: usize,
    /// Height and width of the picture.
    pub(crate) size: [usize; 2],
    /// Row and column of the first tap of the first output, with the padding's before the picture.
    pub(crate) first: [isize; 2],
    pub(crate) kernel: [usize; 2],
    /// Of the columns.
    pub(crate) stride: usize,
    pub(crate) dilation: [usize; 2],
    /// Interleaved columns from one output to the next: the stride if outputs share columns, else
    /// the width of the kernel.
    pub(crate) step: usize,
    /// Of a row, at least 1.
    pub(crate) outputs: usize,
    /// Rows of outputs: 2 only of windows one row apart, without dilation, that can share columns,
    /// of integers by a clamp, without a residual.
    pub(crate) rows: usize,
    /// What is added to o for the outputs of the second row.
    pub(crate) next: usize,
    /// Output channels of an input channel.
    pub(crate) multiplier: usize,
    pub(crate) weights: Weights,
    /// The input's zero point, as the input has it, and what becomes of its bytes.
    pub(crate) zero_byte: u8,
    pub(crate) prologue: BytePrologue,
    /// Room for the interleaved columns of a chunk.
    pub(crate) columns: *mut f32,
    pub(crate) to: Destination,
    pub(crate) epilogue: Requantization,
}

/// Where outputs go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Destination {
    /// Output o is at `y + rows[o]`, in elements of the output, and so is its residual.
    Tensor {
        y: PointerMut,
        rows: *const usize,
        residual: Option<Pointer>,
        residual_rows: *const usize,
    },
    /// In A panels: output o is in the row that begins at `a + rows[o]`, whose blocks lie `block`
    /// elements apart.
    Panels { a: *mut f32, rows: *const usize, block: usize },
}

impl Destination {
    #[inline(always)]
    fn has_residual(&self) -> bool {
        matches!(self, Self::Tensor { residual: Some(_), .. })
    }
}

impl Int8Kernel for Depthwise {
    type Args = DepthwiseRun;
    type Output = ();

    /// # Safety
    /// - The picture has `size` pixels, of the weights' channels divided by the multiplier, and is
    ///   valid for reading those that the windows cover.
    /// - There is room for the interleaved columns, and all that is asked of the destination for
    ///   `outputs` pixels of all channels; no other thread touches either.
    /// - The weights are those of the kernel's size and of T.
    #[inline(always)]
    unsafe fn run<T: Int8>(token: T, run: &DepthwiseRun) {
        let chunk = SUMS * <T::Simd as Simd>::LANES;
        let to_bytes = run.epilogue.is_clamp() && !run.to.has_residual();
        let requantizer = Requantizer::new(token, &run.epilogue, run.weights.in_i32);
        let alike = is_alike::<T>(run);
        let is_plain = run.prologue.flip == 0 && run.prologue.bounds.is_none();
        for c in (0..run.weights.channels).step_by(chunk) {
            let part = Part::new(run, chunk, c, to_bytes && alike);
            // SAFETY: the part's channels are of the picture, the weights and the outputs; the
            // columns have been interleaved before they are multiplied.
            unsafe {
                if part.n == chunk && alike && is_plain {
                    interleave::<T, true, true>(token, run, &part);
                } else if part.n == chunk && alike {
                    interleave::<T, true, false>(token, run, &part);
                } else {
                    interleave::<T, false, false>(token, run, &part);
                }
                match (run.kernel, run.step) {
                    ([3, 3], step) if to_bytes => {
                        for row in 0..run.rows {
                            // By itself where it is worth the code.
                            if step == 1 && const { <T::Simd as Simd>::LANES > 1 } {
                                multiply_3x3(token, run, &requantizer, 1, &part, row);
                            } else {
                                multiply_3x3(token, run, &requantizer, step, &part, row);
                            }
                        }
                    }
                    _ => multiply(token, run, &requantizer, &part),
                }
            }
        }
    }
}

/// What of a call is computed at a time.
#[derive(Clone, Copy)]
struct Part {
    /// The first channel.
    c: usize,
    /// Channels, at most a chunk.
    n: usize,
    /// Outputs of a row whose sums are computed.
    outputs: usize,
    /// From an output to the one whose channels the second halves of the vectors have; 0 if these
    /// belong to the same one.
    apart: usize,
}

impl Part {
    /// The channels from `c` on; those of two outputs in a vector if `halves` and they fit.
    #[inline(always)]
    fn new(run: &DepthwiseRun, chunk: usize, c: usize, halves: bool) -> Self {
        let (n, outputs) = ((run.weights.channels - c).min(chunk), run.outputs);
        if halves && 2 * n <= chunk && outputs > 1 {
            let apart = outputs.div_ceil(2);
            return Self { c, n, outputs: apart, apart };
        }
        Self { c, n, outputs, apart: 0 }
    }
}

/// Whether channels are those of the input, and padding is treated as these are: the input's clamp
/// leaves the zero point as it is.
#[inline(always)]
fn is_alike<T: Int8>(run: &DepthwiseRun) -> bool {
    let of_byte = |byte: u8| operand(T::SIGNED, byte);
    let zero = of_byte(run.zero_byte ^ run.prologue.flip);
    let keeps = |[lo, hi]: [u8; 2]| (of_byte(lo)..=of_byte(hi)).contains(&zero);
    run.multiplier == 1 && run.prologue.bounds.is_none_or(keeps)
}

/// Interleaves the columns of a part: `[column][group][vector]`. WHOLE: its channels are a chunk,
/// and padding is treated as they are; PLAIN: and all are multiplied as they are in the input.
///
/// # Safety
/// - As [`Depthwise::run`] asks.
/// - The channels of `part` are of the weights'.
#[inline(always)]
unsafe fn interleave<T: Int8, const WHOLE: bool, const PLAIN: bool>(
    token: T,
    run: &DepthwiseRun,
    part: &Part,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let groups = Groups::new(run.kernel, T::GROUP);
    let padding = [run.zero_byte; MAX_BYTES];
    let zero = simd.splat_byte(run.zero_byte ^ run.prologue.flip);
    let count = (part.outputs - 1) * run.step + run.kernel[1];
    for group in 0..groups.column {
        let ky = group * T::GROUP;
        let rows = [
            Row::new(run, ky, &padding, part.c),
            Row::new(run, ky + 1, &padding, part.c),
            Row::new(run, ky + 2, &padding, part.c),
            Row::new(run, ky + 3, &padding, part.c),
        ];
        for i in 0..count {
            let (at, mut taps) = (columns_of(run, part, i), [zero; 4]);
            let to = run.columns.wrapping_add((i * groups.room() + group) * SUMS * l);
            // SAFETY: the column is one of the part's, whose channels exist; there is room for all.
            unsafe {
                if !WHOLE || at[0].is_some() {
                    taps[0] = load::<T, WHOLE, PLAIN>(token, run, part, &rows[0], at);
                    taps[1] = load::<T, WHOLE, PLAIN>(token, run, part, &rows[1], at);
                    if T::GROUP == 4 {
                        taps[2] = load::<T, WHOLE, PLAIN>(token, run, part, &rows[2], at);
                        taps[3] = load::<T, WHOLE, PLAIN>(token, run, part, &rows[3], at);
                    }
                }
                store(simd, to, token.interleave(taps));
            }
        }
    }
    if groups.across {
        let row = Row::new(run, run.kernel[0] - 1, &padding, part.c);
        for i in (0..count).step_by(2) {
            let mut taps = [zero; 4];
            let to = run.columns.wrapping_add((i * groups.room() + groups.column) * SUMS * l);
            let (first, second) = (columns_of(run, part, i), columns_of(run, part, i + 1));
            // SAFETY: as above.
            unsafe {
                taps[0] = load::<T, WHOLE, PLAIN>(token, run, part, &row, first);
                if i + 1 < count {
                    taps[1] = load::<T, WHOLE, PLAIN>(token, run, part, &row, second);
                }
                store(simd, to, token.interleave(taps));
            }
        }
    }
}

/// Where the picture's columns are of which interleaved column `i` consists: that of the outputs
/// themselves, and that of those that share their vectors. (Not a closure, which can't be
/// `inline(always)`.)
#[inline(always)]
fn columns_of(run: &DepthwiseRun, part: &Part, i: usize) -> [Option<usize>; 2] {
    // Of an odd number of outputs, the last half has one that is not computed: its columns may lie
    // beyond those that exist.
    let covered = (run.outputs - 1) * run.step + run.kernel[1];
    let other = i + part.apart * run.step;
    let has_other = part.apart > 0 && other < covered;
    [column(run, i), if has_other { column(run, other) } else { None }]
}

/// Where the picture's column is of which interleaved column `i` consists, in bytes from the first;
/// none outside.
#[inline(always)]
fn column(run: &DepthwiseRun, i: usize) -> Option<usize> {
    let shared = run.step == run.stride && run.dilation[1] == 1;
    let kw = run.kernel[1];
    let offset = if shared { i } else { i / kw * run.stride + i % kw * run.dilation[1] };
    let column = run.first[1].wrapping_add_unsigned(offset) as usize;
    if column < run.size[1] { Some(column * run.x_pixel) } else { None }
}

/// A row of the input.
#[derive(Clone, Copy)]
struct Row {
    /// Its first pixel, there the part's first channel where channels are not repeated; bytes of
    /// padding for a row outside.
    x: *const u8,
    /// All bits, or none for a row outside.
    inside: usize,
    padding: *const u8,
}

impl Row {
    /// Of tap `ky`, which may lie below the kernel.
    #[inline(always)]
    fn new(run: &DepthwiseRun, ky: usize, padding: &[u8; MAX_BYTES], c: usize) -> Self {
        let row = run.first[0].wrapping_add_unsigned(ky.wrapping_mul(run.dilation[0])) as usize;
        let padding = padding.as_ptr();
        if ky >= run.kernel[0] + run.rows - 1 || row >= run.size[0] {
            return Self { x: padding, inside: 0, padding };
        }
        let first = if run.multiplier == 1 { c } else { 0 };
        let x = run.x.wrapping_add(row.wrapping_mul(run.x_row) + first);
        Self { x, inside: usize::MAX, padding }
    }

    /// Its pixel so many bytes from the first; bytes of padding for none.
    #[inline(always)]
    fn pixel(&self, at: Option<usize>) -> *const u8 {
        match at {
            Some(at) => self.x.wrapping_add(at & self.inside),
            None => self.padding,
        }
    }
}

/// Stores vectors one after the other.
///
/// # Safety
/// `to` is valid for writing them.
#[inline(always)]
unsafe fn store<S: Simd>(simd: S, to: *mut f32, vectors: [S::Vector; SUMS]) {
    for (i, v) in vectors.into_iter().enumerate() {
        // SAFETY: the caller's contract.
        unsafe { simd.store(to.add(i * S::LANES), v) };
    }
}

/// The input channels of a part's output channels in a row's column, as they are multiplied. `at`:
/// the column, and that of the output that shares the vectors.
///
/// # Safety
/// As [`interleave`]; the column is one of the part's, and lies inside the picture if WHOLE.
#[inline(always)]
unsafe fn load<T: Int8, const WHOLE: bool, const PLAIN: bool>(
    token: T,
    run: &DepthwiseRun,
    part: &Part,
    row: &Row,
    at: [Option<usize>; 2],
) -> Vector<T> {
    let (simd, [x, other], n) = (token.simd(), at.map(|at| row.pixel(at)), part.n);
    // SAFETY: n channels from c on exist, or as many bytes of padding; no vector has more bytes
    // than there are.
    unsafe {
        if PLAIN {
            return x.cast::<Vector<T>>().read_unaligned();
        }
        if WHOLE {
            let bytes = x.cast::<Vector<T>>().read_unaligned();
            return pack::prologue(token, bytes, run.prologue);
        }
        if part.apart > 0 {
            let bytes = simd.join_halves(simd.load_bytes(x, n), simd.load_bytes(other, n));
            return pack::prologue(token, bytes, run.prologue);
        }
        let (mut from, mut prologue) = (x, run.prologue);
        let repeated: [u8; MAX_BYTES];
        if at[0].is_none() || row.inside == 0 {
            (from, prologue.bounds) = (row.padding, None);
        } else if run.multiplier > 1 {
            let mut bytes = [0; MAX_BYTES];
            for (i, byte) in bytes.iter_mut().enumerate().take(n) {
                *byte = *x.add((part.c + i) / run.multiplier);
            }
            repeated = bytes;
            from = repeated.as_ptr();
        }
        pack::prologue(token, simd.load_bytes(from, n), prologue)
    }
}

/// Multiplies the interleaved columns of a part, for kernels of any size: two outputs at a time.
///
/// # Safety
/// As [`interleave`], which has been called.
#[inline(always)]
unsafe fn multiply<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    requantizer: &Requantizer<T>,
    part: &Part,
) {
    let (simd, l, c) = (token.simd(), <T::Simd as Simd>::LANES, part.c);
    let groups = Groups::new(run.kernel, T::GROUP);
    let weights = run.weights.weights.wrapping_add(c * groups.weights());
    let mut biases = [simd.splat(0.0); SUMS];
    for (v, bias) in biases.iter_mut().enumerate() {
        // SAFETY: the chunk has whole vectors of biases.
        *bias = unsafe { simd.load(run.weights.biases.add(c + v * l)) };
    }
    let columns = run.columns.cast_const();
    for o in (0..part.outputs).step_by(2) {
        let first = [o * run.step, (o + 1) * run.step];
        let mut sums = [biases; 2];
        // SAFETY: the chunk has whole vectors of weights; there is room for the columns of an even
        // number of outputs.
        unsafe {
            for kx in 0..groups.width {
                for group in 0..groups.column {
                    let weights = weights.add((kx * groups.column + group) * SUMS * l);
                    for (sums, first) in sums.iter_mut().zip(first) {
                        let x = (first + kx) * groups.room() + group;
                        add_group(token, columns.add(x * SUMS * l), weights, sums);
                    }
                }
            }
        }
        let [mut sums, mut second] = sums;
        // SAFETY: likewise; the first of two outputs begins with an even column. Both are outputs
        // of the call.
        unsafe {
            if groups.across {
                add_across(token, run, &groups, [o * run.step, 0], weights, &mut sums);
                let odd = run.step % 2;
                add_across(token, run, &groups, [(o + 1) * run.step, odd], weights, &mut second);
            }
            requantize(token, run, requantizer, part, o, sums);
            if o + 1 < part.outputs {
                requantize(token, run, requantizer, part, o + 1, second);
            }
        }
    }
}

/// Adds the products of the groups across, of an output that begins with column `first`, which is
/// `odd` or not.
///
/// # Safety
/// `weights` are the chunk's; there is room for the columns.
#[inline(always)]
unsafe fn add_across<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    groups: &Groups,
    [first, odd]: [usize; 2],
    weights: *const f32,
    sums: &mut [Vector<T>; SUMS],
) {
    let vectors = SUMS * <T::Simd as Simd>::LANES;
    for pair in 0..(groups.width + odd).div_ceil(2) {
        let x = (first - odd + 2 * pair) * groups.room() + groups.column;
        let weights = weights.wrapping_add((groups.first_across(odd) + pair) * vectors);
        // SAFETY: these are groups of the chunk's weights and of the columns.
        unsafe { add_group(token, run.columns.add(x * vectors), weights, sums) };
    }
}

/// Adds the products of a group of taps.
///
/// # Safety
/// `x` and `weights` are valid for reading [`SUMS`] vectors.
#[inline(always)]
unsafe fn add_group<T: Int8>(
    token: T,
    x: *const f32,
    weights: *const f32,
    sums: &mut [Vector<T>; SUMS],
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    for (v, sum) in sums.iter_mut().enumerate() {
        // SAFETY: vector v of those.
        *sum = unsafe { token.dot(simd.load(x.add(v * l)), simd.load(weights.add(v * l)), *sum) };
    }
}

/// The same for 3×3, to bytes without a residual, for a row of outputs: vector by vector, so that
/// columns and weights that two outputs share are loaded once.
///
/// # Safety
/// As [`interleave`], which has been called.
#[inline(always)]
unsafe fn multiply_3x3<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    requantizer: &Requantizer<T>,
    step: usize,
    part: &Part,
    row: usize,
) {
    let (l, c) = (<T::Simd as Simd>::LANES, part.c);
    let groups = const { Groups::new([3, 3], T::GROUP) };
    let first = row * groups.first_below() * SUMS * l;
    let weights = run.weights.weights.wrapping_add(c * groups.weights() + first);
    let columns = run.columns.cast_const();
    for o in (0..part.outputs).step_by(2) {
        let x = columns.wrapping_add(o * step * groups.room() * SUMS * l);
        // Not a loop, which the compiler might leave one, through memory.
        // SAFETY: the chunk has whole vectors of biases, multipliers and weights; there is room for
        // the columns of an even number of outputs, both of which are the call's where stored.
        unsafe {
            let [a, other_a] = numbers_3x3(token, run, [x, weights], step, [c, 0]);
            let [b, other_b] = numbers_3x3(token, run, [x, weights], step, [c, 1]);
            let [d, other_d] = numbers_3x3(token, run, [x, weights], step, [c, 2]);
            let [e, other_e] = numbers_3x3(token, run, [x, weights], step, [c, 3]);
            store_bytes(token, run, requantizer, part, [row, o], [a, b, d, e]);
            if o + 1 < part.outputs {
                let others = [other_a, other_b, other_d, other_e];
                store_bytes(token, run, requantizer, part, [row, o + 1], others);
            }
        }
    }
}

/// Vector `v` of the outputs' numbers, of two outputs of which the first begins with column `x`, an
/// even one.
///
/// # Safety
/// The chunk's biases, multipliers and groups of weights, and the columns of both outputs, are
/// valid for reading whole vectors.
#[inline(always)]
unsafe fn numbers_3x3<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    [x, weights]: [*const f32; 2],
    step: usize,
    [c, v]: [usize; 2],
) -> [Vector<T>; 2] {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let groups = const { Groups::new([3, 3], T::GROUP) };
    let [x, weights] = [x.wrapping_add(v * l), weights.wrapping_add(v * l)];
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [simd.load(run.weights.biases.add(c + v * l)); 2];
        for kx in 0..3 {
            let weight = simd.load(weights.add(kx * SUMS * l));
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = simd.load(x.add((i * step + kx) * groups.room() * SUMS * l));
                *sum = token.dot(x, weight, *sum);
            }
        }
        if groups.across {
            for (i, sum) in sums.iter_mut().enumerate() {
                let odd = i * step % 2;
                for pair in 0..2 {
                    let weight =
                        simd.load(weights.add((groups.first_across(odd) + pair) * SUMS * l));
                    let column = (i * step - odd + 2 * pair) * groups.room() + groups.column;
                    *sum = token.dot(simd.load(x.add(column * SUMS * l)), weight, *sum);
                }
            }
        }
        let multiplier = simd.load(run.weights.multipliers.add(c + v * l));
        [
            simd.computed(simd.mul(simd.to_f32(sums[0]), multiplier)),
            simd.computed(simd.mul(simd.to_f32(sums[1]), multiplier)),
        ]
    }
}

/// Makes outputs of the sums of a part.
///
/// # Safety
/// As [`interleave`]; output `o` is one of the call's.
#[inline(always)]
unsafe fn requantize<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    requantizer: &Requantizer<T>,
    part: &Part,
    o: usize,
    mut t: [Vector<T>; SUMS],
) {
    let (simd, l, Part { c, n, .. }) = (token.simd(), <T::Simd as Simd>::LANES, *part);
    // Loops, not `map`, which is not always inlined.
    for (v, t) in t.iter_mut().enumerate() {
        // SAFETY: the chunk has whole vectors of multipliers.
        let multiplier = unsafe { simd.load(run.weights.multipliers.add(c + v * l)) };
        *t = simd.mul(simd.to_f32(*t), multiplier);
    }
    if let Destination::Tensor { residual: Some(residual), residual_rows, .. } = run.to {
        // SAFETY: output o has a residual of these channels.
        unsafe {
            let residual = residual.add(*residual_rows.add(o) + c);
            add_residual(token, &mut t, residual, n, &run.epilogue);
        }
    }
    for t in &mut t {
        *t = requantizer.activate(*t);
    }
    if run.epilogue.output == ElementType::F32 {
        if let Destination::Tensor { y, rows, .. } = run.to {
            // SAFETY: output o has these channels, of f32.
            unsafe { store_f32(token, y.at.cast::<f32>().add(*rows.add(o) + c), n, &t) };
        }
        return;
    }
    // SAFETY: output o is one of the call's.
    unsafe { store_bytes(token, run, requantizer, part, [0, o], t) };
}

/// Stores a part's numbers of steps, rounded, as its channels of output `o` of a row, and of the
/// output that shares the vectors.
///
/// # Safety
/// As [`interleave`]; output `o` is one of the part's, and one of integers.
#[inline(always)]
unsafe fn store_bytes<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    requantizer: &Requantizer<T>,
    part: &Part,
    [row, o]: [usize; 2],
    t: [Vector<T>; SUMS],
) {
    let (simd, bytes) = (token.simd(), requantizer.bytes(t));
    let bytes = match run.to {
        Destination::Tensor { .. } => requantizer.as_output(bytes),
        Destination::Panels { .. } => pack::flipped(token, bytes, if T::SIGNED { 0x80 } else { 0 }),
    };
    // SAFETY: the outputs are the call's.
    unsafe {
        store_channels(token, run, part, [row, o], bytes);
        if part.apart > 0 && o + part.apart < run.outputs {
            store_channels(token, run, part, [row, o + part.apart], simd.upper_half(bytes));
        }
    }
}

/// Stores the channels of a part, of one output.
///
/// # Safety
/// As [`interleave`]; output `o` is one of the call's, and one of integers.
#[inline(always)]
unsafe fn store_channels<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    part: &Part,
    [row, o]: [usize; 2],
    bytes: Vector<T>,
) {
    let at = row * run.next + o;
    // SAFETY: output o has these channels, of integers, or a row of them in the panels, whose
    // blocks begin with chunks.
    unsafe {
        match run.to {
            Destination::Tensor { y, rows, .. } => {
                let y = y.at.add(*rows.add(at) + part.c);
                token.simd().store_bytes(y, bytes, part.n);
            }
            Destination::Panels { a, rows, block } => {
                let row = a.add(*rows.add(at));
                pack::store(token, row, [block, part.c], bytes, part.n);
            }
        }
    }
}

/// Adds `n` elements of the residual to lanes in the order of a chunk.
///
/// # Safety
/// They are valid for reading.
#[inline(always)]
unsafe fn add_residual<T: Int8>(
    token: T,
    t: &mut [Vector<T>; SUMS],
    residual: Pointer,
    n: usize,
    epilogue: &Requantization,
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let mut lanes = [0.0; MAX_BYTES];
    for (at, c) in order(l, SUMS * l).enumerate().filter(|&(_, c)| c < n) {
        let from = residual.add(c);
        // SAFETY: element c of the n.
        let (value, zero_point) = unsafe {
            match residual.element {
                ElementType::F32 => (*from.at.cast::<f32>(), 0),
                ElementType::I8 => ((*from.at.cast::<i8>()).into(), epilogue.residual.zero_point),
                _ => ((*from.at).into(), epilogue.residual.zero_point),
            }
        };
        lanes[at] = value - zero_point as f32;
    }
    let scale = simd.splat(epilogue.residual.scale);
    for (v, t) in t.iter_mut().enumerate() {
        // SAFETY: `lanes` has as many as all vectors.
        *t = simd.add(*t, simd.mul(unsafe { simd.load(lanes.as_ptr().add(v * l)) }, scale));
    }
}

/// Writes `n` channels from lanes in the order of a chunk.
///
/// # Safety
/// `y` is valid for writing them; no other thread touches them.
#[inline(always)]
unsafe fn store_f32<T: Int8>(token: T, y: *mut f32, n: usize, t: &[Vector<T>; SUMS]) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let mut lanes = [0.0; MAX_BYTES];
    for (v, t) in t.iter().enumerate() {
        // SAFETY: `lanes` has as many as all vectors.
        unsafe { simd.store(lanes.as_mut_ptr().add(v * l), *t) };
    }
    for (at, c) in order(l, SUMS * l).enumerate().filter(|&(_, c)| c < n) {
        // SAFETY: channel c of the n.
        unsafe { *y.add(c) = lanes[at] };
    }
}
