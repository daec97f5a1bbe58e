//! What fills the A panels of a tile of pixels:
//!
//! - [`Producer::Im2row`]: pixels copied tap by tap. With one tap and stride 1 these are rows of a
//!   matrix (pointwise), with a stride they are gathered rows, with several taps this is im2row,
//!   tile by tile. Where it would copy pixels as they are, the GEMM can do without
//!   ([`Producer::direct`]).
//! - [`Producer::Depthwise`]: the result of a depthwise convolution, born in the panel.

use crate::activation::{ActivateRun, Activation, UNBOUNDED};
use crate::depthwise::plan::DepthwisePlan;
use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::Result;
use crate::gemm::im2row::Im2row;
use crate::gemm::kernels::GemmKernels;
use crate::gemm::operands::{DirectA, PartOfA};
use crate::geometry::{Axis, product};
use crate::int8::im2row::Int8Im2row;
use crate::int8::tensor::{Int8Depthwise, Int8Windows};
use crate::pixels::{Pixel, Placement, Rectangle, Region};
use crate::planes::patch::{Patch, PatchCopy, most_pixels};
use crate::rows::plan::{Destination, OutputPixels};

/// Bytes of a picture up to which copying its pixels is not worth prefetching them: they are in L2,
/// or nearly. Measured at 147²·64, where it takes 5 to 7 % off the time, and at 19²·728, where it
/// adds 1 %. Of 3×3 depthwise layers it takes 2 to 4 % off 147²·64 and 147²·128, 1 to 2 % off
/// 74²·128.
const CACHED_PICTURE: usize = 3 << 19;

/// What fills A panels.
#[derive(Debug)]
pub(crate) enum Producer {
    /// Copies of the input's pixels.
    Im2row(Im2row),
    /// The same of 8-bit integers.
    Int8Im2row(Int8Im2row),
    /// A depthwise convolution of the input.
    Depthwise(DepthwiseProducer),
    /// The same of 8-bit integers.
    Int8Depthwise(Int8Depthwise),
}

/// A depthwise convolution, and what comes before and after it.
#[derive(Debug)]
pub(crate) struct DepthwiseProducer {
    /// Of f32 if the input is made of planes.
    pub(crate) plan: DepthwisePlan,
    /// Between the depthwise and the pointwise convolution.
    pub(crate) activation: Activation,
    /// What copies the input if it is made of planes, or scaled.
    pub(crate) copy: Option<PatchCopy>,
}

impl Producer {
    /// Whether the GEMM can read the input itself, at least in dense views.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self, Self::Im2row(im2row) if im2row.is_direct())
    }

    /// How the GEMM reads the input itself, if it can, for the pixels of a region; none if A is
    /// better produced, as for rows of fewer than `least` pixels.
    pub(crate) fn direct(&self, region: &Region, at: &Placement, least: usize) -> Option<DirectA> {
        match self {
            Self::Im2row(im2row) => im2row.direct(region, at, least),
            _ => None,
        }
    }

    /// The kernels by which plans are told apart: the copy of pixels out of planes of `input`, and
    /// the depthwise one.
    pub(crate) fn names(&self, input: ElementType) -> [Option<&'static str>; 2] {
        let (planes, depthwise) = match self {
            Self::Im2row(im2row) => (im2row.input_planes, None),
            Self::Int8Im2row(_) => (None, None),
            Self::Int8Depthwise(depthwise) => {
                (None, Some(depthwise.windows.layer.kernels.depthwise_name))
            }
            Self::Depthwise(DepthwiseProducer { plan, copy, .. }) => {
                (copy.and_then(|copy| copy.planes()), Some(plan.kernel_name()))
            }
        };
        [planes.map(|planes| planes.of(input).from_name), depthwise]
    }

    /// Elements of what a tile of up to `mc` pixels needs room for before it produces A: input
    /// pixels that it copies, or interleaved columns.
    pub(crate) fn patch<'a>(
        &self,
        regions: impl Iterator<Item = &'a Region>,
        mc: usize,
    ) -> Result<usize> {
        if let Self::Int8Im2row(Int8Im2row { vertical, horizontal, group, planes, .. }) = self {
            return match planes {
                true => int8_patch(regions, mc, [vertical, horizontal], *group),
                false => Ok(0),
            };
        }
        if let Self::Int8Depthwise(depthwise) = self {
            let Int8Windows { vertical, horizontal, input, .. } = &depthwise.windows;
            let patch = match depthwise.planes {
                true => int8_patch(regions, mc, [vertical, horizontal], input[3])?,
                false => 0,
            };
            return Ok(depthwise.columns + patch);
        }
        let Self::Depthwise(DepthwiseProducer { plan, copy: Some(_), .. }) = self else {
            return Ok(0);
        };
        let rows = &plan.rows;
        let pixel = rows.input[3].next_multiple_of(rows.lanes);
        let mut longest = 0;
        for region in regions {
            let width = region.columns.len();
            // The pixels of a tile may begin and end within a row.
            let height = (mc.div_ceil(width.max(1)) + 1).min(region.rows.len());
            let pixels = [rows.vertical.extent(height), rows.horizontal.extent(width)];
            longest = longest.max(product("scratch", &[pixels[0], pixels[1], pixel])?);
        }
        Ok(longest)
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        self.axes()[0]
    }

    /// Bytes of the weights that producing takes.
    pub(crate) fn weights_bytes(&self) -> usize {
        match self {
            Self::Im2row(_) | Self::Int8Im2row(_) => 0,
            Self::Depthwise(depthwise) => depthwise.plan.rows.weights_bytes(),
            Self::Int8Depthwise(depthwise) => depthwise.weights.bytes(),
        }
    }

    /// What producing an element of A takes, in multiply-adds, roughly: a copy as long as four.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Im2row(_) | Self::Int8Im2row(_) => 4,
            Self::Depthwise(DepthwiseProducer { plan, .. }) => plan
                .rows
                .vertical
                .kernel
                .saturating_mul(plan.rows.horizontal.kernel)
                .saturating_add(4),
            Self::Int8Depthwise(Int8Depthwise { windows, .. }) => {
                let taps = windows.vertical.kernel.saturating_mul(windows.horizontal.kernel);
                taps.saturating_add(4)
            }
        }
    }

    /// The channels of a pixel of which each output pixel brings one into use, if the picture is
    /// large: worth prefetching then.
    pub(crate) fn prefetched_channels(&self) -> Option<usize> {
        let (input, element, group, once) = match self {
            Self::Im2row(im2row) => {
                let single = im2row.vertical.kernel == 1 && im2row.horizontal.kernel == 1;
                let once = single && im2row.input_planes.is_none();
                (im2row.input, im2row.element, im2row.group, once)
            }
            Self::Int8Im2row(im2row) => {
                let single = im2row.vertical.kernel == 1 && im2row.horizontal.kernel == 1;
                (im2row.input, ElementType::U8, im2row.group, single && !im2row.planes)
            }
            Self::Depthwise(DepthwiseProducer { copy: Some(_), .. }) => return None,
            Self::Int8Depthwise(Int8Depthwise { windows, planes, .. }) => {
                let once = windows.vertical.stride == 1 && !planes;
                (windows.input, ElementType::U8, windows.input[3], once)
            }
            Self::Depthwise(DepthwiseProducer { plan, .. }) => {
                let once = plan.shares_rows() && plan.rows.vertical.stride == 1;
                (plan.rows.input, plan.rows.element, plan.rows.input[3], once)
            }
        };
        let [_, h, w, channels] = input;
        (once && h * w * channels * element.size() > CACHED_PICTURE).then_some(group)
    }

    /// What the output is to the input along both axes.
    fn axes(&self) -> [&Axis; 2] {
        match self {
            Self::Im2row(im2row) => [&im2row.vertical, &im2row.horizontal],
            Self::Int8Im2row(im2row) => [&im2row.vertical, &im2row.horizontal],
            Self::Depthwise(DepthwiseProducer { plan, .. }) => {
                [&plan.rows.vertical, &plan.rows.horizontal]
            }
            Self::Int8Depthwise(Int8Depthwise { windows, .. }) => {
                [&windows.vertical, &windows.horizontal]
            }
        }
    }

    /// The input pixel of a tap of an output pixel; any if it lies outside.
    pub(crate) fn input_pixel(&self, pixel: Pixel, taps: [usize; 2]) -> Pixel {
        let position = |o: usize, axis: &Axis, tap: usize| {
            let tap = tap.wrapping_mul(axis.dilation);
            o.wrapping_mul(axis.stride).wrapping_add(tap).wrapping_sub(axis.before)
        };
        let [vertical, horizontal] = self.axes();
        Pixel {
            row: position(pixel.row, vertical, taps[0]),
            column: position(pixel.column, horizontal, taps[1]),
            ..pixel
        }
    }

    /// The input pixel that an output pixel is the first to use; any if it lies outside. It is the
    /// first one of a copy, and of a 3×3 window the middle one of the last row.
    pub(crate) fn newest_pixel(&self, pixel: Pixel) -> Pixel {
        let taps = match self {
            Self::Im2row(_) | Self::Int8Im2row(_) => [0, 0],
            Self::Depthwise(_) | Self::Int8Depthwise(_) => [2, 1],
        };
        self.input_pixel(pixel, taps)
    }

    /// Tiles of a multiple of so many whole rows are filled fastest or, if the GEMM reads the input
    /// itself, multiplied fastest; 0 if it makes no difference.
    pub(crate) fn rows_at_once(&self, direct: bool) -> usize {
        match self {
            Self::Im2row(im2row) => usize::from(direct && !im2row.is_identity()),
            Self::Depthwise(depthwise) => usize::from(depthwise.plan.shares_rows()),
            Self::Int8Depthwise(depthwise) if depthwise.rows > 1 => depthwise.rows,
            _ => 0,
        }
    }

    /// Whether it can as well copy into rows of tiles.
    pub(crate) fn makes_tile_rows(&self) -> bool {
        matches!(self, Self::Im2row(im2row) if im2row.copies_clamped())
    }

    /// Whether it makes any block of k by itself.
    pub(crate) fn makes_blocks(&self) -> bool {
        matches!(self, Self::Im2row(_))
    }

    /// Makes a part of A.
    ///
    /// # Safety
    /// - The level of `kernels` and of what packs is available.
    /// - `x` is a view of the plan's input, of its type, with the rows that these pixels' windows
    ///   cover.
    /// - The pixels lie in the region, the region in the output.
    /// - The panels are `len` elements of this thread, with a row for each pixel.
    pub(crate) unsafe fn produce(&self, kernels: &GemmKernels, part: &PartOfA<'_>) {
        let activation = match self {
            Self::Im2row(im2row) => {
                // SAFETY: this function's contract, which is the same.
                unsafe { im2row.produce_part(part) };
                im2row.input_activation
            }
            Self::Int8Im2row(im2row) => {
                // SAFETY: the caller's contract.
                return unsafe { im2row.produce(part) };
            }
            Self::Depthwise(depthwise) => {
                // SAFETY: this function's contract, which is the same.
                unsafe { depthwise.produce(part) };
                depthwise.activation
            }
            Self::Int8Depthwise(depthwise) => {
                // SAFETY: the caller's contract.
                return unsafe { depthwise.produce(part) };
            }
        };
        if activation.bounds().is_none() {
            // Over whole panels: lanes and rows that hold no pixel hold numbers nobody reads.
            let run = ActivateRun { x: part.panels, count: part.len, activation };
            // SAFETY: the level is available; the panels are `len` elements of this thread.
            unsafe { (kernels.activate)(&run) };
        }
    }
}

/// Elements of f32 that the copied bytes of a tile take, of so many channels.
fn int8_patch<'a>(
    regions: impl Iterator<Item = &'a Region>,
    mc: usize,
    [vertical, horizontal]: [&Axis; 2],
    channels: usize,
) -> Result<usize> {
    let mut longest = 0;
    for region in regions {
        let pixels = most_pixels(vertical, horizontal, region, mc)?;
        longest = longest.max(product("scratch", &[pixels, channels])?);
    }
    Ok(longest.div_ceil(size_of::<f32>()))
}

impl DepthwiseProducer {
    /// Makes a part of A, and applies the activation if that is a clamp.
    ///
    /// # Safety
    /// As [`Producer::produce`].
    unsafe fn produce(&self, part: &PartOfA<'_>) {
        let Self { plan, activation, copy } = self;
        let bounds = activation.bounds().unwrap_or(UNBOUNDED);
        let run = |(rectangle, first): (Rectangle, usize), next: Option<Pixel>| {
            let (table, row) = (&part.rows[first..], part.region.columns.len());
            let to = Destination {
                y: PointerMut::f32(part.panels),
                channels: 0..plan.rows.channels_out,
                pixels: OutputPixels::Table { table, row },
                block: part.block,
                residual: None,
                bounds,
                activation: Activation::None,
            };
            // SAFETY: the rectangle's pixels are the part's: by the caller's word x has the rows
            // that their windows cover, and each has a row of the panels, of this thread.
            unsafe {
                let (x, next) = match copy {
                    Some(copy) => (self.copy(copy, part, &rectangle), None),
                    None => ((part.x, part.placement), next),
                };
                plan.run(x, &rectangle, next, &to);
            }
        };
        let mut last = None;
        part.region.rectangles(part.pixels.clone(), &mut |rectangle, first| {
            let next = rectangle.first();
            if let Some(last) = last.replace((rectangle, first)) {
                run(last, Some(next));
            }
        });
        if let Some(last) = last {
            run(last, part.next.map(|next| part.region.pixel(next)));
        }
    }

    /// Copies the input of a rectangle.
    ///
    /// # Safety
    /// As [`Producer::produce`]; the patch has room for it.
    unsafe fn copy(
        &self,
        copy: &PatchCopy,
        part: &PartOfA<'_>,
        at: &Rectangle,
    ) -> (Pointer, Placement) {
        let rows = &self.plan.rows;
        let patch = Patch {
            picture: at.picture,
            rows: rows.vertical.covered(&at.rows),
            columns: rows.horizontal.covered(&at.columns),
            channels: 0..rows.input[3],
        };
        let pixel = rows.input[3].next_multiple_of(rows.lanes);
        // SAFETY: the level of the kernels is available; x has the rows that the windows of `at`
        // cover, and the patch room for them, by the caller's word.
        unsafe { patch.copy(copy, (part.x, part.placement), part.scale, part.patch, pixel) }
    }
}
