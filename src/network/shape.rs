//! Shapes of values: \[N, H, W, C\]. No dimension is 0, and a slice can hold the product.

use sepconv_kernels::{Error as KernelError, NormalizationKind, Window};

use super::{Border, Node, Op};
use crate::{Error, Result};

/// \[N, H, W, C\].
pub(crate) type Shape = [usize; 4];

/// Elements of a checked shape.
pub(super) fn elements(shape: Shape) -> usize {
    shape.iter().product()
}

/// The shape that the network's input node gets for an input of shape `input`.
pub(super) fn infer_input(node: &Node, channels: usize, input: Shape) -> Result<Shape> {
    if input[3] != channels {
        return Err(network(
            node,
            format!("expected an input of {channels} channels, got {} in {input:?}", input[3]),
        ));
    }
    if let Op::Input { steps: Some(steps), .. } = node.op
        && input[1].checked_rem(steps) != Some(0)
    {
        let message = format!("expected {steps} pictures one above the other, got {input:?}");
        return Err(network(node, message));
    }
    if matches!(node.op, Op::Input { sequence: true, .. }) && input[1] != 1 {
        return Err(network(node, format!("expected sequences, whose height is 1, got {input:?}")));
    }
    checked(node, input)
}

/// The shape of a picture as far as it is known.
#[cfg(any(feature = "keras", feature = "tflite"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Picture {
    /// Height and width; none if they depend on an input that has no fixed size.
    pub(crate) size: Option<[usize; 2]>,
    pub(crate) channels: usize,
}

/// The shape of any node's value but the input's, as far as it follows from its operands'.
#[cfg(any(feature = "keras", feature = "tflite"))]
pub(crate) fn infer_picture(node: &Node, operands: &[Picture]) -> Result<Picture> {
    /// Stands for an unknown size, in which any window fits.
    const OPEN: [usize; 2] = [1 << 12; 2];
    let open = operands.iter().any(|operand| operand.size.is_none());
    let shape = |operand: &Picture| {
        let [h, w] = operand.size.filter(|_| !open).unwrap_or(OPEN);
        [1, h, w, operand.channels]
    };
    let shapes: Vec<Shape> = operands.iter().map(shape).collect();
    let [_, h, w, channels] = match node.op {
        // An unknown size can't be compared with their elements.
        Op::Flatten { features } if open => [1, 1, 1, features],
        Op::Reshape { shape: [h, w, c], .. } if open => [1, h, w, c],
        // An unknown size has no enlarged side to compare with a limit.
        Op::UpSample { .. } if open => [1, OPEN[0], OPEN[1], operands[0].channels],
        Op::StepsToBatch { .. } | Op::BatchToSteps { .. } if open => {
            [1, OPEN[0], OPEN[1], operands[0].channels]
        }
        Op::BatchToSteps { steps, .. } => {
            let [_, h, w, c] = shapes[0];
            infer(node, &[[steps, h, w, c]])?
        }
        _ => infer(node, &shapes)?,
    };
    let fixed = matches!(
        node.op,
        Op::GlobalPool { .. }
            | Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::CenterCrop { .. }
            | Op::Resize { .. }
    );
    Ok(Picture { size: (fixed || !open).then_some([h, w]), channels })
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
        Op::GlobalPool { .. } => [n, 1, 1, c],
        Op::Dense { units, .. } => [n, h, w, units],
        Op::Rescale { ref scale, ref offset } => {
            check_rescale(node, c, [scale.len(), offset.len()])?;
            operands[0]
        }
        Op::Normalize { kind, .. } => {
            if let NormalizationKind::Group { groups } = kind
                && c.checked_rem(groups) != Some(0)
            {
                let source = KernelError::Groups { groups, channels_in: c, channels_out: c };
                return Err(kernel(node, source));
            }
            operands[0]
        }
        Op::PRelu { ref shape } => {
            check_alpha(node, operands[0], shape)?;
            operands[0]
        }
        Op::NormalizeOver { ref axes, ref extents, .. } => {
            check_axes(node, operands[0], axes, extents)?;
            operands[0]
        }
        Op::Dot { axes, channels, .. } => dot(node, operands, axes, channels)?,
        Op::Add => equal(node, operands)?,
        Op::Binary(_) => broadcast(node, operands)?,
        Op::Concat => concatenated(node, operands)?,
        Op::Input { .. }
        | Op::BatchNorm { .. }
        | Op::Standardize { .. }
        | Op::Scale
        | Op::Activation(_)
        | Op::Softmax
        | Op::Identity => operands[0],
        _ => moved(node, operands[0])?,
    };
    checked(node, shape)
}

/// The output shape of an operation that moves pixels, or of a transposed convolution.
fn moved(node: &Node, input: Shape) -> Result<Shape> {
    let [n, h, w, c] = input;
    Ok(match node.op {
        Op::ConvTranspose { window, filters, .. } => {
            let [h, w] = window.output_size([h, w]).map_err(|source| kernel(node, source))?;
            [n, h, w, filters]
        }
        Op::Permute { axes, channels } => {
            let mut sorted = axes;
            sorted.sort_unstable();
            if sorted != [0, 1, 2] {
                let message = format!("expected axes 0, 1 and 2 in some order, got {axes:?}");
                return Err(network(node, message));
            }
            let [to_h, to_w, to_c] = axes.map(|axis| [h, w, c][axis]);
            if to_c != channels {
                let message = format!("expected {channels} channels by axes {axes:?}, got {to_c}");
                return Err(network(node, message));
            }
            [n, to_h, to_w, to_c]
        }
        Op::Flatten { features } => {
            if elements([1, h, w, c]) != features {
                let message = format!("expected {features} elements to flatten, got {h}×{w}×{c}");
                return Err(network(node, message));
            }
            [n, 1, 1, features]
        }
        Op::Reshape { shape: [to_h, to_w, to_c], .. } => {
            let size = [to_h, to_w, to_c].iter().try_fold(1_usize, |p, &d| p.checked_mul(d));
            if size != Some(elements([1, h, w, c])) {
                let message = format!("can't reshape {h}×{w}×{c} elements to {to_h}×{to_w}×{to_c}");
                return Err(network(node, message));
            }
            [n, to_h, to_w, to_c]
        }
        Op::StepsToBatch { steps, rank } => apart(node, input, steps, rank)?,
        Op::BatchToSteps { steps, rank } => together(node, input, steps, rank)?,
        Op::ZeroPad(border) => padded(node, input, border)?,
        Op::Crop(border) => cropped(node, input, border)?,
        Op::UpSample { factor, .. } => {
            let side = |side: usize, factor: usize| side.saturating_mul(factor);
            let size = [side(h, factor[0]), side(w, factor[1])];
            check_resized(node, size)?;
            [n, size[0], size[1], c]
        }
        Op::CenterCrop { size } | Op::Resize { size, .. } => {
            check_resized(node, size)?;
            [n, size[0], size[1], c]
        }
        _ => unreachable!("all other operations are inferred elsewhere"),
    })
}

/// The shape of the values of all steps.
fn apart(node: &Node, [n, h, w, c]: Shape, steps: usize, rank: usize) -> Result<Shape> {
    let shape = match rank {
        4 if h.checked_rem(steps) == Some(0) => [h / steps, w, c],
        3 if h == steps => [1, w, c],
        2 if h == 1 && w == steps => [1, 1, c],
        _ => {
            let message = format!(
                "can't divide {h}×{w}×{c} elements into {steps} steps of {rank} dimensions"
            );
            return Err(network(node, message));
        }
    };
    let overflow = || kernel(node, KernelError::Overflow { what: "batch times steps" });
    let [h, w, c] = shape;
    Ok([n.checked_mul(steps).ok_or_else(overflow)?, h, w, c])
}

/// The shape of a value of so many steps.
fn together(node: &Node, input: Shape, steps: usize, rank: usize) -> Result<Shape> {
    let [n, h, w, c] = input;
    let fits = match rank {
        4 => true,
        3 => h == 1,
        _ => rank == 2 && [h, w] == [1, 1],
    };
    if !fits || n.checked_rem(steps) != Some(0) {
        let message = format!("can't join {steps} steps of {rank} dimensions of {input:?}");
        return Err(network(node, message));
    }
    let overflow = || kernel(node, KernelError::Overflow { what: "height times steps" });
    match rank {
        2 => Ok([n / steps, 1, steps, c]),
        _ => Ok([n / steps, h.checked_mul(steps).ok_or_else(overflow)?, w, c]),
    }
}

fn windowed(node: &Node, input: Shape, window: &Window, channels: usize) -> Result<Shape> {
    let [h, w] = window.output_size([input[1], input[2]]).map_err(|source| kernel(node, source))?;
    Ok([input[0], h, w, channels])
}

fn widened(node: &Node, channels: usize, multiplier: usize) -> Result<usize> {
    let what = "channels times depth multiplier";
    channels.checked_mul(multiplier).ok_or_else(|| kernel(node, KernelError::Overflow { what }))
}

fn padded(node: &Node, [n, h, w, c]: Shape, border: Border) -> Result<Shape> {
    let Border { top, bottom, left, right } = border;
    let padded = |a: usize, b: usize, c: usize| a.checked_add(b)?.checked_add(c);
    let overflow = || kernel(node, KernelError::Overflow { what: "padded height or width" });
    let height = padded(h, top, bottom).ok_or_else(overflow)?;
    Ok([n, height, padded(w, left, right).ok_or_else(overflow)?, c])
}

fn cropped(node: &Node, [n, h, w, c]: Shape, border: Border) -> Result<Shape> {
    let Border { top, bottom, left, right } = border;
    let cropped = |a: usize, b: usize, c: usize| a.checked_sub(b)?.checked_sub(c);
    let size = cropped(h, top, bottom).zip(cropped(w, left, right));
    let Some((height, width)) = size.filter(|&(h, w)| h > 0 && w > 0) else {
        let message = format!(
            "cropping {top} + {bottom} rows and {left} + {right} columns from {h}×{w} leaves nothing"
        );
        return Err(network(node, message));
    };
    Ok([n, height, width, c])
}

/// The largest height or width of a resized picture, as of a picture that is decoded: a plan has
/// tables of them, which must stay small whatever a file claims.
const MAX_RESIZED: usize = 1 << 16;

fn check_resized(node: &Node, [height, width]: [usize; 2]) -> Result<()> {
    if height.max(width) <= MAX_RESIZED {
        return Ok(());
    }
    let message = format!(
        "expected to resize to at most {MAX_RESIZED} rows and columns, got {height}×{width}"
    );
    Err(network(node, message))
}

/// Scale and offset have one number each, or one for each channel.
fn check_rescale(node: &Node, channels: usize, lens: [usize; 2]) -> Result<()> {
    match lens.into_iter().find(|&len| len != 1 && len != channels) {
        None => Ok(()),
        Some(len) => {
            let message = format!(
                "expected 1 or {channels} numbers to rescale {channels} channels, got {len}"
            );
            Err(network(node, message))
        }
    }
}

/// The alpha of a PReLU is \[C\], or \[H, W, C\] where each dimension may be 1.
fn check_alpha(node: &Node, [_, h, w, c]: Shape, alpha: &[usize]) -> Result<()> {
    let fits = match alpha[..] {
        [ac] => ac == c,
        [ah, aw, ac] => [(ah, h), (aw, w), (ac, c)].iter().all(|&(a, x)| a == 1 || a == x),
        _ => false,
    };
    if !fits {
        let message = format!("alpha of shape {alpha:?} does not match {h}×{w}×{c} elements");
        return Err(network(node, message));
    }
    Ok(())
}

/// The axes of a normalization ascend, and the picture has their extents.
fn check_axes(node: &Node, [_, h, w, c]: Shape, axes: &[usize], extents: &[usize]) -> Result<()> {
    let ascend = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if axes.is_empty() || !ascend || axes.iter().any(|&axis| axis > 2) {
        let message = format!("expected some of the axes 0, 1 and 2 in this order, got {axes:?}");
        return Err(network(node, message));
    }
    let got: Vec<usize> = axes.iter().map(|&axis| [h, w, c][axis]).collect();
    if got != extents {
        let message = format!("axes {axes:?}: expected extents {extents:?}, got {got:?}");
        return Err(network(node, message));
    }
    Ok(())
}

/// The shape of a sum of products.
fn dot(node: &Node, operands: &[Shape], axes: [usize; 2], channels: usize) -> Result<Shape> {
    let [a, b] = [operands[0], operands[1]];
    if axes.iter().any(|axis| !(1..=2).contains(axis)) {
        return Err(network(node, format!("expected axes 1 or 2, got {axes:?}")));
    }
    if [a[0], a[1], b[1]] != [b[0], 1, 1] || a[axes[0] + 1] != b[axes[1] + 1] {
        let message = format!("operands don't match along axes {axes:?}: {a:?} and {b:?}");
        return Err(network(node, message));
    }
    let [rows, columns] = [a[4 - axes[0]], b[4 - axes[1]]];
    if columns != channels {
        let message = format!("expected {channels} channels by axes {axes:?}, got {columns}");
        return Err(network(node, message));
    }
    Ok([a[0], 1, rows, columns])
}

fn equal(node: &Node, operands: &[Shape]) -> Result<Shape> {
    match operands.iter().find(|&&s| s != operands[0]) {
        None => Ok(operands[0]),
        Some(other) => {
            Err(network(node, format!("operands differ in shape: {:?} and {other:?}", operands[0])))
        }
    }
}

/// The broadcast shape: operands with the same dimension, or with 1.
fn broadcast(node: &Node, operands: &[Shape]) -> Result<Shape> {
    let mut shape = operands[0];
    for other in &operands[1..] {
        for (extent, &other_extent) in shape.iter_mut().zip(other) {
            if *extent != other_extent && *extent != 1 && other_extent != 1 {
                let message = format!("operands differ in shape: {:?} and {other:?}", operands[0]);
                return Err(network(node, message));
            }
            *extent = (*extent).max(other_extent);
        }
    }
    Ok(shape)
}

fn concatenated(node: &Node, operands: &[Shape]) -> Result<Shape> {
    let [n, h, w, _] = operands[0];
    let mut channels = 0_usize;
    for &[on, oh, ow, oc] in operands {
        if [on, oh, ow] != [n, h, w] {
            let message =
                format!("operands differ in N×H×W: {:?} and {:?}", [n, h, w], [on, oh, ow]);
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

/// A kernel's error, with the node's name.
pub(super) fn kernel(node: &Node, source: KernelError) -> Error {
    Error::Kernel { node: node.name.clone(), source }
}

fn network(node: &Node, message: String) -> Error {
    Error::Network { node: node.name.clone(), message }
}
