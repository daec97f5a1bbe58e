//! A patch of an NCHW input: the pixels that the windows of some outputs cover, made f32 unless the
//! layer is one of integers, their channels side by side.

use core::ops::Range;

use crate::activation::UNBOUNDED;
use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::Result;
use crate::geometry::{Axis, product};
use crate::pixels::{Pixel, Placement, Region};
use crate::planes::PlanesKernels;
use crate::planes::from_planes::{FromPlanesRun, Rows};
use crate::planes::transpose::Transpose;

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

    /// Copies it out of the planes of `x` to `to` as it is, of x's type, in pixels of no more than
    /// these channels. Gives it as [`Patch::copy`] does, with each channel in the input's place.
    ///
    /// # Safety
    /// - `x` is an NCHW view that has these rows, of integers or f32.
    /// - `to` is valid for writing rows × columns pixels; no other thread touches them.
    pub(crate) unsafe fn copy_as_is(
        &self,
        (x, placement): (Pointer, Placement),
        to: *mut u8,
    ) -> (Pointer, Placement) {
        let Self { picture, rows, columns, channels } = self;
        let (width, pixel) = (columns.len(), channels.len());
        let to = PointerMut { at: to, element: x.element };
        // Whole rows lie one after the other.
        let (runs, pixels) =
            if width == placement.row { (1, rows.len() * width) } else { (rows.len(), width) };
        for r in 0..runs {
            let first = Pixel { picture: *picture, row: rows.start + r, column: columns.start };
            let copy = Transpose {
                from: x.add(placement.of_channel(first, channels.start)),
                from_row: placement.channel,
                to: to.add(r * width * pixel),
                to_row: pixel,
                rows: pixel,
                columns: pixels,
            };
            // SAFETY: `x` has these rows and channels, `to` room for them, by the caller's word.
            unsafe { copy.run() };
        }
        let first = columns.start.wrapping_mul(pixel).wrapping_add(channels.start);
        let origin = Pointer { at: to.at, element: x.element }.add(first.wrapping_neg());
        (origin, Placement::patch(rows.start, width * pixel, pixel))
    }
}

/// The most pixels of an input that the windows of one of a tile's rectangles cover, of up to `mc`
/// outputs of a region.
pub(crate) fn most_pixels(
    vertical: &Axis,
    horizontal: &Axis,
    region: &Region,
    mc: usize,
) -> Result<usize> {
    let columns = region.columns.len().min(mc);
    // The pixels of a tile may begin and end within a row.
    let rows = (mc.div_ceil(columns.max(1)) + 1).min(region.rows.len());
    product("scratch", &[vertical.extent(rows), horizontal.extent(columns)])
}
