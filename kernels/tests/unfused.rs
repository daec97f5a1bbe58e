//! The arithmetic `unfused`: every layer to the bit against its definition in `naive.rs`, within
//! its error bound against f64, and what sets it apart from `exact`.

use common::half::Stored;
use common::layer::{GEMMS, Layer, Op, random};
use common::{
    Mode, Random, Spaced, applied, assert_same_bits, flushed, gamma, holds, levels, run, scaled,
};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

/// Those with a chain of multiply-adds.
fn operation(i: usize) -> Op {
    let depthwise = [Op::Depthwise { multiplier: 1 }, Op::Depthwise { multiplier: 2 }];
    if i % 8 < 2 { depthwise[i % 8] } else { GEMMS[i % 8 - 2] }
}

/// The values of an operand, of a mode or, if there is none, of magnitudes from 2⁻¹⁰⁰ to 2¹⁰, whose
/// products are subnormal at times.
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
        None => {
            let number = |_| random.real() * 2.0_f32.powi(10 - random.below(111) as i32);
            (0..len).map(number).collect()
        }
    }
}

/// The layer by its definition.
fn expected(layer: &Layer, operands: &[Vec<f32>; 4], x: &[f32], residual: &[f32]) -> Vec<f32> {
    let operands = operands.each_ref().map(|operand| flushed(operand));
    // All levels give the same bits.
    let applied = |x: &[f32], activation| applied(x, activation, Level::Scalar);
    let x = applied(x, layer.input_activation);
    let conv = |input, x: &[f32], window, groups, channels_out, weights: usize| {
        let (weights, bias) = (&operands[weights][..], Some(&operands[weights + 1][..]));
        naive::conv_unfused(&Reference { input, x, window, groups, channels_out, weights, bias })
    };
    let (input, window, o) = (layer.input, layer.window, layer.channels_out);
    let (c, one) = (input[3], Window::new([1, 1]));
    let sums = match layer.op {
        Op::Depthwise { multiplier } => conv(input, &x, window, c, c * multiplier, 0),
        Op::Separable { multiplier } => {
            let middle = conv(input, &x, window, c, c * multiplier, 0);
            let middle = applied(&middle, layer.mid_activation);
            let [h, w] = common::output(&window, input).unwrap();
            conv([input[0], h, w, c * multiplier], &middle, one, 1, o, 2)
        }
        Op::Conv { groups } => conv(input, &x, window, groups, o, 0),
        Op::Dense => conv(input, &x, one, 1, o, 0),
        _ => conv(input, &x, one.stride(window.stride), 1, o, 0),
    };
    let sums: Vec<f32> = sums.iter().zip(residual).map(|(sum, r)| sum + r).collect();
    Stored::new(layer.output_type, &applied(&sums, layer.activation)).into_values()
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
    for level in levels() {
        let plan = layer.plan(stored.each_ref().map(Stored::elements), level).unwrap();
        let name = plan.kernel_name();
        let own = ["dw_", "gemm_"]
            .into_iter()
            .flat_map(|kind| name.split('+').filter(move |k| k.starts_with(kind)));
        assert!(own.clone().count() > 0 && own.clone().all(|k| k.contains("_unfused_")), "{name}");
        let (residual, wanted) = wanted.get_or_insert_with(|| {
            let shape = plan.output_shape();
            let residual = Mode::Reals.fill(random, shape.iter().product());
            let residual = Stored::new(layer.output_type, &residual);
            let wanted = expected(layer, &values, &x.values(), &residual.values());
            (Spaced::of(shape, 1, &residual), wanted)
        });
        let got = run(&*plan, &spaced, Some(residual), random.below(3), random.below(4));
        let what = format_args!("{layer:?}, weights of {weights}, {mode:?} on {level}");
        assert_same_bits(what, &got, wanted);
    }
}

/// Random layers of all types, layouts and activations, of reals, of special values, of values
/// whose products are subnormal; some with more k than a block of the GEMM has.
#[test]
fn bits_are_those_of_the_definition() {
    let mut numbers = Random(71);
    let cases = scaled(2000);
    for i in 0..cases as usize {
        let mut layer = random(operation(i), &mut numbers);
        if numbers.below(12) == 0 {
            layer.input = [1, 1 + numbers.below(2), 1, 2 * (380 + numbers.below(40))];
        }
        let (layer, weights) = layer.of_any_types(&mut numbers);
        let layer = if i % 3 == 0 { layer.of_planes(&mut numbers) } else { layer };
        let layer = Layer { arithmetic: Arithmetic::Unfused, ..layer };
        if common::output(&layer.window, layer.input).is_none() {
            continue;
        }
        let mode = [Some(Mode::Reals), None, Some(Mode::Specials)][i / 8 % 3];
        compare(&layer, weights, mode, &mut numbers);
    }
    println!("{cases} layers in the arithmetic unfused: the bits of the definition");
}

/// Tiles of more than a few pixels, every kernel of depthwise layers, and threads.
#[test]
fn bits_of_many_pixels_are_those_of_the_definition() {
    let mut numbers = Random(72);
    let same = |k, stride: usize| Window::new([k; 2]).stride([stride; 2]).padding(Padding::Same);
    let one = Op::Depthwise { multiplier: 1 };
    for (op, input, window, o) in [
        (one, [1, 13, 19, 40], same(3, 1), 0),
        (one, [1, 13, 19, 21], same(3, 2), 0),
        (one, [1, 9, 21, 24], same(5, 1), 0),
        (one, [1, 9, 21, 19], same(7, 2), 0),
        (Op::Pointwise, [1, 19, 19, 72], Window::new([1, 1]), 72),
        (Op::Pointwise, [2, 13, 12, 33], Window::new([1, 1]).stride([2, 2]), 47),
        (Op::Separable { multiplier: 1 }, [1, 19, 19, 72], same(3, 1), 91),
        (Op::Conv { groups: 1 }, [1, 23, 21, 3], same(3, 2), 32),
        (Op::Conv { groups: 1 }, [1, 11, 14, 90], same(3, 1), 21),
        (Op::Conv { groups: 3 }, [2, 9, 8, 12], same(3, 1), 33),
    ] {
        for weights in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            let input_activation =
                if weights == ElementType::F16 { Activation::Relu } else { Activation::None };
            let layer = Layer {
                arithmetic: Arithmetic::Unfused,
                input_activation,
                activation: Activation::Silu,
                output_type: weights,
                ..Layer::new(op, input, window, o)
            };
            compare(&layer, weights, Some(Mode::Reals), &mut numbers);
        }
    }
}

/// Of layers without smooth activations: the bound that [`Arithmetic::Unfused`] states.
#[test]
fn errors_are_within_the_bound() {
    let mut numbers = Random(73);
    let (mut outputs, mut worst) = (0, 0.0_f64);
    for i in 0..scaled(600) as usize {
        // Without those of two halves.
        let mut layer = random(operation(i % 6), &mut numbers);
        if numbers.below(6) == 0 {
            layer.input = [1, 2, 1, 2 * (380 + numbers.below(40))];
        }
        let none = Activation::None;
        let layer =
            Layer { input_activation: none, mid_activation: none, activation: none, ..layer };
        let layer = Layer { arithmetic: Arithmetic::Unfused, ..layer };
        let (c, one) = (layer.input[3], Window::new([1, 1]));
        let (groups, window, channels_out) = match layer.op {
            Op::Depthwise { multiplier } => (c, layer.window, c * multiplier),
            Op::Conv { groups } => (groups, layer.window, layer.channels_out),
            Op::Dense => (1, one, layer.channels_out),
            _ => (1, one.stride(layer.window.stride), layer.channels_out),
        };
        if common::output(&window, layer.input).is_none() {
            continue;
        }
        let mode = [Some(Mode::Reals), None][i / 6 % 2];
        let operands = layer.lengths().map(|len| flushed(&fill(mode, len, &mut numbers)));
        let [weights, bias, ..] = &operands;
        let x = fill(mode, layer.input.iter().product(), &mut numbers);
        let (input, bias_of) = (layer.input, Some(&bias[..]));
        let sums = naive::conv(&Reference {
            input,
            x: &x,
            window,
            groups,
            channels_out,
            weights,
            bias: bias_of,
        });
        let n = window.kernel[0] * window.kernel[1] * c / groups;
        for level in levels() {
            let plan = layer.plan([&weights[..], bias, &[], &[]], level).unwrap();
            let got = run(&*plan, &Spaced::new(input, 0, &x), None, 0, 0);
            for (got, sum) in got.iter().zip(&sums) {
                // The magnitude has the bias, too.
                let bound = gamma(n + 1) * sum.magnitude + n as f64 * (-149_f64).exp2();
                let error = (f64::from(*got) - sum.value).abs();
                worst = worst.max(error / bound);
                holds(error <= bound, || format!("{layer:?} on {level}: {got} for {sum:?}"));
                outputs += 1;
            }
        }
    }
    println!("{outputs} outputs in the arithmetic unfused, worst {worst:.3} of the bound");
    assert!(worst > 0.01, "nothing was rounded");
}

/// A product is rounded, overflows and becomes subnormal before it is added.
#[test]
fn products_are_rounded() {
    let third = 1.0 / 3.0_f32;
    let (large, tiny, small) = (2.0_f32.powi(64), 2.0_f32.powi(-75), 2.0_f32.powi(-125));
    let cases = [
        // Not what one rounding gives: the error of the product.
        (third, third, -third * third, 0.0, third.mul_add(third, -third * third)),
        (large, large, f32::MIN, f32::INFINITY, large.mul_add(large, f32::MIN)),
        // 1.25·2⁻¹⁴⁹ is rounded to 2⁻¹⁴⁹, half of the last place of the sum.
        (2.5 * tiny, tiny, small, small, small + 2.0_f32.powi(-148)),
        (0.0, -1.0, -0.0, -0.0, -0.0),
    ];
    let window = Window::new([1, 1]);
    for level in levels() {
        for (x, w, b, unfused, exact) in cases {
            for (arithmetic, y) in [(Arithmetic::Unfused, unfused), (Arithmetic::Exact, exact)] {
                let options = Options::default().level(level).arithmetic(arithmetic);
                // Whole vectors and what is left.
                let (w, b, all) = ([w; 21], [b; 21], [x; 21]);
                let dense = DenseParams::new(21, &w).bias(&b);
                let dense = Dense::new([1, 1, 1, 1], &dense, &options).unwrap();
                let depthwise = DepthwiseParams::new(window, &w).bias(&b);
                let depthwise = Depthwise::new([1, 1, 1, 21], &depthwise, &options).unwrap();
                let one = Spaced::new([1, 1, 1, 1], 0, &[x]);
                let all = Spaced::new([1, 1, 1, 21], 0, &all);
                let got = [run(&dense, &one, None, 0, 0), run(&depthwise, &all, None, 0, 0)];
                let what = format_args!("{x} on {level}, {arithmetic}");
                assert_same_bits(what, &got.concat(), &[y; 42]);
            }
        }
    }
}
