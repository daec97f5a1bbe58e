//! Output pixels: rectangles and regions of them, and where they lie in a tensor.

use alloc::vec::Vec;
use core::ops::Range;

use crate::geometry::Axis;

/// Output pixels of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Rectangle {
    /// The picture's number in the batch.
    pub(crate) picture: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

/// One output pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pixel {
    pub(crate) picture: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Rectangle {
    /// The first one.
    pub(crate) fn first(&self) -> Pixel {
        Pixel { picture: self.picture, row: self.rows.start, column: self.columns.start }
    }
}

/// Where elements lie in a view of some rows of each picture of a tensor: distances in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    /// The first of these rows.
    top: usize,
    /// From one picture to the next.
    picture: usize,
    /// From one row to the next.
    pub(crate) row: usize,
    /// From one pixel to the next.
    pub(crate) pixel: usize,
    /// From one channel to the next: 1, or the size of a plane.
    pub(crate) channel: usize,
}

impl Placement {
    /// Channels innermost, in a view \[N, H, W, C\] of the rows from `top` on.
    pub(crate) fn nhwc([_, height, width, _]: [usize; 4], pixel: usize, top: usize) -> Self {
        let row = width.wrapping_mul(pixel);
        Self { top, picture: height.wrapping_mul(row), row, pixel, channel: 1 }
    }

    /// A plane for each channel, in a view \[N, H, W, C\] of the rows from `top` on, whose pictures
    /// lie `picture` apart.
    pub(crate) fn nchw(shape: [usize; 4], picture: usize, top: usize) -> Self {
        let [_, height, width, _] = shape;
        let channel = height.wrapping_mul(width);
        if channel == 1 {
            // A picture is a pixel whose channels lie side by side.
            return Self::nhwc(shape, picture, top);
        }
        Self { top, picture, row: width, pixel: 1, channel }
    }

    /// Channels innermost, in some rows of the one picture in question, from `top` on.
    pub(crate) fn patch(top: usize, row: usize, pixel: usize) -> Self {
        Self { top, picture: 0, row, pixel, channel: 1 }
    }

    /// Elements up to channel 0 of a pixel, modulo 2⁶⁴ if it lies outside of the view.
    pub(crate) fn of(&self, Pixel { picture, row, column }: Pixel) -> usize {
        let row = row.wrapping_sub(self.top).wrapping_mul(self.row);
        let pixel = column.wrapping_mul(self.pixel);
        picture.wrapping_mul(self.picture).wrapping_add(row).wrapping_add(pixel)
    }

    /// Elements from a pixel to that so many rows and columns on.
    pub(crate) fn shift(&self, [rows, columns]: [usize; 2]) -> usize {
        rows.wrapping_mul(self.row).wrapping_add(columns.wrapping_mul(self.pixel))
    }

    /// Where every n-th row and column lies, by n of either, from a first one on; and the elements
    /// up to that one.
    pub(crate) fn every(&self, [row, column]: [usize; 2], steps: [usize; 2]) -> (usize, Self) {
        let first = self.of(Pixel { picture: 0, row, column });
        let (row, pixel) = (self.row.wrapping_mul(steps[0]), self.pixel.wrapping_mul(steps[1]));
        (first, Self { top: 0, row, pixel, ..*self })
    }

    /// Elements up to a channel of a pixel, likewise.
    pub(crate) fn of_channel(&self, pixel: Pixel, channel: usize) -> usize {
        self.of(pixel).wrapping_add(channel.wrapping_mul(self.channel))
    }
}

/// Output pixels that see the same taps: a rectangle of the output picture.
///
/// Padding is left out, not multiplied by zero. The tap ranges of an axis change monotonically, so
/// pixels with equal ranges form rectangles; there are at most (2·kh + 1)·(2·kw + 1), one without
/// padding.
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

    /// All of an output, whose windows have all their taps: some of them in the padding.
    pub(crate) fn padded(vertical: &Axis, horizontal: &Axis) -> Self {
        Self {
            rows: 0..vertical.output,
            columns: 0..horizontal.output,
            taps_y: 0..vertical.kernel,
            taps_x: 0..horizontal.kernel,
        }
    }

    /// All regions of an output, in order.
    pub(crate) fn all(vertical: &Axis, horizontal: &Axis) -> Vec<Self> {
        let mut regions = Vec::new();
        let horizontal = horizontal.groups();
        for (rows, taps_y) in vertical.groups() {
            for (columns, taps_x) in horizontal.iter().cloned() {
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

    /// Calls `f(pixel, first, count)` for runs of pixels that lie side by side in a plane and make
    /// up pixels `pixels` of the region over the whole batch: a run ends with its row, or with its
    /// picture if the region's columns are all that a plane's row of `row` elements has. `first`
    /// counts from the range's start.
    pub(crate) fn runs(
        &self,
        pixels: Range<usize>,
        row: usize,
        f: &mut dyn FnMut(Pixel, usize, usize),
    ) {
        let width = self.columns.len();
        let longest = if width == row { self.pixels() } else { width };
        let mut at = pixels.start;
        while at < pixels.end {
            let end = ((at / longest + 1) * longest).min(pixels.end);
            f(self.pixel(at), at - pixels.start, end - at);
            at = end;
        }
    }

    /// `of` each of the pixels `pixels` of the region over the whole batch. It grows evenly along a
    /// row, and is worked out for two pixels of each, of which the second may lie beyond: with
    /// products for every pixel shallow layers (112²·32→64) take 3 % longer.
    pub(crate) fn offsets(
        &self,
        pixels: Range<usize>,
        offsets: &mut [usize],
        of: &dyn Fn(Pixel) -> usize,
    ) {
        let width = self.columns.len();
        self.rectangles(pixels, &mut |rectangle, first| {
            let Rectangle { picture, rows, columns } = rectangle;
            for (r, row) in rows.enumerate() {
                let start = of(Pixel { picture, row, column: columns.start });
                let next = of(Pixel { picture, row, column: columns.start.wrapping_add(1) });
                let first = first + r * width;
                let mut at = start;
                for offset in &mut offsets[first..first + columns.len()] {
                    *offset = at;
                    at = at.wrapping_add(next.wrapping_sub(start));
                }
            }
        });
    }

    /// Calls `f(rectangle, first)` for rectangles that make up pixels `pixels` of the region over
    /// the whole batch, at most three per picture; `first` counts from the range's start to the
    /// rectangle's first pixel, and as many pixels as the region has columns lie between its rows.
    pub(crate) fn rectangles(&self, pixels: Range<usize>, f: &mut dyn FnMut(Rectangle, usize)) {
        let (width, picture_pixels) = (self.columns.len(), self.pixels());
        let mut at = pixels.start;
        while at < pixels.end {
            let picture = at / picture_pixels;
            let end = ((picture + 1) * picture_pixels).min(pixels.end);
            let (first, last) = (at % picture_pixels, (end - 1) % picture_pixels);
            let (top, left) = (first / width, first % width);
            let (bottom, right) = (last / width, last % width + 1);
            // A column begins in the first row unless it lies left of the first pixel, and ends in
            // the last row unless it lies right of the last one.
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
