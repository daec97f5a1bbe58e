//! Values → steps: what one kernel can do at once becomes one step.
//!
//! A step ends in one value, and everything it computed on the way there is private to it: never
//! stored, so neither kept nor used by anyone else. Each value in turn either joins the step that
//! ends in its operand or starts a step:
//! - a batch norm or a rescaling joins a linear layer (its weights are scaled);
//! - a sum joins the step of one operand, which then adds the other as its residual;
//! - an activation joins any step as what it does last;
//! - a pointwise convolution joins a depthwise one, whatever the latter ended in: the two are one separable layer,
//!   and the tensor between them is never stored.
//!
//! An activation that can't join, because its operand is stored anyway (a pre-activation block adds
//! it to the block's end), is not stored a second time if its users can apply it as they load. The
//! stored tensor is never overwritten: the residual and the projection take it as it is.

use sepconv_kernels::{Activation, Padding, Window};

use super::Op;
use super::flow::{Flow, ValueId};
use super::shape::Shape;

/// activation(kernel(`input_activation`(x)) + residual).
#[derive(Debug)]
pub(super) struct FusedStep {
    /// The value whose operation says which kernel runs.
    pub(super) kernel: ValueId,
    /// In front of a pointwise convolution, with which it is one kernel.
    pub(super) depthwise: Option<DepthwiseStage>,
    pub(super) x: ValueId,
    pub(super) input_activation: Activation,
    /// Batch norms and rescalings to fold into the weights, in order. With such a kernel of its
    /// own: that one first.
    pub(super) affines: Vec<ValueId>,
    pub(super) residual: Option<ValueId>,
    pub(super) activation: Activation,
    /// All values it computes, in order.
    pub(super) members: Vec<ValueId>,
    /// The last of them, which is stored.
    pub(super) result: ValueId,
}

/// activation(depthwise(x)), of which `affines` are to be folded into the weights.
#[derive(Debug)]
pub(super) struct DepthwiseStage {
    pub(super) kernel: ValueId,
    pub(super) affines: Vec<ValueId>,
    pub(super) activation: Activation,
}

impl FusedStep {
    /// In which shape it reads x: elements that are to be flattened lie as their result does.
    pub(super) fn x_shape(&self, flow: &Flow<'_>) -> Shape {
        let value = &flow.values[self.kernel];
        match value.op {
            Op::Flatten { .. } | Op::Reshape { .. } => value.shape,
            _ => flow.values[self.x].shape,
        }
    }
}

/// All steps of a flow, each after those whose results it takes.
pub(super) fn fuse(flow: &Flow<'_>) -> Vec<FusedStep> {
    let mut fuser = Fuser {
        flow,
        steps: Vec::new(),
        ending: vec![None; flow.values.len()],
        on_load: vec![None; flow.values.len()],
    };
    for (v, value) in flow.values.iter().enumerate() {
        match *value.op {
            // No kernel: the caller's memory, and the memory of the operands.
            Op::Input { .. } | Op::Concat => {}
            Op::BatchNorm { .. } | Op::Rescale { .. } => fuser.affine(v),
            Op::Add => fuser.add(v),
            Op::Activation(activation) => fuser.activation(v, activation),
            Op::Conv { window, groups, .. } if is_pointwise(&window, groups) => {
                fuser.pointwise(v, window.stride);
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
    /// The step that ends in a value, so far.
    ending: Vec<Option<usize>>,
    /// The activation that a value is, if its users apply it as they load its operand.
    on_load: Vec<Option<Activation>>,
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
        let s = self.steps.len();
        self.ending[v] = Some(s);
        self.steps.push(step);
        &mut self.steps[s]
    }

    /// The step that ends in `operand` if more can join it: nobody else sees the operand, and the
    /// step does not end in something that only comes last.
    fn open(&self, operand: ValueId) -> Option<usize> {
        self.ending[operand].filter(|&s| {
            let step = &self.steps[s];
            self.flow.values[operand].is_private()
                && step.activation == Activation::None
                && !is_plain(self.op(step.kernel))
        })
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
        let [a, b] = [0, 1].map(|i| self.flow.values[v].operands[i]);
        let carrier = [(a, b), (b, a)]
            .into_iter()
            .filter_map(|(operand, other)| Some((self.open(operand)?, other)))
            .filter(|&(s, _)| self.steps[s].residual.is_none())
            // Pools have arithmetic to spare; of two other branches the later one, so that the
            // earlier is there by then and the steps stay in the network's order.
            .max_by_key(|&(s, _)| {
                let step = &self.steps[s];
                let pool = matches!(self.op(step.kernel), Op::MaxPool(_) | Op::AveragePool(_));
                (pool, step.result)
            });
        match carrier {
            Some((s, other)) => self.join(s, v).residual = Some(other),
            None => self.start(v).residual = Some(b),
        }
    }

    fn activation(&mut self, v: ValueId, activation: Activation) {
        let value = &self.flow.values[v];
        let users = || value.users.iter().map(|&u| self.op(u));
        if let Some(s) = self.open(value.operands[0]) {
            self.join(s, v).activation = activation;
        } else if !value.kept && users().all(|op| applies_on_load(op, activation)) {
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

/// Whether the executor computes it by plain loops over f32, to which nothing can join.
pub(super) fn is_plain(op: &Op) -> bool {
    matches!(
        op,
        Op::Softmax
            | Op::Function(_)
            | Op::PRelu { .. }
            | Op::ZeroPad(_)
            | Op::Crop(_)
            | Op::CenterCrop { .. }
            | Op::Resize { .. }
    )
}

/// Whether scaling and shifting the output is a matter of other weights.
fn is_linear(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv { .. }
            | Op::Depthwise { .. }
            | Op::Separable { .. }
            | Op::Dense { .. }
            | Op::BatchNorm { .. }
            | Op::Rescale { .. }
    )
}

/// Whether a layer should apply the activation to its input rather than read it from memory. A
/// depthwise step loads each element once per tap, too often for more than a clamp.
fn applies_on_load(op: &Op, activation: Activation) -> bool {
    match op {
        Op::Conv { .. } | Op::Dense { .. } => true,
        Op::Depthwise { .. } | Op::Separable { .. } => {
            matches!(activation, Activation::Relu | Activation::Relu6 | Activation::Clamp { .. })
        }
        _ => false,
    }
}
