//! Joins values into steps. A step is what one kernel computes at once.
//!
//! A step stores one value, its result. The other values that it computes are never stored, so no
//! other step may use them and the caller may not ask for them. Each value either joins the step
//! whose result is its operand, or starts a new step:
//! - a batch norm or a rescaling joins a linear layer (its weights are scaled);
//! - a sum joins the step of one operand, which then adds the other as its residual;
//! - an activation joins any step and becomes its last operation;
//! - a pointwise convolution joins a depthwise one: the two become one separable layer;
//! - a copy that rounds to integers joins a step whose operands are integers;
//! - a product with a factor for each picture and channel (squeeze and excitation) joins the only
//!   convolution or dense layer that uses it, which multiplies as it loads.
//!
//! What is rounded to integers is complete: nothing joins it but a pointwise convolution, between
//! which and the depthwise one the step rounds. Kernels round to integers only what they compute of
//! integers, or element by element.
//!
//! Sometimes an activation can't join because its operand must be stored: a pre-activation block
//! adds the operand again at its end. Then the steps that use the activation apply it as they load
//! the operand, if they can. The stored tensor stays as it is for the residual and the projection.

use sepconv_kernels::{Activation, BinaryOp, Padding, Window};

use super::flow::{Flow, ValueId};
use super::shape::Shape;
use super::{Interpolation, Op};

/// activation(kernel(`input_activation`(x) · scale) + residual).
#[derive(Debug)]
pub(super) struct FusedStep {
    /// The value whose operation says which kernel runs.
    pub(super) kernel: ValueId,
    /// The depthwise convolution before a pointwise one; both are one kernel.
    pub(super) depthwise: Option<DepthwiseStage>,
    pub(super) x: ValueId,
    pub(super) input_activation: Activation,
    /// A factor for each picture and channel of x.
    pub(super) scale: Option<ValueId>,
    /// Scales and shifts to fold into the weights, in order. If the kernel itself is one
    /// of these, it is the first.
    pub(super) affines: Vec<ValueId>,
    pub(super) residual: Option<ValueId>,
    pub(super) activation: Activation,
    /// All values it computes, in order.
    pub(super) members: Vec<ValueId>,
    /// The last of them, which is stored.
    pub(super) result: ValueId,
}

/// activation(depthwise(x)). The `affines` are folded into its weights.
#[derive(Debug)]
pub(super) struct DepthwiseStage {
    pub(super) kernel: ValueId,
    pub(super) affines: Vec<ValueId>,
    pub(super) activation: Activation,
}

impl FusedStep {
    /// The values that it reads.
    pub(super) fn operands(&self) -> impl Iterator<Item = ValueId> {
        [Some(self.x), self.scale, self.residual].into_iter().flatten()
    }

    /// The shape in which the step reads x: of what keeps all elements in their order, that of the
    /// result.
    pub(super) fn x_shape(&self, flow: &Flow<'_>) -> Shape {
        let value = &flow.values[self.kernel];
        match value.op {
            Op::Flatten { .. }
            | Op::Reshape { .. }
            | Op::StepsToBatch { .. }
            | Op::BatchToSteps { .. } => value.shape,
            _ => flow.values[self.x].shape,
        }
    }
}

/// All steps of a flow. A step comes after the steps whose results it reads. If `scale`, layers
/// compute products as they load; otherwise each product is a step of its own.
pub(super) fn fuse(flow: &Flow<'_>, scale: bool) -> Vec<FusedStep> {
    let mut fuser = Fuser {
        flow,
        steps: Vec::new(),
        ending: vec![None; flow.values.len()],
        on_load: vec![None; flow.values.len()],
        scaled: vec![None; flow.values.len()],
    };
    for (v, value) in flow.values.iter().enumerate() {
        match *value.op {
            // They need no kernel: their values are the caller's memory and the operands' memory.
            Op::Input { .. } | Op::Concat => {}
            ref op if is_affine(op) => fuser.affine(v),
            Op::Add => fuser.add(v),
            Op::Activation(activation) => fuser.activation(v, activation),
            Op::Conv { window, groups, .. } if is_pointwise(&window, groups) => {
                fuser.pointwise(v, window.stride);
            }
            Op::Identity => fuser.copy(v),
            Op::Dot { .. } => {
                let second = value.operands[1];
                fuser.start(v).residual = Some(second);
            }
            Op::Binary(op) => {
                match fuser.factors(v).filter(|_| op == BinaryOp::Multiply && scale) {
                    Some(operands) => fuser.scaled[v] = Some(operands),
                    None => {
                        let second = value.operands[1];
                        fuser.start(v).residual = Some(second);
                    }
                }
            }
            _ => {
                fuser.start(v);
            }
        }
    }
    // A step runs where its last value stands: every other operand stands before that.
    fuser.steps.sort_by_key(|step| step.result);
    fuser.steps
}

struct Fuser<'a, 'n> {
    flow: &'a Flow<'n>,
    steps: Vec<FusedStep>,
    /// The step whose result is a value, so far.
    ending: Vec<Option<usize>>,
    /// If a value is an activation that its users apply as they load the operand: that activation.
    on_load: Vec<Option<Activation>>,
    /// If a value is a product whose user multiplies as it loads: its operands, of which the second
    /// has a factor for each picture and channel.
    scaled: Vec<Option<[ValueId; 2]>>,
}

impl Fuser<'_, '_> {
    fn op(&self, v: ValueId) -> &Op {
        self.flow.values[v].op
    }

    fn start(&mut self, v: ValueId) -> &mut FusedStep {
        let operand = self.flow.values[v].operands[0];
        let mut step = FusedStep {
            kernel: v,
            depthwise: None,
            x: operand,
            input_activation: Activation::None,
            scale: None,
            affines: Vec::new(),
            residual: None,
            activation: Activation::None,
            members: vec![v],
            result: v,
        };
        if let Some(activation) = self.on_load[operand] {
            step.x = self.flow.values[operand].operands[0];
            step.input_activation = activation;
            step.members.insert(0, operand);
        }
        if let Some([x, scale]) = self.scaled[operand] {
            (step.x, step.scale) = (x, Some(scale));
            step.members.insert(0, operand);
        }
        let s = self.steps.len();
        self.ending[v] = Some(s);
        self.steps.push(step);
        &mut self.steps[s]
    }

    /// The step whose result is `operand`, if more operations can join it: no other step uses the
    /// operand, and the step does not end in an operation that must be last.
    fn open(&self, operand: ValueId) -> Option<usize> {
        self.ending[operand].filter(|&s| {
            let step = &self.steps[s];
            self.flow.values[operand].is_private()
                && !self.is_quantized(operand)
                && step.activation == Activation::None
                && !is_closed(self.op(step.kernel))
        })
    }

    fn is_quantized(&self, v: ValueId) -> bool {
        self.flow.values[v].quantization.is_some()
    }

    /// Whether the kernel of a step can round its result to integers, or need not for this value.
    fn can_give(&self, s: usize, v: ValueId) -> bool {
        let step = &self.steps[s];
        let by_element = matches!(self.op(step.kernel), Op::Add | Op::Activation(_) | Op::Identity);
        !self.is_quantized(v)
            || ((by_element || self.is_quantized(step.x))
                && step.residual.is_none_or(|residual| self.is_quantized(residual)))
    }

    /// The operands of a product that its user can compute, the factors last.
    fn factors(&self, v: ValueId) -> Option<[ValueId; 2]> {
        let value = &self.flow.values[v];
        let user = &self.flow.values[*value.users.first().filter(|_| value.is_private())?];
        let scales = matches!(user.op, Op::Conv { .. } | Op::Dense { .. });
        if !scales || self.is_quantized(v) {
            return None;
        }
        let &[a, b] = &value.operands[..] else { return None };
        let fits = |&[x, scale]: &[ValueId; 2]| {
            let [n, _, _, c] = value.shape;
            self.is_pooled(scale)
                && self.flow.values[x].shape == value.shape
                && self.flow.values[scale].shape == [n, 1, 1, c]
        };
        [[a, b], [b, a]].into_iter().find(fits)
    }

    /// Whether a value has one pixel for a picture of any size, as it comes from a global pool.
    /// (Plans for other sizes have the same steps.)
    fn is_pooled(&self, mut v: ValueId) -> bool {
        loop {
            match self.op(v) {
                Op::GlobalPool { .. } => return true,
                Op::Conv { .. }
                | Op::Dense { .. }
                | Op::BatchNorm { .. }
                | Op::Rescale { .. }
                | Op::Activation(_)
                | Op::Identity
                | Op::Reshape { .. } => v = self.flow.values[v].operands[0],
                _ => return false,
            }
        }
    }

    fn copy(&mut self, v: ValueId) {
        let open = self.open(self.flow.values[v].operands[0]);
        match open.filter(|&s| self.is_quantized(v) && self.can_give(s, v)) {
            Some(s) => self.join(s, v),
            None => self.start(v),
        };
    }

    fn join(&mut self, s: usize, v: ValueId) -> &mut FusedStep {
        self.ending[v] = Some(s);
        let step = &mut self.steps[s];
        step.members.push(v);
        step.result = v;
        step
    }

    fn pointwise(&mut self, v: ValueId, stride: [usize; 2]) {
        let operand = self.flow.values[v].operands[0];
        let depthwise = self.ending[operand].filter(|&s| {
            let step = &self.steps[s];
            stride == [1, 1]
                && self.flow.values[operand].is_private()
                && matches!(self.op(step.kernel), Op::Depthwise { .. })
                && step.residual.is_none()
                && self.is_quantized(step.x) == self.is_quantized(operand)
        });
        match depthwise {
            None => {
                self.start(v);
            }
            Some(s) => {
                let step = self.join(s, v);
                step.depthwise = Some(DepthwiseStage {
                    kernel: step.kernel,
                    affines: std::mem::take(&mut step.affines),
                    activation: std::mem::replace(&mut step.activation, Activation::None),
                });
                step.kernel = v;
            }
        }
    }

    fn affine(&mut self, v: ValueId) {
        let open = self.open(self.flow.values[v].operands[0]);
        let linear = open.filter(|&s| {
            let step = &self.steps[s];
            step.residual.is_none() && is_linear(self.op(step.kernel))
        });
        let step = match linear {
            Some(s) => self.join(s, v),
            None => self.start(v),
        };
        step.affines.push(v);
    }

    fn add(&mut self, v: ValueId) {
        let [mut a, mut b] = [0, 1].map(|i| self.flow.values[v].operands[i]);
        if self.is_quantized(v) && !self.is_quantized(b) {
            // The residual is of the type of the sum.
            (a, b) = (b, a);
        }
        let carrier = [(a, b), (b, a)]
            .into_iter()
            .filter_map(|(operand, other)| Some((self.open(operand)?, other)))
            .filter(|&(s, other)| {
                let is_quantized = self.is_quantized(v);
                self.steps[s].residual.is_none()
                    && self.can_give(s, v)
                    && self.is_quantized(other) == is_quantized
            })
            // Prefer a pool, which has arithmetic to spare. Otherwise prefer the later of the two
            // branches: the earlier one is complete by then, and steps keep the network's order.
            .max_by_key(|&(s, _)| {
                let step = &self.steps[s];
                let pool = matches!(self.op(step.kernel), Op::MaxPool(_) | Op::AveragePool(_));
                (pool, step.result)
            });
        match carrier {
            Some((s, other)) => self.join(s, v).residual = Some(other),
            None => {
                let step = self.start(v);
                (step.x, step.residual) = (a, Some(b));
            }
        }
    }

    fn activation(&mut self, v: ValueId, activation: Activation) {
        let value = &self.flow.values[v];
        let users = || value.users.iter().map(|&u| self.op(u));
        let operand = value.operands[0];
        // Of integers it is a clamp of the same.
        let same = value.quantization == self.flow.values[operand].quantization
            && (value.quantization.is_none() || is_clamp(activation));
        if let Some(s) = self.open(operand).filter(|&s| self.can_give(s, v)) {
            self.join(s, v).activation = activation;
        } else if same && !value.kept && users().all(|op| applies_on_load(op, activation)) {
            self.on_load[v] = Some(activation);
        } else {
            self.start(v).activation = activation;
        }
    }
}

/// Whether a convolution looks at one pixel only, and never at padding. (SAME never pads 1×1.)
pub(super) fn is_pointwise(window: &Window, groups: usize) -> bool {
    let pads = match window.padding {
        Padding::Valid | Padding::Same => false,
        Padding::Explicit { top, bottom, left, right } => [top, bottom, left, right] != [0; 4],
        _ => true,
    };
    window.kernel == [1, 1] && groups == 1 && !pads
}

/// Whether the operation reads and writes f32, and nothing can join it: the plain loops of the
/// executor, softmax, and PReLU, whose α is f32.
pub(super) fn is_closed(op: &Op) -> bool {
    matches!(
        op,
        Op::Softmax
            | Op::PRelu { .. }
            | Op::NormalizeOver { .. }
            | Op::Dot { .. }
            | Op::ZeroPad(_)
            | Op::Crop(_)
            | Op::CenterCrop { .. }
            | Op::Resize { crop: true, .. }
            | Op::Resize { how: Interpolation::Nearest | Interpolation::Bicubic, .. }
            | Op::UpSample { how: Interpolation::Bicubic, .. }
            | Op::Permute { .. }
    )
}

/// Whether the operation has no kernel for integers: its operands and its result are floats.
pub(super) fn is_of_numbers(op: &Op) -> bool {
    is_closed(op)
        || matches!(
            op,
            Op::Binary(_)
                | Op::Normalize { .. }
                | Op::ConvTranspose { .. }
                | Op::UpSample { .. }
                | Op::Resize { .. }
        )
}

/// Whether it is scale·x + shift by channel.
pub(super) fn is_affine(op: &Op) -> bool {
    matches!(op, Op::BatchNorm { .. } | Op::Rescale { .. } | Op::Standardize { .. } | Op::Scale)
}

/// Whether a scale and shift of the output can be folded into the weights.
fn is_linear(op: &Op) -> bool {
    is_affine(op)
        || matches!(
            op,
            Op::Conv { .. } | Op::Depthwise { .. } | Op::Separable { .. } | Op::Dense { .. }
        )
}

/// Whether a layer should apply the activation as it loads its input, instead of reading the result
/// from memory. A depthwise step loads each element once for each tap, so only clamps are cheap.
fn applies_on_load(op: &Op, activation: Activation) -> bool {
    match op {
        Op::Conv { .. } | Op::Dense { .. } => true,
        Op::Depthwise { .. } | Op::Separable { .. } => is_clamp(activation),
        _ => false,
    }
}

/// Whether it only keeps numbers within bounds.
pub(super) fn is_clamp(activation: Activation) -> bool {
    matches!(activation, Activation::Relu | Activation::Relu6 | Activation::Clamp { .. })
}
