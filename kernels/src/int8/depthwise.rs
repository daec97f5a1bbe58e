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
//! one channel; the outputs whose windows share a column then share that work. Interleaving twice
//! within 128 bits changes the order of the channels: weights, biases and multipliers are packed in
//! that order, and narrowing the sums to bytes restores it. Padding is the zero point.

use crate::element::{ElementType, Elements, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::geometry::product;
use crate::int8::pack::{self, BytePrologue};
use crate::int8::quantization::{ChannelSums, Int8Weights, NO_INTEGERS, Requantization};
use crate::int8::requantize::Requantizer;
use crate::memory::Aligned;
use crate::simd::Simd;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, MAX_BYTES, SUMS, Vector, channel};
use crate::unpacked::Unpacked;

/// Outputs of a row that are computed at a time.
pub(crate) const OUTPUTS: usize = 16;

/// Weights, biases and multipliers, packed: by chunks, `[chunk][kx][group of
/// ky][vector][lane][ky]`, the others `[chunk][vector][lane]`. A group of weights is a lane, of
/// integers of 8 bits or, where it has two, of 16: there are few, and each is used for a whole
/// picture.
#[derive(Debug)]
pub(crate) struct DepthwiseWeights {
    weights: Aligned,
    biases: Aligned,
    multipliers: Aligned,
    pub(crate) channels: usize,
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
        let group = int8.group;
        let (chunk, groups) = (SUMS * lanes, kh.div_ceil(group));
        let padded = channels
            .checked_next_multiple_of(chunk)
            .ok_or(Error::Overflow { what: "depthwise weights" })?;
        let total = product("packed depthwise weights", &[padded, kw, groups])?;
        let mut weights = Aligned::new(total, 0.0)?;
        let [mut biases, mut multipliers] =
            [Aligned::new(padded, 0.0)?, Aligned::new(padded, 0.0)?];
        for (at, c) in order(lanes, padded).enumerate().filter(|&(_, c)| c < channels) {
            (biases[at], multipliers[at]) = (sums.biases[c], sums.multipliers[c]);
            for ky in 0..kh {
                for kx in 0..kw {
                    let row = (at / chunk * kw + kx) * groups + ky / group;
                    let weight = from[(ky * kw + kx) * strides.tap + c * strides.output];
                    let lane = &mut weights[row * chunk + at % chunk];
                    *lane = f32::from_bits(lane.to_bits() | of_lane(weight, ky % group, group));
                }
            }
        }
        Ok(Self { weights, biases, multipliers, channels })
    }

    pub(crate) fn bytes(&self) -> usize {
        let all = [&self.weights, &self.biases, &self.multipliers];
        all.map(|part| part.len()).iter().sum::<usize>() * size_of::<f32>()
    }

    pub(crate) fn pointers(&self) -> Weights {
        Weights {
            weights: self.weights.as_ptr(),
            biases: self.biases.as_ptr(),
            multipliers: self.multipliers.as_ptr(),
            channels: self.channels,
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

/// The vectors of lanes that the interleaved columns of a call take.
pub(crate) fn columns(outputs: usize, [kh, kw]: [usize; 2], step: usize, group: usize) -> usize {
    (outputs - 1).saturating_mul(step).saturating_add(kw).saturating_mul(kh.div_ceil(group))
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
    pub(crate) outputs: usize,
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
    /// In A panels: output o is in the row that begins at `a + rows[o]`; of its bytes those of
    /// `flip` are changed.
    Panels { a: *mut f32, rows: *const usize, flip: u8 },
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
        let groups = run.kernel[0].div_ceil(T::GROUP);
        for c in (0..run.weights.channels).step_by(chunk) {
            let n = (run.weights.channels - c).min(chunk);
            // SAFETY: the n channels from c on are of the picture, the weights and the outputs; the
            // columns have been interleaved before they are multiplied.
            unsafe {
                interleave(token, run, c, n);
                match (groups, run.kernel[1]) {
                    (1, 3) => multiply_3(token, run, c, n),
                    (groups, kw) => multiply(token, run, kw * groups, c, n),
                }
            }
        }
    }
}

/// Interleaves the columns of a chunk: `[column][group of ky][vector]`.
///
/// # Safety
/// - As [`Depthwise::run`] asks.
/// - The `n` channels from `c` on are of the weights'.
#[inline(always)]
unsafe fn interleave<T: Int8>(token: T, run: &DepthwiseRun, c: usize, n: usize) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let [kh, kw] = run.kernel;
    let zero = simd.splat_byte(run.zero_byte ^ run.prologue.flip);
    let shared = run.step == run.stride && run.dilation[1] == 1;
    let count = (run.outputs - 1) * run.step + kw;
    let mut to = run.columns;
    for i in 0..count {
        let offset = if shared { i } else { i / kw * run.stride + i % kw * run.dilation[1] };
        let column = run.first[1].wrapping_add_unsigned(offset) as usize;
        let inside = column < run.size[1];
        let x = run.x.wrapping_add(column.wrapping_mul(run.x_pixel));
        for first in (0..kh).step_by(T::GROUP) {
            let mut taps = [zero; 4];
            for (ky, tap) in (first..kh).zip(taps.iter_mut().take(T::GROUP)) {
                let row = run.first[0].wrapping_add_unsigned(ky * run.dilation[0]) as usize;
                if inside && row < run.size[0] {
                    let x = x.wrapping_add(row.wrapping_mul(run.x_row));
                    // SAFETY: the pixel lies in the picture, and has these channels.
                    let bytes = unsafe { load(token, run, x, c, n) };
                    *tap = pack::prologue(token, bytes, run.prologue);
                }
            }
            for v in token.interleave(taps) {
                // SAFETY: there is room for all columns.
                unsafe {
                    simd.store(to, v);
                    to = to.add(l);
                }
            }
        }
    }
}

/// The input channels of `n` output channels from `c` on.
///
/// # Safety
/// These are valid for reading in the pixel at `x`.
#[inline(always)]
unsafe fn load<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    x: *const u8,
    c: usize,
    n: usize,
) -> Vector<T> {
    let simd = token.simd();
    if run.multiplier == 1 {
        // SAFETY: n channels from c on exist.
        return unsafe { simd.load_bytes(x.add(c), n) };
    }
    let mut bytes = [0; MAX_BYTES];
    for (i, byte) in bytes.iter_mut().enumerate().take(n) {
        // SAFETY: the input channel of an output channel.
        *byte = unsafe { *x.add((c + i) / run.multiplier) };
    }
    // SAFETY: a vector has no more bytes than there are.
    unsafe { simd.load_bytes(bytes.as_ptr(), n) }
}

/// Multiplies the interleaved columns of a chunk, for kernels of any size: two outputs at a time.
///
/// # Safety
/// As [`interleave`], which has been called.
#[inline(always)]
unsafe fn multiply<T: Int8>(token: T, run: &DepthwiseRun, rows: usize, c: usize, n: usize) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let requantizer = Requantizer::new(token, &run.epilogue);
    let (outputs, step) = (run.outputs, run.step * (rows / run.kernel[1]) * SUMS * l);
    let weights = run.weights.weights.wrapping_add(c * rows);
    let mut biases = [simd.splat(0.0); SUMS];
    for (v, bias) in biases.iter_mut().enumerate() {
        // SAFETY: the chunk has whole vectors of biases.
        *bias = unsafe { simd.load(run.weights.biases.add(c + v * l)) };
    }
    let columns = run.columns.cast_const();
    for o in (0..outputs).step_by(2) {
        // The last one may be computed twice.
        let second = (o + 1).min(outputs - 1);
        let x = [columns.wrapping_add(o * step), columns.wrapping_add(second * step)];
        let mut sums = [biases; 2];
        for i in 0..rows {
            for v in 0..SUMS {
                let at = (i * SUMS + v) * l;
                // SAFETY: the chunk has whole vectors of weights and of interleaved columns.
                unsafe {
                    let weight = simd.load(weights.add(at));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[v] = token.dot(simd.load(x.add(at)), weight, sums[v]);
                    }
                }
            }
        }
        let [first, last] = sums;
        // SAFETY: both are outputs of the call.
        unsafe {
            requantize(token, run, &requantizer, o, c, n, first);
            if second > o {
                requantize(token, run, &requantizer, second, c, n, last);
            }
        }
    }
}

/// The same for kernels three wide and one group high, whose weights stay in registers.
///
/// # Safety
/// As [`interleave`], which has been called.
#[inline(always)]
unsafe fn multiply_3<T: Int8>(token: T, run: &DepthwiseRun, c: usize, n: usize) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
    let requantizer = Requantizer::new(token, &run.epilogue);
    let from = run.weights.weights.wrapping_add(c * 3);
    let mut weights = [[simd.splat(0.0); SUMS]; 3];
    for (i, weight) in weights.as_flattened_mut().iter_mut().enumerate() {
        // SAFETY: the chunk has whole vectors of weights.
        *weight = unsafe { simd.load(from.add(i * l)) };
    }
    let (outputs, step, columns) = (run.outputs, run.step * SUMS * l, run.columns.cast_const());
    for o in 0..outputs {
        let x = columns.wrapping_add(o * step);
        // SAFETY: the chunk has whole vectors of biases and of interleaved columns.
        unsafe {
            let mut sums = [simd.splat(0.0); SUMS];
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = simd.load(run.weights.biases.add(c + v * l));
                for (kx, weight) in weights.iter().enumerate() {
                    let x = simd.load(x.add((kx * SUMS + v) * l));
                    *sum = token.dot(x, weight[v], *sum);
                }
            }
            requantize(token, run, &requantizer, o, c, n, sums);
        }
    }
}

/// Makes outputs of the sums of a chunk.
///
/// # Safety
/// As [`interleave`]; output `o` is one of the call's.
#[inline(always)]
unsafe fn requantize<T: Int8>(
    token: T,
    run: &DepthwiseRun,
    requantizer: &Requantizer<T>,
    o: usize,
    c: usize,
    n: usize,
    mut t: [Vector<T>; SUMS],
) {
    let (simd, l) = (token.simd(), <T::Simd as Simd>::LANES);
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
    for t in &mut t {
        *t = requantizer.round(*t);
    }
    let bytes = simd.narrow(t, run.epilogue.output == ElementType::I8);
    // SAFETY: output o has these channels, of integers, or a row of them in the panels, whose
    // blocks begin with chunks.
    unsafe {
        match run.to {
            Destination::Tensor { y, rows, .. } => {
                simd.store_bytes(y.at.add(*rows.add(o) + c), bytes, n);
            }
            Destination::Panels { a, rows, flip } => {
                let bytes = if flip == 0 { bytes } else { simd.xor(bytes, simd.splat_byte(flip)) };
                pack::store(token, a.add(*rows.add(o)), c, bytes, n);
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
