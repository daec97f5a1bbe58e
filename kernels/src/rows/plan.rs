//! The rows of windows over single channels, prepared: geometry, weights, kernel. A rectangle of
//! output pixels goes into a tensor, or into the A panels of a GEMM.

use alloc::sync::Arc;
use core::ops::Range;
use core::ptr::NonNull;

use crate::activation::Activation;
use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::Result;
use crate::geometry::{Axis, product};
use crate::layout::TensorLayout;
use crate::options::Options;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::rows::kernel::{
    MAX_PIXELS, RowArgs, RowInput, RowOutput, RowResidual, RowWeights, Spans,
};
use crate::rows::kernels::{RowFn, RowKernels, RowTiles};
use crate::rows::weights::DepthwiseWeights;

/// Bytes of a picture up to which its rows are still in L2, or nearly, when they are needed.
/// Prefetching more of them is measured to triple the speed of 147²·64, prefetching fewer to lose
/// up to 7 %.
const CACHED_ROWS: usize = 3 << 19;

const NOTHING: *const f32 = NonNull::dangling().as_ptr();

/// Where the pixel in row r, column p of a rectangle goes, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputPixels<'a> {
    /// r·row + p·pixel: a tensor.
    Grid { row: usize, pixel: usize },
    /// table\[r·row + p\]: a tile of A panels.
    Table { table: &'a [usize], row: usize },
}

impl OutputPixels<'_> {
    pub(crate) fn of(&self, r: usize, p: usize) -> usize {
        match self {
            Self::Grid { row, pixel } => r * row + p * pixel,
            Self::Table { table, row } => table[r * row + p],
        }
    }
}

/// Where a rectangle goes, and what is applied to each output before it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Destination<'a> {
    pub(crate) y: PointerMut,
    /// The output channels that are computed. Input, output and residual are given from the first
    /// of them on, which is a multiple of the lanes; if these are not all, the multiplier is 1.
    pub(crate) channels: Range<usize>,
    /// The rectangle's pixels from `y`.
    pub(crate) pixels: OutputPixels<'a>,
    /// Elements from one block of channels to the next.
    pub(crate) block: usize,
    pub(crate) residual: Option<Residual>,
    pub(crate) bounds: (f32, f32),
    /// After the clamp, and only if the plan was made for it.
    pub(crate) activation: Activation,
}

impl Destination<'_> {
    /// The part with the channels that fill vectors, all of them if not `has_tail`, and that with
    /// those that are left; before each the number of channels from the first one to it.
    pub(crate) fn split(&self, lanes: usize, has_tail: bool) -> [(usize, Self); 2] {
        let Range { start, end } = self.channels;
        let count = end - start;
        let whole = if has_tail { count - count % lanes } else { count };
        let tail = Self {
            y: self.y.add(whole / lanes * self.block),
            channels: start + whole..end,
            residual: self.residual.map(|r| Residual { at: r.at.add(whole), ..r }),
            ..*self
        };
        [(0, Self { channels: start..start + whole, ..*self }), (whole, tail)]
    }
}

/// A residual of the same pixels as the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    /// Of the rectangle's first pixel.
    pub(crate) at: Pointer,
    /// Elements from one pixel to the next.
    pub(crate) pixel: usize,
    /// Elements from one row to the next.
    pub(crate) row: usize,
}

/// What a kernel reads, and whether it must be one of the general ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputSpec {
    pub(crate) element: ElementType,
    pub(crate) activation: Activation,
    /// See [`InputSpec::of`].
    pub(crate) general: bool,
}

impl InputSpec {
    /// That of a plan that writes a tensor. An activation that is no clamp must be applied by the
    /// kernel if outputs are rounded to 16 bits after it; and the fast kernels make only f32 and
    /// what they are made of. Into planes elements go as f32.
    pub(crate) fn of(options: &Options) -> Self {
        let element = options.window_type();
        let nhwc = options.output_layout == TensorLayout::Nhwc;
        let rounds = options.output_type != ElementType::F32 && nhwc;
        Self {
            element,
            activation: options.window_activation(),
            general: rounds
                && (options.output_type != element || options.activation.bounds().is_none()),
        }
    }
}

/// How the pixels of a tile lie in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TilesLie {
    /// Side by side.
    InRows,
    /// One above the other, of kernels one column wide: in what [`RowInput`] says, rows and columns
    /// change places.
    InColumns,
}

/// Rows of windows over single channels, prepared.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub(crate) lanes: usize,
    pub(crate) kernels: &'static RowKernels,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    pub(crate) channels_out: usize,
    pub(crate) multiplier: usize,
    pub(crate) element: ElementType,
    input_activation: Activation,
    /// Kernel rows that are prefetched: those that the output row above had no use for, none if the
    /// picture is small.
    new_rows: usize,
    pub(crate) tiles: TilesLie,
    /// Whether an average is over all taps of a window.
    counts_padding: bool,
    /// Of depthwise convolutions.
    weights: Option<Arc<DepthwiseWeights>>,
}

impl RowPlan {
    /// For an input that was checked, and its axes.
    pub(crate) fn new(
        lanes: usize,
        kernels: &'static RowKernels,
        input: [usize; 4],
        multiplier: usize,
        [vertical, horizontal]: [Axis; 2],
        spec: InputSpec,
        weights: Option<Arc<DepthwiseWeights>>,
    ) -> Result<Self> {
        let channels_out = product("output channels", &[input[3], multiplier])?;
        product("output elements", &[input[0], vertical.output, horizontal.output, channels_out])?;
        let bytes = input[1] * input[2] * input[3] * spec.element.size();
        Ok(Self {
            lanes,
            kernels,
            input,
            vertical,
            horizontal,
            channels_out,
            multiplier,
            element: spec.element,
            input_activation: spec.activation.checked()?,
            new_rows: if bytes > CACHED_ROWS { vertical.stride } else { 0 },
            tiles: TilesLie::InRows,
            counts_padding: false,
            weights,
        })
    }

    /// With averages over windows with their padding.
    pub(crate) fn counting_padding(self) -> Self {
        Self { counts_padding: true, ..self }
    }

    /// With tiles that lie so.
    pub(crate) fn with_tiles(self, tiles: TilesLie) -> Self {
        Self { tiles, ..self }
    }

    /// Bytes of weights and biases.
    pub(crate) fn weights_bytes(&self) -> usize {
        self.weights.as_ref().map_or(0, |weights| weights.bytes())
    }

    /// Where the weights of the channels from `channel` on begin, a multiple of the lanes; dangling
    /// if there are none.
    pub(crate) fn weights_of(&self, channel: usize) -> *const f32 {
        let taps = self.vertical.kernel.wrapping_mul(self.horizontal.kernel);
        let weights = self.weights.as_ref().map_or(NOTHING, |weights| weights.weights());
        weights.wrapping_add(channel.wrapping_mul(taps))
    }

    /// Where the biases of the channels from `channel` on begin; dangling if there are none.
    pub(crate) fn biases_of(&self, channel: usize) -> *const f32 {
        let biases = self.weights.as_ref().map_or(NOTHING, |weights| weights.biases());
        biases.wrapping_add(channel)
    }

    /// \[N, H, W, C\] of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.input[0], self.vertical.output, self.horizontal.output, self.channels_out]
    }

    /// For the kernels that bound the input from below: 0 for ReLU.
    pub(crate) fn input_bound(&self) -> f32 {
        if self.input_activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY }
    }

    /// Computes some columns of a rectangle of the output.
    ///
    /// # Safety
    /// - `x` is a view of the plan's input, of its type, with the rows that these pixels' windows
    ///   cover.
    /// - The pixels lie in the output. Where they go is valid for writing; no other thread touches
    ///   it.
    /// - The residual is valid for these pixels.
    pub(crate) unsafe fn run(
        &self,
        x: (Pointer, Placement),
        at: &Rectangle,
        columns: Range<usize>,
        to: &Destination<'_>,
    ) {
        let RowKernels { whole, tail, .. } = self.kernels;
        let parts = to.split(self.lanes, tail.is_some());
        // Across the tiles, and along them.
        let (lines, outputs) = match self.tiles {
            TilesLie::InRows => (at.rows.clone(), columns),
            TilesLie::InColumns => (columns, at.rows.clone()),
        };
        for line in lines {
            for (kernels, (first, part)) in [Some(whole), tail.as_ref()].into_iter().zip(&parts) {
                if let Some(kernels) = kernels.filter(|_| !part.channels.is_empty()) {
                    let x = (x.0.add(*first), x.1);
                    // SAFETY: the caller vouches for x, outputs and residual of all pixels, of
                    // which the line has some, and of all channels, of which the part has some.
                    unsafe { self.run_line(x, at, (line, outputs.clone()), kernels, part) };
                }
            }
        }
    }

    /// The axis across the tiles, and that along them.
    fn axes(&self) -> (&Axis, &Axis) {
        match self.tiles {
            TilesLie::InRows => (&self.vertical, &self.horizontal),
            TilesLie::InColumns => (&self.horizontal, &self.vertical),
        }
    }

    /// Turns what belongs to (rows, columns) into what belongs to (across, along) the tiles, and
    /// back.
    fn turned<T>(&self, row: T, column: T) -> (T, T) {
        match self.tiles {
            TilesLie::InRows => (row, column),
            TilesLie::InColumns => (column, row),
        }
    }

    /// Computes outputs of a line of a rectangle, which is a row or a column of the picture.
    ///
    /// # Safety
    /// As [`RowPlan::run`].
    unsafe fn run_line(
        &self,
        (x, placement): (Pointer, Placement),
        at: &Rectangle,
        (line, outputs): (usize, Range<usize>),
        kernels: &RowTiles,
        to: &Destination<'_>,
    ) {
        let (across, along) = self.axes();
        let taps = across.taps(line);
        let from = if taps.is_empty() { 0 } else { across.position(line, taps.start) };
        let step = if kernels.spans == Spans::Nothing { 1 } else { along.dilation };
        let mut args = self.row_args(placement, taps.len(), step, to);
        let weights = (self.weights_of(to.channels.start))
            .wrapping_add(taps.start.wrapping_mul(args.weights.row));
        args.weights.at = weights;
        let (first_line, first_output) = self.turned(at.rows.start, at.columns.start);
        for phase in 0..step.min(outputs.len()) {
            let mut o = outputs.start + phase;
            while o < outputs.end {
                let tile = self.tile(kernels, o, (outputs.end - o).div_ceil(step));
                args.input.new_columns = along.kernel
                    - along.stride.min(along.kernel).min(tile.columns.len())
                    ..along.kernel;
                args.input.count = match self.counts_padding {
                    true => across.kernel as f32 * along.kernel as f32,
                    // Of one window: pools' don't span the padding.
                    false => (taps.len() * tile.columns.len()).max(1) as f32,
                };
                args.input.columns = tile.columns;
                // The first column, which may lie outside: modulo 2⁶⁴ then.
                let position = o.wrapping_mul(along.stride).wrapping_sub(along.before);
                let (row, column) = self.turned(from, position);
                args.input.x = x.add(placement.of(Pixel { row, column, ..at.first() })).at;
                let p = o - first_output;
                for (i, offset) in args.output.pixels[..tile.pixels].iter_mut().enumerate() {
                    let (r, p) = self.turned(line - first_line, p + i * step);
                    *offset = to.pixels.of(r, p);
                }
                args.output.residual = to.residual.map(|residual| {
                    let (line_step, pixel) = self.turned(residual.row, residual.pixel);
                    let at = residual.at.add((line - first_line) * line_step + p * pixel);
                    RowResidual { at, pixel: step.wrapping_mul(pixel) }
                });
                // SAFETY: the level was available when the plan was made. The columns passed lie
                // inside the input, in rows that x has by the caller's word; outputs and residual
                // of these pixels are valid by it, too, and weights are packed in whole vectors.
                unsafe { (tile.kernel)(&args) };
                o += tile.pixels * step;
            }
        }
    }

    /// The first tile of a run of `room` outputs that begins at `o`.
    fn tile(&self, kernels: &RowTiles, o: usize, room: usize) -> Tile {
        let (_, along) = self.axes();
        let taps = along.taps(o);
        let most = match kernels.spans {
            Spans::Nothing => {
                let interior = along.interior();
                if !interior.contains(&o) {
                    return Tile { pixels: 1, kernel: kernels.border, columns: taps };
                }
                let (pixels, kernel) = kernels.tiles.begin(room.min(interior.end - o), MAX_PIXELS);
                return Tile { pixels, kernel, columns: taps };
            }
            Spans::Padding => MAX_PIXELS,
            Spans::PaddingOfLong => along.kernel.min(MAX_PIXELS),
        };
        if taps.is_empty() {
            return Tile { pixels: 1, kernel: kernels.border, columns: taps };
        }
        let of = |pixels: usize| along.taps(o + (pixels - 1) * along.dilation);
        let (mut pixels, mut kernel) = kernels.tiles.begin(room, most);
        if of(pixels).is_empty() {
            (pixels, kernel) = kernels.tiles.begin(1, most);
        }
        let end = (pixels - 1) * along.stride + of(pixels).end;
        Tile { pixels, kernel, columns: taps.start..end }
    }

    /// What the arguments of a line's calls have in common: with so many taps across inside the
    /// input, and outputs so many apart in a tile.
    fn row_args(
        &self,
        placement: Placement,
        rows: usize,
        step: usize,
        to: &Destination<'_>,
    ) -> RowArgs {
        let (across, along) = self.axes();
        let (row, pixel) = self.turned(placement.row, placement.pixel);
        // Of a pool, which has no weights and any kernel, the products can wrap. Of a kernel of
        // single columns there is one tap across.
        let weights_row = self.horizontal.kernel.wrapping_mul(self.lanes);
        RowArgs {
            input: RowInput {
                x: core::ptr::null(),
                // A stride or dilation beyond the input can wrap, but then only one pixel or tap is
                // used.
                pixel: along.stride.wrapping_mul(step).wrapping_mul(pixel),
                row: across.dilation.wrapping_mul(row),
                column: along.dilation.wrapping_mul(pixel),
                rows,
                columns: 0..0,
                kernel: along.kernel,
                count: 1.0,
                new_rows: rows.min(self.new_rows),
                new_columns: 0..0,
                activation: self.input_activation,
                bound: self.input_bound(),
            },
            weights: RowWeights {
                at: self.weights_of(to.channels.start),
                row: weights_row,
                block: self.vertical.kernel.wrapping_mul(weights_row),
                bias: self.biases_of(to.channels.start),
            },
            channels: to.channels.len(),
            multiplier: self.multiplier,
            output: RowOutput {
                y: to.y,
                pixels: [0; MAX_PIXELS],
                block: to.block,
                residual: None,
                bounds: to.bounds,
                activation: to.activation,
            },
        }
    }
}

/// Some outputs of a line that are computed at a time.
struct Tile {
    pixels: usize,
    kernel: RowFn,
    /// The columns of their windows inside the input: see [`RowInput`].
    columns: Range<usize>,
}
