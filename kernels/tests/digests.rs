//! The same bits everywhere: digests of every operation over shapes, windows, activations, kinds of
//! data and element types, 8-bit integers among them, which every level of every CPU must
//! reproduce, in 1 to 16 parts, fused and not, by dot products of integers and without.
//!
//! A change that is meant to change bits makes the table anew:
//! `SEPCONV_BLESS=1 cargo test --release -p sepconv-kernels --test digests`.

use common::digest::{Table, digest};
use common::half::Stored;
use common::int8::{Case, OPS, ways};
use common::{Mode, Random, Spaced, holds, levels, run};
use sepconv_kernels::*;

/// \[H, W, C\]: single elements, tails of 4, 8 and 16 lanes, whole vectors, several tiles and
/// bands.
const SHAPES: [[usize; 3]; 7] =
    [[1, 1, 1], [5, 7, 3], [6, 9, 8], [7, 12, 17], [9, 10, 31], [19, 19, 40], [48, 45, 6]];

/// \[kernel height, kernel width, stride, dilation\]: those that have kernels of their own, and
/// others.
const WINDOWS: [[usize; 4]; 11] = [
    [1, 1, 1, 1],
    [2, 2, 3, 1],
    [1, 3, 1, 1],
    [2, 3, 2, 1],
    [3, 3, 1, 1],
    [3, 3, 2, 1],
    [3, 3, 1, 2],
    [5, 5, 1, 1],
    [5, 5, 2, 1],
    [7, 7, 1, 1],
    [7, 7, 2, 1],
];

/// On load, in the middle of a separable layer, at the end.
const ACTIVATIONS: [(&str, [Activation; 3]); 4] = [
    ("none-none-none", [Activation::None, Activation::None, Activation::None]),
    ("relu-none-relu6", [Activation::Relu, Activation::None, Activation::Relu6]),
    ("silu-relu-elu", [Activation::Silu, Activation::Relu, Activation::Elu { alpha: 0.5 }]),
    (
        "none-hardswish-clamp",
        [Activation::None, Activation::HardSwish, Activation::Clamp { lo: -1.0, hi: 2.0 }],
    ),
];

/// Of input, weights and output, besides f32 alone.
const TYPES: [[ElementType; 3]; 4] = [
    [ElementType::F16; 3],
    [ElementType::Bf16; 3],
    [ElementType::F32, ElementType::Bf16, ElementType::F32],
    [ElementType::F16, ElementType::F16, ElementType::F32],
];

const MODES: [Mode; 3] = [Mode::Integers, Mode::Reals, Mode::Specials];

/// Output channels where they are free: two groups divide them, and each level has a tail.
const CHANNELS_OUT: usize = 46;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Depthwise { multiplier: usize },
    Separable { multiplier: usize },
    Conv { groups: usize },
    Pointwise,
    Dense,
    Max,
    Average,
    GlobalAverage,
    Elementwise,
}

/// Those with a window, and those without.
const WINDOWED: [Op; 8] = [
    Op::Depthwise { multiplier: 1 },
    Op::Depthwise { multiplier: 3 },
    Op::Separable { multiplier: 1 },
    Op::Separable { multiplier: 2 },
    Op::Conv { groups: 1 },
    Op::Conv { groups: 2 },
    Op::Max,
    Op::Average,
];
const WINDOWLESS: [Op; 4] = [Op::Pointwise, Op::Dense, Op::GlobalAverage, Op::Elementwise];

/// One line of the table.
#[derive(Clone, Copy)]
struct Line {
    operation: Op,
    input: [usize; 4],
    window: Window,
    activations: (&'static str, [Activation; 3]),
    mode: Mode,
    /// Of input, weights and output.
    types: [ElementType; 3],
    arithmetic: Arithmetic,
}

/// The operands of a line.
struct Data {
    x: Stored,
    weights: Stored,
    bias: Vec<f32>,
    pointwise: Stored,
    pointwise_bias: Vec<f32>,
}

impl Line {
    /// Whether emulated CPUs can compute it: at most 2¹⁹ multiply-adds.
    fn is_small(&self) -> bool {
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let per_input = match self.operation {
            Op::Depthwise { multiplier } => taps * multiplier,
            Op::Separable { multiplier } => (taps + CHANNELS_OUT) * multiplier,
            Op::Conv { groups } => taps * CHANNELS_OUT / groups,
            _ => taps,
        };
        let pixels = self.input[1] * self.input[2] / self.window.stride[0].pow(2);
        pixels * self.input[3] * per_input <= 1 << 19
    }

    fn name(&self) -> String {
        let [_, h, w, c] = self.input;
        let Window { kernel: [kh, kw], stride: [s, _], dilation: [d, _], .. } = self.window;
        let operation = match self.operation {
            Op::Depthwise { multiplier } => format!("depthwise m{multiplier}"),
            Op::Separable { multiplier } => format!("separable m{multiplier}"),
            Op::Conv { groups } => format!("conv g{groups}"),
            other => format!("{other:?}").to_lowercase(),
        };
        let mode = format!("{:?}", self.mode).to_lowercase();
        let types = match self.types {
            [ElementType::F32, ElementType::F32, ElementType::F32] => String::new(),
            [input, weights, output] => format!(" {input}-{weights}-{output}"),
        };
        let activations = self.activations.0;
        let arithmetic = match self.arithmetic {
            Arithmetic::Exact => String::new(),
            other => format!(" arithmetic-{other}"),
        };
        format!(
            "{operation} {h}x{w}x{c} k{kh}x{kw} s{s} d{d} {activations} {mode}{types}{arithmetic}"
        )
    }

    fn data(&self) -> Data {
        let mut random = Random(digest(&self.input.map(|d| d as f32)));
        let [_, _, _, c] = self.input;
        let taps = self.window.kernel[0] * self.window.kernel[1];
        // In one element of an output's inputs, or all would be NaN.
        let one_in = if self.mode == Mode::Specials { (c * taps).div_ceil(2) } else { 1 };
        let mut fill = |len: usize| -> Vec<f32> {
            let (rare, plain) =
                (self.mode.fill(&mut random, len), Mode::Reals.fill(&mut random, len));
            let pick = |(rare, plain)| if random.below(one_in) == 0 { rare } else { plain };
            rare.into_iter().zip(plain).map(pick).collect()
        };
        let (middle, weights) = match self.operation {
            Op::Depthwise { multiplier } | Op::Separable { multiplier } => {
                (c * multiplier, taps * c * multiplier)
            }
            Op::Conv { groups } => (CHANNELS_OUT, taps * c / groups * CHANNELS_OUT),
            Op::Pointwise | Op::Dense => (CHANNELS_OUT, c * CHANNELS_OUT),
            Op::Max | Op::Average | Op::GlobalAverage | Op::Elementwise => (0, 0),
        };
        let [input_type, weights_type, _] = self.types;
        Data {
            x: Stored::new(input_type, &fill(self.input.iter().product())),
            weights: Stored::new(weights_type, &fill(weights)),
            bias: fill(middle),
            pointwise: Stored::new(weights_type, &fill(middle * CHANNELS_OUT)),
            pointwise_bias: fill(CHANNELS_OUT),
        }
    }

    /// The ways to compute the line on a level, each a sequence of plans.
    fn ways(&self, data: &Data, level: Level) -> Vec<Vec<Box<dyn Plan>>> {
        let (input, window) = (self.input, self.window);
        let [input_activation, mid_activation, activation] = self.activations.1;
        let [input_type, _, output_type] = self.types;
        let level = Some(level);
        let options = Options::default()
            .input_activation(input_activation)
            .activation(activation)
            .level(level)
            .input_type(input_type)
            .output_type(output_type)
            .arithmetic(self.arithmetic);
        let (weights, bias) = (data.weights.elements(), Some(&data.bias[..]));
        let channels_out = CHANNELS_OUT;
        match self.operation {
            Op::Depthwise { multiplier } => {
                let mut params = DepthwiseParams::new(window, weights).multiplier(multiplier);
                params.bias = bias;
                vec![vec![plan(Depthwise::new(input, &params, &options))]]
            }
            Op::Separable { multiplier } => {
                let mut depthwise = DepthwiseParams::new(window, weights).multiplier(multiplier);
                depthwise.bias = bias;
                let (weights, bias) = (data.pointwise.elements(), Some(&data.pointwise_bias[..]));
                let mut params = SeparableParams::new(depthwise, channels_out, weights)
                    .mid_activation(mid_activation);
                params.bias = bias;
                let fused = plan(Separable::new(input, &params, &options));
                // What the fused one keeps is of f32.
                let output_type = ElementType::F32;
                let options = options.activation(mid_activation).output_type(output_type);
                let first = plan(Depthwise::new(input, &depthwise, &options));
                let mut params = PointwiseParams::new(channels_out, weights);
                params.bias = bias;
                let [_, _, output_type] = self.types;
                let options = Options::default()
                    .activation(activation)
                    .level(level)
                    .output_type(output_type)
                    .arithmetic(self.arithmetic);
                let second = plan(Pointwise::new(first.output_shape(), &params, &options));
                vec![vec![fused], vec![first, second]]
            }
            Op::Conv { groups } => {
                let mut params = ConvParams::new(window, channels_out, weights).groups(groups);
                params.bias = bias;
                vec![vec![plan(Conv::new(input, &params, &options))]]
            }
            Op::Pointwise => {
                let mut params = PointwiseParams::new(channels_out, weights).stride(window.stride);
                params.bias = bias;
                vec![vec![plan(Pointwise::new(input, &params, &options))]]
            }
            Op::Dense => {
                let mut params = DenseParams::new(channels_out, weights);
                params.bias = bias;
                vec![vec![plan(Dense::new(input, &params, &options))]]
            }
            Op::Max => vec![vec![plan(Pool::new(input, PoolKind::Max, window, &options))]],
            Op::Average => vec![vec![plan(Pool::new(input, PoolKind::Average, window, &options))]],
            Op::GlobalAverage => vec![vec![plan(GlobalAveragePool::new(input, &options))]],
            Op::Elementwise => vec![vec![plan(Elementwise::new(input, &options))]],
        }
    }

    /// Computes the line, which has this number, in each way, on each level, in 1 to 16 parts;
    /// enters what comes out.
    fn enter(&self, line: usize, table: &mut Table) {
        let (name, data) = (self.name(), self.data());
        for level in levels() {
            for way in self.ways(&data, level) {
                let shape = way.last().expect("a plan").output_shape();
                let residual = Mode::Integers.fill(&mut Random(7), shape.iter().product());
                // Layers with and without one are in the table.
                let residual = Stored::new(self.types[2], &residual);
                let residual = (self.input[2] % 2 == 1).then(|| Spaced::of(shape, 0, &residual));
                for &parts in parts(line) {
                    let (first, second) = way.split_first().expect("a plan");
                    let last = |plan: usize| residual.as_ref().filter(|_| plan + 1 == way.len());
                    let spaced = Spaced::of(first.input_shape(), 0, &data.x);
                    let mut x = run(&**first, &spaced, last(0), 0, parts);
                    for (i, plan) in second.iter().enumerate() {
                        let spaced = Spaced::new(plan.input_shape(), 0, &x);
                        x = run(&**plan, &spaced, last(i + 1), 0, parts);
                    }
                    let entered = table.enter(&name, digest(&x));
                    holds(entered.is_ok(), || format!("{level}, {parts} parts: {entered:?}"));
                }
            }
        }
    }
}

fn plan<P: Plan + 'static>(plan: Result<P, Error>) -> Box<dyn Plan> {
    Box::new(plan.expect("the parameters are right"))
}

/// Into how many parts the work of a line is split: with all effort into one, and by turns into all
/// other numbers up to 16.
fn parts(line: usize) -> &'static [usize] {
    if cfg!(not(feature = "rayon")) {
        &[1]
    } else if common::effort() < 2.0 {
        [&[1], &[2], &[5], &[16]][line % 4]
    } else if common::effort() < 100.0 {
        [&[1, 5], &[2, 16]][line % 2]
    } else {
        [&[1, 2, 7, 12], &[1, 3, 8, 13], &[1, 4, 9, 14], &[1, 5, 10, 15], &[1, 6, 11, 16]][line % 5]
    }
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for (s, [h, w, c]) in SHAPES.into_iter().enumerate() {
        for (k, [kh, kw, stride, dilation]) in WINDOWS.into_iter().enumerate() {
            let window = Window::new([kh, kw]).stride([stride; 2]).dilation([dilation; 2]);
            let window = window.padding(Padding::Same);
            for (o, operation) in WINDOWED.into_iter().enumerate() {
                // Two groups need an even number of channels.
                let c =
                    if operation == (Op::Conv { groups: 2 }) { c.next_multiple_of(2) } else { c };
                let activations = ACTIVATIONS[(s + k + o) % ACTIVATIONS.len()];
                lines.push((operation, [1, h, w, c], window, activations));
            }
        }
        for operation in WINDOWLESS {
            for stride in 1..=if operation == Op::Pointwise { 2 } else { 1 } {
                let window = Window::new([1, 1]).stride([stride; 2]);
                // A dense layer takes vectors, global pooling a batch.
                let input = match operation {
                    Op::Dense => [h, 1, 1, c * 5],
                    Op::GlobalAverage => [3, h, w, c],
                    _ => [2, h, w, c],
                };
                for activations in ACTIVATIONS {
                    lines.push((operation, input, window, activations));
                }
            }
        }
    }
    let types = [ElementType::F32; 3];
    let mut lines: Vec<Line> = lines
        .into_iter()
        .flat_map(|(operation, input, window, activations)| {
            let arithmetic = Arithmetic::Exact;
            MODES.map(|mode| Line {
                operation,
                input,
                window,
                activations,
                mode,
                types,
                arithmetic,
            })
        })
        .filter(Line::is_small)
        .collect();
    // Some once more in other types, of each operation and mode: the tables above have no factor of
    // 17.
    let others: Vec<Line> = (lines.iter().enumerate())
        .filter(|(i, _)| i % 17 == 0)
        .flat_map(|(_, line)| TYPES.map(|types| Line { types, ..*line }))
        .collect();
    // Of those with a GEMM some in the arithmetic bf16, of f32 and of other types.
    let arithmetic = Arithmetic::Bf16;
    let has_gemm = |line: &&Line| {
        matches!(line.operation, Op::Separable { .. } | Op::Conv { .. } | Op::Pointwise | Op::Dense)
    };
    let bf16: Vec<Line> = (lines.iter().filter(has_gemm).enumerate())
        .filter(|(i, _)| i % 5 == 0)
        .flat_map(|(i, line)| {
            let other = TYPES[i / 5 % TYPES.len()];
            [line.types, other].map(|types| Line { types, arithmetic, ..*line })
        })
        .collect();
    // Of those with chains some in the arithmetic unfused, likewise.
    let arithmetic = Arithmetic::Unfused;
    let has_chains =
        |line: &&Line| has_gemm(line) || matches!(line.operation, Op::Depthwise { .. });
    let unfused: Vec<Line> = (lines.iter().filter(has_chains).enumerate())
        .filter(|(i, _)| i % 7 == 0)
        .flat_map(|(i, line)| {
            let other = TYPES[i / 7 % TYPES.len()];
            [line.types, other].map(|types| Line { types, arithmetic, ..*line })
        })
        .collect();
    lines.extend(others);
    lines.extend(bf16);
    lines.extend(unfused);
    lines
}

#[test]
fn digests_are_those_of_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/kernels.txt");
    let mut table = Table::new(file, include_str!("digests/kernels.txt"));
    let lines = lines();
    for (i, line) in lines.iter().enumerate() {
        line.enter(i, &mut table);
    }
    println!("{} digests on {:?}", lines.len(), levels());
    table.close();
}

/// Layers of integers by their number, of every operation by turns.
const INTEGERS: usize = 270;

/// Enters what each way to compute a layer of integers gives.
fn enter_integers(number: usize, table: &mut Table) {
    let op = OPS[number % OPS.len()];
    let mut random = Random(number as u64);
    // Emulated CPUs compute it, too.
    let mut case = loop {
        let case = Case::random(op, &mut random);
        let plan = case.plan(Level::Scalar, [true; 2]).expect("the parameters are right");
        if plan.multiply_adds() <= 1 << 19 {
            break case;
        }
    };
    if (number / OPS.len()).is_multiple_of(3) {
        case.options.activation = [Activation::Silu, Activation::Elu { alpha: 0.5 }][number % 2];
    }
    let Options { input_type, output_type, .. } = case.options;
    let [_, h, w, c] = case.input;
    let name = format!("{number:03} {op:?} {h}x{w}x{c} {input_type}-{output_type}").to_lowercase();
    for level in levels() {
        for &way in ways(level) {
            let plan = case.plan(level, way).expect("the parameters are right");
            for &parts in parts(number) {
                let entered = table.enter(&name, digest(&case.run(&*plan, parts, 0)));
                holds(entered.is_ok(), || {
                    format!("{level}, {}, {parts} parts: {entered:?}", plan.kernel_name())
                });
            }
        }
    }
}

#[test]
fn digests_of_integers() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/int8.txt");
    let mut table = Table::new(file, include_str!("digests/int8.txt"));
    for number in 0..INTEGERS {
        enter_integers(number, &mut table);
    }
    println!("{INTEGERS} digests of integers on {:?}", levels());
    table.close();
}
