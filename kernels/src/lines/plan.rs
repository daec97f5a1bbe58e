//! Operations on lines of a tensor: their shapes, and the tasks that they are split into.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::activation::Activation;
use crate::element::{Pointer, PointerMut};
use crate::error::{Error, Result};
use crate::geometry::{check_input, product};
use crate::lines::LineKernels;
use crate::lines::binary::{BinaryArgs, Line};
use crate::lines::normalize::{NormalizeArgs, Rule};
use crate::params::BinaryOp;
use crate::pixels::{Pixel, Placement};
use crate::tensor::for_each_row;
use crate::threads::{self, Scratch, Shared, SharedMut, Threads};
use crate::view::{NhwcView, NhwcViewMut};

/// An operation on lines, prepared.
#[derive(Debug)]
pub(crate) struct LinesPlan {
    pub(crate) kernels: &'static LineKernels,
    /// \[N, H, W, C\].
    pub(crate) input: [usize; 4],
    pub(crate) output: [usize; 4],
    pub(crate) activation: Activation,
    pub(crate) operation: Operation,
}

/// What is done with the lines.
#[derive(Debug)]
pub(crate) enum Operation {
    /// The second operand, of this shape, is given as the residual.
    Binary {
        op: BinaryOp,
        second: [usize; 4],
    },
    Normalize(Normalization),
}

/// A normalization.
#[derive(Debug, Clone)]
pub(crate) struct Normalization {
    pub(crate) rule: Rule,
    pub(crate) epsilon: f32,
    /// In how many groups the channels of a picture are normalized; none for each pixel by itself.
    pub(crate) groups: Option<usize>,
    pub(crate) affine: Arc<Affine>,
}

/// Scale and shift of each channel.
#[derive(Debug)]
pub(crate) struct Affine {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// The shape in which two tensors are combined: each dimension is that of both, or of one where the
/// other has 1.
pub(crate) fn broadcast(a: [usize; 4], b: [usize; 4]) -> Result<[usize; 4]> {
    check_input(a)?;
    check_input(b)?;
    let mut output = a;
    for (axis, extent) in output.iter_mut().enumerate() {
        match (a[axis], b[axis]) {
            (1, other) => *extent = other,
            (extent, other) if other == 1 || other == extent => {}
            _ => return Err(Error::Broadcast { a, b }),
        }
    }
    product("output elements", &output).map(|_| output)
}

impl LinesPlan {
    /// The kernel that runs.
    pub(crate) fn name(&self) -> &'static str {
        match self.operation {
            Operation::Binary { .. } => self.kernels.binary_name,
            Operation::Normalize(_) => self.kernels.normalize_name,
        }
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        match &self.operation {
            Operation::Binary { .. } => 0,
            Operation::Normalize(normalization) => {
                2 * size_of::<f32>() * normalization.affine.scale.len()
            }
        }
    }

    /// The input rows that these output rows take.
    pub(crate) fn covered(&self, rows: &Range<usize>) -> Range<usize> {
        let rows = rows.start..rows.end.min(self.output[1]);
        if rows.is_empty() {
            return 0..0;
        }
        let is_whole = match &self.operation {
            Operation::Binary { .. } => self.input[1] != self.output[1],
            Operation::Normalize(normalization) => normalization.groups.is_some(),
        };
        if is_whole { 0..self.input[1] } else { rows }
    }

    /// The shape of the second operand, or of a residual, for so many rows of the output.
    pub(crate) fn second(&self, rows: usize) -> [usize; 4] {
        let [n, h, w, c] = match self.operation {
            Operation::Binary { second, .. } => second,
            Operation::Normalize(_) => self.output,
        };
        [n, if h == self.output[1] { rows } else { h }, w, c]
    }

    /// Whether a run takes a residual in any case.
    pub(crate) fn needs_second(&self) -> bool {
        matches!(self.operation, Operation::Binary { .. })
    }

    /// Computes the output rows `all` of each picture. x is a view of the input rows that are
    /// needed, and the first of them; y and the residual have these output rows alone.
    pub(crate) fn run(
        &self,
        threads: &dyn Threads,
        all: Range<usize>,
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let [n, height, width, _] = self.output;
        let run = Run {
            plan: self,
            x: Operand::new(&x, self.input, top),
            second: residual.map(|r| Operand::new(&r, self.second(height), all.start)),
            y: SharedMut(y.pointer()),
            y_placement: y.placement(all.start),
        };
        match &self.operation {
            Operation::Normalize(normalization @ Normalization { groups: Some(groups), .. }) => {
                // Some rows of a picture can't be normalized without the others.
                if all != (0..height) {
                    return Err(Error::Rows { start: all.start, end: all.end, height });
                }
                let (tasks, workers) = (n * groups, threads.count().max(1));
                threads::for_each(threads, [tasks, workers], scratch, 0, &|task, _| {
                    let (picture, group) = (task / groups, task % groups);
                    let channels = self.output[3] / groups;
                    let channels = group * channels..(group + 1) * channels;
                    let at = Pixel { picture, row: 0, column: 0 };
                    let pictures = (1, [height, width]);
                    // SAFETY: views were checked against the plan; each task writes its own
                    // channels of its own picture.
                    unsafe { run.normalize(normalization, at, pictures, channels) };
                });
            }
            operation => for_each_row(threads, n, &all, scratch, &|at| {
                // SAFETY: views were checked against the plan, and have this row, which is written
                // by one task.
                unsafe { run.row(operation, at) };
            }),
        }
        Ok(())
    }
}

/// An operand that is read.
struct Operand {
    at: Shared,
    placement: Placement,
    /// \[N, H, W, C\] of all of it.
    shape: [usize; 4],
}

impl Operand {
    /// A view of an operand of `shape`: of the rows from `top` on, or of the one for all.
    fn new(view: &NhwcView<'_>, shape: [usize; 4], top: usize) -> Self {
        let top = if shape[1] == 1 { 0 } else { top };
        Self { at: Shared(view.pointer()), placement: view.placement(top), shape }
    }

    /// Channel 0 of a pixel.
    fn of(&self, pixel: Pixel) -> Pointer {
        self.at.0.add(self.placement.of(pixel))
    }

    /// The line of an output row, where a dimension of 1 stands for all of the output's.
    fn line(&self, Pixel { picture, row, .. }: Pixel) -> Line {
        let [n, h, w, c] = self.shape;
        let of = |extent: usize, at: usize| if extent == 1 { 0 } else { at };
        let first = Pixel { picture: of(n, picture), row: of(h, row), column: 0 };
        Line { at: self.of(first), pixel: of(w, self.placement.pixel), is_single: c == 1 }
    }
}

/// One call of [`LinesPlan::run`].
struct Run<'a> {
    plan: &'a LinesPlan,
    x: Operand,
    second: Option<Operand>,
    y: SharedMut,
    y_placement: Placement,
}

impl Run<'_> {
    fn y(&self, pixel: Pixel) -> PointerMut {
        self.y.0.add(self.y_placement.of(pixel))
    }

    /// Computes an output row.
    ///
    /// # Safety
    /// The views have the plan's shapes, with this row; no other thread touches it in the output.
    unsafe fn row(&self, operation: &Operation, at: Pixel) {
        let [_, _, width, channels] = self.plan.output;
        match operation {
            Operation::Binary { op, .. } => {
                let Some(second) = &self.second else { return };
                let operands = [self.x.line(at), second.line(at)];
                let mut args = BinaryArgs {
                    op: *op,
                    operands,
                    y: self.y(at),
                    y_pixel: self.y_placement.pixel,
                    pixels: width,
                    channels,
                    activation: self.plan.activation,
                };
                let is_dense = |line: &Line| line.pixel == channels && !line.is_single;
                if args.operands.iter().all(is_dense) && args.y_pixel == channels {
                    (args.pixels, args.channels) = (1, width * channels);
                }
                // SAFETY: the level was available when the plan was made; the row's pixels lie in
                // the views, or one of a dimension of 1 for all.
                unsafe { (self.plan.kernels.binary)(&args) };
            }
            Operation::Normalize(normalization) => {
                // SAFETY: the pixels of the row.
                unsafe { self.normalize(normalization, at, (width, [1, 1]), 0..channels) };
            }
        }
    }

    /// Normalizes some channels of the pixels of so many rectangles of this size.
    ///
    /// # Safety
    /// The views have the plan's shapes, with these pixels; no other thread touches these channels
    /// of them in the output.
    unsafe fn normalize(
        &self,
        normalization: &Normalization,
        at: Pixel,
        (rectangles, size): (usize, [usize; 2]),
        channels: Range<usize>,
    ) {
        let Affine { scale, shift } = &*normalization.affine;
        let strides = |placement: &Placement| [placement.row, placement.pixel];
        let args = NormalizeArgs {
            rectangles,
            x: self.x.of(at).add(channels.start),
            x_strides: strides(&self.x.placement),
            y: self.y(at).add(channels.start),
            y_strides: strides(&self.y_placement),
            residual: self.second.as_ref().map(|residual| {
                (residual.of(at).add(channels.start), strides(&residual.placement))
            }),
            size,
            channels: channels.len(),
            rule: normalization.rule,
            epsilon: normalization.epsilon,
            scale: scale[channels.clone()].as_ptr(),
            shift: shift[channels].as_ptr(),
            activation: self.plan.activation,
        };
        // SAFETY: the level was available when the plan was made; pixels and channels lie in the
        // views, by the caller's word, and the slices have these channels.
        unsafe { (self.plan.kernels.normalize)(&args) };
    }
}
