//! What fills the A panels of a tile of pixels:
//!
//! - [`Producer::Im2row`]: pixels copied tap by tap. With one tap and stride 1 these are rows of a matrix
//!   (pointwise), with a stride they are gathered rows, with several taps this is im2row, tile by tile.
//! - [`Producer::Depthwise`]: the result of a depthwise convolution, born in the panel.

use crate::activation::{ActivateRun, Activation, UNBOUNDED};
use crate::depthwise::plan::DepthwisePlan;
use crate::element::{ElementType, PointerMut};
use crate::gemm::im2row::Im2row;
use crate::gemm::kernels::GemmKernels;
use crate::gemm::operands::PartOfA;
use crate::geometry::Axis;
use crate::pixels::{Pixel, Rectangle};
use crate::rows::plan::{Destination, Layout};

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
    /// A depthwise convolution of the input, and the activation after it.
    Depthwise(DepthwisePlan, Activation),
}

impl Producer {
    /// The input channels of a group if the GEMM can read the input itself, since producing would
    /// copy it as it is: the elements from one output pixel to the next, over the whole batch, are
    /// then the view's pixel stride.
    pub(crate) fn direct(&self) -> Option<usize> {
        let Self::Im2row(im2row) = self else {
            return None;
        };
        let identity = |axis: &Axis| {
            (axis.kernel, axis.stride, axis.before, axis.output) == (1, 1, 0, axis.input)
        };
        let plain =
            im2row.input_activation == Activation::None && im2row.element == ElementType::F32;
        (plain && identity(&im2row.vertical) && identity(&im2row.horizontal))
            .then_some(im2row.group)
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        match self {
            Self::Im2row(im2row) => &im2row.vertical,
            Self::Depthwise(plan, _) => &plan.rows.vertical,
        }
    }

    /// Bytes of the weights that producing takes.
    pub(crate) fn weights_bytes(&self) -> usize {
        match self {
            Self::Im2row(_) => 0,
            Self::Depthwise(plan, _) => plan.rows.weights_bytes(),
        }
    }

    /// What producing an element of A takes, in multiply-adds, roughly: a copy as long as four.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Im2row(_) => 4,
            Self::Depthwise(plan, _) => plan
                .rows
                .vertical
                .kernel
                .saturating_mul(plan.rows.horizontal.kernel)
                .saturating_add(4),
        }
    }

    /// The channels of a pixel of which each output pixel brings one into use, if the picture is
    /// large: worth prefetching then.
    pub(crate) fn prefetched_channels(&self) -> Option<usize> {
        let (input, element, group, once) = match self {
            Self::Im2row(im2row) => {
                let single = im2row.vertical.kernel == 1 && im2row.horizontal.kernel == 1;
                (im2row.input, im2row.element, im2row.group, single)
            }
            Self::Depthwise(plan, _) => {
                let once = plan.shares_rows() && plan.rows.vertical.stride == 1;
                (plan.rows.input, plan.rows.element, plan.rows.input[3], once)
            }
        };
        let [_, h, w, channels] = input;
        (once && h * w * channels * element.size() > CACHED_PICTURE).then_some(group)
    }

    /// The input pixel that an output pixel is the first to use; any if it lies outside. It is the
    /// first one of a copy, and of a 3×3 window the middle one of the last row.
    pub(crate) fn newest_pixel(&self, Pixel { picture, row, column }: Pixel) -> Pixel {
        let (vertical, horizontal, taps) = match self {
            Self::Im2row(im2row) => (&im2row.vertical, &im2row.horizontal, [0, 0]),
            Self::Depthwise(plan, _) => (&plan.rows.vertical, &plan.rows.horizontal, [2, 1]),
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

    /// Whether it makes any block of k by itself.
    pub(crate) fn makes_blocks(&self) -> bool {
        matches!(self, Self::Im2row(_))
    }

    /// Makes a part of A.
    ///
    /// # Safety
    /// - The level of `kernels` is available.
    /// - `x` is a view of the plan's input, of its type, with the rows that these pixels' windows cover.
    /// - The pixels lie in the region, the region in the output.
    /// - The panels are `len` elements of this thread, with a row for each pixel.
    pub(crate) unsafe fn produce(&self, kernels: &GemmKernels, part: &PartOfA<'_>) {
        let activation = match self {
            Self::Im2row(im2row) => {
                part.region.rectangles(part.pixels.clone(), |rectangle, first| {
                    // SAFETY: the caller keeps the contract, and the rectangle is of its pixels.
                    unsafe { im2row.produce(kernels, part, &rectangle, first) };
                });
                im2row.input_activation
            }
            Self::Depthwise(plan, activation) => {
                // SAFETY: the caller keeps the contract, which is the same.
                unsafe { produce_depthwise(plan, *activation, kernels, part) };
                *activation
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

/// Makes a part of A by a depthwise convolution and the activation after it, if that is a clamp.
///
/// # Safety
/// - The level of `kernels` is available.
/// - `x` is a view of the plan's input, of its type, with the rows that these pixels' windows cover.
/// - The pixels lie in the region, the region in the output.
/// - The panels are `len` elements of this thread, with a row for each pixel.
unsafe fn produce_depthwise(
    plan: &DepthwisePlan,
    activation: Activation,
    kernels: &GemmKernels,
    part: &PartOfA<'_>,
) {
    let bounds = activation.bounds().unwrap_or(UNBOUNDED);
    let run = |(rectangle, first): (Rectangle, usize), next| {
        let (table, row) = (&part.rows[first..], part.region.columns.len());
        let to = Destination {
            y: PointerMut::f32(part.panels),
            pixels: Layout::Table { table, row },
            block: kernels.tile.mr * kernels.lanes,
            residual: None,
            bounds,
            activation: Activation::None,
        };
        // SAFETY: x is a view of the plan's input, and the rectangle, of the caller's pixels, goes
        // to the rows of the panels that are these pixels'.
        unsafe { plan.run((part.x, part.placement), &rectangle, next, &to) };
    };
    let mut last = None;
    part.region.rectangles(part.pixels.clone(), |rectangle, first| {
        let next = rectangle.first();
        if let Some(last) = last.replace((rectangle, first)) {
            run(last, Some(next));
        }
    });
    if let Some(last) = last {
        run(last, part.next.map(|next| part.region.pixel(next)));
    }
}
