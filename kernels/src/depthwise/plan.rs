//! A depthwise convolution, prepared: by rows, or by tiles of rows and columns if it is 3×3.

use alloc::sync::Arc;
use core::ops::Range;
use core::ptr::NonNull;

use crate::activation::Activation;
use crate::depthwise::k3x3::{self, Args3x3, Input3x3, K, Output3x3};
use crate::depthwise::kernels::{Dense, DepthwiseKernels, Fn3x3, Kernels3x3};
use crate::element::Pointer;
use crate::error::{Error, Result};
use crate::geometry::{Axis, Window, product};
use crate::params::DepthwiseParams;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::rows::kernels::RowKernels;
use crate::rows::plan::{Destination, InputSpec, OutputPixels, RowPlan, TilesLie};
use crate::rows::weights::DepthwiseWeights;
use crate::unpacked::Unpacked;

/// Bytes of a picture up to which its rows are still in L2, or nearly, when 3×3 tiles of stride 1
/// need them. These prefetch less of what is there already than rows do: of 1 MiB (19²·728 in
/// Xception) it takes a quarter off the time, of 0.6 MiB (10²·1536 by itself) it adds a quarter.
const CACHED_STRIDE_1: usize = 3 << 18;
/// And of stride 2: at 147²·128 prefetching takes a third off the time, at 112²·64 it adds an
/// eighth.
const CACHED_STRIDE_2: usize = 6 << 20;
/// Bytes of an output up to which tiles of stride 1 find what they write in the caches. Prefetching
/// the 11 MiB of 147²·128 takes 0.5 (AVX-512) and 0.8 (AVX2) of the time, the 4 MiB of 37²·728 1.0
/// and 1.06.
const CACHED_OUTPUT: usize = 5 << 20;

/// Bytes from one pixel to the next whose multiples put all lines of a tile in two sets of L1 (64
/// sets, 8 or 12 ways): if vectors of half a line go one by one, the line is gone before the second
/// half is read. Tiles of pairs take 0.71 of the time at 7²·1024, 0.82 at 14²·512 and 10²·1536
/// (AVX2, Zen 4), but 1.05 at 28²·256: four sets hold enough.
const ALIASED_PIXELS: usize = 2 << 10;

/// C·M.
pub(crate) fn channels_out(channels_in: usize, multiplier: usize) -> Result<usize> {
    if multiplier == 0 {
        return Err(Error::ZeroDimension { what: "depth multiplier" });
    }
    product("output channels", &[channels_in, multiplier])
}

/// The kernels for taps that lie side by side along an axis: those of their number, or those that
/// take any. Dilated ones have stride 1, so that pixels a dilation apart are neighbours like taps.
fn dense(
    kernels: &'static DepthwiseKernels,
    window: &Window,
    axis: usize,
) -> Option<&'static Dense> {
    let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
    if stride > 1 && window.dilation[axis] > 1 {
        return None;
    }
    let of_width = kernels.dense.iter().find(|d| (d.kernel, d.stride) == (kernel, stride));
    let long = kernels.long.as_ref().filter(|d| kernel >= d.kernel && stride == d.stride);
    of_width.or(long)
}

/// A depthwise convolution, packed, for inputs of any size.
#[derive(Debug)]
pub(crate) struct PackedDepthwise {
    kernels: &'static DepthwiseKernels,
    row_kernels: &'static RowKernels,
    tiles: TilesLie,
    /// If there are such for the window.
    k3x3: Option<&'static Kernels3x3>,
    channels_in: usize,
    multiplier: usize,
    window: Window,
    spec: InputSpec,
    weights: Arc<DepthwiseWeights>,
}

impl PackedDepthwise {
    pub(crate) fn new(
        kernels: &'static DepthwiseKernels,
        channels_in: usize,
        params: &DepthwiseParams<'_>,
        spec: InputSpec,
    ) -> Result<Self> {
        let DepthwiseParams { window, multiplier, weights, layout, bias, .. } = *params;
        let channels = channels_out(channels_in, multiplier)?;
        let Window { kernel, stride, dilation, .. } = window.checked()?;
        let activation = spec.activation.checked()?;
        let fast = multiplier == 1 && !spec.general;
        let single_columns = kernel[1] == 1 && kernel[0] > 1;
        let dense = dense(kernels, &window, usize::from(!single_columns));
        let tiles =
            if single_columns && dense.is_some() { TilesLie::InColumns } else { TilesLie::InRows };
        let row_kernels = match (fast, activation, dense) {
            (true, Activation::None, Some(dense)) => &dense.as_is,
            (true, Activation::Relu, Some(dense)) => &dense.relu,
            (true, Activation::None, None) => &kernels.as_is,
            (true, Activation::Relu, None) => &kernels.relu,
            _ => &kernels.general,
        };
        let is_3x3 = (kernel, dilation) == ([K; 2], [1, 1]);
        let of_stride = kernels.k3x3.iter().find(|k| is_3x3 && stride == [k.stride; 2]);
        let k3x3 = match (fast, activation, of_stride) {
            (true, Activation::None, Some(k)) => Some(&k.as_is),
            (true, Activation::Relu, Some(k)) => Some(&k.relu),
            _ => None,
        };
        let unpacked = Unpacked { weights, layout, bias };
        let weights = DepthwiseWeights::new(kernels.lanes, kernel, channels, unpacked)?.into();
        Ok(Self {
            kernels,
            row_kernels,
            tiles,
            k3x3,
            channels_in,
            multiplier,
            window,
            spec,
            weights,
        })
    }

    pub(crate) fn channels_out(&self) -> usize {
        self.channels_in * self.multiplier
    }

    /// Bytes of weights and biases.
    pub(crate) fn weights_bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// For an input of so many pictures, rows and columns.
    pub(crate) fn plan(&self, [n, h, w]: [usize; 3]) -> Result<DepthwisePlan> {
        let input = [n, h, w, self.channels_in];
        self.plan_of(input, self.window.axes(input)?)
    }

    /// For an input \[N, H, W, C\] that was checked, whose axes have the window's kernel, stride
    /// and dilation, and perhaps another padding.
    pub(crate) fn plan_of(&self, input: [usize; 4], axes: [Axis; 2]) -> Result<DepthwisePlan> {
        let rows = RowPlan::new(
            self.kernels.lanes,
            self.row_kernels,
            input,
            self.multiplier,
            axes,
            self.spec,
            Some(self.weights.clone()),
        )?
        .with_tiles(self.tiles);
        let k3x3 = self.k3x3.map(|k3x3| Plan3x3::new(self.kernels, k3x3, &rows));
        Ok(DepthwisePlan { rows, k3x3 })
    }
}

/// A depthwise convolution, prepared.
#[derive(Debug)]
pub(crate) struct DepthwisePlan {
    pub(crate) rows: RowPlan,
    /// For the pixels that see at least two columns of taps, if there are such kernels for the
    /// window.
    k3x3: Option<Plan3x3>,
}

/// How 3×3 tiles are computed.
#[derive(Debug, Clone, Copy)]
struct Plan3x3 {
    kernels: &'static Kernels3x3,
    /// Columns of the widest tile that is used.
    widest: usize,
    prefetches_input: bool,
    /// If it is a tensor.
    prefetches_output: bool,
}

impl DepthwisePlan {
    /// The kernel that computes most of the output.
    pub(crate) fn kernel_name(&self) -> &'static str {
        self.k3x3.map_or(self.rows.kernels.name, |k3x3| k3x3.kernels.name)
    }

    /// Whether the rows of a rectangle share what they read, so that low ones are slower than high
    /// ones.
    pub(crate) fn shares_rows(&self) -> bool {
        self.k3x3.is_some() || self.rows.tiles == TilesLie::InColumns
    }

    /// Computes a rectangle of the output; `next` is where the one computed after it begins, if
    /// any.
    ///
    /// # Safety
    /// As [`RowPlan::run`].
    pub(crate) unsafe fn run(
        &self,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Option<Pixel>,
        to: &Destination<'_>,
    ) {
        let Some(k3x3) = &self.k3x3 else {
            // SAFETY: this function's contract is that of `RowPlan::run`.
            return unsafe { self.rows.run(x, at, at.columns.clone(), to) };
        };
        if at.rows.is_empty() || at.columns.is_empty() {
            return;
        }
        // The last offset is looked up here, so that all lie in the table.
        let _ = to.pixels.of(at.rows.len() - 1, at.columns.len() - 1);
        let parts = to.split(self.rows.lanes, true);
        let mut ox = at.columns.start;
        while ox < at.columns.end {
            let Some(tile) = k3x3.tile(&self.rows, ox..at.columns.end) else {
                // SAFETY: the caller vouches for all columns of `at`, of which ox is one.
                unsafe { self.rows.run(x, at, ox..ox + 1, to) };
                ox += 1;
                continue;
            };
            let end = tile.columns.end;
            let here = Some(Pixel { column: end, ..at.first() });
            let next = if end < at.columns.end { here } else { next };
            // SAFETY: the caller vouches for all columns of `at`, of which the tile has some; the
            // tile is from `tile`, for these columns.
            unsafe { k3x3.run(&self.rows, tile, x, at, next, &parts) };
            ox = end;
        }
    }
}

/// Columns of a rectangle, and the kernel for so many.
struct Tile3x3 {
    columns: Range<usize>,
    kernel: Fn3x3,
}

/// What a tile prefetches of the one that comes next.
#[derive(Clone, Copy)]
struct Next {
    first: Pixel,
    /// Whether its pixels have no gaps and all of their channels are computed.
    contiguous: bool,
}

impl Plan3x3 {
    fn new(
        kernels: &DepthwiseKernels,
        kernels_3x3: &'static Kernels3x3,
        RowPlan { input, vertical, horizontal, channels_out, element, .. }: &RowPlan,
    ) -> Self {
        let size = element.size();
        let cached = if vertical.stride == 1 { CACHED_STRIDE_1 } else { CACHED_STRIDE_2 };
        // Of 16 bits only if the input is, too.
        let output = vertical.output * horizontal.output * channels_out * size;
        let pairs = kernels.pairs && (input[3] * size).is_multiple_of(ALIASED_PIXELS);
        Self {
            kernels: kernels_3x3,
            widest: if pairs { k3x3::PAIR } else { k3x3::MAX_PIXELS },
            prefetches_input: input[1] * input[2] * input[3] * size > cached,
            prefetches_output: output > CACHED_OUTPUT,
        }
    }

    /// The tile to begin these columns with, so that tiles are about equally wide; none if there is
    /// none for the first of them.
    fn tile(&self, rows: &RowPlan, columns: Range<usize>) -> Option<Tile3x3> {
        let horizontal = &rows.horizontal;
        let first = horizontal.taps(columns.start);
        if first.start > 1 || first.end < 2 {
            return None;
        }
        let mut room = 1;
        if first.end == K {
            let interior = horizontal.interior();
            // All pixels up to here see all three columns, the next one may lack the last.
            let whole = interior.end.clamp(columns.start + 1, columns.end);
            let next = whole < columns.end && horizontal.taps(whole) == (0..2);
            room = whole + usize::from(next) - columns.start;
        }
        let (pixels, kernel) = self.kernels.tiles.begin(room, self.widest);
        Some(Tile3x3 { columns: columns.start..columns.start + pixels, kernel })
    }

    /// Computes a tile of a rectangle, the channels that fill vectors and those that are left;
    /// `next` is where the next one begins, if any.
    ///
    /// # Safety
    /// As [`RowPlan::run`]; the tile is one that [`Plan3x3::tile`] gave.
    unsafe fn run(
        &self,
        plan: &RowPlan,
        tile: Tile3x3,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Option<Pixel>,
        [(_, whole), (first, tail)]: &[(usize, Destination<'_>); 2],
    ) {
        let columns = tile.columns.clone();
        if !whole.channels.is_empty() {
            let contiguous = x.1.pixel == whole.channels.len() + tail.channels.len();
            let next =
                next.filter(|_| self.prefetches_input).map(|first| Next { first, contiguous });
            // SAFETY: the caller vouches for these pixels and channels; the kernel is the one for
            // so many columns.
            unsafe { self.call(plan, tile, x, at, next, whole) };
        }
        let x = (x.0.add(*first), x.1);
        let mut ox = columns.start;
        while ox < columns.end && !tail.channels.is_empty() {
            let (pixels, kernel) = self.kernels.tail.begin(columns.end - ox, k3x3::MAX_PIXELS);
            let tile = Tile3x3 { columns: ox..ox + pixels, kernel };
            // SAFETY: the caller vouches for these pixels and channels; the kernel is the one for
            // so many columns, and the channels, at least one, are fewer than the lanes.
            unsafe { self.call(plan, tile, x, at, None, tail) };
            ox += pixels;
        }
    }

    /// Computes some channels of a tile.
    ///
    /// # Safety
    /// - As [`RowPlan::run`].
    /// - The kernel is one of the plan's for so many columns and channels.
    unsafe fn call(
        &self,
        plan: &RowPlan,
        Tile3x3 { columns, kernel }: Tile3x3,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Option<Next>,
        to: &Destination<'_>,
    ) {
        let p = columns.start - at.columns.start;
        let mut grid = [0; k3x3::MAX_PIXELS];
        let (y, row, pixels, pixels_row) = match to.pixels {
            OutputPixels::Grid { row, pixel } => {
                for (p, offset) in grid.iter_mut().enumerate() {
                    *offset = p.wrapping_mul(pixel);
                }
                (to.y.add(p * pixel), row, grid.as_ptr(), 0)
            }
            OutputPixels::Table { table, row } => (to.y, 0, table[p..].as_ptr(), row),
        };
        let next_output = match to.pixels {
            OutputPixels::Grid { pixel, .. }
                if self.prefetches_output && pixel == plan.channels_out =>
            {
                columns.len() * pixel
            }
            _ => 0,
        };
        let args = Args3x3 {
            input: input(plan, x, at, columns, next),
            weights: plan.weights_of(to.channels.start),
            bias: plan.biases_of(to.channels.start),
            channels: to.channels.len(),
            rows: at.rows.len(),
            output: Output3x3 {
                y,
                row,
                pixels,
                pixels_row,
                block: to.block,
                next: next_output,
                residual: to.residual.map(|r| r.at.add(p * r.pixel)),
                residual_pixel: to.residual.map_or(0, |r| r.pixel),
                residual_row: to.residual.map_or(0, |r| r.row),
                bounds: to.bounds,
            },
        };
        // SAFETY: the level was available when the plan was made. The caller vouches for the input,
        // for output and residual; weights are packed in whole vectors; there are offsets for all
        // pixels: `DepthwisePlan::run` looked up the last.
        unsafe { kernel(&args) };
    }
}

/// The windows of a rectangle's columns. (Inlined: a struct that is copied right after its fields
/// were written waits for all of them, 12 cycles of some 80 for a tile of 32 channels.)
#[inline(always)]
fn input(
    plan: &RowPlan,
    (x, placement): (Pointer, Placement),
    at: &Rectangle,
    columns: Range<usize>,
    next: Option<Next>,
) -> Input3x3 {
    let (vertical, horizontal) = (&plan.vertical, &plan.horizontal);
    // The first tap, which may lie outside: modulo 2⁶⁴ then.
    let tap = |pixel: Pixel| {
        let iy = (pixel.row * vertical.stride).wrapping_sub(vertical.before);
        let ix = (pixel.column * horizontal.stride).wrapping_sub(horizontal.before);
        x.add(placement.of(Pixel { row: iy, column: ix, ..pixel })).at
    };
    let top = at.rows.start * vertical.stride;
    let inside_from = |edge: usize| (edge + vertical.before).saturating_sub(top);
    let rows = (at.rows.len() - 1) * vertical.stride + K;
    let skipped = (K - horizontal.stride) * placement.pixel;
    Input3x3 {
        x: tap(Pixel { column: columns.start, ..at.first() }),
        row: placement.row,
        column: placement.pixel,
        inside: inside_from(0)..inside_from(vertical.input).min(rows),
        left_outside: horizontal.taps(columns.start).start > 0,
        right_outside: horizontal.taps(columns.end - 1).end < K,
        next: next.and_then(|next| {
            let first = tap(next.first).wrapping_add(skipped * x.element.size());
            NonNull::new(first.cast_mut())
        }),
        contiguous: next.is_some_and(|next| next.contiguous),
        bound: plan.input_bound(),
    }
}
