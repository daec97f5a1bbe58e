//! The producer that copies taps of an input of 8-bit integers. Taps in the padding are copies of
//! the zero point.

use core::ops::Range;

use crate::gemm::operands::PartOfA;
use crate::geometry::Axis;
use crate::int8::kernels::Int8Kernels;
use crate::int8::layer::Int8Layer;
use crate::int8::pack::{PackRun, Prologue};
use crate::pixels::{Pixel, Rectangle};

/// Bytes of padding that are copied at a time.
const PADDING: usize = 256;

/// Taps copied from the input.
#[derive(Debug)]
pub(crate) struct Int8Im2row {
    pub(crate) kernels: &'static Int8Kernels,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    /// Input channels of a group.
    pub(crate) group: usize,
    /// The input's zero point, as the input has it.
    pub(crate) zero_point: u8,
    pub(crate) prologue: Prologue,
}

impl Int8Im2row {
    /// That of a layer.
    pub(crate) fn new(
        layer: &Int8Layer,
        input: [usize; 4],
        vertical: Axis,
        horizontal: Axis,
        group: usize,
    ) -> Self {
        let Int8Layer { kernels, prologue, .. } = *layer;
        let zero_point = layer.zero_byte();
        Self { kernels, input, vertical, horizontal, group, zero_point, prologue }
    }

    /// Makes a part of A, all k of some pixels.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce).
    pub(crate) unsafe fn produce(&self, part: &PartOfA<'_>) {
        part.region.rectangles(part.pixels.clone(), |rectangle, first| {
            let Rectangle { picture, rows, columns } = rectangle;
            for (r, oy) in rows.enumerate() {
                let rows = &part.rows[first + r * part.region.columns.len()..][..columns.len()];
                let taps = self.vertical.taps(oy);
                for ky in 0..self.vertical.kernel {
                    let inside = taps.contains(&ky);
                    let row = if inside { Some(self.vertical.position(oy, ky)) } else { None };
                    for kx in 0..self.horizontal.kernel {
                        let k = (ky * self.horizontal.kernel + kx) * self.group;
                        let inside = match row {
                            Some(_) => outputs_inside(&self.horizontal, kx, &columns),
                            None => columns.start..columns.start,
                        };
                        let [start, end] =
                            [inside.start, inside.end].map(|column| column - columns.start);
                        // SAFETY: the caller's contract, for these pixels.
                        unsafe {
                            if let (Some(row), false) = (row, inside.is_empty()) {
                                let column = self.horizontal.position(inside.start, kx);
                                let tap = Pixel { picture, row, column };
                                self.copy(part, tap, k, &rows[start..end]);
                            }
                            self.pad(part, k, &rows[..start]);
                            self.pad(part, k, &rows[end..]);
                        }
                    }
                }
            }
        });
    }

    /// Copies the channels of input pixels from `tap` on, a stride apart.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce), for rows of its panels; the
    /// pixels exist.
    unsafe fn copy(&self, part: &PartOfA<'_>, tap: Pixel, k: usize, rows: &[usize]) {
        let at = part.placement.of_channel(tap, part.group * self.group);
        let run = PackRun {
            x: part.x.add(at).at,
            // A stride beyond the input can wrap, but then there is only one pixel.
            x_pixel: self.horizontal.stride.wrapping_mul(part.placement.pixel),
            x_channel: part.placement.channel,
            pixels: rows.len(),
            length: self.group,
            a: part.panels,
            rows: rows.as_ptr(),
            k,
            prologue: self.prologue,
        };
        // SAFETY: the instructions are available; the pixels exist, and their k in the panels.
        unsafe { (self.kernels.pack)(&run) };
    }

    /// Fills channels with the zero point.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce), for rows of its panels.
    unsafe fn pad(&self, part: &PartOfA<'_>, k: usize, rows: &[usize]) {
        if rows.is_empty() {
            return;
        }
        let zeros = [self.zero_point; PADDING];
        for channel in (0..self.group).step_by(PADDING) {
            let run = PackRun {
                x: zeros.as_ptr(),
                x_pixel: 0,
                x_channel: 1,
                pixels: rows.len(),
                length: PADDING.min(self.group - channel),
                a: part.panels,
                rows: rows.as_ptr(),
                k: k + channel,
                // Not the input's activation.
                prologue: Prologue { bounds: None, ..self.prologue },
            };
            // SAFETY: the instructions are available; the k lie in the panels.
            unsafe { (self.kernels.pack)(&run) };
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
