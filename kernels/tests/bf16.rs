//! The arithmetic `bf16`: every layer to the bit against its definition in `naive.rs`, within its
//! error bound against f64, and what becomes of small numbers, infinities and NaNs.

use common::half::Stored;
use common::layer::{GEMMS, Layer, Op, random};
use common::{Mode, Random, Spaced, applied, assert_same_bits, gamma, holds, levels, run, scaled};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

/// Reals of any magnitude from 2⁻⁹⁰ to 2¹⁰, of which some are small enough to become zero, and some
/// just aren't.
fn of_all_sizes(len: usize, random: &mut Random) -> Vec<f32> {
    let number = |_| match random.below(12) {
        0 => f32::from_bits(((127 - 56) << 23) - 1),
        1 => -f32::from_bits((127 - 56) << 23),
        2 => f32::from_bits(((127 - 103) << 23) - 1),
        3 => -f32::from_bits((127 - 103) << 23),
        _ => random.real() * 2.0_f32.powi(10 - random.below(101) as i32),
    };
    (0..len).map(number).collect()
}

/// The values of an operand, of a mode or, if there is none, of all sizes.
fn fill(mode: Option<Mode>, len: usize, random: &mut Random) -> Vec<f32> {
    match mode {
        // In one element of an output's inputs, or all would be NaN.
        Some(Mode::Specials) => {
            let pick = |_| {
                let rare = random.below(len.max(2)) < 2;
                if rare { Mode::Specials } else { Mode::Reals }.fill(random, 1)[0]
            };
            (0..len).map(pick).collect()
        }
        Some(mode) => mode.fill(random, len),
        None => of_all_sizes(len, random),
    }
}

/// The layer by its definition.
fn expected(layer: &Layer, operands: &[Vec<f32>; 4], x: &[f32], residual: &[f32]) -> Vec<f32> {
    let level = Level::Scalar;
    let (input, o) = (layer.input, layer.channels_out);
    let conv = |input, x: &[f32], window, groups, weights: usize| {
        let (weights, bias) = (&operands[weights], Some(&operands[weights + 1][..]));
        naive::conv_bf16(&Reference { input, x, window, groups, channels_out: o, weights, bias })
    };
    let sums = match layer.op {
        // The depthwise half is that of f32.
        Op::Separable { multiplier } => {
            let first = Layer {
                activation: layer.mid_activation,
                input_type: ElementType::F32,
                output_type: ElementType::F32,
                input_layout: TensorLayout::Nhwc,
                output_layout: TensorLayout::Nhwc,
                arithmetic: Arithmetic::Exact,
                op: Op::Depthwise { multiplier },
                ..*layer
            };
            let plan = first.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
            let middle = run(&*plan, &Spaced::new(input, 0, x), None, 0, 0);
            conv(plan.output_shape(), &middle, Window::new([1, 1]), 1, 2)
        }
        Op::Conv { groups } => {
            conv(input, &applied(x, layer.input_activation, level), layer.window, groups, 0)
        }
        _ => {
            let window = Window::new([1, 1]).stride(layer.window.stride);
            let window = if layer.op == Op::Dense { Window::new([1, 1]) } else { window };
            conv(input, &applied(x, layer.input_activation, level), window, 1, 0)
        }
    };
    let sums: Vec<f32> = sums.iter().zip(residual).map(|(sum, r)| sum + r).collect();
    let y = applied(&sums, layer.activation, level);
    Stored::new(layer.output_type, &y).into_values()
}

/// Compares a layer on each level with its definition.
fn compare(layer: &Layer, weights: ElementType, mode: Option<Mode>, random: &mut Random) {
    let types = [weights, ElementType::F32, weights, ElementType::F32];
    let lengths = layer.lengths();
    let stored: [Stored; 4] =
        std::array::from_fn(|i| Stored::new(types[i], &fill(mode, lengths[i], random)));
    let values = stored.each_ref().map(Stored::values);
    let x = fill(mode, layer.input.iter().product(), random);
    let x = Stored::new(layer.input_type, &x);
    let spaced = Spaced::of(layer.input, random.below(3), &x);
    let mut wanted = None;
    let operands = || stored.each_ref().map(Stored::elements);
    let plans = levels().into_iter().flat_map(|level| layer.plans(operands(), level).unwrap());
    for plan in plans {
        let name = plan.kernel_name();
        assert!(name.contains("gemm_blocks_") || name.contains("gemm_amx_"), "{name}");
        let (residual, wanted) = wanted.get_or_insert_with(|| {
            let shape = plan.output_shape();
            let residual = Mode::Reals.fill(random, shape.iter().product());
            let residual = Stored::new(layer.output_type, &residual);
            let wanted = expected(layer, &values, &x.values(), &residual.values());
            (Spaced::of(shape, 1, &residual), wanted)
        });
        let got = run(&*plan, &spaced, Some(residual), random.below(3), random.below(4));
        let what = format_args!("{layer:?}, weights of {weights}, {mode:?} by {name}");
        assert_same_bits(what, &got, wanted);
    }
}

/// Random layers of all types, layouts and activations, of reals, of special values, of values that
/// become zero; some with more k than a block of the GEMM has.
#[test]
fn bits_are_those_of_the_definition() {
    let mut numbers = Random(61);
    let cases = scaled(1500);
    for i in 0..cases as usize {
        let mut layer = random(GEMMS[i % 6], &mut numbers);
        if numbers.below(12) == 0 {
            layer.input = [1, 1 + numbers.below(2), 1, 2 * (380 + numbers.below(40))];
        }
        let (layer, weights) = layer.of_any_types(&mut numbers);
        let layer = if i % 3 == 0 { layer.of_planes(&mut numbers) } else { layer };
        let layer = Layer { arithmetic: Arithmetic::Bf16, ..layer };
        if common::output(&layer.window, layer.input).is_none() {
            continue;
        }
        let mode = [Some(Mode::Reals), None, Some(Mode::Specials)][i / 6 % 3];
        compare(&layer, weights, mode, &mut numbers);
    }
    println!("{cases} layers in the arithmetic bf16: the bits of the definition");
}

/// Tiles of more than a few pixels, and threads.
#[test]
fn bits_of_many_pixels_are_those_of_the_definition() {
    let mut numbers = Random(62);
    let same = |stride: usize| Window::new([3, 3]).stride([stride; 2]).padding(Padding::Same);
    for (op, input, window, o) in [
        (Op::Pointwise, [1, 19, 19, 72], Window::new([1, 1]), 72),
        (Op::Pointwise, [2, 13, 12, 33], Window::new([1, 1]).stride([2, 2]), 47),
        (Op::Separable { multiplier: 1 }, [1, 19, 19, 72], same(1), 91),
        (Op::Conv { groups: 1 }, [1, 23, 21, 3], same(2), 32),
        (Op::Conv { groups: 1 }, [1, 11, 14, 90], same(1), 21),
        (Op::Conv { groups: 3 }, [2, 9, 8, 12], same(1), 33),
    ] {
        for weights in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            let layer = Layer {
                arithmetic: Arithmetic::Bf16,
                activation: Activation::Silu,
                output_type: weights,
                ..Layer::new(op, input, window, o)
            };
            compare(&layer, weights, Some(Mode::Reals), &mut numbers);
        }
    }
}

/// Of layers without smooth activations: the bound that [`Arithmetic::Bf16`] states.
#[test]
fn errors_are_within_the_bound() {
    let mut numbers = Random(63);
    let (mut outputs, mut worst) = (0, 0.0_f64);
    for i in 0..scaled(600) as usize {
        let mut layer = random(GEMMS[i % 4], &mut numbers);
        if numbers.below(6) == 0 {
            layer.input = [1, 2, 1, 2 * (380 + numbers.below(40))];
        }
        let none = Activation::None;
        let layer =
            Layer { input_activation: none, mid_activation: none, activation: none, ..layer };
        let layer = Layer { arithmetic: Arithmetic::Bf16, ..layer };
        let (c, o) = (layer.input[3], layer.channels_out);
        let (groups, window) = match layer.op {
            Op::Conv { groups } => (groups, layer.window),
            Op::Dense => (1, Window::new([1, 1])),
            _ => (1, Window::new([1, 1]).stride(layer.window.stride)),
        };
        if common::output(&window, layer.input).is_none() {
            continue;
        }
        // Those of bf16 are rounded to themselves.
        let rounded = i / 6 % 2 == 0;
        let element = if rounded { ElementType::F32 } else { ElementType::Bf16 };
        let operands = layer.fill(Mode::Reals, &mut numbers);
        let [weights, bias, ..] = &operands;
        let weights = Stored::new(element, weights).into_values();
        let x = Mode::Reals.fill(&mut numbers, layer.input.iter().product());
        let x = Stored::new(element, &x).into_values();
        let reference = Reference {
            input: layer.input,
            x: &x,
            window,
            groups,
            channels_out: o,
            weights: &weights,
            bias: Some(bias),
        };
        let sums = naive::conv(&reference);
        let n = window.kernel[0] * window.kernel[1] * c / groups;
        let gamma = gamma(17 + n.div_ceil(32));
        let rounding = if rounded { (-7_f64).exp2() + (-16_f64).exp2() } else { 0.0 };
        let small = 2.0 * n as f64 * (-56_f64).exp2() + (-103_f64).exp2();
        for level in levels() {
            let plan = layer.plan([&weights[..], bias, &[], &[]], level).unwrap();
            let got = run(&*plan, &Spaced::new(layer.input, 0, &x), None, 0, 0);
            for (got, sum) in got.iter().zip(&sums) {
                // The magnitude has the bias, too.
                let bound = (rounding + 1.01 * gamma) * sum.magnitude + small;
                let error = (f64::from(*got) - sum.value).abs();
                worst = worst.max(error / bound);
                holds(error <= bound, || format!("{layer:?} on {level}: {got} for {sum:?}"));
                outputs += 1;
            }
        }
    }
    println!("{outputs} outputs in the arithmetic bf16, worst {worst:.3} of the bound");
    assert!(worst > 0.001, "nothing was rounded");
}

/// Options for each level, with what Armv8.6 adds and without.
fn ways() -> impl Iterator<Item = Options> {
    let options = Options::default().arithmetic(Arithmetic::Bf16);
    levels()
        .into_iter()
        .flat_map(move |level| [true, false].map(|armv8_6| options.level(level).armv8_6(armv8_6)))
}

/// Of any bits, by few products, so that not all outputs are NaN: infinities, overflow, what is
/// rounded to zero.
#[test]
fn products_of_any_bits() {
    let mut numbers = Random(64);
    let any = |len: usize, numbers: &mut Random| -> Vec<f32> {
        (0..len).map(|_| f32::from_bits(numbers.next() as u32)).collect()
    };
    let [pixels, o] = [33, 36];
    let (mut outputs, mut nans) = (0, 0);
    for i in 0..scaled(200).max(20) as usize {
        let k = 1 + i % 3;
        let weights = any(k * o, &mut numbers);
        let bias: Vec<f32> = any(o, &mut numbers);
        let x = any(pixels * k, &mut numbers);
        let reference = Reference {
            input: [pixels, 1, 1, k],
            x: &x,
            window: Window::new([1, 1]),
            groups: 1,
            channels_out: o,
            weights: &weights,
            bias: Some(&bias),
        };
        let wanted = naive::conv_bf16(&reference);
        outputs += wanted.len();
        nans += wanted.iter().filter(|y| y.is_nan()).count();
        for options in ways() {
            let params = DenseParams::new(o, &weights).bias(&bias);
            let plan = Dense::new([pixels, 1, 1, k], &params, &options).unwrap();
            let got = run(&plan, &Spaced::new([pixels, 1, 1, k], 0, &x), None, 0, 0);
            assert_same_bits(format_args!("{k} k by {}", plan.kernel_name()), &got, &wanted);
        }
    }
    println!("{outputs} outputs of any bits, of which {nans} NaN");
    assert!(nans < outputs / 4, "{nans} NaN of {outputs}");
}

/// A product beyond f32 is added to a sum that makes the result finite again: an FMA does not round
/// in between. In micro-tiles of any height, in blocks of 32 k and in what is left.
#[test]
fn products_beyond_f32_come_back() {
    let big = 2.0_f32.powi(64);
    let o = 21;
    for (pixels, k) in [(1, 3), (2, 64), (7, 32), (13, 70)] {
        let mut x = vec![0.0; pixels * k];
        // −3/4·2¹²⁸ + 2¹²⁸.
        x[pixels * k - 3] = -0.75 * big;
        x[pixels * k - 1] = big;
        let weights = vec![big; k * o];
        let mut expected = vec![0.0; pixels * o];
        expected[(pixels - 1) * o..].fill(2.0_f32.powi(126));
        for options in ways() {
            let plan = Dense::new([pixels, 1, 1, k], &DenseParams::new(o, &weights), &options);
            let plan = plan.unwrap();
            let got = run(&plan, &Spaced::new([pixels, 1, 1, k], 0, &x), None, 0, 0);
            let what = format_args!("{pixels} pixels of {k} k by {}", plan.kernel_name());
            assert_same_bits(what, &got, &expected);
        }
    }
}

/// Operands below 2⁻⁵⁶ and biases below 2⁻¹⁰³ become zero; those that aren't stay.
#[test]
fn small_numbers_become_zero() {
    let (operand, bias) = (2.0_f32.powi(-56), 2.0_f32.powi(-103));
    let below = |x: f32| f32::from_bits(x.to_bits() - 1);
    let big = 2.0_f32.powi(100);
    for options in ways() {
        let level = options.level.unwrap();
        let weights = [big, operand, below(operand), -below(operand), f32::MAX];
        let biases = [bias, below(bias), -bias, -below(bias), 0.0];
        let params = DenseParams::new(5, &weights).bias(&biases);
        let plan = Dense::new([2, 1, 1, 1], &params, &options).unwrap();
        let y = run(&plan, &Spaced::new([2, 1, 1, 1], 0, &[operand, below(operand)]), None, 0, 0);
        let square = 2.0_f32.powi(-112);
        // f32::MAX becomes ∞, and 0·∞ is NaN.
        let of_operand = [2.0_f32.powi(44), square, -bias, 0.0, f32::INFINITY];
        let of_zero = [bias, 0.0, -bias, 0.0, f32::NAN];
        assert_same_bits(level, &y, &[of_operand, of_zero].concat());
    }
}

/// Taps in the padding count as zeros, by which finite weights are multiplied to zero, others to
/// NaN.
#[test]
fn padding_is_multiplied() {
    let window = Window::new([3, 3]).padding(Padding::Same);
    for options in ways() {
        let level = options.level.unwrap();
        for (corner, expected) in [(3.0e38, 8.0), (f32::INFINITY, f32::NAN), (f32::NAN, f32::NAN)] {
            let mut weights = vec![2.0; 9 * 2 * 5];
            weights[..10].fill(corner);
            let params = ConvParams::new(window, 5, &weights);
            let plan = Conv::new([1, 1, 1, 2], &params, &options).unwrap();
            let y = run(&plan, &Spaced::new([1, 1, 1, 2], 0, &[1.0, 3.0]), None, 0, 0);
            assert_same_bits(format_args!("{corner} on {level}"), &y, &[expected; 5]);
        }
        // A window without any input: the bias, of which −0 became +0.
        let window = Window::new([1, 1]);
        let padding = Padding::Explicit { top: 1, bottom: 0, left: 0, right: 0 };
        let params = ConvParams::new(window.padding(padding), 1, &[1.0]).bias(&[-0.0]);
        let plan = Conv::new([1, 1, 1, 1], &params, &options).unwrap();
        let y = run(&plan, &Spaced::new([1, 1, 1, 1], 0, &[3.0]), None, 0, 0);
        assert_same_bits(level, &y, &[0.0, 3.0]);
    }
}
