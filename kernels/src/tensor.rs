//! The driver of what treats channels by themselves: splits a tensor's rows into tasks.

use core::ops::Range;

use crate::activation::{ActivateRun, Activation, UNBOUNDED};
use crate::depthwise::plan::DepthwisePlan;
use crate::element::{ElementType, Pointer};
use crate::error::Result;
use crate::options::Options;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::rows::plan::{Destination, Layout, Residual, RowPlan};
use crate::threads::{self, Shared, SharedMut};
use crate::view::{NhwcView, NhwcViewMut};

/// Most output rows of a task, half as many with stride 2: about ten input rows, of which some
/// share an L1 set where a row's bytes are a multiple of 4 KiB. Of an input row that two tasks use,
/// one reads it a second time. Measured against 4 and 16 at 147², 74², 37².
const TASK_ROWS: usize = 8;

/// What treats channels by themselves.
#[derive(Debug)]
pub(crate) enum Channelwise {
    Depthwise(DepthwisePlan),
    Pool(RowPlan),
}

impl Channelwise {
    fn rows(&self) -> &RowPlan {
        match self {
            Self::Depthwise(plan) => &plan.rows,
            Self::Pool(plan) => plan,
        }
    }

    /// Computes a rectangle; `next` is where the one computed after it begins.
    ///
    /// # Safety
    /// As [`RowPlan::run`].
    unsafe fn run(
        &self,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Pixel,
        to: &Destination<'_>,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Self::Depthwise(plan) => plan.run(x, at, Some(next), to),
                Self::Pool(plan) => plan.run(x, at, at.columns.clone(), to),
            }
        }
    }
}

/// A plan that writes a tensor.
#[derive(Debug)]
pub(crate) struct TensorPlan {
    operation: Channelwise,
    /// Applied by the kernels, before they round.
    activation: Activation,
    /// Applied to whole pixels after them: to f32 outputs, if it is no clamp.
    activation_after: Activation,
    bounds: (f32, f32),
    /// Applies an activation to contiguous elements in place.
    activate: unsafe fn(&ActivateRun),
}

impl TensorPlan {
    pub(crate) fn new(
        operation: Channelwise,
        options: &Options,
        activate: unsafe fn(&ActivateRun),
    ) -> Result<Self> {
        let activation = options.activation.checked()?;
        let (inside, after) = match activation.bounds() {
            Some(_) => (Activation::None, Activation::None),
            None if options.output_type == ElementType::F32 => (Activation::None, activation),
            None => (activation, Activation::None),
        };
        let bounds = activation.bounds().unwrap_or(UNBOUNDED);
        Ok(Self { operation, activation: inside, activation_after: after, bounds, activate })
    }

    /// Windows, geometry and weights.
    pub(crate) fn rows(&self) -> &RowPlan {
        self.operation.rows()
    }

    pub(crate) fn kernel_name(&self) -> &'static str {
        match &self.operation {
            Channelwise::Depthwise(plan) => plan.kernel_name(),
            Channelwise::Pool(plan) => plan.kernels.name,
        }
    }

    /// Computes the output rows `all` of each picture, one task for some of them. x has the input
    /// rows from `top` on that are needed, y and the residual these output rows alone.
    pub(crate) fn run(
        &self,
        all: Range<usize>,
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
    ) {
        let plan = self.rows();
        let ([n, _, _, _], height) = (plan.output(), all.len());
        let of_output = |shape, stride| Placement::new(shape, stride, all.start);
        let run = Run {
            plan: self,
            x: Shared(x.pointer()),
            x_placement: Placement::new(x.shape(), x.pixel_stride(), top),
            y: SharedMut(y.pointer()),
            y_placement: of_output(y.shape(), y.pixel_stride()),
            residual: residual
                .map(|r| (Shared(r.pointer()), of_output(r.shape(), r.pixel_stride()))),
        };
        let workers = threads::available_threads();
        let parts = row_parts(n, height, TASK_ROWS / plan.vertical.stride.min(2), workers);
        let tasks = n * parts;
        threads::for_each(tasks, workers, &mut [], 0, &|task, _| {
            let task = threads::adjacent(task, tasks, workers);
            let (picture, part) = (task / parts, task % parts);
            let rows = height * part / parts..height * (part + 1) / parts;
            let rows = all.start + rows.start..all.start + rows.end;
            // SAFETY: the views have the plan's shapes, with the rows that are needed; each task
            // writes its own output rows.
            unsafe { run.rows(picture, rows) };
        });
    }
}

/// One call of [`TensorPlan::run`].
struct Run<'a> {
    plan: &'a TensorPlan,
    x: Shared,
    x_placement: Placement,
    y: SharedMut,
    y_placement: Placement,
    residual: Option<(Shared, Placement)>,
}

impl Run<'_> {
    /// Computes some rows of a picture.
    ///
    /// # Safety
    /// - The views have the plan's shapes, with these rows and those that they need.
    /// - No other thread touches these outputs.
    unsafe fn rows(&self, picture: usize, rows: Range<usize>) {
        let plan = self.plan;
        let [_, _, width, channels] = plan.rows().output();
        let at = Rectangle { picture, rows, columns: 0..width };
        let y = &self.y_placement;
        let to = Destination {
            y: self.y.0.add(y.of(at.first())),
            pixels: Layout::Grid { row: y.row(), pixel: y.pixel },
            block: plan.rows().lanes,
            residual: self.residual.as_ref().map(|(residual, r)| Residual {
                at: residual.0.add(r.of(at.first())),
                pixel: r.pixel,
                row: r.row(),
            }),
            bounds: plan.bounds,
            activation: plan.activation,
        };
        // The rows that this thread is likely to take next.
        let next = Pixel { picture, row: at.rows.end, column: 0 };
        // SAFETY: the caller's contract.
        unsafe { plan.operation.run((self.x.0, self.x_placement), &at, next, &to) };
        let activation = plan.activation_after;
        if activation != Activation::None {
            for pixel in 0..at.rows.len() * width {
                let x = to.y.add(pixel * y.pixel).at.cast();
                // SAFETY: the channels of an output pixel, of f32, that this task has just written.
                unsafe { (plan.activate)(&ActivateRun { x, count: channels, activation }) };
            }
        }
    }
}

/// In how many parts the rows of each of `n` pictures are divided: of `rows` rows at most; for
/// several workers at least two for each, so that one that is held up can leave some to others, and
/// as many for each where there are enough rows. More parts read more rows twice: with four for
/// each of two workers 10²·1536 takes 1.2 (AVX-512) and 1.35 (AVX2) of the time, with four for one
/// worker 1.1 and 1.05.
fn row_parts(n: usize, height: usize, rows: usize, workers: usize) -> usize {
    let wanted = if workers > 1 { (2 * workers).div_ceil(n) } else { 1 };
    let even = if n.is_multiple_of(workers) { 1 } else { workers };
    let most = if height < even { height } else { height - height % even };
    height.div_ceil(rows).max(wanted).next_multiple_of(even).min(most)
}
