//! A layer as a value: any operation with as many operands as it needs, for tests that treat all
//! alike.

use sepconv_kernels::*;

use super::half::Stored;
use super::{Mode, Random};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Depthwise { multiplier: usize },
    Pointwise,
    Separable { multiplier: usize },
    Conv { groups: usize },
    Dense,
    Max,
    Average,
    GlobalAverage,
    Elementwise,
}

/// One of each kind.
pub const OPS: [Op; 9] = [
    Op::Depthwise { multiplier: 2 },
    Op::Pointwise,
    Op::Separable { multiplier: 2 },
    Op::Conv { groups: 2 },
    Op::Dense,
    Op::Max,
    Op::Average,
    Op::GlobalAverage,
    Op::Elementwise,
];

/// Those with a GEMM.
pub const GEMMS: [Op; 6] = [
    Op::Pointwise,
    Op::Dense,
    Op::Conv { groups: 1 },
    Op::Conv { groups: 2 },
    Op::Separable { multiplier: 1 },
    Op::Separable { multiplier: 2 },
];

#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub op: Op,
    /// \[N, H, W, C\].
    pub input: [usize; 4],
    pub window: Window,
    /// Where they are free.
    pub channels_out: usize,
    pub input_activation: Activation,
    /// Whether the input comes with factors.
    pub input_scale: bool,
    pub mid_activation: Activation,
    pub activation: Activation,
    /// Of the input.
    pub input_type: ElementType,
    /// Of the output and the residual.
    pub output_type: ElementType,
    /// Of the input.
    pub input_layout: TensorLayout,
    /// Of the output and the residual.
    pub output_layout: TensorLayout,
    pub arithmetic: Arithmetic,
    /// Whether by tile registers, if there are any.
    pub amx: bool,
    /// Whether by what Armv8.6 adds, if the CPU has it.
    pub armv8_6: bool,
    /// Of all weights.
    pub layout: WeightLayout,
}

/// The parameters of an operation, none of one without weights.
#[derive(Debug)]
enum Params<'a> {
    Depthwise(DepthwiseParams<'a>),
    Pointwise(PointwiseParams<'a>),
    Separable(SeparableParams<'a>),
    Conv(ConvParams<'a>),
    Dense(DenseParams<'a>),
    None,
}

/// Packed weights of any layer: plans for inputs of size \[N, H, W\].
pub type Planner = Box<dyn Fn([usize; 3]) -> Result<Box<dyn Plan>, Error> + Send + Sync>;

fn boxed<P: Plan + 'static>(plan: P) -> Box<dyn Plan> {
    Box::new(plan)
}

fn planner<P: Plan + 'static>(packed: Packed<P>) -> Planner {
    Box::new(move |size| packed.plan(size).map(boxed))
}

/// What a plan is made of: weights and bias of a layer or of the depthwise half of a separable one,
/// then those of its other half. Empty where the operation has none. Biases are of f32.
pub type Weights<'a> = [Elements<'a>; 4];

impl Layer {
    pub fn new(op: Op, input: [usize; 4], window: Window, channels_out: usize) -> Self {
        let none = Activation::None;
        let (input_activation, mid_activation, activation) = (none, none, none);
        let (input_type, output_type) = (ElementType::F32, ElementType::F32);
        Self {
            op,
            input,
            window,
            channels_out,
            input_activation,
            input_scale: false,
            mid_activation,
            activation,
            input_type,
            output_type,
            input_layout: TensorLayout::Nhwc,
            output_layout: TensorLayout::Nhwc,
            arithmetic: Arithmetic::Exact,
            amx: false,
            armv8_6: true,
            layout: WeightLayout::Hwio,
        }
    }

    /// The elements of each of [`Weights`].
    pub fn lengths(&self) -> [usize; 4] {
        let (c, o) = (self.input[3], self.channels_out);
        let taps = self.window.kernel[0] * self.window.kernel[1];
        match self.op {
            Op::Depthwise { multiplier: m } => [taps * c * m, c * m, 0, 0],
            Op::Separable { multiplier: m } => [taps * c * m, c * m, c * m * o, o],
            Op::Conv { groups } => [taps * c / groups * o, o, 0, 0],
            Op::Pointwise | Op::Dense => [c * o, o, 0, 0],
            Op::Max | Op::Average | Op::GlobalAverage | Op::Elementwise => [0; 4],
        }
    }

    /// \[taps, input channels of a group, output channels\] of the weights of [`Layer::lengths`].
    pub fn weights_shapes(&self) -> [[usize; 3]; 2] {
        let (c, o) = (self.input[3], self.channels_out);
        let taps = self.window.kernel[0] * self.window.kernel[1];
        match self.op {
            Op::Depthwise { multiplier: m } => [[taps, 1, c * m], [0; 3]],
            Op::Separable { multiplier: m } => [[taps, 1, c * m], [1, c * m, o]],
            Op::Conv { groups } => [[taps, c / groups, o], [0; 3]],
            Op::Pointwise | Op::Dense => [[1, c, o], [0; 3]],
            Op::Max | Op::Average | Op::GlobalAverage | Op::Elementwise => [[0; 3]; 2],
        }
    }

    /// Operands of a mode, of the right lengths.
    pub fn fill(&self, mode: Mode, random: &mut Random) -> [Vec<f32>; 4] {
        self.lengths().map(|len| mode.fill(random, len))
    }

    /// The same with weights of a type. Biases are of f32.
    pub fn fill_stored(
        &self,
        weights: ElementType,
        mode: Mode,
        random: &mut Random,
    ) -> [Stored; 4] {
        let types = [weights, ElementType::F32, weights, ElementType::F32];
        let operands = self.fill(mode, random);
        std::array::from_fn(|i| Stored::new(types[i], &operands[i]))
    }

    /// The layer with any types of input and output, and a type for its weights.
    pub fn of_any_types(self, random: &mut Random) -> (Self, ElementType) {
        let [input_type, weights, output_type] =
            [(); 3].map(|()| ElementType::FLOATS[random.below(3)]);
        (Self { input_type, output_type, ..self }, weights)
    }

    /// The layer with planes for its input, its output, or both.
    pub fn of_planes(self, random: &mut Random) -> Self {
        let [nhwc, nchw] = [TensorLayout::Nhwc, TensorLayout::Nchw];
        let [input_layout, output_layout] =
            [[nchw, nhwc], [nhwc, nchw], [nchw, nchw]][random.below(3)];
        Self { input_layout, output_layout, ..self }
    }

    pub fn plan<'a>(
        &self,
        operands: [impl Into<Elements<'a>>; 4],
        level: Level,
    ) -> Result<Box<dyn Plan>, Error> {
        let (input, window, options) = (self.input, self.window, self.options(level));
        match self.params(operands.map(Into::into)) {
            Params::Depthwise(params) => Depthwise::new(input, &params, &options).map(boxed),
            Params::Pointwise(params) => Pointwise::new(input, &params, &options).map(boxed),
            Params::Separable(params) => Separable::new(input, &params, &options).map(boxed),
            Params::Conv(params) => Conv::new(input, &params, &options).map(boxed),
            Params::Dense(params) => Dense::new(input, &params, &options).map(boxed),
            Params::None => match self.op {
                Op::Max => Pool::new(input, PoolKind::Max, window, &options).map(boxed),
                Op::Average => Pool::new(input, PoolKind::Average, window, &options).map(boxed),
                Op::GlobalAverage => GlobalAveragePool::new(input, &options).map(boxed),
                _ => Elementwise::new(input, &options).map(boxed),
            },
        }
    }

    /// The plan and, if it multiplies by what Armv8.6 adds, that without.
    pub fn plans<'a>(
        &self,
        operands: [impl Into<Elements<'a>>; 4],
        level: Level,
    ) -> Result<Vec<Box<dyn Plan>>, Error> {
        let operands = operands.map(Into::into);
        let mut plans = vec![self.plan(operands, level)?];
        if plans[0].kernel_name().contains("_bfmlal_") {
            plans.push(Self { armv8_6: false, ..*self }.plan(operands, level)?);
        }
        Ok(plans)
    }

    /// Packed weights, none of an operation without.
    pub fn pack<'a>(
        &self,
        operands: [impl Into<Elements<'a>>; 4],
        level: Level,
    ) -> Option<Result<Planner, Error>> {
        let (c, options) = (self.input[3], self.options(level));
        Some(match self.params(operands.map(Into::into)) {
            Params::Depthwise(params) => Depthwise::pack(c, &params, &options).map(planner),
            Params::Pointwise(params) => Pointwise::pack(c, &params, &options).map(planner),
            Params::Separable(params) => Separable::pack(c, &params, &options).map(planner),
            Params::Conv(params) => Conv::pack(c, &params, &options).map(planner),
            Params::Dense(params) => Dense::pack(c, &params, &options).map(planner),
            Params::None => return None,
        })
    }

    fn options(&self, level: Level) -> Options {
        Options::default()
            .input_activation(self.input_activation)
            .input_scale(self.input_scale)
            .activation(self.activation)
            .level(level)
            .input_type(self.input_type)
            .output_type(self.output_type)
            .input_layout(self.input_layout)
            .output_layout(self.output_layout)
            .arithmetic(self.arithmetic)
            .amx(self.amx)
            .armv8_6(self.armv8_6)
    }

    fn params<'a>(&self, operands: Weights<'a>) -> Params<'a> {
        let [weights, bias, other_weights, other_bias] = operands;
        let bias_of = |elements| {
            let Elements::F32(bias) = elements else { panic!("a bias of {elements:?}") };
            bias
        };
        let (bias, other_bias) = (bias_of(bias), bias_of(other_bias));
        let Self { op, window, channels_out, layout, .. } = *self;
        let depthwise = |multiplier| {
            let params = DepthwiseParams::new(window, weights).multiplier(multiplier);
            params.layout(layout).bias(bias)
        };
        match op {
            Op::Depthwise { multiplier } => Params::Depthwise(depthwise(multiplier)),
            Op::Separable { multiplier } => {
                let depthwise = depthwise(multiplier);
                let params = SeparableParams::new(depthwise, channels_out, other_weights);
                let params = params.mid_activation(self.mid_activation);
                Params::Separable(params.layout(layout).bias(other_bias))
            }
            Op::Conv { groups } => {
                let params = ConvParams::new(window, channels_out, weights).groups(groups);
                Params::Conv(params.layout(layout).bias(bias))
            }
            Op::Pointwise => {
                let params = PointwiseParams::new(channels_out, weights).stride(window.stride);
                Params::Pointwise(params.layout(layout).bias(bias))
            }
            Op::Dense => {
                Params::Dense(DenseParams::new(channels_out, weights).layout(layout).bias(bias))
            }
            Op::Max | Op::Average | Op::GlobalAverage | Op::Elementwise => Params::None,
        }
    }
}

/// The i-th of many random layers, and its operands: every other one is of any element types, every
/// third one of planes, two of five of the arithmetics bf16 and unfused.
pub fn random_stored(op: Op, i: u32, numbers: &mut Random) -> (Layer, [Stored; 4]) {
    let (mut layer, mut weights) = (random(op, numbers), ElementType::F32);
    if i % 2 == 1 {
        (layer, weights) = layer.of_any_types(numbers);
    }
    if i % 3 == 2 {
        layer = layer.of_planes(numbers);
    }
    if i % 5 == 4 && Arithmetic::Bf16.is_available() {
        layer.arithmetic = Arithmetic::Bf16;
    }
    if i % 5 == 3 && Arithmetic::Unfused.is_available() {
        layer.arithmetic = Arithmetic::Unfused;
    }
    let operands = layer.fill_stored(weights, Mode::Reals, numbers);
    (layer, operands)
}

/// A layer from numbers: any operation, window, size, activations, the depth multiplier and groups
/// of `op`.
pub fn random(op: Op, random: &mut Random) -> Layer {
    let mut below = |n: usize| random.below(n);
    let [h, w] = [1 + below(9), 1 + below(14)];
    let kernel = [[3, 3], [3, 3], [1, 1], [5, 5], [2, 3], [7, 7]][below(6)];
    let (stride, dilation) = (1 + below(2), if below(4) == 0 { 2 } else { 1 });
    let window = Window::new(kernel).stride([stride; 2]).dilation([dilation; 2]);
    let window = match below(3) {
        0 => window.padding(Padding::Explicit {
            top: kernel[0] * dilation,
            bottom: below(3),
            left: kernel[1] * dilation,
            right: below(3),
        }),
        _ => window.padding(Padding::Same),
    };
    let c = 1 + if below(3) == 0 { below(70) } else { below(20) };
    let o = 1 + below(70);
    let (input, o) = match op {
        Op::Conv { groups } => ([1 + below(2), h, w, c.min(24) * groups], o * groups),
        Op::Dense => ([1 + below(9), 1, 1, c], o),
        _ => ([1 + below(2), h, w, c], o),
    };
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::Silu,
        Activation::Clamp { lo: -0.5, hi: 0.5 },
    ];
    Layer {
        input_activation: activations[below(4)],
        mid_activation: activations[below(4)],
        activation: activations[below(4)],
        ..Layer::new(op, input, window, o)
    }
}
