//! The producer that copies taps of the input.

use crate::activation::{Activation, UNBOUNDED};
use crate::element::ElementType;
use crate::gemm::kernels::GemmKernels;
use crate::gemm::operands::PartOfA;
use crate::gemm::pack::PackRun;
use crate::geometry::Axis;
use crate::pixels::{Pixel, Rectangle};

/// Taps copied from the input.
#[derive(Debug)]
pub(crate) struct Im2row {
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
    /// Input channels of a group.
    pub(crate) group: usize,
    /// Of the input.
    pub(crate) element: ElementType,
    pub(crate) input_activation: Activation,
}

impl Im2row {
    /// Copies the taps of a rectangle of a part's pixels, the first of which is the `first` of the
    /// part, as far as they are of the part's k; and applies the activation if that is a clamp.
    ///
    /// # Safety
    /// - The level of `kernels` is available.
    /// - `part.x` is a view of the plan's input, of its type, with the rows that the rectangle's windows cover.
    /// - The panels are `part.len` elements of this thread, with a row for each pixel.
    pub(crate) unsafe fn produce(
        &self,
        kernels: &GemmKernels,
        part: &PartOfA<'_>,
        rectangle: &Rectangle,
        first: usize,
    ) {
        let PartOfA { x, placement, group, region, k_starts, ref k, .. } = *part;
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
                        rows: a_rows.as_ptr(),
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
