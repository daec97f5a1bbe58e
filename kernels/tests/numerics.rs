//! The promises about single values: ReLU(−0), NaN, subnormal weights, padding and infinities.

use common::layer::{Layer, Op};
use common::{Mode, Random, Spaced, applied, assert_same_bits, flushed, levels, run};
use sepconv_kernels::*;

#[test]
fn clamps_keep_nan_and_negative_zero() {
    let x = [-0.0, 0.0, f32::NAN, -1.0, 7.0, f32::INFINITY, f32::NEG_INFINITY, -1e-40, 2.5];
    let inf = f32::INFINITY;
    for level in levels() {
        // Twice the length: whole vectors and tails.
        let x: Vec<f32> = x.iter().cycle().take(27).copied().collect();
        let expect = |activation, values: [f32; 9]| {
            let expected: Vec<f32> = values.iter().cycle().take(27).copied().collect();
            let got = applied(&x, activation, level);
            assert_same_bits(format_args!("{activation:?} on {level}"), &got, &expected);
        };
        let nan = f32::NAN;
        expect(Activation::None, [-0.0, 0.0, nan, -1.0, 7.0, inf, -inf, -1e-40, 2.5]);
        expect(Activation::Relu, [-0.0, 0.0, nan, 0.0, 7.0, inf, 0.0, 0.0, 2.5]);
        expect(Activation::Relu6, [-0.0, 0.0, nan, 0.0, 6.0, 6.0, 0.0, 0.0, 2.5]);
        let clamp = Activation::Clamp { lo: -0.5, hi: 0.0 };
        expect(clamp, [-0.0, 0.0, nan, -0.5, 0.0, 0.0, -0.5, -1e-40, 0.0]);
    }
}

/// One NaN at an input makes NaN of exactly the outputs whose window holds it.
#[test]
fn nan_stays_in_its_windows() {
    let (h, w, c, o) = (7, 9, 19, 21);
    let input = [1, h, w, c];
    let window = Window::new([3, 3]).padding(Padding::Same);
    let (weights, pointwise) = (vec![1.0; 9 * c], vec![1.0; c * o]);
    let full = vec![1.0; 9 * c * o];
    let depthwise = DepthwiseParams::new(window, &weights);
    for level in levels() {
        let options = Options::default().level(level).activation(Activation::Relu);
        let params = SeparableParams::new(depthwise, o, &pointwise);
        let separable = Separable::new(input, &params, &options).unwrap();
        let params = ConvParams::new(window, o, &full);
        let conv = Conv::new(input, &params, &options).unwrap();
        let max = Pool::new(input, PoolKind::Max, window, &options).unwrap();
        let depthwise = Depthwise::new(input, &depthwise, &options).unwrap();
        // Whether a channel's NaN reaches all outputs or its own channel alone.
        let plans: [(&dyn Plan, bool); 4] =
            [(&separable, true), (&conv, true), (&max, false), (&depthwise, false)];
        for (plan, mixes) in plans {
            for (ny, nx, nc) in [(0, 0, 0), (3, 4, 7), (6, 8, 18), (0, 5, 16)] {
                let mut x = vec![0.5; h * w * c];
                x[(ny * w + nx) * c + nc] = f32::NAN;
                let y = run(plan, &Spaced::new(input, 0, &x), None, 0, 1);
                let channels = plan.output_shape()[3];
                for (i, y) in y.iter().enumerate() {
                    let (pixel, channel) = (i / channels, i % channels);
                    let (oy, ox) = (pixel / w, pixel % w);
                    let near = oy.abs_diff(ny) <= 1 && ox.abs_diff(nx) <= 1;
                    assert_eq!(
                        y.is_nan(),
                        near && (mixes || channel == nc),
                        "{} at ({oy}, {ox}, {channel})",
                        plan.kernel_name()
                    );
                }
            }
        }
    }
}

/// The same for every window, stride, dilation, multiplier, number of groups: which outputs hold a
/// value is asked of the naive loops, and the others keep their bits.
#[test]
fn nan_changes_exactly_the_outputs_that_see_it() {
    let same = |kernel, stride: usize, dilation: usize| {
        let window = Window::new(kernel).stride([stride; 2]).dilation([dilation; 2]);
        window.padding(Padding::Same)
    };
    let one = Window::new([1, 1]);
    let uneven = Padding::Explicit { top: 0, bottom: 3, left: 2, right: 1 };
    let layers = [
        (Op::Depthwise { multiplier: 1 }, same([3, 3], 2, 1)),
        (Op::Depthwise { multiplier: 1 }, same([3, 3], 1, 2)),
        (Op::Depthwise { multiplier: 1 }, same([5, 5], 1, 1)),
        (Op::Depthwise { multiplier: 1 }, same([7, 7], 2, 1)),
        (Op::Depthwise { multiplier: 1 }, same([2, 3], 3, 1).padding(uneven)),
        (Op::Depthwise { multiplier: 2 }, same([3, 3], 1, 1)),
        (Op::Depthwise { multiplier: 3 }, same([3, 3], 2, 1)),
        (Op::Pointwise, one),
        (Op::Pointwise, one.stride([2, 3])),
        (Op::Dense, one),
        (Op::Conv { groups: 1 }, same([3, 3], 2, 1)),
        (Op::Conv { groups: 1 }, same([3, 2], 1, 2)),
        (Op::Conv { groups: 3 }, same([3, 3], 1, 1)),
        (Op::Conv { groups: 3 }, same([1, 3], 2, 1).padding(uneven)),
    ];
    let (h, w, c, o) = (5, 8, 18, 21);
    let (mut runs, mut changed) = (0, 0);
    for (op, window) in layers {
        let input = if op == Op::Dense { [h * w, 1, 1, c] } else { [1, h, w, c] };
        let layer = Layer::new(op, input, window, o);
        let operands = layer.fill(Mode::Reals, &mut Random(2));
        let clean = Mode::Reals.fill(&mut Random(1), h * w * c);
        let (groups, channels_out) = match op {
            Op::Depthwise { multiplier } => (c, c * multiplier),
            Op::Conv { groups } => (groups, o),
            _ => (1, o),
        };
        for level in levels() {
            let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
            let before = run(&*plan, &Spaced::new(input, 0, &clean), None, 0, 1);
            // Every pixel; channels at the ends of vectors and groups, and others.
            let channels = [0, 5, 6, 7, 8, 11, 15, 16, 17];
            let places = (0..h * w * c).filter(|at| channels.contains(&(at % c)));
            for at in places.step_by(if common::effort() < 10.0 { 7 } else { 1 }) {
                let mut x = clean.clone();
                x[at] = f32::NAN;
                let after = run(&*plan, &Spaced::new(input, 0, &x), None, 0, 1);
                let sums = naive::conv(&naive::Conv {
                    input,
                    x: &x,
                    window,
                    groups,
                    channels_out,
                    weights: &operands[0],
                    bias: Some(&operands[1]),
                });
                let expected: Vec<f32> = (before.iter().zip(&sums))
                    .map(|(&before, sum)| if sum.value.is_nan() { f32::NAN } else { before })
                    .collect();
                assert_same_bits(format_args!("{op:?} {window:?}, NaN at {at}"), &after, &expected);
                runs += 1;
                changed += expected.iter().filter(|y| y.is_nan()).count();
            }
        }
    }
    println!("{runs} runs with one NaN: {changed} outputs changed, those that see it");
    assert!(changed > runs);
}

/// Padding is left out, not multiplied: infinite weights at padded taps change nothing.
#[test]
fn infinite_weights_meet_no_padding() {
    let input = [1, 1, 1, 2];
    let window = Window::new([3, 3]).padding(Padding::Same);
    let mut weights = vec![f32::INFINITY; 9 * 2 * 5];
    weights[4 * 10..5 * 10].fill(2.0);
    for level in levels() {
        let options = Options::default().level(level);
        let params = ConvParams::new(window, 5, &weights);
        let plan = Conv::new(input, &params, &options).unwrap();
        let y = run(&plan, &Spaced::new(input, 0, &[1.0, 3.0]), None, 0, 1);
        assert_eq!(y, [8.0; 5], "{level}");
    }
}

/// Subnormal weights and biases are zeros of their sign once packed.
#[test]
fn subnormal_weights_are_flushed() {
    let input = [1, 1, 1, 1];
    for level in levels() {
        let options = Options::default().level(level);
        let weights = [1e-39, -1e-39, f32::MIN_POSITIVE];
        let params = PointwiseParams::new(3, &weights);
        let plan = Pointwise::new(input, &params, &options).unwrap();
        let y = run(&plan, &Spaced::new(input, 0, &[1e30]), None, 0, 1);
        assert_same_bits("pointwise", &y, &[0.0, 0.0, 1e30 * f32::MIN_POSITIVE]);
        let params = DepthwiseParams::new(Window::new([1, 1]), &weights)
            .multiplier(3)
            .bias(&[1e-40, -1e-40, 0.0]);
        let plan = Depthwise::new(input, &params, &options).unwrap();
        let y = run(&plan, &Spaced::new(input, 0, &[1e30]), None, 0, 1);
        // Bias −0 plus −0·1e30 stays −0.
        assert_same_bits("depthwise", &y, &[0.0, -0.0, 1e30 * f32::MIN_POSITIVE]);
    }
}

/// Sums that lie just beside the middle between two f32, of all magnitudes: rounded by way of f64
/// they would go the wrong way. Against `libm`, on every level.
#[test]
fn multiply_adds_are_rounded_once() {
    let mut random = Random(5);
    let (window, channels) = (Window::new([1, 1]), 1003);
    let (mut cases, mut doubly_rounded) = (0, 0);
    for exponent in (-149..=126).step_by(if common::effort() < 10.0 { 3 } else { 1 }) {
        let power = |n: i32| 2.0_f32.powi(n / 2) * 2.0_f32.powi(n - n / 2);
        let mut operands = [const { Vec::new() }; 3];
        for i in 0..channels {
            let mut number = || f32::from_bits(0x3f80_0000 | random.next() as u32 >> 9);
            let (a, c) = (number(), number());
            // a·b is 1 + ε, with ε below 2⁻²⁴ and often far below.
            let b = if i % 3 == 0 { number() } else { 1.0 / a };
            let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
            let c = if i % 5 == 0 { 0.0 } else { c * power(exponent.max(-126)) };
            // Half a unit in the last place of c.
            operands[0].push(sign * a * power(exponent - exponent / 2 - 12));
            operands[1].push(b * power(exponent / 2 - 12));
            operands[2].push(c);
        }
        let [x, weights, bias] = operands;
        let (weights, bias) = (flushed(&weights), flushed(&bias));
        let exact = |i: usize| libm::fmaf(x[i], weights[i], bias[i]);
        let expected: Vec<f32> = (0..channels).map(exact).collect();
        let input = [1, 1, 1, channels];
        for level in levels() {
            let params = DepthwiseParams::new(window, &weights).bias(&bias);
            let options = Options::default().level(level);
            let plan = Depthwise::new(input, &params, &options).unwrap();
            let got = run(&plan, &Spaced::new(input, 0, &x), None, 0, 1);
            assert_same_bits(format_args!("2^{exponent} on {level}"), &got, &expected);
        }
        cases += channels;
        let by_f64 =
            |i: usize| (f64::from(x[i]) * f64::from(weights[i]) + f64::from(bias[i])) as f32;
        doubly_rounded += (0..channels).filter(|&i| by_f64(i) != expected[i]).count();
    }
    println!("{cases} multiply-adds rounded once; by way of f64 {doubly_rounded} would be wrong");
    assert!(doubly_rounded > 100);
}

/// The same of a sum that is subnormal: the middle between two f32 is not where it is among the
/// bits of an f64 otherwise.
#[test]
fn subnormal_sums_are_rounded_once() {
    // x ± 2⁻¹⁵⁰·(1 − 2⁻⁴⁶), which is nearest to x: just short of the middle between x and the next
    // number. As f64 it is the middle, and that goes to the next number where x is odd.
    let (small, other) = (2.0_f32.powi(-75), 2.0_f32.powi(-75) * (1.0 - f32::EPSILON));
    let numbers = [1, 2, 3, (1 << 19) + 1, (1 << 19) + 2, (1 << 22) + 1, (1 << 23) - 1];
    let numbers = numbers.map(f32::from_bits);
    let x: Vec<f32> = numbers.iter().flat_map(|&x| [x, small * (1.0 + f32::EPSILON)]).collect();
    let weights = [[1.0, 1.0, -1.0, -1.0].repeat(9), [other, -other].repeat(18)].concat();
    let expected: Vec<f32> = numbers.iter().flat_map(|&x| [x, x, -x, -x].repeat(9)).collect();
    let by_f64 = |x: f32| f64::from(small * (1.0 + f32::EPSILON)) * f64::from(other) + f64::from(x);
    assert_eq!(numbers.iter().filter(|&&x| by_f64(x) as f32 != x).count(), 3);
    let input = [1, 1, numbers.len(), 2];
    for level in levels() {
        let options = Options::default().level(level);
        let plan = Pointwise::new(input, &PointwiseParams::new(36, &weights), &options).unwrap();
        let got = run(&plan, &Spaced::new(input, 0, &x), None, 0, 1);
        assert_same_bits(level, &got, &expected);
    }
}

/// A level can be asked for; one that is missing is refused, and so is an unknown name.
#[test]
fn levels_are_chosen_or_refused() {
    for level in Level::ALL {
        let options = Options::default().level(level);
        match Elementwise::new([1, 1, 1, 1], &options) {
            Ok(plan) => assert!(level.is_available() && plan.level() == level),
            Err(error) => {
                assert_eq!(error, Error::LevelUnavailable { level });
                assert!(!level.is_available());
            }
        }
        assert_eq!(Level::parse(level.name()), Ok(level));
    }
    assert_eq!(Level::parse("sse9"), Err(Error::UnknownLevel { value: "sse9".into() }));
    for kernel in kernels() {
        assert!(kernel.name.ends_with(kernel.level.name()), "{}", kernel.name);
    }
}

#[test]
fn senseless_activations_are_refused() {
    for activation in [
        Activation::Clamp { lo: 1.0, hi: 0.0 },
        Activation::Clamp { lo: f32::NAN, hi: 0.0 },
        Activation::Elu { alpha: f32::NAN },
        Activation::LeakyRelu { alpha: f32::NAN },
        Activation::HardSigmoid { slope: f32::NAN, offset: 0.5 },
        Activation::HardSigmoid { slope: 0.2, offset: f32::NAN },
        Activation::ThresholdedRelu { slope: f32::NAN, threshold: 0.0, max: 1.0 },
        Activation::ThresholdedRelu { slope: 0.0, threshold: f32::NAN, max: 1.0 },
        Activation::ThresholdedRelu { slope: 0.0, threshold: 0.0, max: f32::NAN },
    ] {
        let options = Options::default().activation(activation);
        assert!(matches!(Elementwise::new([1; 4], &options), Err(Error::Activation { .. })));
        let options = Options::default().input_activation(activation);
        assert!(matches!(Elementwise::new([1; 4], &options), Err(Error::Activation { .. })));
    }
}
