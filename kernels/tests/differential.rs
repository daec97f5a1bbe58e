//! Every operation on every level that this machine has, against the naive loops, in the three
//! input modes; and the same bits on all levels, for any number of threads, fused or not.

use common::{Expected, Mode, Random, Spaced, activated, assert_same_bits, flushed, levels, run};
use proptest::prelude::*;
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

#[derive(Debug, Clone)]
struct Case {
    input: [usize; 4],
    window: Window,
    multiplier: usize,
    groups: usize,
    channels_out: usize,
    bias: bool,
    residual: bool,
    gaps: [usize; 3],
    input_activation: Activation,
    mid_activation: Activation,
    activation: Activation,
    mode: Mode,
    threads: usize,
    seed: u64,
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        4 => Just(Activation::None),
        2 => Just(Activation::Relu),
        1 => Just(Activation::Relu6),
        1 => Just(Activation::Clamp { lo: -2.0, hi: 3.0 }),
        1 => Just(Activation::Clamp { lo: f32::NEG_INFINITY, hi: 1.0 }),
        1 => Just(Activation::Elu { alpha: 1.0 }),
        1 => Just(Activation::Elu { alpha: 0.5 }),
        1 => Just(Activation::Silu),
        1 => Just(Activation::HardSwish),
        1 => Just(Activation::Sigmoid),
        1 => Just(Activation::HardSigmoid { slope: 0.2, offset: 0.5 }),
        1 => Just(Activation::Tanh),
        1 => Just(Activation::Gelu),
        1 => Just(Activation::GeluTanh),
        1 => Just(Activation::Softplus),
        1 => Just(Activation::Mish),
        1 => Just(Activation::LeakyRelu { alpha: 0.3 }),
        1 => Just(Activation::Softsign),
    ]
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        1 => Just(Padding::Valid),
        3 => Just(Padding::Same),
        2 => (0..4_usize, 0..4_usize, 0..4_usize, 0..4_usize).prop_map(
            |(top, bottom, left, right)| Padding::Explicit { top, bottom, left, right }
        ),
    ]
}

/// Channel counts with all tails of 4, 8 and 16 lanes among them.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1..20_usize, 1..70_usize, Just(64_usize)]
}

fn window() -> impl Strategy<Value = Window> {
    let any = (
        [1..=5_usize, 1..=5_usize],
        prop_oneof![2 => Just([1, 1]), 1 => [1..=3_usize, 1..=3_usize]],
        prop_oneof![3 => Just([1, 1]), 1 => [1..=3_usize, 1..=3_usize]],
    );
    // Those that have kernels of their own: by their width, and 3×3 once more.
    let width = prop_oneof![2 => Just(3_usize), 1 => Just(5), 1 => Just(7)];
    let height = prop_oneof![2 => Just(None), 1 => (1..=5_usize).prop_map(Some)];
    let usual = (width, height, 1..=2_usize).prop_map(|(width, height, stride)| {
        ([height.unwrap_or(width), width], [stride; 2], [1, 1])
    });
    (prop_oneof![any, usual], padding()).prop_map(|((kernel, stride, dilation), padding)| {
        Window::new(kernel).stride(stride).dilation(dilation).padding(padding)
    })
}

/// What happens on load: nothing and ReLU have kernels of their own.
fn input_activation() -> impl Strategy<Value = Activation> {
    prop_oneof![2 => Just(Activation::None), 2 => Just(Activation::Relu), 1 => activation()]
}

fn case() -> impl Strategy<Value = Case> {
    // Now and then several tiles, and wide enough for the bands of a separable layer.
    let size = prop_oneof![6 => (1..=11_usize, 1..=14_usize), 1 => (1..=24_usize, 15..=50_usize)];
    let shape = (1..=2_usize, size, channels(), window());
    let counts = (prop_oneof![3 => Just(1_usize), 1 => 2..=3_usize], 1..=4_usize, channels());
    let flags = (any::<bool>(), any::<bool>(), [0..5_usize, 0..5_usize, 0..5_usize]);
    let activations = (input_activation(), activation(), activation());
    let mode = prop_oneof![Just(Mode::Integers), Just(Mode::Reals), Just(Mode::Specials)];
    (shape, counts, flags, activations, mode, 1..=5_usize, any::<u64>())
        .prop_map(|(shape, counts, flags, activations, mode, threads, seed)| Case {
            input: [shape.0, shape.1.0, shape.1.1, shape.2],
            window: shape.3,
            multiplier: counts.0,
            groups: counts.1,
            channels_out: counts.2,
            bias: flags.0,
            residual: flags.1,
            gaps: flags.2,
            input_activation: activations.0,
            mid_activation: activations.1,
            activation: activations.2,
            mode,
            threads,
            seed,
        })
        .prop_filter("the kernel fits", |c| common::output(&c.window, c.input).is_some())
}

/// The data of a case with `depth` weights per output channel.
struct Data {
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    residual: Option<Vec<f32>>,
    output: [usize; 4],
}

impl Case {
    fn data(&self, window: &Window, weights: usize, channels_out: usize) -> Data {
        let mut random = Random(self.seed);
        let [oh, ow] = common::output(window, self.input).unwrap();
        let output = [self.input[0], oh, ow, channels_out];
        // One special value among the inputs of a window decides it: keep most windows free of
        // them.
        let sparse = if self.mode == Mode::Specials { 1 + random.below(60) } else { 1 };
        let mut fill = |mode: Mode, len: usize| {
            let specials = mode.fill(&mut random, len);
            let plain = Mode::Reals.fill(&mut random, len);
            if sparse == 1 {
                return specials;
            }
            (0..len)
                .map(|i| if random.below(sparse) == 0 { specials[i] } else { plain[i] })
                .collect()
        };
        Data {
            x: fill(self.mode, self.input.iter().product()),
            weights: fill(self.mode, weights),
            bias: self.bias.then(|| fill(self.mode, channels_out)),
            residual: self.residual.then(|| fill(self.mode, output.iter().product())),
            output,
        }
    }

    fn options(&self, level: Level) -> Options {
        Options::default()
            .input_activation(self.input_activation)
            .activation(self.activation)
            .level(level)
    }

    /// Builds the plan on every level, runs it on one and on several threads, demands what is
    /// expected and the same bits of all, and returns them.
    fn run_all(
        &self,
        what: &str,
        x: &[f32],
        residual: Option<&[f32]>,
        expected: &Expected,
        plan: impl Fn(Level) -> Box<dyn Plan>,
    ) -> Vec<f32> {
        let x = Spaced::new(self.input, self.gaps[0], x);
        let mut result: Option<Vec<f32>> = None;
        for level in levels() {
            let plan = plan(level);
            assert_eq!(plan.level(), level);
            let spaced = residual.map(|r| Spaced::new(plan.output_shape(), self.gaps[1], r));
            for threads in [1, self.threads] {
                let y = run(&*plan, &x, spaced.as_ref(), self.gaps[2], threads);
                match &result {
                    Some(first) => assert_same_bits(
                        format_args!("{what} {} on {threads} threads", plan.kernel_name()),
                        &y,
                        first,
                    ),
                    None => {
                        expected.check(what, &y, residual);
                        result = Some(y);
                    }
                }
            }
        }
        result.expect("the scalar level is always available")
    }

    fn expected(&self, sums: Vec<naive::Sum>, chain: usize) -> Expected {
        Expected {
            sums,
            chain,
            mode: self.mode,
            input_activation: self.input_activation,
            activation: self.activation,
        }
    }

    fn check_conv(
        &self,
        what: &str,
        window: Window,
        groups: usize,
        channels_out: usize,
        kind: Kind,
    ) {
        let per_output = window.kernel[0] * window.kernel[1] * self.input[3] / groups;
        let data = self.data(&window, per_output * channels_out, channels_out);
        let bias = data.bias.as_deref();
        let x = activated(&data.x, self.input_activation);
        let sums = naive::conv(&Reference {
            input: self.input,
            x: &x,
            window,
            groups,
            channels_out,
            weights: &flushed(&data.weights),
            bias: bias.map(flushed).as_deref(),
        });
        let expected = self.expected(sums, per_output);
        self.run_all(what, &data.x, data.residual.as_deref(), &expected, |level| {
            kind.plan(self, (&data.weights, bias), window, groups, channels_out, level)
        });
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Depthwise,
    Pointwise,
    Conv,
    Dense,
}

impl Kind {
    fn plan(
        self,
        case: &Case,
        (weights, bias): (&[f32], Option<&[f32]>),
        window: Window,
        groups: usize,
        channels_out: usize,
        level: Level,
    ) -> Box<dyn Plan> {
        let options = case.options(level);
        let input = case.input;
        match self {
            Kind::Depthwise => {
                let multiplier = channels_out / groups;
                let mut params = DepthwiseParams::new(window, weights).multiplier(multiplier);
                params.bias = bias;
                Box::new(Depthwise::new(input, &params, &options).unwrap())
            }
            Kind::Pointwise => {
                let mut params = PointwiseParams::new(channels_out, weights).stride(window.stride);
                params.bias = bias;
                Box::new(Pointwise::new(input, &params, &options).unwrap())
            }
            Kind::Conv => {
                let mut params = ConvParams::new(window, channels_out, weights).groups(groups);
                params.bias = bias;
                Box::new(Conv::new(input, &params, &options).unwrap())
            }
            Kind::Dense => {
                let mut params = DenseParams::new(channels_out, weights);
                params.bias = bias;
                Box::new(Dense::new(input, &params, &options).unwrap())
            }
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: common::scaled(cases), max_shrink_iters: 4000, ..Default::default() }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn depthwise(case in case()) {
        let channels = case.input[3];
        case.check_conv("depthwise", case.window, channels, channels * case.multiplier, Kind::Depthwise);
    }

    #[test]
    fn pointwise(case in case()) {
        let window = Window::new([1, 1]).stride(case.window.stride);
        case.check_conv("pointwise", window, 1, case.channels_out, Kind::Pointwise);
    }

    #[test]
    fn dense(case in case()) {
        let case = Case { input: [case.input[0] + case.input[1], 1, 1, case.input[3]], ..case };
        case.check_conv("dense", Window::new([1, 1]), 1, case.channels_out, Kind::Dense);
    }

    #[test]
    fn standard(case in case()) {
        let groups = case.groups;
        let per_group = case.input[3].div_ceil(groups).min(24);
        let case = Case { input: [case.input[0], case.input[1], case.input[2], per_group * groups], ..case };
        let channels_out = case.channels_out.div_ceil(groups) * groups;
        case.check_conv("standard", case.window, groups, channels_out, Kind::Conv);
    }

    #[test]
    fn pools(case in case()) {
        for kind in [PoolKind::Max, PoolKind::Average] {
            let data = case.data(&case.window, 0, case.input[3]);
            let x = activated(&data.x, case.input_activation);
            let sums = naive::pool(kind, case.input, &x, &case.window);
            let sums: Vec<_> = sums
                .into_iter()
                .map(|s| match kind {
                    // A maximum is one of its taps; the tap's own error is all it has.
                    PoolKind::Max => naive::Sum { magnitude: s.value.abs(), ..s },
                    _ => s,
                })
                .collect();
            let chain = case.window.kernel[0] * case.window.kernel[1] + 1;
            // A mean of integers is rounded once by the division.
            let mode = match (kind, case.mode) {
                (PoolKind::Average, Mode::Integers) => Mode::Reals,
                (_, mode) => mode,
            };
            let expected = Expected { mode, ..case.expected(sums, chain) };
            case.run_all("pool", &data.x, data.residual.as_deref(), &expected, |level| {
                Box::new(Pool::new(case.input, kind, case.window, &case.options(level)).unwrap())
            });
        }
    }

    #[test]
    fn global_average_and_elementwise(case in case()) {
        let [n, h, w, c] = case.input;
        let whole = Window::new([h, w]);
        let data = case.data(&whole, 0, c);
        let x = activated(&data.x, case.input_activation);
        let sums = naive::pool(PoolKind::Average, case.input, &x, &whole);
        let mode = if case.mode == Mode::Integers { Mode::Reals } else { case.mode };
        let expected = Expected { mode, ..case.expected(sums, h * w + 1) };
        case.run_all("global average", &data.x, data.residual.as_deref(), &expected, |level| {
            let plan = GlobalAveragePool::new(case.input, &case.options(level)).unwrap();
            assert_eq!(plan.output_shape(), [n, 1, 1, c]);
            Box::new(plan)
        });

        let data = case.data(&Window::new([1, 1]), 0, c);
        let sums = activated(&data.x, case.input_activation)
            .into_iter()
            .map(|x| naive::Sum { value: x.into(), magnitude: f64::from(x).abs() })
            .collect();
        let expected = case.expected(sums, 1);
        case.run_all("elementwise", &data.x, data.residual.as_deref(), &expected, |level| {
            Box::new(Elementwise::new(case.input, &case.options(level)).unwrap())
        });
    }

    /// Fused against one after the other: the same bits. And against the naive loops.
    #[test]
    fn separable(case in case()) {
        let c = case.input[3];
        let middle = c * case.multiplier;
        let taps = case.window.kernel[0] * case.window.kernel[1];
        let data = case.data(&case.window, taps * middle, middle);
        let mut random = Random(case.seed ^ 1);
        let weights = case.mode.fill(&mut random, middle * case.channels_out);
        let bias = case.bias.then(|| case.mode.fill(&mut random, case.channels_out));
        let [n, oh, ow, _] = data.output;
        let residual =
            case.residual.then(|| case.mode.fill(&mut random, n * oh * ow * case.channels_out));
        let mut depthwise = DepthwiseParams::new(case.window, &data.weights).multiplier(case.multiplier);
        depthwise.bias = data.bias.as_deref();
        let level = Some(Level::best());
        let options = Options::default().input_activation(case.input_activation).activation(case.mid_activation).level(level);
        let first = Depthwise::new(case.input, &depthwise, &options).unwrap();
        let x = Spaced::new(case.input, 0, &data.x);
        let mid = run(&first, &x, None, 0, 2);
        let mut params = PointwiseParams::new(case.channels_out, &weights);
        params.bias = bias.as_deref();
        let options = Options::default().activation(case.activation).level(level);
        let second = Pointwise::new(first.output_shape(), &params, &options).unwrap();
        let spaced_residual = residual.as_ref().map(|r| Spaced::new(second.output_shape(), 0, r));
        let apart = run(
            &second,
            &Spaced::new(first.output_shape(), 0, &mid),
            spaced_residual.as_ref(),
            0,
            2,
        );
        // The depthwise half is checked by `depthwise`; the pointwise half from its very result.
        let sums = naive::conv(&Reference {
            input: first.output_shape(),
            x: &mid,
            window: Window::new([1, 1]),
            groups: 1,
            channels_out: case.channels_out,
            weights: &flushed(&weights),
            bias: bias.as_deref().map(flushed).as_deref(),
        });
        // The depthwise result is rounded, and so are its integers after an inexact activation.
        let exact = common::is_exact(case.mid_activation) && common::is_exact(case.input_activation);
        let mode = if case.mode == Mode::Integers && !exact { Mode::Reals } else { case.mode };
        let expected = Expected {
            mode,
            input_activation: Activation::None,
            ..case.expected(sums, middle)
        };
        let got = case.run_all("separable", &data.x, residual.as_deref(), &expected, |level| {
            let mut params = SeparableParams::new(depthwise, case.channels_out, &weights).mid_activation(case.mid_activation);
            params.bias = bias.as_deref();
            Box::new(Separable::new(case.input, &params, &case.options(level)).unwrap())
        });
        assert_same_bits("separable, fused against apart", &got, &apart);
    }
}
