//! A patch of an input: the pixels that the windows of some outputs cover, made f32 unless the
//! layer is one of integers, their channels side by side. Inputs that are NCHW, or scaled, are
//! copied so.

use core::ops::Range;

use crate::activation::{Activation, UNBOUNDED};
use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::Result;
use crate::gemm::pack::PackRun;
use crate::geometry::{Axis, product};
use crate::layout::TensorLayout;
use crate::options::Options;
use crate::pixels::{Pixel, Placement, Region};
use crate::planes::PlanesKernels;
use crate::planes::from_planes::{FromPlanesRun, Rows};
use crate::planes::transpose::Transpose;
use crate::table::kernels::Kernels;
use crate::view::Scale;

/// Pixels that are packed at once: as many as a table on the stack has.
const PIXELS: usize = 64;

/// Input pixels and channels of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) picture: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) channels: Range<usize>,
}

/// What copies patches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PatchCopy {
    kernel: PatchKernel,
    /// Clamp, (−∞, ∞) for none.
    bounds: (f32, f32),
}

#[derive(Debug, Clone, Copy)]
enum PatchKernel {
    /// Out of planes.
    Planes(&'static PlanesKernels),
    /// From pixel to pixel, of whole vectors of so many lanes.
    Pixels(unsafe fn(&PackRun), usize),
}

impl PatchCopy {
    /// What copies the input of a plan; none if its windows are computed from the input itself.
    pub(crate) fn new(kernels: &'static Kernels, options: &Options) -> Option<Self> {
        let kernel = match options.input_layout {
            TensorLayout::Nchw => PatchKernel::Planes(&kernels.planes),
            TensorLayout::Nhwc if options.input_scale => {
                PatchKernel::Pixels(kernels.gemm.pack(options.input_type), kernels.gemm.lanes)
            }
            TensorLayout::Nhwc => return None,
        };
        // Windows apply the activation, unless there is a scale, which comes after it.
        let activation =
            if options.input_scale { options.input_activation } else { Activation::None };
        Some(Self { kernel, bounds: activation.bounds().unwrap_or(UNBOUNDED) })
    }

    /// The kernels if it copies out of planes.
    pub(crate) fn planes(&self) -> Option<&'static PlanesKernels> {
        match self.kernel {
            PatchKernel::Planes(planes) => Some(planes),
            PatchKernel::Pixels(..) => None,
        }
    }
}

impl Patch {
    /// Copies it from `x` to `to`, pixels `pixel` elements apart, times the factors of `scale`.
    /// Gives it as a view of the input, of which nothing but the patch is there.
    ///
    /// # Safety
    /// - The level of the kernels is available.
    /// - `x` is a view of the input that `copy` is for, with these rows; its factors are `scale`.
    /// - `to` is valid for writing rows × columns pixels; no other thread touches them.
    /// - `pixel` is at least the channels, rounded up to whole vectors.
    pub(crate) unsafe fn copy(
        &self,
        copy: &PatchCopy,
        (x, placement): (Pointer, Placement),
        scale: Option<Scale>,
        to: *mut f32,
        pixel: usize,
    ) -> (Pointer, Placement) {
        let Self { picture, rows, columns, channels } = self;
        let width = columns.len();
        // Whole rows lie one after the other.
        let dense = width.wrapping_mul(placement.pixel) == placement.row;
        let (runs, pixels) = if dense { (1, rows.len() * width) } else { (rows.len(), width) };
        let scale = scale.map(|scale| scale.of(*picture, channels.start));
        for r in 0..runs {
            let first = Pixel { picture: *picture, row: rows.start + r, column: columns.start };
            let x = x.add(placement.of_channel(first, channels.start));
            let y = to.wrapping_add(r * width * pixel);
            match copy.kernel {
                PatchKernel::Planes(kernels) => {
                    let run = FromPlanesRun {
                        x: x.at,
                        x_pixel: placement.pixel,
                        x_channel: placement.channel,
                        pixels,
                        channels: channels.len(),
                        y,
                        rows: Rows::Step(pixel),
                        block: kernels.lanes,
                        k: 0,
                        bounds: copy.bounds,
                        scale,
                    };
                    // SAFETY: the level is available. `x` has these rows and channels, `to` room
                    // for pixels of `pixel` elements, whole vectors, by the caller's word; this is
                    // a row, or all of them.
                    unsafe { (kernels.of(x.element).from)(&run) };
                }
                PatchKernel::Pixels(pack, lanes) => {
                    let offsets: [usize; PIXELS] = core::array::from_fn(|i| i * pixel);
                    for first in (0..pixels).step_by(PIXELS) {
                        let run = PackRun {
                            x: x.add(first.wrapping_mul(placement.pixel)).at,
                            x_pixel: placement.pixel,
                            pixels: PIXELS.min(pixels - first),
                            length: channels.len(),
                            a: y.wrapping_add(first * pixel),
                            block: lanes,
                            rows: offsets.as_ptr(),
                            k: 0,
                            bounds: copy.bounds,
                            scale,
                        };
                        // SAFETY: as above; the table has an offset for each of these pixels, and
                        // the scale a factor for each of these channels.
                        unsafe { pack(&run) };
                    }
                }
            }
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
