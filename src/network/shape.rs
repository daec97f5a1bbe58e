//! Shapes of values: \[N, H, W, C\], no dimension 0, no product beyond what a slice can hold.

use sepconv_kernels::{Error as KernelError, Window};

use super::{Node, Op};
use crate::{Error, Result};

/// \[N, H, W, C\].
pub(super) type Shape = [usize; 4];

/// Elements of a checked shape.
pub(super) fn elements(shape: Shape) -> usize {
    shape.iter().product()
}

/// The shape that the network's input node gets for an input of shape `input`.
pub(super) fn infer_input(node: &Node, channels: usize, input: Shape) -> Result<Shape> {
    if input[3] != channels {
        return Err(network(
            node,
            format!("input {input:?} has {} channels, not {channels}", input[3]),
        ));
    }
    checked(node, input)
}

/// The output shape of any other node, given its operands'.
pub(super) fn infer(node: &Node, operands: &[Shape]) -> Result<Shape> {
    let [n, h, w, c] = operands[0];
    let shape = match node.op {
        Op::Conv { window, groups, filters, .. } => {
            if groups == 0 || c % groups != 0 || filters % groups != 0 {
                let source = KernelError::Groups { groups, channels_in: c, channels_out: filters };
                return Err(kernel(node, source));
            }
            windowed(node, operands[0], &window, filters)?
        }
        Op::Depthwise { window, multiplier, .. } => {
            windowed(node, operands[0], &window, widened(node, c, multiplier)?)?
        }
        Op::Separable { window, multiplier, filters, .. } => {
            // The tensor in between is never stored, but kernels may count its elements.
            let middle = windowed(node, operands[0], &window, widened(node, c, multiplier)?)?;
            let [n, h, w, _] = checked(node, middle)?;
            [n, h, w, filters]
        }
        Op::MaxPool(window) | Op::AveragePool(window) => windowed(node, operands[0], &window, c)?,
        Op::GlobalAveragePool => [n, 1, 1, c],
        Op::Dense { units, .. } => {
            if [h, w] != [1, 1] {
                let message = format!("a dense layer takes N×1×1×C, not {:?}", operands[0]);
                return Err(network(node, message));
            }
            [n, 1, 1, units]
        }
        Op::Flatten { features } => {
            if elements([1, h, w, c]) != features {
                let message = format!("{h}×{w}×{c} elements where {features} are to be flattened");
                return Err(network(node, message));
            }
            [n, 1, 1, features]
        }
        Op::Add => equal(node, operands)?,
        Op::Concat => concatenated(node, operands)?,
        Op::Input { .. }
        | Op::BatchNorm { .. }
        | Op::Activation(_)
        | Op::Softmax
        | Op::Identity => operands[0],
    };
    checked(node, shape)
}

fn windowed(node: &Node, input: Shape, window: &Window, channels: usize) -> Result<Shape> {
    let [h, w] = window.output_size([input[1], input[2]]).map_err(|source| kernel(node, source))?;
    Ok([input[0], h, w, channels])
}

fn widened(node: &Node, channels: usize, multiplier: usize) -> Result<usize> {
    let what = "channels times depth multiplier";
    channels.checked_mul(multiplier).ok_or_else(|| kernel(node, KernelError::Overflow { what }))
}

fn equal(node: &Node, operands: &[Shape]) -> Result<Shape> {
    match operands.iter().find(|&&s| s != operands[0]) {
        None => Ok(operands[0]),
        Some(other) => {
            Err(network(node, format!("operands of shapes {:?} and {other:?}", operands[0])))
        }
    }
}

fn concatenated(node: &Node, operands: &[Shape]) -> Result<Shape> {
    let [n, h, w, _] = operands[0];
    let mut channels = 0_usize;
    for &[on, oh, ow, oc] in operands {
        if [on, oh, ow] != [n, h, w] {
            let message = format!("operands of N×H×W {:?} and {:?}", [n, h, w], [on, oh, ow]);
            return Err(network(node, message));
        }
        let what = "concatenated channels";
        channels =
            channels.checked_add(oc).ok_or_else(|| kernel(node, KernelError::Overflow { what }))?;
    }
    Ok([n, h, w, channels])
}

fn checked(node: &Node, shape: Shape) -> Result<Shape> {
    let names = ["batch", "height", "width", "channels"];
    if let Some((what, _)) = names.into_iter().zip(shape).find(|&(_, d)| d == 0) {
        return Err(kernel(node, KernelError::ZeroDimension { what }));
    }
    let limit = isize::MAX as usize / size_of::<f32>();
    shape
        .iter()
        .try_fold(1_usize, |p, &d| p.checked_mul(d))
        .filter(|&p| p <= limit)
        .map(|_| shape)
        .ok_or_else(|| kernel(node, KernelError::Overflow { what: "elements" }))
}

/// A kernel plan's refusal, naming the node.
pub(super) fn kernel(node: &Node, source: KernelError) -> Error {
    Error::Kernel { node: node.name.clone(), source }
}

fn network(node: &Node, message: String) -> Error {
    Error::Network { node: node.name.clone(), message }
}
