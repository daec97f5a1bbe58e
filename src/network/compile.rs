//! Makes the kernel of a fused step for the size of its input.

use std::sync::Arc;

use sepconv_kernels::{
    self as kernels, Binary, BinaryOp, Coordinates, Elementwise, GlobalAveragePool, Plan, Pool,
    PoolKind, Softmax, Window,
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
    /// A plan whose second operand are weights, of this shape: the α of a PReLU.
    Weighted(Box<dyn Plan>, Arc<[f32]>, Shape),
    /// A plain loop: the kernel crate has no such operation.
    Plain(Plain),
}

impl Kernel {
    /// The plan, unless it is a plain loop.
    pub(super) fn plan(&self) -> Option<&dyn Plan> {
        match self {
            Self::Plan(plan) | Self::Weighted(plan, ..) => Some(&**plan),
            Self::Plain(_) => None,
        }
    }
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
        (_, &Op::UpSample { factor, how: Interpolation::Nearest }) => {
            resized(input, enlarged([h, w], factor), kernels::Interpolation::Nearest, options)
        }
        (_, &Op::UpSample { factor, how: Interpolation::Bilinear }) => {
            resized(input, enlarged([h, w], factor), kernels::Interpolation::Bilinear, options)
        }
        (_, &Op::Resize { size, how: Interpolation::Bilinear, crop: false }) => {
            resized(input, size, kernels::Interpolation::Bilinear, options)
        }
        (_, Op::Softmax) => boxed(Softmax::new(input, options)),
        (PackedWeights::Alpha(alpha), Op::PRelu { shape }) => {
            let shape = match shape[..] {
                [ah, aw, ac] => [1, ah, aw, ac],
                _ => [1, 1, 1, c],
            };
            let plan = boxed(Binary::new(BinaryOp::PRelu, input, shape, options));
            let plan = plan.map_err(|source| shape::kernel(value.node, source))?;
            return Ok(Kernel::Weighted(plan, alpha.clone(), shape));
        }
        (_, &Op::Binary(op)) => {
            boxed(Binary::new(op, input, flow.values[value.operands[1]].shape, options))
        }
        (
            _,
            Op::Add
            | Op::Activation(_)
            | Op::Identity
            | Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::StepsToBatch { .. }
            | Op::BatchToSteps { .. },
        ) => boxed(Elementwise::new(input, options)),
        (weights, op) => return Ok(Kernel::Plain(plain(op, weights, input))),
    };
    plan.map(Kernel::Plan).map_err(|source| shape::kernel(value.node, source))
}

fn resized(
    input: Shape,
    size: [usize; 2],
    interpolation: kernels::Interpolation,
    options: &kernels::Options,
) -> KernelResult<Box<dyn Plan>> {
    boxed(kernels::Resize::new(input, size, interpolation, Coordinates::HalfPixel, options))
}

fn boxed<P: Plan + 'static>(plan: KernelResult<P>) -> KernelResult<Box<dyn Plan>> {
    Ok(Box::new(plan?))
}

/// The size of an enlarged picture. Shapes have been checked, so that nothing overflows.
fn enlarged(size: [usize; 2], factor: [usize; 2]) -> [usize; 2] {
    [size[0] * factor[0], size[1] * factor[1]]
}

/// The loop of an operation without a kernel.
fn plain(op: &Op, weights: &PackedWeights, [_, h, w, _]: Shape) -> Plain {
    // Below what memory holds, as shapes are checked.
    let signed = |a: usize, b: usize| a as isize - b as isize;
    match (op, weights) {
        (Op::NormalizeOver { axes, epsilon, .. }, PackedWeights::Affine([gamma, beta])) => {
            let over = [0, 1, 2].map(|axis| axes.contains(&axis));
            let (gamma, beta) = (gamma.clone(), beta.clone());
            Plain::Normalize { over, epsilon: *epsilon, gamma, beta }
        }
        (&Op::Dot { axes, normalize, .. }, _) => Plain::Dot { axes, normalize },
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
        _ => unreachable!("all other operations have a kernel, or are no step"),
    }
}
