//! Makes the kernel of a fused step for the size of its input.

use sepconv_kernels::{
    self as kernels, Binary, Coordinates, Elementwise, GlobalAveragePool, Plan, Pool, PoolKind,
    Window,
};

use super::flow::Flow;
use super::fuse::FusedStep;
use super::pack::{KernelResult, PackedStep, PackedWeights};
use super::plain::Plain;
use super::shape::{self, Shape};
use super::{Border, Interpolation, Op};
use crate::Result;
use crate::resample::Resample;

/// What a step runs.
#[derive(Debug)]
pub(super) enum Kernel {
    Plan(Box<dyn Plan>),
    /// A plain loop: the kernel crate has no such operation.
    Plain(Plain),
}

/// The kernel for so many pictures of the size that `flow` gives. It shares the packed weights.
pub(super) fn compile(
    step: &FusedStep,
    flow: &Flow<'_>,
    packed: &PackedStep,
    pictures: usize,
) -> Result<Kernel> {
    let value = &flow.values[step.kernel];
    let [_, h, w, c] = step.x_shape(flow);
    let input = [pictures, h, w, c];
    let options = &packed.options;
    let pool = |kind, window| boxed(Pool::new(input, kind, window, options));
    let plan = match (&packed.weights, value.op) {
        (PackedWeights::Layer(layer), _) => layer.plan([pictures, h, w]),
        (_, &Op::MaxPool(window)) => pool(PoolKind::Max, window),
        (_, &Op::AveragePool(window)) => pool(PoolKind::Average, window),
        (_, Op::GlobalPool { kind: PoolKind::Max, .. }) => pool(PoolKind::Max, Window::new([h, w])),
        (_, Op::GlobalPool { .. }) => boxed(GlobalAveragePool::new(input, options)),
        (_, &Op::UpSample { factor, how }) if let Some(interpolation) = interpolation(how) => {
            let (size, centers) = (enlarged([h, w], factor), Coordinates::HalfPixel);
            boxed(kernels::Resize::new(input, size, interpolation, centers, options))
        }
        (_, &Op::Binary(op)) => {
            boxed(Binary::new(op, input, flow.values[value.operands[1]].shape, options))
        }
        (
            _,
            Op::Add | Op::Activation(_) | Op::Identity | Op::Flatten { .. } | Op::Reshape { .. },
        ) => boxed(Elementwise::new(input, options)),
        (weights, op) => return Ok(Kernel::Plain(plain(op, weights, input))),
    };
    plan.map(Kernel::Plan).map_err(|source| shape::kernel(value.node, source))
}

fn boxed<P: Plan + 'static>(plan: KernelResult<P>) -> KernelResult<Box<dyn Plan>> {
    Ok(Box::new(plan?))
}

/// The size of an enlarged picture. Shapes have been checked, so that nothing overflows.
fn enlarged(size: [usize; 2], factor: [usize; 2]) -> [usize; 2] {
    [size[0] * factor[0], size[1] * factor[1]]
}

/// The kernel's interpolation, if there is a kernel for it.
fn interpolation(how: Interpolation) -> Option<kernels::Interpolation> {
    match how {
        Interpolation::Nearest => Some(kernels::Interpolation::Nearest),
        Interpolation::Bilinear => Some(kernels::Interpolation::Bilinear),
        Interpolation::Bicubic => None,
    }
}

/// The loop of an operation without a kernel.
fn plain(op: &Op, weights: &PackedWeights, [_, h, w, c]: Shape) -> Plain {
    // Below what memory holds, as shapes are checked.
    let signed = |a: usize, b: usize| a as isize - b as isize;
    match (op, weights) {
        (Op::PRelu { shape }, PackedWeights::Alpha(alpha)) => Plain::PRelu {
            shape: match shape[..] {
                [ah, aw, ac] => [ah, aw, ac],
                _ => [1, 1, c],
            },
            alpha: alpha.clone(),
        },
        (&Op::ZeroPad(Border { top, left, .. }), _) => {
            Plain::Shift { down: signed(top, 0), right: signed(left, 0) }
        }
        (&Op::Crop(Border { top, left, .. }), _) => {
            Plain::Shift { down: signed(0, top), right: signed(0, left) }
        }
        (&Op::CenterCrop { size: [height, width] }, _) if height <= h && width <= w => {
            Plain::Shift { down: signed(height, h) / 2, right: signed(width, w) / 2 }
        }
        (&Op::CenterCrop { size }, _) => {
            Plain::Resample(Resample::new([h, w], size, Interpolation::Bilinear, true))
        }
        (&Op::Permute { axes, .. }, _) => Plain::Permute { axes },
        (&Op::UpSample { factor, how }, _) => {
            Plain::Resample(Resample::new([h, w], enlarged([h, w], factor), how, false))
        }
        (&Op::Resize { size, how, crop }, _) => {
            Plain::Resample(Resample::new([h, w], size, how, crop))
        }
        (Op::Softmax, _) => Plain::Softmax,
        _ => unreachable!("all other operations have a kernel, or are no step"),
    }
}
