//! Pixelwise operations, prepared: shapes, taps, and the rows that tasks compute.

use alloc::vec::Vec;
use core::ops::Range;

use crate::activation::Activation;
use crate::error::Result;
use crate::options::Options;
use crate::pixels::Pixel;
use crate::pixelwise::PixelwiseKernels;
use crate::pixelwise::axis::Taps;
use crate::pixelwise::resample::{PixelsTo, ResampleRun};
use crate::pixelwise::softmax::SoftmaxRun;
use crate::tensor::for_each_row;
use crate::threads::{Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

/// A pixelwise operation, prepared.
#[derive(Debug)]
pub(crate) struct PixelwisePlan {
    kernels: &'static PixelwiseKernels,
    /// \[N, H, W, C\].
    output: [usize; 4],
    activation: Activation,
    operation: PixelOperation,
}

/// What is computed.
#[derive(Debug)]
pub(crate) enum PixelOperation {
    Resample {
        /// Of each output row.
        rows: Vec<Taps>,
        /// Of each output column.
        columns: Vec<Taps>,
        /// From one input channel that is taken to the next.
        channel_step: usize,
    },
    Softmax,
}

impl PixelwisePlan {
    /// For an output \[N, H, W, C\] that was checked.
    pub(crate) fn new(
        kernels: &'static PixelwiseKernels,
        output: [usize; 4],
        operation: PixelOperation,
        options: &Options,
    ) -> Result<Self> {
        options.check_plain()?;
        Ok(Self { kernels, output, activation: options.activation.checked()?, operation })
    }

    /// \[N, H, W, C\].
    pub(crate) fn output(&self) -> [usize; 4] {
        self.output
    }

    /// The kernel that runs.
    pub(crate) fn name(&self) -> &'static str {
        match self.operation {
            PixelOperation::Resample { .. } => self.kernels.resample_name,
            PixelOperation::Softmax => self.kernels.softmax_name,
        }
    }

    /// The input rows that these output rows are made of.
    pub(crate) fn covered(&self, outputs: &Range<usize>) -> Range<usize> {
        let outputs = outputs.start..outputs.end.min(self.output[1]);
        if outputs.is_empty() {
            return 0..0;
        }
        match &self.operation {
            // They never descend.
            PixelOperation::Resample { rows, .. } => {
                rows[outputs.start].positions[0]..rows[outputs.end - 1].end()
            }
            PixelOperation::Softmax => outputs,
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
    ) {
        let operands = Operands::new(x, residual, (&mut y, all.start));
        for_each_row(threads, self.output[0], &all, scratch, &|first| {
            // SAFETY: the views have the plan's shapes, with this row and those that it is made of;
            // it is one task's.
            unsafe { self.row(&operands, first) };
        });
    }

    /// Computes the row that begins with a pixel.
    ///
    /// # Safety
    /// - The views have the plan's shapes, with this row and those that it is made of.
    /// - No other thread touches this row of the output.
    unsafe fn row(&self, operands: &Operands, first: Pixel) {
        let [_, _, width, channels] = self.output;
        let (x, at) = (operands.x.0, &operands.x_placement);
        let residual = operands.residual.as_ref();
        let to = PixelsTo {
            y: operands.y.0.add(operands.y_placement.of(first)),
            pixel: operands.y_placement.pixel,
            residual: residual.map(|(residual, at)| residual.0.add(at.of(first))),
            residual_pixel: residual.map_or(0, |(_, at)| at.pixel),
            activation: self.activation,
        };
        match &self.operation {
            PixelOperation::Resample { rows, columns, channel_step } => {
                let taps = rows[first.row];
                let row = Taps {
                    positions: taps.positions.map(|row| at.of(Pixel { row, ..first })),
                    ..taps
                };
                let run = ResampleRun {
                    x,
                    row,
                    columns: columns.as_ptr(),
                    pixels: width,
                    x_pixel: at.pixel,
                    x_channel: *channel_step,
                    channels,
                    to,
                };
                // SAFETY: level and types were available when the plan was made; there are taps for
                // each column, which lie inside the input, in rows that x has by the caller's word,
                // as do their channels; so have output and residual this row.
                unsafe { (self.kernels.resample)(&run) };
            }
            PixelOperation::Softmax => {
                let x = x.add(at.of(first));
                let run = SoftmaxRun { x, x_pixel: at.pixel, pixels: width, channels, to };
                // SAFETY: level and types were available when the plan was made; all views have
                // this row, by the caller's word, of at least one channel.
                unsafe { (self.kernels.softmax)(&run) };
            }
        }
    }
}
