//! The driver: splits a tensor's rows into tasks, and writes each by a window plan.

use core::ops::Range;

use crate::activation::{ActivateRun, Activation};
use crate::element::ElementType;
use crate::error::Result;
use crate::geometry::Axis;
use crate::options::Options;
use crate::pixels::{Pixel, Placement, Rectangle};
use crate::threads::{self, Shared, SharedMut};
use crate::view::{NhwcView, NhwcViewMut};
use crate::window::{Finish, Places, Residual, Sink, WindowPlan};

/// Most output rows of a task, half as many with stride 2: about ten input rows, of which some share an
/// L1 set where a row's bytes are a multiple of 4 KiB. Of an input row that two tasks use, one reads it a
/// second time. Measured against 4 and 16 at 147², 74², 37².
const STRIP_ROWS: usize = 8;

/// A window plan that writes a tensor.
#[derive(Debug)]
pub(crate) struct TensorPlan {
    window: WindowPlan,
    output_type: ElementType,
    activation: Activation,
    /// Applies it to contiguous elements in place.
    activate: unsafe fn(&ActivateRun),
}

impl TensorPlan {
    pub(crate) fn new(
        window: WindowPlan,
        options: &Options,
        activate: unsafe fn(&ActivateRun),
    ) -> Result<Self> {
        let (output_type, activation) = (options.output_type, options.activation.checked()?);
        Ok(Self { window, output_type, activation, activate })
    }

    /// \[N, H, W, C\] of the output.
    pub(crate) fn output(&self) -> [usize; 4] {
        self.window.output()
    }

    pub(crate) fn kernel_name(&self) -> &'static str {
        self.window.kernel_name()
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        self.window.weights_bytes()
    }

    pub(crate) fn vertical(&self) -> &Axis {
        &self.window.vertical
    }

    /// Computes the output rows `all` of each picture, one task per strip of them. x has the input rows from `top`
    /// on that are needed, y and the residual these output rows alone.
    pub(crate) fn run(
        &self,
        all: Range<usize>,
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
    ) {
        let window = &self.window;
        let [n, _, ow, channels] = window.output();
        let height = all.len();
        let (x_data, x) = (Shared(x.pointer()), Placement::new(x.shape(), x.pixel_stride(), top));
        let of_output = |shape, stride| Placement::new(shape, stride, all.start);
        let (y_data, y) = (SharedMut(y.pointer()), of_output(y.shape(), y.pixel_stride()));
        let residual =
            residual.map(|r| (Shared(r.pointer()), of_output(r.shape(), r.pixel_stride())));
        let bounds = self.activation.bounds();
        let (inside, after) = match bounds {
            Some(_) => (Activation::None, Activation::None),
            None if self.output_type == ElementType::F32 => (Activation::None, self.activation),
            None => (self.activation, Activation::None),
        };
        let workers = threads::available_threads();
        let strips = strips(n, height, STRIP_ROWS / window.vertical.stride.min(2), workers);
        let tasks = n * strips;
        let strip = |task: usize| {
            // Whole structs are captured, not their pointer fields: only they are Send.
            let (x_data, y_data, residual) = (&x_data, &y_data, &residual);
            let task = threads::adjacent(task, tasks, workers);
            let (picture, strip) = (task / strips, task % strips);
            let rows = height * strip / strips..height * (strip + 1) / strips;
            let rows = all.start + rows.start..all.start + rows.end;
            let at = Rectangle { picture, rows, columns: 0..ow };
            let sink = Sink {
                y: y_data.0.add(y.of(at.first())),
                places: Places::Grid { row: y.row(), pixel: y.pixel },
                block: window.lanes,
            };
            let finish = Finish {
                residual: residual.as_ref().map(|(data, r)| Residual {
                    data: data.0.add(r.of(at.first())),
                    pixel: r.pixel,
                    row: r.row(),
                }),
                bounds: bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
                activation: inside,
            };
            // The strip that this thread is likely to take next.
            let next = Some(Pixel { picture, row: at.rows.end, column: 0 });
            // SAFETY: the views have the plan's shapes, with the rows that are needed; each task writes its own
            // output rows.
            unsafe { window.run((x_data.0, x), &at, next, &sink, &finish) };
            if after != Activation::None {
                for pixel in 0..at.rows.len() * ow {
                    // SAFETY: the channels of an output pixel, of f32, that this task has just written.
                    unsafe {
                        let y = sink.y.add(pixel * y.pixel).at.cast();
                        (self.activate)(&ActivateRun { x: y, count: channels, activation: after });
                    }
                }
            }
        };
        threads::for_each(tasks, workers, &mut [], 0, &|task, _| strip(task));
    }
}

/// How many strips the rows of each of `n` pictures are divided into: of `rows` rows at most; for several workers at least
/// two for each, so that one that is held up can leave some to others, and as many for each where there are enough rows.
/// More strips read more rows twice: with four for each of two workers 10²·1536 takes 1.2 (AVX-512) and 1.35 (AVX2) of
/// the time, with four for one worker 1.1 and 1.05.
fn strips(n: usize, height: usize, rows: usize, workers: usize) -> usize {
    let wanted = if workers > 1 { (2 * workers).div_ceil(n) } else { 1 };
    let even = if n.is_multiple_of(workers) { 1 } else { workers };
    let most = if height < even { height } else { height - height % even };
    height.div_ceil(rows).max(wanted).next_multiple_of(even).min(most)
}
