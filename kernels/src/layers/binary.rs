//! What is done with two tensors element by element.

use crate::error::Result;
use crate::layers::layer::{HasLayer, Layer, choose};
use crate::layers::plan::Plan;
use crate::lines::plan::{LinesPlan, Operation, broadcast, check};
use crate::options::Options;
use crate::params::BinaryOp;

/// activation(a ∘ b), element by element, where each tensor may have one picture, row, column or
/// channel for all of the other's.
///
/// The second operand b is given as the residual, which a run can't do without. Its type is that of
/// the output. The operation is rounded to f32, then the activation, then, if it is of 16 bits, the
/// output.
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
    /// overflowing dimensions; an unavailable level; integers, planes or an activation on load,
    /// which there are not for this operation.
    pub fn new(op: BinaryOp, a: [usize; 4], b: [usize; 4], options: &Options) -> Result<Self> {
        let kernels = choose(options)?;
        check(options)?;
        let output = broadcast(a, b)?;
        let plan = LinesPlan {
            kernels: &kernels.lines,
            input: a,
            output,
            activation: options.activation,
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
