//! The driver of 8-bit integers where channels are treated by themselves: depthwise convolutions,
//! as tensors or in A panels, pools, and what is done element by element.
//!
//! Of planes some rows of some channels are copied at a time, and the kernels see pixels.

use alloc::string::String;
use alloc::sync::Arc;
use core::ops::Range;

use crate::element::{ElementType, Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::gemm::operands::PartOfA;
use crate::geometry::{Axis, Window, product};
use crate::int8::depthwise::{self, DepthwiseRun, DepthwiseWeights, OUTPUTS};
use crate::int8::layer::Int8Layer;
use crate::int8::pool::PoolRun;
use crate::layout::TensorLayout;
use crate::memory::{self, LINE};
use crate::options::Options;
use crate::params::PoolKind;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::planes::patch::Patch;
use crate::planes::transpose::Transpose;
use crate::simd::int8::SUMS;
use crate::threads::{self, Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

/// Tasks of a thread, if there are rows enough.
const TASKS: usize = 4;

/// Most output rows whose input is copied out of planes at a time, half as many with stride 2: of
/// the input rows that two such bands share each copies its own.
const BAND: usize = 8;
/// Bytes of the copies of a band that are in use at a time, as far as [`CHANNELS`] allow: with the
/// planes' own lines they fit the smallest L2 (512 KiB) that the crate aims at.
const COPIED_BYTES: usize = 256 << 10;
/// Channels are divided into multiples of so many: whole chunks of the depthwise kernels.
const CHANNELS: usize = 64;

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
    /// Rows of outputs that are computed at once, if they are there: 1 or 2.
    pub(crate) rows: usize,
    /// Scratch elements of the interleaved columns, in whole cache lines.
    pub(crate) columns: usize,
    /// Whether the input is made of planes, out of which pixels are copied into A panels.
    pub(crate) planes: bool,
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
        let neighbours = windows.vertical.stride == 1 && windows.vertical.dilation == 1;
        let is_clamp = windows.layer.epilogue.is_clamp();
        let shares = neighbours && is_clamp && depthwise::shares_rows(kernel, kernels.group);
        let rows = if shares { 2 } else { 1 };
        let outputs = output.clamp(1, OUTPUTS);
        let columns = depthwise::columns(outputs, kernel, step, kernels.group);
        let columns = product("scratch", &[columns, SUMS, kernels.lanes])?.next_multiple_of(LINE);
        Ok(Self { windows, multiplier, weights, step, rows, columns, planes: false })
    }

    /// The same in A panels, of an input in planes if so.
    pub(crate) fn of_planes(self, planes: bool) -> Self {
        Self { planes, ..self }
    }

    /// \[N, H, W, C\] of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        self.windows.output(self.weights.channels)
    }

    /// Computes `channels` of outputs `columns`, at most [`OUTPUTS`], of some rows, as many as are
    /// computed at once at most. Those of the second row are where `to` has its outputs from the
    /// given one on.
    ///
    /// # Safety
    /// - `x` is a view of the input, with the rows that the windows cover.
    /// - `buffer` has room for the interleaved columns, and what the destination asks for exists,
    ///   from the first of the channels on; both are this thread's alone.
    /// - The first channel is a multiple of [`CHANNELS`], and 0 with a multiplier above 1.
    unsafe fn outputs(
        &self,
        (x, placement): (Pointer, Placement),
        (picture, rows): (usize, Range<usize>),
        [channels, columns]: [Range<usize>; 2],
        buffer: *mut f32,
        (to, next): (depthwise::Destination, usize),
    ) {
        let Int8Windows { layer, input, vertical, horizontal } = &self.windows;
        let first = |axis: &Axis, o: usize| (o * axis.stride).wrapping_sub(axis.before) as isize;
        let run = DepthwiseRun {
            x: x.add(placement.of(Pixel { picture, row: 0, column: 0 })).add(channels.start).at,
            x_row: placement.row,
            x_pixel: placement.pixel,
            size: [input[1], input[2]],
            first: [first(vertical, rows.start), first(horizontal, columns.start)],
            kernel: [vertical.kernel, horizontal.kernel],
            stride: horizontal.stride,
            dilation: [vertical.dilation, horizontal.dilation],
            step: self.step,
            outputs: columns.len(),
            rows: rows.len(),
            next,
            multiplier: self.multiplier,
            weights: self.weights.pointers(&channels),
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
        let channels = 0..self.weights.channels;
        part.region.rectangles(part.pixels.clone(), &mut |rectangle, first| {
            let x = if self.planes {
                let Int8Windows { input, vertical, horizontal, .. } = &self.windows;
                let patch = Patch {
                    picture: rectangle.picture,
                    rows: vertical.covered(&rectangle.rows),
                    columns: horizontal.covered(&rectangle.columns),
                    channels: 0..input[3],
                };
                let to = part.patch.wrapping_add(self.columns).cast();
                // SAFETY: the caller's contract; behind the columns there is room for these pixels.
                unsafe { patch.copy_as_is((part.x, part.placement), to) }
            } else {
                (part.x, part.placement)
            };
            let Rectangle { picture, rows, columns } = rectangle;
            let next = part.region.columns.len();
            for row in rows.clone().step_by(self.rows) {
                let first = first + (row - rows.start) * next;
                let at_once = row..(row + self.rows).min(rows.end);
                let share = depthwise::share(columns.len());
                for start in columns.clone().step_by(share) {
                    let outputs = start..(start + share).min(columns.end);
                    let rows = part.rows[first + start - columns.start..].as_ptr();
                    let to =
                        depthwise::Destination::Panels { a: part.panels, rows, block: part.block };
                    // SAFETY: the caller's contract, for these pixels.
                    unsafe {
                        let ranges = [channels.clone(), outputs];
                        let rows = (picture, at_once.clone());
                        self.outputs(x, rows, ranges, part.patch, (to, next));
                    }
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
    input_planes: bool,
    output_planes: bool,
    /// Most output rows, and channels of these, that are computed before others.
    band: usize,
    channels: usize,
    /// Scratch elements of the copies of input and output, in whole cache lines.
    patch: usize,
    outputs: usize,
}

impl Int8Tensor {
    pub(crate) fn new(operation: Operation, options: &Options) -> Result<Self> {
        if let Operation::Pool(windows, PoolKind::Average, _) = &operation {
            let taps = [windows.vertical.kernel, windows.horizontal.kernel];
            let magnitude = (product("kernel elements", &taps)? as u64).saturating_mul(255);
            if magnitude > i32::MAX as u64 {
                return Err(Error::Sums { channel: 0, magnitude });
            }
        }
        // Of single pixels both layouts are the same memory.
        let planes =
            |layout, [_, h, w, _]: [usize; 4]| layout == TensorLayout::Nchw && [h, w] != [1, 1];
        let mut plan = Self {
            input_planes: false,
            output_planes: false,
            band: usize::MAX,
            channels: usize::MAX,
            patch: 0,
            outputs: 0,
            operation,
        };
        product("output elements", &plan.output())?;
        plan.input_planes = planes(options.input_layout, plan.windows().input);
        plan.output_planes = planes(options.output_layout, plan.output());
        if plan.input_planes || plan.output_planes {
            plan.limit(options)?;
        }
        Ok(plan)
    }

    /// Divides rows and channels, so that copies stay in cache.
    fn limit(&mut self, options: &Options) -> Result<()> {
        let Int8Windows { input, vertical, horizontal, .. } = self.windows();
        let band = (BAND / vertical.stride.min(2)).min(vertical.output);
        let (channels_in, channels_out) = (input[3], self.output()[3]);
        let of = |used, pixels: [usize; 2], element: ElementType| match used {
            true => product("scratch", &[pixels[0], pixels[1], element.size()]),
            false => Ok(0),
        };
        let patch = of(self.input_planes, [vertical.extent(band), input[2]], options.input_type)?;
        let outputs = of(self.output_planes, [band, horizontal.output], options.output_type)?;
        let mut channels = channels_out;
        if channels_in == channels_out {
            let fitting = COPIED_BYTES / patch.saturating_add(outputs).max(1);
            channels = channels.min((fitting / CHANNELS * CHANNELS).max(CHANNELS));
        }
        let elements = |bytes: usize, channels: usize| {
            let bytes = product("scratch", &[bytes, channels])?;
            Ok(bytes.div_ceil(size_of::<f32>()).next_multiple_of(LINE))
        };
        let patch = elements(patch, channels.min(channels_in))?;
        let outputs = elements(outputs, channels)?;
        (self.band, self.channels, self.patch, self.outputs) = (band, channels, patch, outputs);
        Ok(())
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

    /// Scratch elements of the interleaved columns.
    fn columns(&self) -> usize {
        match &self.operation {
            Operation::Depthwise(depthwise) => depthwise.columns,
            Operation::Pool(..) => 0,
        }
    }

    /// Rows of the output that are computed at once, if they are there.
    fn rows_at_once(&self, has_residual: bool) -> usize {
        match &self.operation {
            Operation::Depthwise(depthwise) if !has_residual => depthwise.rows,
            _ => 1,
        }
    }

    /// Scratch elements of a thread.
    fn part(&self) -> usize {
        self.columns() + self.patch + self.outputs
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
            let (mut line, end) = (share(task), share(task + 1));
            while line < end {
                let (picture, first) = (line / rows.len(), line % rows.len());
                let count = self.band.min(end - line).min(rows.len() - first);
                let band = rows.start + first..rows.start + first + count;
                // SAFETY: the views have the plan's shapes; each row is of one task.
                unsafe { run.rows(picture, band, scratch) };
                line += count;
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

/// What is computed of, and into: the operands, or copies of some of their rows. Of each the
/// channels lie side by side, channel 0 where it is placed.
#[derive(Clone, Copy)]
struct Pixels {
    x: (Pointer, Placement),
    y: (PointerMut, Placement),
    residual: Option<(Pointer, Placement)>,
}

impl Run<'_> {
    /// Computes rows of the output, of one picture.
    ///
    /// # Safety
    /// - x, y and residual are views of the plan's shapes, of these rows and those that they need.
    /// - No other thread touches the rows or the scratch, which has room for a part.
    unsafe fn rows(&self, picture: usize, rows: Range<usize>, scratch: &mut [f32]) {
        let plan = self.plan;
        let (columns, copies) = scratch.split_at_mut(plan.columns());
        let (patch, outputs) = copies.split_at_mut(plan.patch);
        let (width, all) = (plan.windows().horizontal.output, plan.output()[3]);
        let at = Rectangle { picture, rows, columns: 0..width };
        for start in (0..all).step_by(plan.channels.min(all).max(1)) {
            let channels = start..all.min(start.saturating_add(plan.channels));
            // SAFETY: the caller's contract; the copies have room for a band of these channels.
            unsafe {
                let pixels = self.pixels(&at, &channels, patch, outputs);
                let step = plan.rows_at_once(pixels.residual.is_some());
                for row in at.rows.clone().step_by(step) {
                    let rows = (picture, row..(row + step).min(at.rows.end));
                    self.some_rows(&pixels, rows, &channels, columns.as_mut_ptr());
                }
                if plan.output_planes {
                    self.to_planes(&at, &channels, outputs);
                }
            }
        }
    }

    /// The operands of some channels of these outputs: copies of those that are made of planes.
    ///
    /// # Safety
    /// As [`Run::rows`]; the copies have room for them.
    unsafe fn pixels(
        &self,
        at: &Rectangle,
        channels: &Range<usize>,
        patch: &mut [f32],
        outputs: &mut [f32],
    ) -> Pixels {
        let (plan, operands) = (self.plan, &self.operands);
        let Int8Windows { input, vertical, .. } = plan.windows();
        let mut pixels = Pixels {
            x: (operands.x.0, operands.x_placement),
            y: (operands.y.0, operands.y_placement),
            residual: operands
                .residual
                .as_ref()
                .map(|(residual, placement)| (residual.0, *placement)),
        };
        if plan.input_planes {
            // Divided only where there are as many in the input.
            let all = channels.len() == plan.output()[3];
            let window = Patch {
                picture: at.picture,
                rows: vertical.covered(&at.rows),
                columns: 0..input[2],
                channels: if all { 0..input[3] } else { channels.clone() },
            };
            // SAFETY: the caller's contract.
            pixels.x = unsafe { window.copy_as_is(pixels.x, patch.as_mut_ptr().cast()) };
        }
        if plan.output_planes {
            let pixel = channels.len();
            let to = PointerMut { at: outputs.as_mut_ptr().cast(), element: pixels.y.0.element };
            let placement = Placement::patch(at.rows.start, at.columns.len() * pixel, pixel);
            // Kernels read an element of the residual before they write the output in its place.
            if let Some((residual, of)) = pixels.residual {
                let copy = Transpose {
                    from: residual.add(of.of_channel(at.first(), channels.start)),
                    from_row: of.channel,
                    to,
                    to_row: pixel,
                    rows: pixel,
                    columns: at.rows.len() * at.columns.len(),
                };
                // SAFETY: the caller's contract: whole rows, one after the other.
                unsafe { copy.run() };
            }
            let to = to.add(channels.start.wrapping_neg());
            pixels.y = (to, placement);
            pixels.residual = pixels.residual.map(|_| (to.as_read(), placement));
        }
        pixels
    }

    /// Copies outputs into the planes.
    ///
    /// # Safety
    /// As [`Run::rows`]; the outputs are there.
    unsafe fn to_planes(&self, at: &Rectangle, channels: &Range<usize>, outputs: &[f32]) {
        let (y, placement) = (self.operands.y.0, &self.operands.y_placement);
        let copy = Transpose {
            from: Pointer { at: outputs.as_ptr().cast(), element: y.element },
            from_row: channels.len(),
            to: y.add(placement.of_channel(at.first(), channels.start)),
            to_row: placement.channel,
            // Whole rows, one after the other.
            rows: at.rows.len() * at.columns.len(),
            columns: channels.len(),
        };
        // SAFETY: the caller's contract.
        unsafe { copy.run() };
    }

    /// Computes channels of as many rows of the output as are computed at once, or fewer.
    ///
    /// # Safety
    /// - The operands have these rows and those that they need, of these channels.
    /// - No other thread touches the rows or the columns, for which there is room.
    unsafe fn some_rows(
        &self,
        pixels: &Pixels,
        (picture, rows): (usize, Range<usize>),
        channels: &Range<usize>,
        columns: *mut f32,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match &self.plan.operation {
                Operation::Depthwise(plan) => {
                    depthwise_rows(plan, pixels, (picture, rows), channels, columns);
                }
                Operation::Pool(windows, kind, element) => {
                    pool_row(windows, (*kind, *element), pixels, [picture, rows.start], channels);
                }
            }
        }
    }
}

/// # Safety
/// As [`Run::some_rows`].
unsafe fn depthwise_rows(
    plan: &Int8Depthwise,
    pixels: &Pixels,
    (picture, rows): (usize, Range<usize>),
    channels: &Range<usize>,
    buffer: *mut f32,
) {
    let width = plan.windows.horizontal.output;
    let share = depthwise::share(width);
    for start in (0..width).step_by(share) {
        let end = (start + share).min(width);
        let (y, y_placement) = &pixels.y;
        let (mut y_rows, mut residual_rows) = ([[0; OUTPUTS]; 2], [[0; OUTPUTS]; 2]);
        let columns = start..end;
        place(&mut y_rows, y_placement, picture, [&rows, &columns]);
        if let Some((_, placement)) = &pixels.residual {
            place(&mut residual_rows, placement, picture, [&rows, &columns]);
        }
        let to = depthwise::Destination::Tensor {
            y: y.add(channels.start),
            rows: y_rows.as_flattened().as_ptr(),
            residual: pixels.residual.map(|(residual, _)| residual.add(channels.start)),
            residual_rows: residual_rows.as_flattened().as_ptr(),
        };
        // SAFETY: the caller's contract; the offsets are those of these outputs.
        unsafe {
            let ranges = [channels.clone(), columns];
            plan.outputs(pixels.x, (picture, rows.clone()), ranges, buffer, (to, OUTPUTS));
        }
    }
}

/// Where outputs `columns` of `rows` lie, row by row.
fn place(
    offsets: &mut [[usize; OUTPUTS]; 2],
    placement: &Placement,
    picture: usize,
    [rows, columns]: [&Range<usize>; 2],
) {
    for (offsets, row) in offsets.iter_mut().zip(rows.clone()) {
        for (at, column) in offsets.iter_mut().zip(columns.clone()) {
            *at = placement.of(Pixel { picture, row, column });
        }
    }
}

/// # Safety
/// As [`Run::some_rows`].
unsafe fn pool_row(
    windows: &Int8Windows,
    (kind, element): (PoolKind, ElementType),
    pixels: &Pixels,
    [picture, row]: [usize; 2],
    channels: &Range<usize>,
) {
    let Int8Windows { layer, input, vertical, horizontal } = windows;
    let Pixels { x: (x, x_placement), y: (y, y_placement), residual } = pixels;
    let taps_y = vertical.taps(row);
    // A row without gaps, element by element, is one long pixel.
    let count = channels.len();
    let residual_pixel = residual.map_or(count, |(_, placement)| placement.pixel);
    let dense = [x_placement.pixel, y_placement.pixel, residual_pixel];
    let single = [vertical, horizontal].map(|axis| (axis.kernel, axis.stride, axis.before));
    let joined = single == [(1, 1, 0); 2] && dense == [count; 3] && horizontal.output == input[2];
    let (columns, count) = if joined { (1, input[2] * count) } else { (horizontal.output, count) };
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
        let taps_added = if kind == PoolKind::Average { taps[0] * taps[1] } else { 1 };
        let start = channels.start;
        let run = PoolRun {
            x: x.add(x_placement.of(first)).add(start),
            steps: [
                x_placement.row.wrapping_mul(vertical.dilation),
                x_placement.pixel.wrapping_mul(horizontal.dilation),
            ],
            taps: if none { [0, 0] } else { taps },
            channels: count,
            sums: kind == PoolKind::Average,
            as_is: kind == PoolKind::Max && layer.keeps(element) && residual.is_none(),
            zero_point: if none && kind == PoolKind::Average {
                0
            } else {
                layer.input.zero_point * taps_added as i32
            },
            multiplier: windows.multiplier(taps_added.max(1)),
            y: y.add(y_placement.of(at)).add(start),
            residual: residual.map(|(r, placement)| r.add(placement.of(at)).add(start)),
            bounds: layer.input_bounds,
            epilogue: layer.epilogue,
        };
        // SAFETY: the instructions were available when the plan was made; the taps lie in the
        // input, the pixel in output and residual.
        unsafe { (layer.kernels.pool)(&run) };
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
