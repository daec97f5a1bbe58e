//! The driver of 8-bit integers where channels are treated by themselves: depthwise convolutions,
//! as tensors or in A panels, pools, and what is done element by element.

use alloc::string::String;
use alloc::sync::Arc;
use core::ops::Range;

use crate::element::{ElementType, Pointer};
use crate::error::{Error, Result};
use crate::gemm::operands::PartOfA;
use crate::geometry::{Axis, Window, product};
use crate::int8::depthwise::{self, DepthwiseRun, DepthwiseWeights, OUTPUTS};
use crate::int8::layer::Int8Layer;
use crate::int8::pool::PoolRun;
use crate::memory::{self, LINE};
use crate::params::PoolKind;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::simd::int8::SUMS;
use crate::threads::{self, Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

/// Tasks of a thread, if there are rows enough.
const TASKS: usize = 4;

/// A window over an input of integers, prepared.
#[derive(Debug)]
pub(crate) struct Int8Windows {
    pub(crate) layer: Int8Layer,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) vertical: Axis,
    pub(crate) horizontal: Axis,
}

/// A depthwise convolution, prepared.
#[derive(Debug)]
pub(crate) struct Int8Depthwise {
    pub(crate) windows: Int8Windows,
    pub(crate) multiplier: usize,
    pub(crate) weights: Arc<DepthwiseWeights>,
    /// Interleaved columns from one output to the next: see [`DepthwiseRun::step`].
    step: usize,
    /// Scratch elements of the interleaved columns, in whole cache lines.
    pub(crate) columns: usize,
}

impl Int8Windows {
    /// Of an input of that size.
    pub(crate) fn new(layer: Int8Layer, input: [usize; 4], window: &Window) -> Result<Self> {
        let vertical = window.axis(0, input[1])?;
        let horizontal = window.axis(1, input[2])?;
        Ok(Self { layer, input, vertical, horizontal })
    }

    /// \[N, H, W, C\], of so many channels.
    fn output(&self, channels: usize) -> [usize; 4] {
        [self.input[0], self.vertical.output, self.horizontal.output, channels]
    }
}

impl Int8Depthwise {
    /// Of windows, whose weights have been packed.
    pub(crate) fn new(
        windows: Int8Windows,
        multiplier: usize,
        weights: Arc<DepthwiseWeights>,
    ) -> Result<Self> {
        let Axis { kernel: kw, stride, dilation, output, .. } = windows.horizontal;
        let kernel = [windows.vertical.kernel, kw];
        let step = if dilation == 1 && stride <= kw { stride } else { kw };
        let kernels = windows.layer.kernels;
        let outputs = output.clamp(1, OUTPUTS);
        let columns = depthwise::columns(outputs, kernel, step, kernels.group);
        let columns = product("scratch", &[columns, SUMS, kernels.lanes])?.next_multiple_of(LINE);
        Ok(Self { windows, multiplier, weights, step, columns })
    }

    /// \[N, H, W, C\] of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        self.windows.output(self.weights.channels)
    }

    /// Computes outputs `columns`, at most [`OUTPUTS`], of a row.
    ///
    /// # Safety
    /// - `x` is a view of the input, with the rows that the windows cover.
    /// - `buffer` has room for the interleaved columns, and what the destination asks for exists;
    ///   both are this thread's alone.
    unsafe fn outputs(
        &self,
        (x, placement): (Pointer, Placement),
        [picture, row]: [usize; 2],
        columns: Range<usize>,
        buffer: *mut f32,
        to: depthwise::Destination,
    ) {
        let Int8Windows { layer, input, vertical, horizontal } = &self.windows;
        let first = |axis: &Axis, o: usize| (o * axis.stride).wrapping_sub(axis.before) as isize;
        let run = DepthwiseRun {
            x: x.add(placement.of(Pixel { picture, row: 0, column: 0 })).at,
            x_row: placement.row,
            x_pixel: placement.pixel,
            size: [input[1], input[2]],
            first: [first(vertical, row), first(horizontal, columns.start)],
            kernel: [vertical.kernel, horizontal.kernel],
            stride: horizontal.stride,
            dilation: [vertical.dilation, horizontal.dilation],
            step: self.step,
            outputs: columns.len(),
            multiplier: self.multiplier,
            weights: self.weights.pointers(),
            zero_byte: layer.zero_byte(),
            prologue: layer.prologue,
            columns: buffer,
            to,
            epilogue: layer.epilogue,
        };
        // SAFETY: the instructions were available when the plan was made; the caller keeps the
        // rest.
        unsafe { (layer.kernels.depthwise)(&run) };
    }

    /// Makes a part of A.
    ///
    /// # Safety
    /// As [`Producer::produce`](crate::gemm::producer::Producer::produce); the patch has room for
    /// the interleaved columns.
    pub(crate) unsafe fn produce(&self, part: &PartOfA<'_>) {
        part.region.rectangles(part.pixels.clone(), |rectangle, first| {
            let Rectangle { picture, rows, columns } = rectangle;
            for (r, row) in rows.enumerate() {
                let first = first + r * part.region.columns.len();
                let share = depthwise::share(columns.len());
                for start in columns.clone().step_by(share) {
                    let outputs = start..(start + share).min(columns.end);
                    let rows = part.rows[first + start - columns.start..].as_ptr();
                    let to =
                        depthwise::Destination::Panels { a: part.panels, rows, block: part.block };
                    let x = (part.x, part.placement);
                    // SAFETY: the caller's contract, for these pixels.
                    unsafe { self.outputs(x, [picture, row], outputs, part.patch, to) };
                }
            }
        });
    }
}

/// What is computed.
#[derive(Debug)]
pub(crate) enum Operation {
    Depthwise(Int8Depthwise),
    /// Of the input's type.
    Pool(Int8Windows, PoolKind, ElementType),
}

/// A plan that writes a tensor.
#[derive(Debug)]
pub(crate) struct Int8Tensor {
    operation: Operation,
}

impl Int8Tensor {
    pub(crate) fn new(operation: Operation) -> Result<Self> {
        if let Operation::Pool(windows, PoolKind::Average, _) = &operation {
            let taps = [windows.vertical.kernel, windows.horizontal.kernel];
            let magnitude = (product("kernel elements", &taps)? as u64).saturating_mul(255);
            if magnitude > i32::MAX as u64 {
                return Err(Error::Sums { channel: 0, magnitude });
            }
        }
        let plan = Self { operation };
        product("output elements", &plan.output())?;
        Ok(plan)
    }

    fn windows(&self) -> &Int8Windows {
        match &self.operation {
            Operation::Depthwise(depthwise) => &depthwise.windows,
            Operation::Pool(windows, ..) => windows,
        }
    }

    /// What the rows of the output are to those of the input.
    pub(crate) fn vertical(&self) -> &Axis {
        &self.windows().vertical
    }

    /// \[N, H, W, C\].
    pub(crate) fn output(&self) -> [usize; 4] {
        match &self.operation {
            Operation::Depthwise(depthwise) => depthwise.output(),
            Operation::Pool(windows, ..) => windows.output(windows.input[3]),
        }
    }

    /// The kernel that runs.
    pub(crate) fn name(&self) -> String {
        let kernels = self.windows().layer.kernels;
        match &self.operation {
            Operation::Depthwise(_) => kernels.depthwise_name,
            Operation::Pool(..) => kernels.pool_name,
        }
        .into()
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        match &self.operation {
            Operation::Depthwise(depthwise) => depthwise.weights.bytes(),
            Operation::Pool(..) => 0,
        }
    }

    /// Scratch elements of a thread.
    fn part(&self) -> usize {
        match &self.operation {
            Operation::Depthwise(depthwise) => depthwise.columns,
            Operation::Pool(..) => 0,
        }
    }

    pub(crate) fn scratch_len(&self, threads: usize) -> usize {
        memory::scratch_len(threads.max(1), self.part())
    }

    /// Computes the output rows `rows` of each picture. Views must have been checked against the
    /// plan's shapes: x is a view of the input rows that are needed, and the first of
    /// them; y and the residual have the output rows alone.
    pub(crate) fn run(
        &self,
        threads: &dyn Threads,
        rows: Range<usize>,
        x: (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let (part, count) = (self.part(), threads.count().max(1));
        let room = if part == 0 { count } else { memory::parts(scratch.len(), part) };
        if room == 0 {
            let (expected, actual) = (self.scratch_len(1), scratch.len());
            return Err(Error::Length { what: "scratch", expected, actual });
        }
        let workers = room.min(count);
        // Of each picture.
        let lines = self.windows().input[0] * rows.len();
        let tasks = lines.min(TASKS * workers);
        let run = Run { plan: self, operands: Operands::new(x, residual, (&mut y, rows.start)) };
        threads::for_each(threads, [tasks, workers], scratch, part, &|task, scratch| {
            let share = |task: usize| lines / tasks * task + (lines % tasks).min(task);
            for line in share(task)..share(task + 1) {
                let (picture, row) = (line / rows.len(), rows.start + line % rows.len());
                // SAFETY: the views have the plan's shapes; each row is of one task.
                unsafe { run.row([picture, row], scratch.as_mut_ptr()) };
            }
        });
        Ok(())
    }
}

/// One call of [`Int8Tensor::run`].
struct Run<'a> {
    plan: &'a Int8Tensor,
    operands: Operands,
}

impl Run<'_> {
    /// Computes a row of the output.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of this row and those that it needs.
    /// - No other thread touches the row or the scratch, which has room for a part.
    unsafe fn row(&self, at: [usize; 2], scratch: *mut f32) {
        // SAFETY: the caller's contract.
        unsafe {
            match &self.plan.operation {
                Operation::Depthwise(depthwise) => self.depthwise(depthwise, at, scratch),
                Operation::Pool(windows, kind, element) => {
                    self.pool(windows, *kind, *element, at);
                }
            }
        }
    }

    /// # Safety
    /// As [`Run::row`].
    unsafe fn depthwise(&self, plan: &Int8Depthwise, at: [usize; 2], scratch: *mut f32) {
        let [picture, row] = at;
        let width = plan.windows.horizontal.output;
        let share = depthwise::share(width);
        for start in (0..width).step_by(share) {
            let end = (start + share).min(width);
            let offsets = |placement: &Placement| {
                let pixel = |i: usize| Pixel { picture, row, column: start + i };
                core::array::from_fn::<usize, OUTPUTS, _>(|i| placement.of(pixel(i)))
            };
            let y_rows = offsets(&self.operands.y_placement);
            let residual_rows = self.operands.residual.map(|(_, placement)| offsets(&placement));
            let to = depthwise::Destination::Tensor {
                y: self.operands.y.0,
                rows: y_rows.as_ptr(),
                residual: self.operands.residual.map(|(residual, _)| residual.0),
                residual_rows: residual_rows.as_ref().map_or(y_rows.as_ptr(), |r| r.as_ptr()),
            };
            // SAFETY: the caller's contract; the offsets are those of these outputs.
            unsafe {
                plan.outputs(
                    (self.operands.x.0, self.operands.x_placement),
                    at,
                    start..end,
                    scratch,
                    to,
                )
            };
        }
    }

    /// # Safety
    /// As [`Run::row`].
    unsafe fn pool(
        &self,
        windows: &Int8Windows,
        kind: PoolKind,
        element: ElementType,
        [picture, row]: [usize; 2],
    ) {
        let Int8Windows { layer, input, vertical, horizontal } = windows;
        let taps_y = vertical.taps(row);
        // A row without gaps, element by element, is one long pixel.
        let residual_pixel =
            self.operands.residual.map_or(input[3], |(_, placement)| placement.pixel);
        let dense =
            [self.operands.x_placement.pixel, self.operands.y_placement.pixel, residual_pixel];
        let single = [vertical, horizontal].map(|axis| (axis.kernel, axis.stride, axis.before));
        let joined =
            single == [(1, 1, 0); 2] && dense == [input[3]; 3] && horizontal.output == input[2];
        let (columns, channels) =
            if joined { (1, input[2] * input[3]) } else { (horizontal.output, input[3]) };
        for column in 0..columns {
            let taps_x = horizontal.taps(column);
            let taps = [taps_y.len(), taps_x.len()];
            let none = taps.contains(&0);
            let first = Pixel {
                picture,
                row: if none { 0 } else { vertical.position(row, taps_y.start) },
                column: if none { 0 } else { horizontal.position(column, taps_x.start) },
            };
            let at = Pixel { picture, row, column };
            let count = if kind == PoolKind::Average { taps[0] * taps[1] } else { 1 };
            let run = PoolRun {
                x: self.operands.x.0.add(self.operands.x_placement.of(first)),
                steps: [
                    self.operands.x_placement.row.wrapping_mul(vertical.dilation),
                    self.operands.x_placement.pixel.wrapping_mul(horizontal.dilation),
                ],
                taps: if none { [0, 0] } else { taps },
                channels,
                sums: kind == PoolKind::Average,
                as_is: kind == PoolKind::Max
                    && layer.keeps(element)
                    && self.operands.residual.is_none(),
                zero_point: if none && kind == PoolKind::Average {
                    0
                } else {
                    layer.input.zero_point * count as i32
                },
                multiplier: windows.multiplier(count.max(1)),
                y: self.operands.y.0.add(self.operands.y_placement.of(at)),
                residual: self.operands.residual.map(|(r, placement)| r.0.add(placement.of(at))),
                bounds: layer.input_bounds,
                epilogue: layer.epilogue,
            };
            // SAFETY: the instructions were available when the plan was made; the taps lie in the
            // input, the pixel in output and residual.
            unsafe { (layer.kernels.pool)(&run) };
        }
    }
}

impl Int8Windows {
    /// What a step of the input's is in steps of the output's, for a mean of so many.
    fn multiplier(&self, count: usize) -> f32 {
        let scale = f64::from(self.layer.input.scale) / count as f64;
        // It was checked for one.
        self.layer.epilogue.multiplier(scale).unwrap_or(0.0)
    }
}
