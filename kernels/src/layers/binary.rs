//! What is done with two tensors element by element.

use crate::error::Result;
use crate::layers::layer::{HasLayer, Layer, choose};
use crate::layers::plan::Plan;
use crate::lines::plan::{LinesPlan, Operation, broadcast};
use crate::options::Options;
use crate::params::BinaryOp;

/// activation(a ∘ b), element by element, with broadcasting: where one tensor has a dimension of 1,
/// its one picture, row, column or channel is combined with each of the other's.
///
/// The second operand b is passed to a run as the residual, without which the run is an error. Its
/// type is that of the output. The operation is rounded to f32, so is the activation; an output of
/// 16 bits is rounded once more.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// // two pixels of three channels, scaled by channel
/// let plan =
///     Binary::new(BinaryOp::Multiply, [1, 1, 2, 3], [1, 1, 1, 3], &Options::default())?;
/// let mut y = [0.0; 6];
/// let a = NhwcView::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], plan.input_shape())?;
/// let b = NhwcView::new(&[1.0, 10.0, 100.0], [1, 1, 1, 3])?;
/// plan.run(a, Some(b), NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [1.0, 20.0, 300.0, 4.0, 50.0, 600.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Binary(Layer);

impl Binary {
    /// Checks the shapes \[N, H, W, C\] of both operands and chooses the kernel.
    ///
    /// # Errors
    /// [`Error::Broadcast`](crate::Error::Broadcast): dimensions are neither equal nor 1. Zero or
    /// overflowing dimensions, integers, NCHW, an activation or a scale of the input, an activation
    /// that makes no sense, an unavailable level.
    pub fn new(op: BinaryOp, a: [usize; 4], b: [usize; 4], options: &Options) -> Result<Self> {
        let kernels = choose(options)?;
        options.check_plain()?;
        let output = broadcast(a, b)?;
        let plan = LinesPlan {
            kernels: &kernels.lines,
            input: a,
            output,
            activation: options.activation.checked()?,
            operation: Operation::Binary { op, second: b },
        };
        Ok(Self(Layer::lines(kernels, plan, options)))
    }
}

impl HasLayer for Binary {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Binary {}
