//! The packed operands of the GEMM: weights (B) and the producers of the A panel.
//!
//! An A panel holds MR pixels × all k in blocks `[k / L][MR][k % L]`, L the lanes of a vector; a tile of
//! pixels is a row of such panels. A producer fills the tile for a range of output pixels:
//!
//! - [`Source::Taps`]: pixels copied tap by tap. With one tap and stride 1 these are rows of a matrix
//!   (pointwise), with a stride they are gathered rows, with several taps this is im2row on the fly.
//! - [`Source::Depthwise`]: the result of a depthwise convolution, born in the panel.

pub(crate) mod pack;
mod weights;

pub(crate) use weights::PackedWeights;

use crate::Activation;
use crate::geometry::Axis;
use crate::isa::Kernels;
use crate::window::{Finish, Sink, WindowPlan};
use pack::PackRun;

/// Output pixels that see the same taps: a rectangle of the output picture.
///
/// Padding is left out, not multiplied by zero. The tap ranges of an axis change monotonically, so
/// pixels with equal ranges form rectangles; there are at most (2·kh + 1)·(2·kw + 1), one without padding.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) rows: core::ops::Range<usize>,
    pub(crate) columns: core::ops::Range<usize>,
    pub(crate) taps_y: core::ops::Range<usize>,
    pub(crate) taps_x: core::ops::Range<usize>,
}

impl Region {
    /// Pixels of the region in one picture.
    pub(crate) fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// All regions of an output, in order.
    pub(crate) fn all(vertical: &Axis, horizontal: &Axis) -> alloc::vec::Vec<Self> {
        let mut regions = alloc::vec::Vec::new();
        for (rows, taps_y) in vertical.groups() {
            for (columns, taps_x) in horizontal.groups() {
                regions.push(Self { rows: rows.clone(), columns, taps_y: taps_y.clone(), taps_x });
            }
        }
        regions
    }

    /// Calls `f(n, oy, columns, first)` for the runs of consecutive pixels of one output row that make up
    /// pixels `pixels` of the region over the whole batch; `first` counts from the range's start.
    pub(crate) fn runs(
        &self,
        pixels: core::ops::Range<usize>,
        mut f: impl FnMut(usize, usize, core::ops::Range<usize>, usize),
    ) {
        let width = self.columns.len();
        let mut at = pixels.start;
        while at < pixels.end {
            let (line, column) = (at / width, at % width);
            let length = (width - column).min(pixels.end - at);
            let (n, row) = (line / self.rows.len(), line % self.rows.len());
            let start = self.columns.start + column;
            f(n, self.rows.start + row, start..start + length, at - pixels.start);
            at += length;
        }
    }
}

/// Taps copied from the input.
#[derive(Debug)]
pub(crate) struct Taps {
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    /// Input channels of a group.
    pub(crate) group: usize,
    pub(crate) input_activation: Activation,
}

/// What fills A panels.
#[derive(Debug)]
pub(crate) enum Source {
    /// Copies of the input's pixels.
    Taps(Taps),
    /// A depthwise convolution of the input, and the activation after it.
    Depthwise(WindowPlan, Activation),
}

/// The tile of A panels that a producer fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) a: *mut f32,
    /// Elements of a panel: MR × the padded depth.
    pub(crate) panel: usize,
}

impl Source {
    /// Fills `tile` with pixels `pixels` of the region, for one group of channels.
    ///
    /// `k_starts[i]` is where the k of the i-th kernel row of the region begins in the panel.
    ///
    /// # Safety
    /// `x` is a view of the plan's input with this pixel stride; the tile has room for the pixels and
    /// belongs to this thread.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a tile")]
    pub(crate) unsafe fn produce(
        &self,
        kernels: &Kernels,
        (x, pixel_stride): (*const f32, usize),
        group: usize,
        region: &Region,
        k_starts: &[usize],
        pixels: core::ops::Range<usize>,
        tile: Tile,
    ) {
        let (mr, lanes) = (kernels.mr, kernels.lanes);
        let panels = pixels.len().div_ceil(mr);
        let post = match self {
            Self::Taps(taps) => {
                let bounds = taps.input_activation.bounds();
                region.runs(pixels, |n, oy, columns, first| {
                    // SAFETY: the caller's contract; region and pixels lie in the output.
                    unsafe {
                        taps.produce_run(
                            kernels,
                            (x, pixel_stride),
                            group,
                            (n, oy, columns, first),
                            region,
                            k_starts,
                            tile,
                            bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
                        );
                    }
                });
                if bounds.is_none() { taps.input_activation } else { Activation::None }
            }
            Self::Depthwise(plan, mid) => {
                let sink = Sink {
                    y: tile.a,
                    group: mr,
                    group_stride: tile.panel,
                    pixel: lanes,
                    block: mr * lanes,
                };
                let bounds = mid.bounds();
                let finish = Finish {
                    residual: None,
                    bounds: bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
                };
                region.runs(pixels, |n, oy, columns, first| {
                    // SAFETY: the caller's contract; region and pixels lie in the output.
                    unsafe { plan.run(x, pixel_stride, (n, oy), columns, &sink, first, &finish) };
                });
                if bounds.is_none() { *mid } else { Activation::None }
            }
        };
        if post != Activation::None {
            // Over whole panels: lanes and rows that hold no pixel hold numbers nobody reads.
            // SAFETY: the tile is panels·panel elements of this thread; the level is available.
            unsafe {
                let tile = core::slice::from_raw_parts_mut(tile.a, panels * tile.panel);
                (kernels.activate)(tile, post);
            }
        }
    }
}

impl Taps {
    /// Copies all taps of a run of pixels.
    ///
    /// # Safety
    /// As [`Source::produce`].
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a run")]
    unsafe fn produce_run(
        &self,
        kernels: &Kernels,
        (x, pixel_stride): (*const f32, usize),
        group: usize,
        (n, oy, columns, first): (usize, usize, core::ops::Range<usize>, usize),
        region: &Region,
        k_starts: &[usize],
        tile: Tile,
        bounds: (f32, f32),
    ) {
        if region.taps_x.is_empty() {
            return; // windows that lie in the padding altogether
        }
        let [_, h, w, channels] = self.input;
        let (mr, lanes) = (kernels.mr, kernels.lanes);
        // A kernel row whose taps lie side by side in memory is one copy.
        let dense =
            self.horizontal.dilation == 1 && pixel_stride == channels && self.group == channels;
        let (copies, length) = if dense {
            (1, region.taps_x.len() * channels)
        } else {
            (region.taps_x.len(), self.group)
        };
        // A stride beyond the input can wrap, but then there is only one pixel.
        let x_pixel = self.horizontal.stride.wrapping_mul(pixel_stride);
        for (ky, &k_start) in region.taps_y.clone().zip(k_starts) {
            let iy = self.vertical.position(oy, ky);
            for copy in 0..copies {
                let kx = region.taps_x.start + copy;
                let ix = self.horizontal.position(columns.start, kx);
                let at = ((n * h + iy) * w + ix) * pixel_stride + group * self.group;
                let (mut p, end) = (first, first + columns.len());
                while p < end {
                    let pixels = (mr - p % mr).min(end - p);
                    let run = PackRun {
                        x: x.wrapping_add(at + (p - first) * x_pixel),
                        x_pixel,
                        pixels,
                        length,
                        a: tile.a.wrapping_add(p / mr * tile.panel + p % mr * lanes),
                        k: k_start + copy * length,
                        bounds,
                    };
                    // SAFETY: the level is available; the taps of these pixels lie inside the input
                    // and their k inside the panel.
                    unsafe { (kernels.pack)(&run) };
                    p += pixels;
                }
            }
        }
    }
}
