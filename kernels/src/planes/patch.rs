//! A patch of an NCHW input: the pixels that the windows of some outputs cover, made f32, their
//! channels side by side.

use core::ops::Range;

use crate::activation::UNBOUNDED;
use crate::element::{ElementType, Pointer};
use crate::pixels::{Pixel, Placement};
use crate::planes::PlanesKernels;
use crate::planes::from_planes::{FromPlanesRun, Rows};

/// Input pixels and channels of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) picture: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) channels: Range<usize>,
}

impl Patch {
    /// Copies it out of the planes of `x` to `to`, pixels `pixel` elements apart. Gives it as a
    /// view of the input, of which nothing but the patch is there.
    ///
    /// # Safety
    /// - The level of `kernels` is available.
    /// - `x` is an NCHW view that has these rows.
    /// - `to` is valid for writing rows × columns pixels; no other thread touches them.
    /// - `pixel` is at least the channels, rounded up to whole vectors.
    pub(crate) unsafe fn copy(
        &self,
        kernels: &PlanesKernels,
        (x, placement): (Pointer, Placement),
        to: *mut f32,
        pixel: usize,
    ) -> (Pointer, Placement) {
        let Self { picture, rows, columns, channels } = self;
        let width = columns.len();
        // Whole rows lie one after the other.
        let (runs, pixels) =
            if width == placement.row { (1, rows.len() * width) } else { (rows.len(), width) };
        for r in 0..runs {
            let first = Pixel { picture: *picture, row: rows.start + r, column: columns.start };
            let at = placement.of_channel(first, channels.start);
            let run = FromPlanesRun {
                x: x.add(at).at,
                x_pixel: placement.pixel,
                x_channel: placement.channel,
                pixels,
                channels: channels.len(),
                y: to.wrapping_add(r * width * pixel),
                rows: Rows::Step(pixel),
                block: kernels.lanes,
                k: 0,
                bounds: UNBOUNDED,
            };
            // SAFETY: the level is available. `x` has these rows and channels, `to` room for pixels
            // of `pixel` elements, whole vectors, by the caller's word; this is a row, or all of
            // them.
            unsafe { (kernels.of(x.element).from)(&run) };
        }
        let placement = Placement::patch(rows.start, width * pixel, pixel);
        let at = to.cast::<u8>().cast_const();
        let origin = Pointer { at, element: ElementType::F32 };
        // Column 0, which need not be there.
        (origin.add(columns.start.wrapping_mul(pixel).wrapping_neg()), placement)
    }
}
