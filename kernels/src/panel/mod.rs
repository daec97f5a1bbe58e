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

use core::ops::Range;

use crate::activation::{ActivateRun, Activation};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::gemm::kernels::GemmKernels;
use crate::geometry::Axis;
use crate::window::{Finish, Pixel, Placement, Places, Rectangle, Sink, WindowPlan};

use pack::PackRun;

/// Output pixels that see the same taps: a rectangle of the output picture.
///
/// Padding is left out, not multiplied by zero. The tap ranges of an axis change monotonically, so
/// pixels with equal ranges form rectangles; there are at most (2·kh + 1)·(2·kw + 1), one without padding.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) taps_y: Range<usize>,
    pub(crate) taps_x: Range<usize>,
}

impl Region {
    /// Pixels of the region in one picture.
    pub(crate) fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Its part in some rows of the output.
    pub(crate) fn in_rows(&self, rows: &Range<usize>) -> Self {
        let start = self.rows.start.max(rows.start);
        Self { rows: start..self.rows.end.min(rows.end).max(start), ..self.clone() }
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

    /// Pixel `index` of the region over the whole batch.
    pub(crate) fn pixel(&self, index: usize) -> Pixel {
        let (line, column) = (index / self.columns.len(), index % self.columns.len());
        Pixel {
            picture: line / self.rows.len(),
            row: self.rows.start + line % self.rows.len(),
            column: self.columns.start + column,
        }
    }

    /// `of` each of the pixels `pixels` of the region over the whole batch. It grows evenly along a row, and is worked
    /// out for two pixels of each, of which the second may lie beyond: with products for every pixel shallow layers
    /// (112²·32→64) take 3 % longer.
    pub(crate) fn offsets(
        &self,
        pixels: Range<usize>,
        offsets: &mut [usize],
        of: impl Fn(Pixel) -> usize,
    ) {
        let width = self.columns.len();
        self.rectangles(pixels, |rectangle, first| {
            let Rectangle { picture, rows, columns } = rectangle;
            for (r, row) in rows.enumerate() {
                let [start, next] = [0, 1]
                    .map(|i| of(Pixel { picture, row, column: columns.start.wrapping_add(i) }));
                let first = first + r * width;
                let mut at = start;
                for offset in &mut offsets[first..first + columns.len()] {
                    *offset = at;
                    at = at.wrapping_add(next.wrapping_sub(start));
                }
            }
        });
    }

    /// Calls `f(rectangle, first)` for rectangles that make up pixels `pixels` of the region over the whole
    /// batch, at most three per picture; `first` counts from the range's start to the rectangle's first
    /// pixel, and as many pixels as the region has columns lie between its rows.
    pub(crate) fn rectangles(&self, pixels: Range<usize>, mut f: impl FnMut(Rectangle, usize)) {
        let (width, picture_pixels) = (self.columns.len(), self.pixels());
        let mut at = pixels.start;
        while at < pixels.end {
            let picture = at / picture_pixels;
            let end = ((picture + 1) * picture_pixels).min(pixels.end);
            let (first, last) = (at % picture_pixels, (end - 1) % picture_pixels);
            let (top, left) = (first / width, first % width);
            let (bottom, right) = (last / width, last % width + 1);
            // A column begins in the first row unless it lies left of the first pixel, and ends in the
            // last row unless it lies right of the last one.
            let cuts = [0, left.min(right), left.max(right), width];
            for cut in cuts.windows(2) {
                let columns = cut[0]..cut[1];
                let from = top + usize::from(columns.start < left);
                let to = bottom + usize::from(columns.start < right);
                if from < to && !columns.is_empty() {
                    let skipped = (picture * self.rows.len() + from) * width + columns.start;
                    let rectangle = Rectangle {
                        picture,
                        rows: self.rows.start + from..self.rows.start + to,
                        columns: self.columns.start + columns.start
                            ..self.columns.start + columns.end,
                    };
                    f(rectangle, skipped - pixels.start);
                }
            }
            at = end;
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
    /// Of the input.
    pub(crate) element: ElementType,
    pub(crate) input_activation: Activation,
}

/// Bytes of a picture up to which copying its pixels is not worth prefetching them: they are in L2, or
/// nearly. Measured at 147²·64, where it takes 5 to 7 % off the time, and at 19²·728, where it adds 1 %. Of depthwise
/// layers that strips compute it takes 2 to 4 % off 147²·64 and 147²·128, 1 to 2 % off 74²·128.
const CACHED: usize = 3 << 19;

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
pub(crate) struct Tile<'a> {
    pub(crate) a: *mut f32,
    /// Where each pixel's row begins.
    pub(crate) places: &'a [usize],
    /// Elements that the tile's panels take.
    pub(crate) len: usize,
}

impl Source {
    /// The input channels of a group if the GEMM can read the input itself, since producing would copy it
    /// as it is: the elements from one output pixel to the next, over the whole batch, are then the view's
    /// pixel stride.
    pub(crate) fn copied(&self) -> Option<usize> {
        let Self::Taps(taps) = self else {
            return None;
        };
        let identity = |axis: &Axis| {
            (axis.kernel, axis.stride, axis.before, axis.output) == (1, 1, 0, axis.input)
        };
        let plain = taps.input_activation == Activation::None && taps.element == ElementType::F32;
        (plain && identity(&taps.vertical) && identity(&taps.horizontal)).then_some(taps.group)
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        match self {
            Self::Taps(taps) => &taps.vertical,
            Self::Depthwise(plan, _) => &plan.vertical,
        }
    }

    /// Bytes of the weights that producing takes.
    pub(crate) fn weights_bytes(&self) -> usize {
        match self {
            Self::Taps(_) => 0,
            Self::Depthwise(plan, _) => plan.weights_bytes(),
        }
    }

    /// What producing an element of A takes, in multiply-adds, roughly: a copy as long as four.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Taps(_) => 4,
            Self::Depthwise(plan, _) => {
                plan.vertical.kernel.saturating_mul(plan.horizontal.kernel).saturating_add(4)
            }
        }
    }

    /// The channels of a pixel of which each output pixel brings one into use, if the picture is large: worth
    /// prefetching then.
    pub(crate) fn prefetched(&self) -> Option<usize> {
        let (input, element, group, once) = match self {
            Self::Taps(taps) => {
                let single = taps.vertical.kernel == 1 && taps.horizontal.kernel == 1;
                (taps.input, taps.element, taps.group, single)
            }
            Self::Depthwise(plan, _) => {
                let strips = plan.shares_rows() && plan.vertical.stride == 1;
                (plan.input, plan.element, plan.input[3], strips)
            }
        };
        let [_, h, w, channels] = input;
        (once && h * w * channels * element.size() > CACHED).then_some(group)
    }

    /// That pixel; any if it lies outside. It is the first one of a copy, and of a 3×3 window the middle one of the
    /// last row.
    pub(crate) fn fresh(&self, Pixel { picture, row, column }: Pixel) -> Pixel {
        let (vertical, horizontal, taps) = match self {
            Self::Taps(taps) => (&taps.vertical, &taps.horizontal, [0, 0]),
            Self::Depthwise(plan, _) => (&plan.vertical, &plan.horizontal, [2, 1]),
        };
        let position = |o: usize, axis: &Axis, tap: usize| {
            o.wrapping_mul(axis.stride).wrapping_add(tap).wrapping_sub(axis.before)
        };
        let (row, column) =
            (position(row, vertical, taps[0]), position(column, horizontal, taps[1]));
        Pixel { picture, row, column }
    }

    /// Whether tiles of whole rows are filled faster than others.
    pub(crate) fn shares_rows(&self) -> bool {
        matches!(self, Self::Depthwise(plan, _) if plan.shares_rows())
    }

    /// Whether some of the k can be produced by themselves.
    pub(crate) fn has_parts(&self) -> bool {
        matches!(self, Self::Taps(_))
    }

    /// Fills `tile` with pixels `pixels` of the region, for one group of channels.
    ///
    /// Of all k those in `k` are produced, and the first of them lies where the tile begins: all, unless the source
    /// has parts. `k_starts[i]` is where the k of the i-th kernel row of the region begin; `next` is the
    /// pixel with which the tile after this one begins, if there is one.
    ///
    /// # Safety
    /// `x` is a view of the plan's input with the rows that these pixels' windows cover; the tile has a place for
    /// each pixel and belongs to this thread.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a tile")]
    pub(crate) unsafe fn produce(
        &self,
        kernels: &GemmKernels,
        x: (Pointer, Placement),
        group: usize,
        region: &Region,
        k_starts: &[usize],
        k: Range<usize>,
        pixels: Range<usize>,
        next: Option<usize>,
        tile: Tile<'_>,
    ) {
        let unbounded = (f32::NEG_INFINITY, f32::INFINITY);
        let post = match self {
            Self::Taps(taps) => {
                let bounds = taps.input_activation.bounds();
                region.rectangles(pixels, |rectangle, first| {
                    // SAFETY: the caller's contract; region and pixels lie in the output.
                    unsafe {
                        taps.produce(
                            kernels,
                            x,
                            group,
                            (&rectangle, first),
                            region,
                            k_starts,
                            k.clone(),
                            tile,
                            bounds.unwrap_or(unbounded),
                        );
                    }
                });
                if bounds.is_none() { taps.input_activation } else { Activation::None }
            }
            Self::Depthwise(plan, mid) => {
                let bounds = mid.bounds();
                let finish = Finish {
                    residual: None,
                    bounds: bounds.unwrap_or(unbounded),
                    activation: Activation::None,
                };
                let run = |(rectangle, first): (Rectangle, usize), next| {
                    let (table, row) = (&tile.places[first..], region.columns.len());
                    let sink = Sink {
                        y: PointerMut::f32(tile.a),
                        places: Places::Table { table, row },
                        block: kernels.tile.mr * kernels.lanes,
                    };
                    // SAFETY: the caller's contract; region and pixels lie in the output.
                    unsafe { plan.run(x, &rectangle, next, &sink, &finish) };
                };
                let mut last = None;
                region.rectangles(pixels, |rectangle, first| {
                    let next = rectangle.first();
                    if let Some(last) = last.replace((rectangle, first)) {
                        run(last, Some(next));
                    }
                });
                if let Some(last) = last {
                    run(last, next.map(|next| region.pixel(next)));
                }
                if bounds.is_none() { *mid } else { Activation::None }
            }
        };
        if post != Activation::None {
            // Over whole panels: lanes and rows that hold no pixel hold numbers nobody reads.
            // SAFETY: the tile is `len` elements of this thread; the level is available.
            unsafe {
                (kernels.activate)(&ActivateRun { x: tile.a, count: tile.len, activation: post });
            }
        }
    }
}

impl Taps {
    /// Copies the taps of a rectangle of pixels, the first of which has place `first`, as far as they are in `k`.
    ///
    /// # Safety
    /// As [`Source::produce`].
    #[allow(clippy::too_many_arguments, reason = "the coordinates of a rectangle")]
    unsafe fn produce(
        &self,
        kernels: &GemmKernels,
        (x, placement): (Pointer, Placement),
        group: usize,
        (rectangle, first): (&Rectangle, usize),
        region: &Region,
        k_starts: &[usize],
        k: Range<usize>,
        tile: Tile<'_>,
        bounds: (f32, f32),
    ) {
        if region.taps_x.is_empty() {
            return; // windows that lie in the padding altogether
        }
        let channels = self.input[3];
        // A kernel row whose taps lie side by side in memory is one copy.
        let dense =
            self.horizontal.dilation == 1 && placement.pixel == channels && self.group == channels;
        let (copies, length) = if dense {
            (1, region.taps_x.len() * channels)
        } else {
            (region.taps_x.len(), self.group)
        };
        // A stride beyond the input can wrap, but then there is only one pixel.
        let x_pixel = self.horizontal.stride.wrapping_mul(placement.pixel);
        let Rectangle { rows, columns, .. } = rectangle;
        for (r, oy) in rows.clone().enumerate() {
            let places = &tile.places[first + r * region.columns.len()..][..columns.len()];
            for (ky, &k_start) in region.taps_y.clone().zip(k_starts) {
                let iy = self.vertical.position(oy, ky);
                for copy in 0..copies {
                    let copy_start = k_start + copy * length;
                    let (from, to) = (copy_start.max(k.start), (copy_start + length).min(k.end));
                    if from >= to {
                        continue;
                    }
                    let kx = region.taps_x.start + copy;
                    let ix = self.horizontal.position(columns.start, kx);
                    let first = Pixel { row: iy, column: ix, ..rectangle.first() };
                    let at = placement.of(first) + group * self.group + (from - copy_start);
                    let run = PackRun {
                        x: x.add(at).at,
                        x_pixel,
                        pixels: columns.len(),
                        length: to - from,
                        a: tile.a,
                        places: places.as_ptr(),
                        k: from - k.start,
                        bounds,
                    };
                    // SAFETY: the level is available; the taps of these pixels lie inside the input
                    // and their k inside the panel.
                    unsafe { kernels.pack(self.element)(&run) };
                }
            }
        }
    }
}
