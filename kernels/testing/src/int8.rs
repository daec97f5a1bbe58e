//! Layers of 8-bit integers at random, and what naive sums make of them.

use std::fmt::{self, Display, Formatter};
use std::sync::OnceLock;

use sepconv_kernels::*;

use super::half::Stored;
use super::{Random, Spaced, run as common_run};

/// A layer, with operands.
pub struct Case {
    pub op: Op,
    pub input: [usize; 4],
    pub window: Window,
    pub groups: usize,
    pub multiplier: usize,
    pub channels_out: usize,
    pub x: Stored,
    pub weights: [Vec<i8>; 2],
    pub scales: [Vec<f32>; 2],
    pub biases: [Option<Vec<i32>>; 2],
    pub mid: Quantization,
    pub mid_activation: Activation,
    pub residual: Option<Stored>,
    pub options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Depthwise,
    Pointwise,
    Separable,
    Conv,
    Dense,
    MaxPool,
    AveragePool,
    GlobalAveragePool,
    Elementwise,
}

pub const OPS: [Op; 9] = [
    Op::Depthwise,
    Op::Pointwise,
    Op::Separable,
    Op::Conv,
    Op::Dense,
    Op::MaxPool,
    Op::AveragePool,
    Op::GlobalAveragePool,
    Op::Elementwise,
];

/// Weights, scales and biases: of the depthwise half of a layer, of the other.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub weights: [&'a [i8]; 2],
    pub scales: [&'a [f32]; 2],
    pub biases: [Option<&'a [i32]>; 2],
    pub layout: WeightLayout,
}

impl<'a> Given<'a> {
    fn quantized(&self, half: usize) -> QuantizedWeights<'a> {
        let quantized = QuantizedWeights::new(self.scales[half]);
        match self.biases[half] {
            Some(bias) => quantized.bias(bias),
            None => quantized,
        }
    }
}

/// A plan for N, H and W.
pub type PlanOf = Box<dyn Fn([usize; 3]) -> Result<Box<dyn Plan>, Error>>;

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}

pub fn quantization(random: &mut Random, element: ElementType) -> Quantization {
    let least = if element == ElementType::I8 { -128 } else { 0 };
    Quantization::new((1.0 + random.below(1000) as f32) * 1e-3, least + random.below(256) as i32)
}

pub fn stored(random: &mut Random, element: ElementType, len: usize) -> Stored {
    // Extremes are as frequent as the rest.
    let mut byte = || match random.below(4) {
        0 => pick(random, &[0_u8, 255, 127, 128]),
        _ => random.below(256) as u8,
    };
    match element {
        ElementType::U8 => Stored::U8((0..len).map(|_| byte()).collect()),
        ElementType::I8 => Stored::I8((0..len).map(|_| byte() as i8).collect()),
        _ => Stored::F32((0..len).map(|_| 10.0 * random.real()).collect()),
    }
}

/// A window of an operation, and a size that it fits.
fn window(
    op: Op,
    random: &mut Random,
    size: impl Fn(&mut Random) -> [usize; 2],
) -> (Window, [usize; 2]) {
    let with_window =
        matches!(op, Op::Depthwise | Op::Separable | Op::Conv | Op::MaxPool | Op::AveragePool);
    loop {
        let mut window = Window::new([1, 1]);
        let size = size(random);
        if op == Op::Pointwise && random.below(3) == 0 {
            window = window.stride([1 + random.below(2), 1 + random.below(3)]);
        }
        if with_window {
            let mut pair = |n: usize| [1 + random.below(n), 1 + random.below(n)];
            window = Window::new(pair(5)).stride(pair(3));
            if random.below(4) == 0 {
                window = window.dilation([1 + random.below(3), 1 + random.below(3)]);
            }
            if random.below(2) == 0 {
                window = Window::new([3, 3]).stride([1 + random.below(2); 2]);
            }
            window = window.padding(match random.below(4) {
                0 => Padding::Valid,
                1 => {
                    let mut side = || random.below(4);
                    let (top, bottom, left, right) = (side(), side(), side(), side());
                    Padding::Explicit { top, bottom, left, right }
                }
                _ => Padding::Same,
            });
        }
        if window.output_size(size).is_ok() {
            return (window, size);
        }
    }
}

/// How products are multiplied: [`Options::dot_products`] and [`Options::armv8_6`].
pub type Way = [bool; 2];

/// The ways that make a difference on a level: CPUs without the best have another one.
pub fn ways(level: Level) -> &'static [Way] {
    static HAS_MATRICES: OnceLock<bool> = OnceLock::new();
    let has = || kernels().iter().any(|k| k.available && k.name.contains("_i8mm_"));
    if level == Level::Neon && *HAS_MATRICES.get_or_init(has) {
        return &[[true, true], [true, false], [false, true]];
    }
    &[[true, true], [false, true]]
}

impl Case {
    /// Of up to a few hundred channels.
    pub fn random(op: Op, random: &mut Random) -> Self {
        let (window, size) =
            window(op, random, |random| [1 + random.below(12), 1 + random.below(24)]);
        let groups = if op == Op::Conv { 1 + random.below(3) } else { 1 };
        let in_group = match random.below(3) {
            0 => 1 + random.below(8),
            1 => 1 + random.below(70),
            _ => 60 + random.below(140),
        };
        let out_group = 1 + random.below(70);
        Self::of_sizes(op, random, (window, size), [groups, in_group, out_group])
    }

    /// Of few pixels and channels; now and then wider than any tile, or of more than a vector.
    pub fn small(op: Op, random: &mut Random) -> Self {
        let (window, size) = window(op, random, |random| {
            let width = if random.below(8) == 0 { 33 } else { 6 };
            [1 + random.below(4), 1 + random.below(width)]
        });
        let groups = if op == Op::Conv { 1 + random.below(3) } else { 1 };
        let most = if random.below(8) == 0 { 140 } else { 17 };
        let in_group = 1 + random.below(most / groups);
        let out_group = 1 + random.below(40 / groups);
        Self::of_sizes(op, random, (window, size), [groups, in_group, out_group])
    }

    /// With so many channels in a group of the input and of the output, and a residual.
    pub fn of_channels(op: Op, random: &mut Random, channels: [usize; 2]) -> Self {
        let sizes = window(op, random, |random| [1 + random.below(4), 1 + random.below(9)]);
        let mut case = Self::of_sizes(op, random, sizes, [1, channels[0], channels[1]]);
        let len = case.output().iter().product();
        case.residual = Some(stored(random, case.options.output_type, len));
        case
    }

    fn of_sizes(
        op: Op,
        random: &mut Random,
        (window, size): (Window, [usize; 2]),
        [groups, in_group, out_group]: [usize; 3],
    ) -> Self {
        let multiplier = match op {
            Op::Depthwise | Op::Separable if random.below(4) == 0 => 1 + random.below(3),
            _ => 1,
        };
        let channels = groups * in_group;
        let channels_out = match op {
            Op::Depthwise => channels * multiplier,
            Op::Pointwise | Op::Separable | Op::Dense | Op::Conv => groups * out_group,
            _ => channels,
        };
        let pictures = 1 + random.below(2);
        let input = if op == Op::Dense {
            [1 + random.below(30), 1, 1, channels]
        } else {
            [pictures, size[0], size[1], channels]
        };
        Self::of(op, random, input, window, [groups, multiplier, channels_out])
    }

    /// With operands at random.
    pub fn of(
        op: Op,
        random: &mut Random,
        input: [usize; 4],
        window: Window,
        [groups, multiplier, channels_out]: [usize; 3],
    ) -> Self {
        const INTEGERS: [ElementType; 2] = [ElementType::U8, ElementType::I8];
        let input_type = match op {
            Op::Elementwise => pick(random, &[ElementType::U8, ElementType::I8, ElementType::F32]),
            _ => pick(random, &INTEGERS),
        };
        let output_type = match input_type {
            ElementType::F32 => pick(random, &INTEGERS),
            _ => pick(random, &[ElementType::U8, ElementType::I8, ElementType::F32]),
        };
        let clamp = Activation::Clamp { lo: -3.0, hi: 5.5 };
        let activation =
            pick(random, &[Activation::None, Activation::Relu, Activation::Relu6, clamp]);
        let mut options = Options::new()
            .input_type(input_type)
            .output_type(output_type)
            .input_quantization(quantization(random, input_type))
            .output_quantization(quantization(random, output_type))
            .activation(activation);
        if random.below(3) == 0 {
            options = options.input_activation(Activation::Relu);
        }
        if random.below(2) == 0 {
            options = options.residual_quantization(quantization(random, output_type));
        }
        let weight = |random: &mut Random| match random.below(5) {
            0 => pick(random, &[-127, 127, 0, 1]),
            _ => (random.below(255) as i32 - 127) as i8,
        };
        let outputs = [input[3] * multiplier, channels_out];
        let scales =
            outputs.map(|n| (0..n).map(|_| random.below(1000) as f32 * 1e-5).collect::<Vec<_>>());
        let biases = outputs.map(|n| {
            let bias = (0..n).map(|_| random.below(20_000) as i32 - 10_000).collect();
            (random.below(3) > 0).then_some(bias)
        });
        let x = stored(random, input_type, input.iter().product());
        let mid = quantization(random, input_type);
        let mid_activation = pick(random, &[Activation::None, Activation::Relu]);
        let mut case = Self {
            op,
            input,
            window,
            groups,
            multiplier,
            channels_out,
            x,
            weights: [Vec::new(), Vec::new()],
            scales,
            biases,
            mid,
            mid_activation,
            residual: None,
            options,
        };
        let lengths = case.weights_shapes().map(|shape| shape.iter().product());
        case.weights = lengths.map(|len: usize| (0..len).map(|_| weight(random)).collect());
        if random.below(3) == 0 {
            let len = case.output().iter().product();
            case.residual = Some(stored(random, output_type, len));
        }
        case
    }

    pub fn output(&self) -> [usize; 4] {
        let [n, h, w, _] = self.input;
        let [oh, ow] = match self.op {
            Op::GlobalAveragePool => [1, 1],
            _ => naive::output_size(&self.window, h, w),
        };
        [n, oh, ow, self.channels_out]
    }

    /// What a plan takes besides the options.
    pub fn given(&self) -> Given<'_> {
        Given {
            weights: self.weights.each_ref().map(|weights| &weights[..]),
            scales: self.scales.each_ref().map(|scales| &scales[..]),
            biases: self.biases.each_ref().map(Option::as_deref),
            layout: WeightLayout::default(),
        }
    }

    pub fn plan(&self, level: Level, way: Way) -> Result<Box<dyn Plan>, Error> {
        self.plan_of(&self.given(), &self.options_of(level, way))
    }

    pub fn options_of(&self, level: Level, [dot_products, armv8_6]: Way) -> Options {
        self.options.level(level).dot_products(dot_products).armv8_6(armv8_6)
    }

    /// A plan of these weights, scales and biases.
    pub fn plan_of(&self, given: &Given<'_>, options: &Options) -> Result<Box<dyn Plan>, Error> {
        let (input, window) = (self.input, self.window);
        Ok(match self.op {
            Op::Depthwise => Box::new(Depthwise::new(input, &self.depthwise(given), options)?),
            Op::Pointwise => Box::new(Pointwise::new(input, &self.pointwise(given), options)?),
            Op::Separable => Box::new(Separable::new(input, &self.separable(given), options)?),
            Op::Conv => Box::new(Conv::new(input, &self.conv(given), options)?),
            Op::Dense => Box::new(Dense::new(input, &self.dense(given), options)?),
            Op::MaxPool => Box::new(Pool::new(input, PoolKind::Max, window, options)?),
            Op::AveragePool => Box::new(Pool::new(input, PoolKind::Average, window, options)?),
            Op::GlobalAveragePool => Box::new(GlobalAveragePool::new(input, options)?),
            Op::Elementwise => Box::new(Elementwise::new(input, options)?),
        })
    }

    /// Plans of any size, of weights that are packed once; none for an operation without weights.
    pub fn pack(&self, given: &Given<'_>, options: &Options) -> Result<Option<PlanOf>, Error> {
        fn of<L: Plan + 'static>(packed: Packed<L>) -> PlanOf {
            Box::new(move |size| packed.plan(size).map(|plan| Box::new(plan) as Box<dyn Plan>))
        }
        let c = self.input[3];
        Ok(Some(match self.op {
            Op::Depthwise => of(Depthwise::pack(c, &self.depthwise(given), options)?),
            Op::Pointwise => of(Pointwise::pack(c, &self.pointwise(given), options)?),
            Op::Separable => of(Separable::pack(c, &self.separable(given), options)?),
            Op::Conv => of(Conv::pack(c, &self.conv(given), options)?),
            Op::Dense => of(Dense::pack(c, &self.dense(given), options)?),
            _ => return Ok(None),
        }))
    }

    /// \[taps, inputs of a group, outputs\] of each half's weights; none of those that it lacks.
    pub fn weights_shapes(&self) -> [[usize; 3]; 2] {
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let (c, o) = (self.input[3], self.channels_out);
        let depthwise = [taps, 1, c * self.multiplier];
        match self.op {
            Op::Depthwise => [depthwise, [0; 3]],
            Op::Separable => [depthwise, [1, c * self.multiplier, o]],
            Op::Pointwise | Op::Dense => [[0; 3], [1, c, o]],
            Op::Conv => [[0; 3], [taps, c / self.groups, o]],
            _ => [[0; 3]; 2],
        }
    }

    fn depthwise<'a>(&self, given: &Given<'a>) -> DepthwiseParams<'a> {
        DepthwiseParams::new(self.window, Elements::I8(given.weights[0]))
            .multiplier(self.multiplier)
            .layout(given.layout)
            .quantized(given.quantized(0))
    }

    fn pointwise<'a>(&self, given: &Given<'a>) -> PointwiseParams<'a> {
        PointwiseParams::new(self.channels_out, Elements::I8(given.weights[1]))
            .stride(self.window.stride)
            .layout(given.layout)
            .quantized(given.quantized(1))
    }

    fn separable<'a>(&self, given: &Given<'a>) -> SeparableParams<'a> {
        let weights = Elements::I8(given.weights[1]);
        SeparableParams::new(self.depthwise(given), self.channels_out, weights)
            .mid_activation(self.mid_activation)
            .mid_quantization(self.mid)
            .layout(given.layout)
            .quantized(given.quantized(1))
    }

    fn conv<'a>(&self, given: &Given<'a>) -> ConvParams<'a> {
        ConvParams::new(self.window, self.channels_out, Elements::I8(given.weights[1]))
            .groups(self.groups)
            .layout(given.layout)
            .quantized(given.quantized(1))
    }

    fn dense<'a>(&self, given: &Given<'a>) -> DenseParams<'a> {
        DenseParams::new(self.channels_out, Elements::I8(given.weights[1]))
            .layout(given.layout)
            .quantized(given.quantized(1))
    }

    /// Runs a plan of the case, with gaps of so many elements between pixels.
    pub fn run(&self, plan: &dyn Plan, threads: usize, gap: usize) -> Vec<f32> {
        let x = Spaced::of(plan.input_shape(), gap, &self.x);
        let residual = self.residual.as_ref().map(|r| Spaced::of(plan.output_shape(), gap, r));
        common_run(plan, &x, residual.as_ref(), gap, threads)
    }

    /// What the input's integers are above its zero point, after its activation.
    fn above_zero(&self) -> Vec<f32> {
        let Options { input_quantization: Quantization { zero_point, .. }, .. } = self.options;
        let relu = self.options.input_activation == Activation::Relu;
        let zero_point = if self.options.input_type == ElementType::F32 { 0 } else { zero_point };
        let above =
            |v: f32| if relu { (v - zero_point as f32).max(0.0) } else { v - zero_point as f32 };
        self.x.values().into_iter().map(above).collect()
    }

    /// Sums of a convolution, of inputs above their zero point.
    fn sums(&self, half: usize, input: [usize; 4], x: &[f32], pointwise: bool) -> Vec<i32> {
        let weights: Vec<f32> = self.weights[half].iter().map(|&w| w.into()).collect();
        let (groups, channels_out, window) = match (half, pointwise) {
            (0, _) => (input[3], input[3] * self.multiplier, self.window),
            (_, true) => (1, self.channels_out, Window::new([1, 1])),
            (_, false) => (self.groups, self.channels_out, self.window),
        };
        let conv =
            naive::Conv { input, x, window, groups, channels_out, weights: &weights, bias: None };
        let bias = |o: usize| self.biases[half].as_ref().map_or(0, |bias| bias[o]);
        let sums = naive::conv(&conv).into_iter().enumerate();
        sums.map(|(i, sum)| sum.value as i32 + bias(i % channels_out)).collect()
    }

    /// Sums to outputs of a type.
    fn requantized(
        &self,
        sums: &[i32],
        (from, scales): (f32, &[f32]),
        residual: Option<&[f32]>,
        to: &naive::Requantize,
    ) -> Vec<f32> {
        let scale = if to.output == ElementType::F32 { 1.0 } else { to.quantization.scale };
        let one = |(i, &sum): (usize, &i32)| {
            let of_weights = f64::from(scales[i % scales.len()]);
            let multiplier = (f64::from(from) * of_weights / f64::from(scale)) as f32;
            let to = naive::Requantize { multiplier, ..*to };
            naive::requantize(sum, residual.map(|r| r[i]), &to)
        };
        sums.iter().enumerate().map(one).collect()
    }

    pub fn expected(&self) -> Vec<f32> {
        let x = self.above_zero();
        let Options { output_quantization, activation, output_type, .. } = self.options;
        let residual = self.residual.as_ref().map(Stored::values);
        let to = naive::Requantize {
            multiplier: 0.0,
            residual: self.options.residual_quantization.unwrap_or(output_quantization),
            activation,
            output: output_type,
            quantization: output_quantization,
        };
        let from = self.options.input_quantization.scale;
        let pooled = |kind, window: &Window| {
            let sums = naive::pool(kind, self.input, &x, window);
            let counts = naive::pool(PoolKind::Average, self.input, &vec![1.0; x.len()], window);
            (sums, counts)
        };
        let residual = residual.as_deref();
        match self.op {
            Op::Depthwise => {
                let sums = self.sums(0, self.input, &x, false);
                self.requantized(&sums, (from, &self.scales[0]), residual, &to)
            }
            Op::Pointwise | Op::Dense | Op::Conv => {
                let sums = self.sums(1, self.input, &x, false);
                self.requantized(&sums, (from, &self.scales[1]), residual, &to)
            }
            Op::Separable => {
                let sums = self.sums(0, self.input, &x, false);
                let (quantization, activation) = (self.mid, self.mid_activation);
                let output = self.options.input_type;
                let mid = naive::Requantize { output, quantization, activation, ..to };
                let mid = self.requantized(&sums, (from, &self.scales[0]), None, &mid);
                let mid: Vec<f32> = mid.iter().map(|v| v - self.mid.zero_point as f32).collect();
                let [n, oh, ow, _] = self.output();
                let input = [n, oh, ow, self.input[3] * self.multiplier];
                let sums = self.sums(1, input, &mid, true);
                self.requantized(&sums, (self.mid.scale, &self.scales[1]), residual, &to)
            }
            Op::MaxPool => {
                let (sums, counts) = pooled(PoolKind::Max, &self.window);
                // A window without taps has the least integer, above the zero point.
                let Options { input_type, input_quantization, .. } = self.options;
                let least = if input_type == ElementType::U8 { 0 } else { -128 };
                let least = least - input_quantization.zero_point;
                let of = |(sum, count): (&naive::Sum, &naive::Sum)| {
                    if count.value == 0.0 { least } else { sum.value as i32 }
                };
                let sums: Vec<i32> = sums.iter().zip(&counts).map(of).collect();
                self.requantized(&sums, (from, &[1.0]), residual, &to)
            }
            Op::AveragePool | Op::GlobalAveragePool => {
                let [_, h, w, _] = self.input;
                let window =
                    if self.op == Op::AveragePool { self.window } else { Window::new([h, w]) };
                self.averages(&x, &window, residual, &to)
            }
            Op::Elementwise if self.options.input_type == ElementType::F32 => {
                let scale = output_quantization.scale;
                // A quotient in place of a sum.
                let to = naive::Requantize { multiplier: 1.0, ..to };
                let one = |(i, v): (usize, &f32)| quantized(v / scale, residual.map(|r| r[i]), &to);
                x.iter().enumerate().map(one).collect()
            }
            Op::Elementwise => {
                let sums: Vec<i32> = x.iter().map(|&v| v as i32).collect();
                self.requantized(&sums, (from, &[1.0]), residual, &to)
            }
        }
    }

    /// Sums of the taps inside the input, times 1 / their number.
    fn averages(
        &self,
        x: &[f32],
        window: &Window,
        residual: Option<&[f32]>,
        to: &naive::Requantize,
    ) -> Vec<f32> {
        let [n, h, w, c] = self.input;
        let [oh, ow] = naive::output_size(window, h, w);
        let ones = vec![1.0; window.kernel[0] * window.kernel[1] * c];
        let conv = |x: &[f32]| {
            let window = *window;
            let conv = naive::Conv {
                input: [n, h, w, c],
                x,
                window,
                groups: c,
                channels_out: c,
                weights: &ones,
                bias: None,
            };
            naive::conv(&conv)
        };
        let (sums, counts) = (conv(x), conv(&vec![1.0; x.len()]));
        assert_eq!(sums.len(), n * oh * ow * c);
        let scale = if to.output == ElementType::F32 { 1.0 } else { to.quantization.scale };
        let one = |i: usize| {
            let from = f64::from(self.options.input_quantization.scale) / counts[i].value.max(1.0);
            let multiplier = (from / f64::from(scale)) as f32;
            let to = naive::Requantize { multiplier, ..*to };
            naive::requantize(sums[i].value as i32, residual.map(|r| r[i]), &to)
        };
        (0..sums.len()).map(one).collect()
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { op, input, window, groups, multiplier, channels_out, options, .. } = self;
        write!(
            f,
            "{op:?} {input:?} {window:?} to {channels_out}, groups {groups}, multiplier \
             {multiplier}, {options:?}"
        )
    }
}

/// The integer nearest to a quotient.
fn quantized(quotient: f32, residual: Option<f32>, to: &naive::Requantize) -> f32 {
    let mut t = quotient;
    let Quantization { scale, zero_point, .. } = to.quantization;
    if let Some(r) = residual {
        let step = (f64::from(to.residual.scale) / f64::from(scale)) as f32;
        t += (r - to.residual.zero_point as f32) * step;
    }
    let (lo, hi) = match to.activation {
        Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Relu6 => (0.0, 6.0),
        Activation::Clamp { lo, hi } => (lo, hi),
        other => panic!("{other:?}"),
    };
    let (least, largest) = if to.output == ElementType::U8 { (0, 255) } else { (-128, 127) };
    let t = t.clamp(lo / scale, hi / scale).round_ties_even();
    (t + zero_point as f32).clamp(least as f32, largest as f32)
}
