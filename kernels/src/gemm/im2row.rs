//! The producer that copies taps of the input, where the GEMM can't read them in place.

use crate::activation::{Activation, UNBOUNDED};
use crate::element::ElementType;
use crate::gemm::micro_kernel::Runs;
use crate::gemm::operands::{DirectA, Lines, PartOfA};
use crate::gemm::pack::PackRun;
use crate::geometry::Axis;
use crate::pixels::{Pixel, Placement, Rectangle, Region};
use crate::planes::PlanesKernels;
use crate::planes::from_planes::{FromPlanesRun, Rows};

/// Rows of A a multiple of so many elements (4 KiB) apart share a set of the L1 cache, and a
/// micro-tile has more rows than a set has lines: they are packed.
const ALIASED_ROWS: usize = 1024;

/// Taps copied from the input.
#[derive(Debug)]
pub(crate) struct Im2row {
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    /// Whether this is a phase of a transposed convolution: a view can have rows besides those that
    /// its windows cover, and the axes be of a part of the pictures.
    pub(crate) is_phase: bool,
    /// Input channels of a group.
    pub(crate) group: usize,
    /// Of the input.
    pub(crate) element: ElementType,
    pub(crate) input_activation: Activation,
    /// Whether the input comes with factors.
    pub(crate) scaled: bool,
    /// What copies the input if it is made of planes.
    pub(crate) input_planes: Option<&'static PlanesKernels>,
}

impl Im2row {
    /// Whether each output pixel has one tap, the input pixel in its place, in any view.
    pub(crate) fn is_identity(&self) -> bool {
        !self.is_phase
            && [&self.vertical, &self.horizontal].into_iter().all(|axis| {
                (axis.kernel, axis.stride, axis.before, axis.output) == (1, 1, 0, axis.input)
            })
    }

    /// Whether copies would be the input as it is, with taps of a row side by side in a dense view.
    /// Not so of single taps with strides: 1×1·64→128, 56² to 28², takes 1.03 (AVX2) and 1.09
    /// (AVX-512) of the time with copies.
    pub(crate) fn is_direct(&self) -> bool {
        let plain = self.input_activation == Activation::None && self.element == ElementType::F32;
        let plain = plain && self.input_planes.is_none() && !self.scaled;
        let touch = match (self.vertical.kernel, self.horizontal.kernel) {
            (1, 1) => self.is_identity(),
            (_, 1) => true,
            _ => self.taps_touch(self.input[3]),
        };
        plain && touch
    }

    /// Whether the taps of a kernel row lie side by side where pixels are so many elements apart.
    fn taps_touch(&self, pixel: usize) -> bool {
        let channels = self.input[3];
        self.horizontal.dilation == 1 && pixel == channels && self.group == channels
    }

    /// The pixels and taps of a region as they lie in a view; none if copies are the better A, as
    /// for rows of fewer than `least` pixels.
    pub(crate) fn direct(&self, region: &Region, at: &Placement, least: usize) -> Option<DirectA> {
        let Region { columns, taps_y, taps_x, .. } = region;
        let identity = self.is_identity();
        // A stride beyond the input can wrap, but then there is only one pixel.
        let (lines, step) = match columns.len() {
            _ if identity => (Lines::All, at.pixel),
            1 => (Lines::Columns, self.vertical.stride.wrapping_mul(at.row)),
            _ => (Lines::Rows, self.horizontal.stride.wrapping_mul(at.pixel)),
        };
        let runs = Runs {
            count: taps_y.len(),
            a: self.vertical.dilation.wrapping_mul(at.row),
            b: self.horizontal.kernel * self.group,
        };
        let touch = taps_x.len() == 1 || taps_x.len() > 1 && self.taps_touch(at.pixel);
        // Without taps there is nothing to be read, or copied.
        let fits = touch && runs.count > 0 && !step.is_multiple_of(ALIASED_ROWS);
        let is_long = lines != Lines::Rows || columns.len() >= least;
        (fits && is_long).then_some(DirectA { step, lines, runs, channels: self.group })
    }

    /// Whether nothing but a clamp is done to what is copied from pixel to pixel.
    pub(crate) fn copies_clamped(&self) -> bool {
        self.input_planes.is_none() && !self.scaled && self.input_activation.bounds().is_some()
    }

    /// Makes a part of A, and applies the activation if that is a clamp.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce).
    pub(crate) unsafe fn produce_part(&self, part: &PartOfA<'_>) {
        let PartOfA { region, ref pixels, .. } = *part;
        if region.taps_x.is_empty() {
            return; // windows that lie in the padding altogether
        }
        match self.input_planes {
            Some(planes) => {
                // Rows of the output are rows of the input.
                let row = if self.is_identity() { self.input[2] } else { usize::MAX };
                region.runs(pixels.clone(), row, &mut |pixel, first, pixels| {
                    let rows = &part.rows[first..][..pixels];
                    // SAFETY: the caller vouches for x and panels of all the part's pixels; these
                    // are some, with their rows.
                    unsafe { self.produce_from_planes(planes, part, pixel, rows) };
                });
            }
            None => region.rectangles(pixels.clone(), &mut |rectangle, first| {
                // SAFETY: the caller vouches for x and panels of all the part's pixels, of which
                // the rectangle has some.
                unsafe { self.produce(part, &rectangle, first) };
            }),
        }
    }

    /// Copies the taps of pixels that lie side by side, from `first` on, as far as they are of the
    /// part's k, out of planes; and applies the activation if that is a clamp.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce).
    unsafe fn produce_from_planes(
        &self,
        planes: &PlanesKernels,
        part: &PartOfA<'_>,
        first: Pixel,
        rows: &[usize],
    ) {
        let PartOfA { x, placement, scale, group, region, k_starts, ref k, .. } = *part;
        let bounds = self.input_activation.bounds().unwrap_or(UNBOUNDED);
        for (ky, &k_start) in region.taps_y.clone().zip(k_starts) {
            let row = self.vertical.position(first.row, ky);
            for (copy, kx) in region.taps_x.clone().enumerate() {
                let copy_start = k_start + copy * self.group;
                let (from, to) = (copy_start.max(k.start), (copy_start + self.group).min(k.end));
                if from >= to {
                    continue;
                }
                let column = self.horizontal.position(first.column, kx);
                let channel = group * self.group + (from - copy_start);
                let at = placement.of_channel(Pixel { row, column, ..first }, channel);
                let run = FromPlanesRun {
                    x: x.add(at).at,
                    // A stride beyond the input can wrap, but then there is only one pixel.
                    x_pixel: self.horizontal.stride.wrapping_mul(placement.pixel),
                    x_channel: placement.channel,
                    pixels: rows.len(),
                    channels: to - from,
                    y: part.panels,
                    rows: Rows::Table(rows.as_ptr()),
                    block: part.block,
                    k: from - k.start,
                    bounds,
                    scale: scale.map(|scale| scale.of(first.picture, channel)),
                };
                // SAFETY: the level is available; the taps of these pixels lie inside the input and
                // their k inside the panel, which has whole vectors of k.
                unsafe { (planes.of(self.element).from)(&run) };
            }
        }
    }

    /// Copies the taps of a rectangle of a part's pixels, the first of which is the `first` of the
    /// part, as far as they are of the part's k; and applies the activation if that is a clamp.
    ///
    /// # Safety
    /// - The level of `part.pack` is available, which is for the input's type.
    /// - `part.x` is a view of the plan's input, of its type, with the rows that the rectangle's
    ///   windows cover.
    /// - The panels are `part.len` elements of this thread, with a row for each pixel.
    unsafe fn produce(&self, part: &PartOfA<'_>, rectangle: &Rectangle, first: usize) {
        let PartOfA { x, placement, scale, group, region, k_starts, ref k, .. } = *part;
        let channels = self.input[3];
        // A kernel row whose taps lie side by side in memory is one copy, but for factors, which
        // are those of one tap.
        let (copies, length) = if self.taps_touch(placement.pixel) && scale.is_none() {
            (1, region.taps_x.len() * channels)
        } else {
            (region.taps_x.len(), self.group)
        };
        // A stride beyond the input can wrap, but then there is only one pixel.
        let x_pixel = self.horizontal.stride.wrapping_mul(placement.pixel);
        let bounds = self.input_activation.bounds().unwrap_or(UNBOUNDED);
        let Rectangle { rows, columns, .. } = rectangle;
        for (r, oy) in rows.clone().enumerate() {
            let a_rows = &part.rows[first + r * region.columns.len()..][..columns.len()];
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
                        a: part.panels,
                        block: part.block,
                        rows: a_rows.as_ptr(),
                        k: from - k.start,
                        bounds,
                        scale: scale.map(|scale| {
                            scale.of(rectangle.picture, group * self.group + (from - copy_start))
                        }),
                    };
                    // SAFETY: the level is available; the taps of these pixels lie inside the input
                    // and their k inside the panel; each channel of a tap has a factor.
                    unsafe { (part.pack)(&run) };
                }
            }
        }
    }
}
