//! What the targets of the kernels share: a layer from the fuzzer's bytes, run on every level and
//! compared with the naive loops. Data, tensors with gaps and comparisons are those of the kernels'
//! own tests. Tensors are exactly as long as they must be, so that the address sanitizer sees the
//! first element too many.

use std::sync::Once;

use arbitrary::{Arbitrary, Result, Unstructured};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::{Activation, Arithmetic, ElementType, Level, Options, Padding, Plan, Window};

pub mod model;

use common::half::Stored;
use common::{Expected, Mode, Random, Spaced};

/// Multiply-adds of the naive loops in one case.
const MOST_WORK: usize = 1 << 16;
/// Elements of an input or output.
const MOST_ELEMENTS: usize = 1 << 13;

/// A small layer.
#[derive(Debug, Clone)]
pub struct Case {
    pub input: [usize; 4],
    pub window: Window,
    pub multiplier: usize,
    pub groups: usize,
    pub channels_out: usize,
    pub bias: bool,
    pub residual: bool,
    /// Of the input, the residual and the output.
    pub gaps: [usize; 3],
    pub input_activation: Activation,
    /// Whether the input comes with factors.
    pub input_scale: bool,
    pub mid_activation: Activation,
    pub activation: Activation,
    pub mode: Mode,
    /// Of the input, the weights and the output.
    pub types: [ElementType; 3],
    pub arithmetic: Arithmetic,
    /// 1, or so many once more.
    pub threads: usize,
    pub seed: u64,
}

fn within(u: &mut Unstructured<'_>, most: usize) -> Result<usize> {
    u.int_in_range(1..=most)
}

fn activation(u: &mut Unstructured<'_>) -> Result<Activation> {
    let bounds = [f32::NEG_INFINITY, -2.0, -0.0, 0.0, 1.0, 3.0, f32::INFINITY];
    Ok(match u.int_in_range(0..=18)? {
        0..=2 => Activation::None,
        3..=4 => Activation::Relu,
        5 => Activation::Relu6,
        6 => {
            let (a, b) = (u.choose_index(bounds.len())?, u.choose_index(bounds.len())?);
            Activation::Clamp { lo: bounds[a.min(b)], hi: bounds[a.max(b)] }
        }
        7 => Activation::Elu { alpha: *u.choose(&[0.5, 1.0])? },
        8 => Activation::Silu,
        9 => Activation::HardSwish,
        10 => Activation::Sigmoid,
        11 => Activation::HardSigmoid { slope: *u.choose(&[0.2, 1.0 / 6.0])?, offset: 0.5 },
        12 => Activation::Tanh,
        13 => Activation::Gelu,
        14 => Activation::GeluTanh,
        15 => Activation::Softplus,
        16 => Activation::Mish,
        17 => Activation::LeakyRelu { alpha: *u.choose(&[0.01, 0.3])? },
        _ => Activation::Softsign,
    })
}

/// Those of the input, the weights and the output.
pub fn types(u: &mut Unstructured<'_>) -> Result<[ElementType; 3]> {
    let [f32, f16, bf16] = ElementType::FLOATS;
    Ok(match u.int_in_range(0..=5)? {
        0 | 1 => [f32; 3],
        2 => [f16; 3],
        3 => [bf16; 3],
        _ => [
            *u.choose(&ElementType::FLOATS)?,
            *u.choose(&ElementType::FLOATS)?,
            *u.choose(&ElementType::FLOATS)?,
        ],
    })
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let input = [within(u, 3)?, within(u, 24)?, within(u, 50)?, within(u, 130)?];
        let padding = match u.int_in_range(0..=3)? {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => {
                let [top, bottom, left, right] = u.arbitrary::<[u8; 4]>()?.map(|p| (p % 12).into());
                Padding::Explicit { top, bottom, left, right }
            }
        };
        let window = Window::new([within(u, 8)?, within(u, 8)?])
            .stride([within(u, 4)?, within(u, 4)?])
            .dilation([within(u, 4)?, within(u, 4)?])
            .padding(padding);
        let input_activation = activation(u)?;
        Ok(Self {
            input,
            window,
            multiplier: within(u, 4)?,
            groups: within(u, 6)?,
            channels_out: within(u, 130)?,
            bias: u.arbitrary()?,
            residual: u.arbitrary()?,
            gaps: u.arbitrary::<[u8; 3]>()?.map(|gap| (gap % 20).into()),
            input_activation,
            input_scale: u.arbitrary()? && common::is_exact(input_activation),
            mid_activation: activation(u)?,
            activation: activation(u)?,
            mode: *u.choose(&[Mode::Integers, Mode::Integers, Mode::Reals, Mode::Specials])?,
            types: types(u)?,
            arithmetic: *u.choose(&[
                Arithmetic::Exact,
                Arithmetic::Exact,
                Arithmetic::Bf16,
                Arithmetic::Unfused,
            ])?,
            threads: *u.choose(&[1, 1, 1, 1, 1, 1, 2, 3, 5])?,
            seed: u.arbitrary()?,
        })
    }
}

/// The data of a case.
pub struct Data {
    pub x: Stored,
    /// The input's factors.
    pub scale: Option<Vec<f32>>,
    pub weights: Stored,
    pub bias: Option<Vec<f32>>,
    pub residual: Option<Stored>,
    /// Of a separable layer.
    pub pointwise: Stored,
    pub pointwise_bias: Option<Vec<f32>>,
}

impl Data {
    /// The input with its factors, and a gap behind each pixel.
    pub fn spaced(&self, input: [usize; 4], gap: usize) -> Spaced {
        Spaced { scale: self.scale.clone(), ..Spaced::of(input, gap, &self.x) }
    }

    /// The input as the reference sees it: activated, times its factors.
    pub fn loaded(&self, [_, h, w, c]: [usize; 4], activation: Activation) -> Vec<f32> {
        let mut x = common::activated(&self.x.values(), activation);
        for (i, x) in x.iter_mut().enumerate() {
            *x *= self.scale.as_ref().map_or(1.0, |scale| scale[i / (h * w * c) * c + i % c]);
        }
        x
    }

    /// The same numbers in f32.
    fn wide(&self) -> Self {
        let wide = |stored: &Stored| Stored::F32(stored.values());
        Self {
            x: wide(&self.x),
            scale: self.scale.clone(),
            weights: wide(&self.weights),
            bias: self.bias.clone(),
            residual: self.residual.as_ref().map(wide),
            pointwise: wide(&self.pointwise),
            pointwise_bias: self.pointwise_bias.clone(),
        }
    }
}

/// Makes the plan of a case.
pub type Make<'a> = &'a dyn Fn(&Case, &Data, Level) -> Box<dyn Plan>;

impl Case {
    /// The output shape, if the window fits and `depth` multiply-adds for each output are not too
    /// many.
    pub fn output(&self, window: &Window, channels_out: usize, depth: usize) -> Option<[usize; 4]> {
        let [n, h, w, c] = self.input;
        let [oh, ow] = common::output(window, self.input)?;
        let outputs = n * oh * ow * channels_out;
        let small = n * h * w * c <= MOST_ELEMENTS
            && outputs <= MOST_ELEMENTS
            && outputs * depth <= MOST_WORK;
        small.then_some([n, oh, ow, channels_out])
    }

    /// The data with so many weights.
    pub fn data(&self, output: [usize; 4], weights: usize) -> Data {
        let [input_type, weights_type, output_type] = self.types;
        let mut random = Random(self.seed);
        // One special value among the inputs of a window decides it: keep most windows free of
        // them.
        let sparse = if self.mode == Mode::Specials { 1 + random.below(60) } else { 1 };
        let mut fill = |len: usize| {
            let values = self.mode.fill(&mut random, len);
            let plain = Mode::Reals.fill(&mut random, len);
            let pick = |(v, p)| if sparse == 1 || random.below(sparse) == 0 { v } else { p };
            values.into_iter().zip(plain).map(pick).collect::<Vec<f32>>()
        };
        Data {
            x: Stored::new(input_type, &fill(self.input.iter().product())),
            scale: self.input_scale.then(|| fill(self.input[0] * self.input[3])),
            weights: Stored::new(weights_type, &fill(weights)),
            bias: self.bias.then(|| fill(output[3])),
            residual: (self.residual)
                .then(|| Stored::new(output_type, &fill(output.iter().product()))),
            pointwise: Stored::new(weights_type, &[]),
            pointwise_bias: None,
        }
    }

    pub fn options(&self, level: Level) -> Options {
        let [input_type, _, output_type] = self.types;
        Options::default()
            .input_activation(self.input_activation)
            .input_scale(self.input_scale)
            .activation(self.activation)
            .level(level)
            .input_type(input_type)
            .output_type(output_type)
            .arithmetic(self.arithmetic)
    }

    /// What a convolution adds up to, and the roundings to be allowed for. In the arithmetics bf16
    /// and unfused it is the very result, before the residual.
    pub fn sums(&self, conv: &Reference<'_>) -> (Vec<naive::Sum>, usize) {
        let very = |results: Vec<f32>| {
            let sum = |value| naive::Sum { value, magnitude: value.abs() };
            (results.into_iter().map(|y| sum(f64::from(y))).collect(), 1)
        };
        if self.arithmetic == Arithmetic::Bf16 {
            return very(naive::conv_bf16(conv));
        }
        let [kh, kw] = conv.window.kernel;
        let weights = common::flushed(conv.weights);
        let bias = conv.bias.map(common::flushed);
        let conv = Reference { weights: &weights, bias: bias.as_deref(), ..*conv };
        if self.arithmetic == Arithmetic::Unfused {
            return very(naive::conv_unfused(&conv));
        }
        (naive::conv(&conv), kh * kw * conv.input[3] / conv.groups)
    }

    pub fn expected(&self, sums: Vec<naive::Sum>, chain: usize) -> Expected {
        Expected {
            sums,
            chain,
            mode: self.mode,
            input_activation: self.input_activation,
            activation: self.activation,
        }
    }

    /// Runs the plan of every level, on one thread and on several, demands what is expected and the
    /// same bits of all, and returns them. Of other types than f32 what is expected is the result
    /// of the same numbers in f32, rounded once.
    pub fn run_all(
        &self,
        what: &str,
        data: &Data,
        expected: &Expected,
        plan: Make<'_>,
    ) -> Vec<f32> {
        one_thread();
        let (x, output_type) = (data.spaced(self.input, self.gaps[0]), self.types[2]);
        let mut result = (self.types != [ElementType::F32; 3]).then(|| {
            let wide = Self { types: [ElementType::F32; 3], ..self.clone() };
            let y = wide.run_all(what, &data.wide(), expected, plan);
            Stored::new(output_type, &y).into_values()
        });
        for level in common::levels() {
            let plan = plan(self, data, level);
            assert_eq!(plan.level(), level);
            let residual = data.residual.as_ref();
            let spaced = residual.map(|r| Spaced::of(plan.output_shape(), self.gaps[1], r));
            let more = (self.threads > 1).then_some(self.threads);
            for threads in [0].into_iter().chain(more) {
                let y = common::run(&*plan, &x, spaced.as_ref(), self.gaps[2], threads);
                match &result {
                    Some(first) => common::assert_same_bits(
                        format_args!("{what} {} on {threads} threads", plan.kernel_name()),
                        &y,
                        first,
                    ),
                    None => {
                        expected.check(what, &y, residual.map(Stored::values).as_deref());
                        result = Some(y);
                    }
                }
            }
        }
        result.expect("the scalar level is always available")
    }

    /// A convolution against the naive loops; false if the case is none, or too large.
    pub fn check_conv(
        &self,
        what: &str,
        window: Window,
        groups: usize,
        channels_out: usize,
        plan: Make<'_>,
    ) -> bool {
        let depth = window.kernel[0] * window.kernel[1] * self.input[3] / groups;
        let Some(output) = self.output(&window, channels_out, depth) else { return false };
        let mut case = self.clone();
        if self.arithmetic != Arithmetic::Exact && !common::is_exact(self.input_activation) {
            // The reference's activation may be a bit off, and then so are exact results.
            case.input_activation = Activation::None;
        }
        let data = case.data(output, depth * channels_out);
        let x = data.loaded(case.input, case.input_activation);
        let (sums, chain) = case.sums(&Reference {
            input: case.input,
            x: &x,
            window,
            groups,
            channels_out,
            weights: &data.weights.values(),
            bias: data.bias.as_deref(),
        });
        let expected = case.expected(sums, chain);
        case.run_all(what, &data, &expected, plan);
        true
    }
}

/// Makes rayon's global pool the calling thread alone: what happens depends on the input only.
pub fn one_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
        pool.build_global().expect("no pool before this one");
    });
}
