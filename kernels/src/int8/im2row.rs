//! The producer that copies taps of an input of 8-bit integers. Taps in the padding are copies of
//! the zero point.

use core::ops::Range;

use crate::element::Pointer;
use crate::gemm::operands::PartOfA;
use crate::geometry::Axis;
use crate::int8::layer::Int8Layer;
use crate::int8::pack::{BytePrologue, PackRun};
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::planes::patch::Patch;

/// Bytes of padding that are copied at a time.
const PADDING: usize = 256;

/// Taps copied from the input.
#[derive(Debug)]
pub(crate) struct Int8Im2row {
    layer: Int8Layer,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    /// Input channels of a group.
    pub(crate) group: usize,
    /// Whether the input is made of planes, out of which pixels are copied first.
    pub(crate) planes: bool,
}

impl Int8Im2row {
    /// That of a layer.
    pub(crate) fn new(
        layer: Int8Layer,
        input: [usize; 4],
        [vertical, horizontal]: [Axis; 2],
        group: usize,
        planes: bool,
    ) -> Self {
        Self { layer, input, vertical, horizontal, group, planes }
    }

    /// Makes a part of A, all k of some pixels.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce).
    pub(crate) unsafe fn produce(&self, part: &PartOfA<'_>) {
        part.region.rectangles(part.pixels.clone(), &mut |rectangle, first| {
            // SAFETY: the caller's contract, for these pixels.
            unsafe {
                let x = if self.planes {
                    self.patch(part, &rectangle)
                } else {
                    (part.x, part.placement)
                };
                self.rectangle(part, x, &rectangle, first);
            }
        });
    }

    /// Copies the input of a rectangle, the channels of a group, out of planes.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce); the patch has room for
    /// it.
    unsafe fn patch(&self, part: &PartOfA<'_>, at: &Rectangle) -> (Pointer, Placement) {
        let first = part.group * self.group;
        let patch = Patch {
            picture: at.picture,
            rows: self.vertical.covered(&at.rows),
            columns: self.horizontal.covered(&at.columns),
            channels: first..first + self.group,
        };
        // SAFETY: the caller's contract.
        unsafe { patch.copy_as_is((part.x, part.placement), part.patch.cast()) }
    }

    /// Makes the rows of the pixels of a rectangle, the first of which is the `first` of the part,
    /// from an input.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce).
    unsafe fn rectangle(
        &self,
        part: &PartOfA<'_>,
        x: (Pointer, Placement),
        rectangle: &Rectangle,
        first: usize,
    ) {
        let (width, channels) = (self.horizontal.kernel, self.input[3]);
        // A kernel row whose taps lie side by side in memory is one copy.
        let dense =
            self.horizontal.dilation == 1 && self.group == channels && x.1.pixel == channels;
        let Rectangle { picture, rows, columns } = rectangle.clone();
        let inside = |kx: usize| outputs_inside(&self.horizontal, kx, &columns);
        let whole =
            inside(0).start.max(inside(width - 1).start)..inside(0).end.min(inside(width - 1).end);
        let whole = if dense && !whole.is_empty() { whole } else { columns.start..columns.start };
        for (r, oy) in rows.enumerate() {
            let rows = &part.rows[first + r * part.region.columns.len()..][..columns.len()];
            let of = |outputs: &Range<usize>| {
                &rows[outputs.start - columns.start..outputs.end - columns.start]
            };
            let taps = self.vertical.taps(oy);
            for ky in 0..self.vertical.kernel {
                let row = taps.contains(&ky).then(|| self.vertical.position(oy, ky));
                let tap = |row: usize, outputs: &Range<usize>, kx: usize| {
                    let column = self.horizontal.position(outputs.start, kx);
                    Pixel { picture, row, column }
                };
                let k = ky * width * self.group;
                // SAFETY: the caller's contract, for these pixels, whose taps lie in the input
                // where they are copied.
                unsafe {
                    let Some(row) = row else {
                        self.pad(part, k, width * self.group, rows);
                        continue;
                    };
                    if !whole.is_empty() {
                        let length = width * self.group;
                        self.copy(part, x, tap(row, &whole, 0), [k, length], of(&whole));
                    }
                    let rests = [columns.start..whole.start, whole.end..columns.end];
                    // An empty rest's divisions would take longer than the copies.
                    for rest in rests.into_iter().filter(|rest| !rest.is_empty()) {
                        for kx in 0..width {
                            let k = k + kx * self.group;
                            let inside = outputs_inside(&self.horizontal, kx, &rest);
                            if !inside.is_empty() {
                                let tap = tap(row, &inside, kx);
                                self.copy(part, x, tap, [k, self.group], of(&inside));
                            }
                            self.pad(part, k, self.group, of(&(rest.start..inside.start)));
                            self.pad(part, k, self.group, of(&(inside.end..rest.end)));
                        }
                    }
                }
            }
        }
    }

    /// Copies `length` channels of input pixels from `tap` on, a stride apart, to k.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce), for rows of its panels;
    /// the pixels exist.
    unsafe fn copy(
        &self,
        part: &PartOfA<'_>,
        (x, placement): (Pointer, Placement),
        tap: Pixel,
        [k, length]: [usize; 2],
        rows: &[usize],
    ) {
        let run = PackRun {
            x: x.add(placement.of(tap).wrapping_add(part.group * self.group)).at,
            // A stride beyond the input can wrap, but then there is only one pixel.
            x_pixel: self.horizontal.stride.wrapping_mul(placement.pixel),
            pixels: rows.len(),
            length,
            a: part.panels,
            rows: rows.as_ptr(),
            block: part.block,
            k,
            prologue: self.layer.prologue,
        };
        // SAFETY: the instructions are available; the pixels exist, and their k in the panels.
        unsafe { (self.layer.kernels.pack)(&run) };
    }

    /// Fills `length` of k with the zero point.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce), for rows of its panels.
    unsafe fn pad(&self, part: &PartOfA<'_>, k: usize, length: usize, rows: &[usize]) {
        if rows.is_empty() {
            return;
        }
        let zeros = [self.layer.zero_byte(); PADDING];
        for channel in (0..length).step_by(PADDING) {
            let run = PackRun {
                x: zeros.as_ptr(),
                x_pixel: 0,
                pixels: rows.len(),
                length: PADDING.min(length - channel),
                a: part.panels,
                rows: rows.as_ptr(),
                block: part.block,
                k: k + channel,
                // Not the input's activation.
                prologue: BytePrologue { bounds: None, ..self.layer.prologue },
            };
            // SAFETY: the instructions are available; the k lie in the panels.
            unsafe { (self.layer.kernels.pack)(&run) };
        }
    }
}

/// Of some outputs along an axis, those of which tap `t` lies inside the input.
fn outputs_inside(axis: &Axis, t: usize, outputs: &Range<usize>) -> Range<usize> {
    // o·stride + t·dilation − before ≥ 0 and < input.
    let tap = t * axis.dilation;
    let first = axis.before.saturating_sub(tap).div_ceil(axis.stride);
    let end = (axis.input + axis.before).saturating_sub(tap).div_ceil(axis.stride);
    let start = first.clamp(outputs.start, outputs.end);
    start..end.clamp(start, outputs.end)
}
