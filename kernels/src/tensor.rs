//! The driver of what treats channels by themselves: splits a tensor's rows into tasks.

use alloc::string::String;
use core::ops::Range;

use crate::activation::{ActivateRun, Activation, UNBOUNDED};
use crate::depthwise::plan::DepthwisePlan;
use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::geometry::product;
use crate::layout::TensorLayout;
use crate::memory::{self, LINE};
use crate::names::joined;
use crate::options::Options;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::planes::patch::{Patch, PatchCopy};
use crate::planes::to_planes::ToPlanesRun;
use crate::rows::plan::{Destination, OutputPixels, Residual, RowPlan};
use crate::table::kernels::Kernels;
use crate::threads::{self, Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

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
    pub(crate) fn rows(&self) -> &RowPlan {
        match self {
            Self::Depthwise(plan) => &plan.rows,
            Self::Pool(plan) => plan,
        }
    }

    /// Computes a rectangle; `next` is where the one computed after it begins, if any.
    ///
    /// # Safety
    /// As [`RowPlan::run`].
    unsafe fn run(
        &self,
        x: (Pointer, Placement),
        at: &Rectangle,
        next: Option<Pixel>,
        to: &Destination<'_>,
    ) {
        // SAFETY: this function's contract is that of `RowPlan::run`, which both plans ask for: `x`
        // covers the windows, the pixels lie in the output, and nobody else writes them.
        unsafe {
            match self {
                Self::Depthwise(plan) => plan.run(x, at, next, to),
                Self::Pool(plan) => plan.run(x, at, at.columns.clone(), to),
            }
        }
    }
}

/// Bytes of the pixels of a task that are copied out of planes or on the way into them: with
/// weights and the planes' own lines they fit the smallest L2 (512 KiB) that the crate aims at.
const COPIED_BYTES: usize = 256 << 10;

/// A plan that writes a tensor.
#[derive(Debug)]
pub(crate) struct TensorPlan {
    operation: Channelwise,
    kernels: &'static Kernels,
    /// What copies the input if it is made of planes, or scaled.
    copy: Option<PatchCopy>,
    output_planes: bool,
    input_type: ElementType,
    output_type: ElementType,
    /// Of the output.
    activation: Activation,
    /// Most output rows of a task.
    rows: usize,
    /// Most output channels of a task.
    channels: usize,
    /// Scratch elements of a thread, in whole cache lines.
    patch: usize,
    sums: usize,
}

impl TensorPlan {
    pub(crate) fn new(
        operation: Channelwise,
        options: &Options,
        kernels: &'static Kernels,
    ) -> Result<Self> {
        let plan = operation.rows();
        let mut tensor = Self {
            kernels,
            copy: PatchCopy::new(kernels, options),
            output_planes: options.output_layout == TensorLayout::Nchw,
            input_type: options.input_type,
            output_type: options.output_type,
            activation: options.activation.checked()?,
            rows: TASK_ROWS / plan.vertical.stride.min(2),
            channels: plan.channels_out,
            patch: 0,
            sums: 0,
            operation,
        };
        tensor.limit_channels()?;
        Ok(tensor)
    }

    /// Divides the channels between tasks, if pixels are copied, so that the copies stay in cache.
    fn limit_channels(&mut self) -> Result<()> {
        let plan = self.operation.rows();
        let (rows, lanes) = (self.rows.min(plan.vertical.output), plan.lanes);
        let patch_pixels = plan.vertical.extent(rows) * plan.input[2];
        let sums_pixels = rows * plan.horizontal.output;
        let patch_pixels = if self.copy.is_some() { patch_pixels } else { 0 };
        let sums_pixels = if self.output_planes { sums_pixels } else { 0 };
        let pixels = patch_pixels + sums_pixels;
        if pixels > 0 && plan.multiplier == 1 {
            let fitting = COPIED_BYTES / size_of::<f32>() / pixels / LINE * LINE;
            self.channels = self.channels.min(fitting.max(LINE));
        }
        // A pixel is whole vectors.
        let of = |channels: usize, pixels: usize| {
            let padded = channels.next_multiple_of(lanes);
            Ok(product("scratch", &[pixels, padded])?.next_multiple_of(LINE))
        };
        self.patch = of(self.channels / plan.multiplier, patch_pixels)?;
        self.sums = of(self.channels, sums_pixels)?;
        Ok(())
    }

    /// Windows, geometry and weights.
    pub(crate) fn rows(&self) -> &RowPlan {
        self.operation.rows()
    }

    /// The kernels that run.
    pub(crate) fn name(&self) -> String {
        let name = match &self.operation {
            Channelwise::Depthwise(plan) => plan.kernel_name(),
            Channelwise::Pool(plan) => plan.kernels.name,
        };
        let planes = &self.kernels.planes;
        let from = self.copy.and_then(|copy| copy.planes());
        let from = from.map(|planes| planes.of(self.input_type).from_name);
        let to = self.output_planes.then(|| planes.of(self.output_type).to_name);
        joined(&[from, Some(name), to])
    }

    pub(crate) fn scratch_len(&self, threads: usize) -> usize {
        match self.patch + self.sums {
            0 => 0,
            part => memory::scratch_len(threads.max(1), part),
        }
    }

    /// Computes the output rows `all` of each picture, one task for some of them. x is a view of
    /// the input rows that are needed, and the first of them; y and the residual have these output
    /// rows alone.
    pub(crate) fn run(
        &self,
        threads: &dyn Threads,
        all: Range<usize>,
        x: (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let operands = Operands::new(x, residual, (&mut y, all.start));
        self.run_on(threads, all, operands, scratch)
    }

    /// The same for operands that lie anyhow: output and residual have at least these rows, x
    /// those that they need.
    pub(crate) fn run_on(
        &self,
        threads: &dyn Threads,
        all: Range<usize>,
        operands: Operands,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let plan = self.rows();
        let ([n, _, _, _], height) = (plan.output(), all.len());
        let run = Run { plan: self, operands };
        let (part, count) = (self.patch + self.sums, threads.count().max(1));
        let room = if part == 0 { count } else { memory::parts(scratch.len(), part) };
        let workers = count.min(room);
        if workers == 0 {
            let (expected, actual) = (self.scratch_len(1), scratch.len());
            return Err(Error::Length { what: "scratch", expected, actual });
        }
        let parts = row_parts(n, height, self.rows, workers);
        let chunks = plan.channels_out.div_ceil(self.channels);
        let tasks = n * parts * chunks;
        threads::for_each(threads, [tasks, workers], scratch, part, &|task, scratch| {
            let task = threads::adjacent(task, tasks, workers);
            let (chunk, task) = (task % chunks, task / chunks);
            let (picture, part) = (task / parts, task % parts);
            let rows = height * part / parts..height * (part + 1) / parts;
            let rows = all.start + rows.start..all.start + rows.end;
            let start = chunk * self.channels;
            let channels = start..plan.channels_out.min(start + self.channels);
            // SAFETY: the views have the plan's shapes, with the rows that are needed; each task
            // writes its own channels of its own output rows; scratch is its thread's.
            unsafe { run.rows(picture, rows, channels, scratch) };
        });
        Ok(())
    }

    /// The activations of outputs that are no clamp: applied by the kernels if they round after it,
    /// else to whole pixels after them.
    fn activations(&self) -> (Activation, Activation) {
        match (self.activation.bounds(), self.output_type) {
            (Some(_), _) => (Activation::None, Activation::None),
            (None, ElementType::F32) => (Activation::None, self.activation),
            (None, _) => (self.activation, Activation::None),
        }
    }

    /// Where sums wait that go into planes.
    fn to_sums(&self, channels: &Range<usize>, sums: &mut [f32]) -> Destination<'static> {
        let plan = self.rows();
        let pixel = channels.len().next_multiple_of(plan.lanes);
        Destination {
            y: PointerMut::f32(sums.as_mut_ptr()),
            channels: channels.clone(),
            pixels: OutputPixels::Grid { row: plan.horizontal.output * pixel, pixel },
            block: plan.lanes,
            residual: None,
            bounds: UNBOUNDED,
            activation: Activation::None,
        }
    }
}

/// One call of [`TensorPlan::run`].
struct Run<'a> {
    plan: &'a TensorPlan,
    operands: Operands,
}

impl Run<'_> {
    /// Computes some channels of some rows of a picture.
    ///
    /// # Safety
    /// - The views have the plan's shapes, with these rows and those that they need.
    /// - No other thread touches these outputs.
    /// - Scratch has the elements that the plan asks for.
    unsafe fn rows(
        &self,
        picture: usize,
        rows: Range<usize>,
        channels: Range<usize>,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let (patch, sums) = scratch.split_at_mut(plan.patch);
        let at = Rectangle { picture, rows, columns: 0..plan.rows().horizontal.output };
        // SAFETY: by the caller's word the views have the rows of `at` and those that their windows
        // cover, and no other thread touches these outputs; scratch is this call's alone, and
        // `patch` and `sums` are the parts of it that the plan asks for.
        unsafe {
            let x = self.input(&at, &channels, patch);
            // The rows that this thread is likely to take next.
            let next = Pixel { picture, row: at.rows.end, column: 0 };
            let next = Some(next).filter(|_| plan.copy.is_none());
            if plan.output_planes {
                plan.operation.run(x, &at, next, &plan.to_sums(&channels, sums));
                self.sums_to_planes(&at, &channels, sums);
            } else {
                let to = self.to_output(&at, &channels);
                plan.operation.run(x, &at, next, &to);
                self.activate(&at, &to);
            }
        }
    }

    /// The input of these outputs, from their first channel on: copied if it must be.
    ///
    /// # Safety
    /// As [`Run::rows`].
    unsafe fn input(
        &self,
        at: &Rectangle,
        channels: &Range<usize>,
        patch: &mut [f32],
    ) -> (Pointer, Placement) {
        let (plan, rows) = (self.plan, self.plan.rows());
        let channels = channels.start / rows.multiplier..channels.end / rows.multiplier;
        let Some(copy) = &plan.copy else {
            return (self.operands.x.0.add(channels.start), self.operands.x_placement);
        };
        let pixel = channels.len().next_multiple_of(rows.lanes);
        let (rows, columns) = (rows.vertical.covered(&at.rows), 0..rows.input[2]);
        let window = Patch { picture: at.picture, rows, columns, channels };
        let x = (self.operands.x.0, self.operands.x_placement);
        // SAFETY: the level was available when the plan was made. `x` has the rows that the windows
        // cover, by the caller's word; the plan's scratch has a patch for them, of pixels so many
        // elements apart.
        unsafe { window.copy(copy, x, self.operands.scale(), patch.as_mut_ptr(), pixel) }
    }

    /// Where these outputs lie in the output.
    fn to_output(&self, at: &Rectangle, channels: &Range<usize>) -> Destination<'_> {
        let (plan, y) = (self.plan, &self.operands.y_placement);
        let (inside, _) = plan.activations();
        Destination {
            y: self.operands.y.0.add(y.of(at.first()) + channels.start),
            channels: channels.clone(),
            pixels: OutputPixels::Grid { row: y.row, pixel: y.pixel },
            block: plan.rows().lanes,
            residual: self.operands.residual.as_ref().map(|(residual, r)| Residual {
                at: residual.0.add(r.of(at.first()) + channels.start),
                pixel: r.pixel,
                row: r.row,
            }),
            bounds: plan.activation.bounds().unwrap_or(UNBOUNDED),
            activation: inside,
        }
    }

    /// Applies the activation that comes after the kernels, if there is one.
    ///
    /// # Safety
    /// As [`Run::rows`]; the outputs were written to `to`.
    unsafe fn activate(&self, at: &Rectangle, to: &Destination<'_>) {
        let (plan, (_, activation)) = (self.plan, self.plan.activations());
        if activation == Activation::None {
            return;
        }
        let (mut pixels, mut count) = (at.columns.len(), to.channels.len());
        if to.pixels.of(0, 1) == count {
            // Without gaps between pixels a row is one line.
            (pixels, count) = (1, pixels * count);
        }
        for r in 0..at.rows.len() {
            for p in 0..pixels {
                let x = to.y.add(to.pixels.of(r, p)).at.cast();
                let run = ActivateRun { x, count, activation };
                // SAFETY: channels of an output pixel, or of a row of them without gaps, of f32,
                // that this task has just written.
                unsafe { (plan.kernels.activate)(&run) };
            }
        }
    }

    /// Ends the chains of the sums, in the planes of the output.
    ///
    /// # Safety
    /// As [`Run::rows`]; the sums of these outputs are there.
    unsafe fn sums_to_planes(&self, at: &Rectangle, channels: &Range<usize>, sums: &[f32]) {
        let plan = self.plan;
        let start = |placement: &Placement| placement.of_channel(at.first(), channels.start);
        let run = ToPlanesRun {
            sums: sums.as_ptr(),
            sums_pixel: channels.len().next_multiple_of(plan.rows().lanes),
            // Whole rows, one after the other.
            pixels: at.rows.len() * at.columns.len(),
            channels: channels.len(),
            y: self.operands.y.0.add(start(&self.operands.y_placement)).at,
            y_channel: self.operands.y_placement.channel,
            residual: self
                .operands
                .residual
                .as_ref()
                .map(|(r, placement)| r.0.add(start(placement)).at),
            activation: plan.activation,
            bounds: plan.activation.bounds(),
        };
        // SAFETY: the level was available when the plan was made. By the caller's word `sums` holds
        // these pixels, of whole vectors of channels each; output and residual have these rows,
        // and no other thread touches them in the output.
        unsafe { (plan.kernels.planes.of(plan.output_type).to)(&run) };
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

/// Calls `f` for the first pixel of each of the output rows `all` of `n` pictures, in tasks of some
/// rows each.
pub(crate) fn for_each_row(
    threads: &dyn Threads,
    n: usize,
    all: &Range<usize>,
    scratch: Scratch<'_>,
    f: &(dyn Fn(Pixel) + Sync),
) {
    let workers = threads.count().max(1);
    let parts = row_parts(n, all.len(), TASK_ROWS, workers);
    let tasks = n * parts;
    threads::for_each(threads, [tasks, workers], scratch, 0, &|task, _| {
        let task = threads::adjacent(task, tasks, workers);
        let (picture, part) = (task / parts, task % parts);
        for row in all.len() * part / parts..all.len() * (part + 1) / parts {
            f(Pixel { picture, row: all.start + row, column: 0 });
        }
    });
}
