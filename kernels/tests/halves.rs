//! 16-bit elements: the conversions against the crate `half`, every layer against itself in f32.

use common::half::{Stored, roundoff};
use common::layer::{Layer, OPS, Op, random};
use common::{Mode, Random, Spaced, assert_same_bits, holds, ledger, levels, scaled};
use sepconv_kernels::*;

const HALVES: [ElementType; 2] = [ElementType::F16, ElementType::Bf16];

/// Runs a plan of operands of any types.
fn run(plan: &dyn Plan, x: &Stored, residual: Option<&Stored>) -> Stored {
    ledger::ran(plan.level(), plan.kernel_name());
    let shape = plan.output_shape();
    let mut y = Stored::new(plan.output_type(), &vec![f32::NAN; shape.iter().product()]);
    let mut scratch = vec![f32::NAN; plan.scratch_len(2)];
    let residual = residual.map(|r| NhwcView::new(r.elements(), shape).unwrap());
    common::in_pool(2, &mut || {
        let x = NhwcView::new(x.elements(), plan.input_shape()).unwrap();
        let y = NhwcViewMut::new(y.elements_mut(), shape).unwrap();
        plan.run(x, residual, y, &mut scratch).unwrap();
    });
    y
}

/// `x` in another type, by a plan that does nothing else.
fn converted(x: &Stored, to: ElementType, level: Level) -> Stored {
    let x = x.elements();
    let mut y = Stored::new(to, &vec![0.0; x.len()]);
    convert(x, y.elements_mut(), Some(level)).unwrap();
    y
}

/// To the bit, but for what a NaN carries.
fn assert_same(what: &str, got: &Stored, wanted: &Stored) {
    assert_same_bits(what, &got.values(), &wanted.values());
}

#[test]
fn every_16_bit_number_is_read_exactly() {
    for level in levels() {
        for element in HALVES {
            let bits: Vec<u16> = (0..=u16::MAX).collect();
            let x = match element {
                ElementType::F16 => Stored::F16(bits),
                _ => Stored::Bf16(bits),
            };
            let got = converted(&x, ElementType::F32, level);
            assert_same(&format!("{element} on {level}"), &got, &Stored::F32(x.values()));
            let back = converted(&x, element, level);
            assert_same(&format!("{element} to itself on {level}"), &back, &x);
        }
    }
}

/// All 16-bit numbers, what lies halfway between them, and the f32 next to each of these; then at
/// random.
#[test]
fn f32_are_rounded_to_the_nearest_even() {
    let mut random = Random(1);
    for element in HALVES {
        let all = match element {
            ElementType::F16 => Stored::F16((0..=u16::MAX).collect()),
            _ => Stored::Bf16((0..=u16::MAX).collect()),
        };
        let mut x = Vec::new();
        for pair in all.values().windows(2) {
            let halfway = ((f64::from(pair[0]) + f64::from(pair[1])) / 2.0) as f32;
            for value in [pair[0], halfway] {
                x.extend(
                    [-1, 0, 1].map(|d: i32| f32::from_bits(value.to_bits().wrapping_add_signed(d))),
                );
            }
        }
        x.extend([65_504.0, 65_519.0, 65_519.996, 65_520.0, 65_536.0, f32::MAX, 3.39e38, 3.4e38]);
        x.extend((0..scaled(1 << 20)).map(|_| f32::from_bits(random.next() as u32)));
        let wanted = Stored::new(element, &x);
        let x = Stored::F32(x);
        for level in levels() {
            let got = converted(&x, element, level);
            assert_same(&format!("{element} on {level}"), &got, &wanted);
        }
        println!("{element}: {} roundings on {:?}", x.elements().len(), levels());
    }
}

/// The layer in 16 bits must give what it gives in f32 of the same values, rounded once; and that
/// must be what f64 gives within the bounds of f32 and of one rounding.
fn check(layer: &Layer, weights_type: ElementType, mode: Mode, numbers: &mut Random) {
    let stored = layer.fill_stored(weights_type, mode, numbers);
    let x = mode.fill(numbers, layer.input.iter().product());
    let x = Stored::new(layer.input_type, &x);
    let mut wanted: Option<(Stored, Stored)> = None;
    for level in levels() {
        let plan = layer.plan(stored.each_ref().map(Stored::elements), level).unwrap();
        let (residual, wanted) = wanted.get_or_insert_with(|| {
            let residual = mode.fill(numbers, plan.output_shape().iter().product());
            let residual = Stored::new(layer.output_type, &residual);
            let (input_type, output_type) = (ElementType::F32, ElementType::F32);
            let wide = Layer { input_type, output_type, ..*layer };
            let operands = stored.each_ref().map(|o| Stored::F32(o.values()));
            let plan = wide.plan(operands.each_ref().map(Stored::elements), level).unwrap();
            let (x, r) = (Stored::F32(x.values()), Stored::F32(residual.values()));
            let y = run(&*plan, &x, Some(&r));
            (residual, Stored::new(layer.output_type, &y.values()))
        });
        let got = run(&*plan, &x, Some(residual));
        let what = || format!("{layer:?} with weights of {weights_type} on {level}");
        assert_eq!(got.elements().element_type(), layer.output_type);
        assert_same(&what(), &got, wanted);
    }
}

fn types(numbers: &mut Random) -> [ElementType; 3] {
    loop {
        let types = [(); 3].map(|()| ElementType::FLOATS[numbers.below(3)]);
        if types != [ElementType::F32; 3] {
            return types;
        }
    }
}

#[test]
fn layers_of_any_types_round_once() {
    let mut numbers = Random(2);
    let (operations, cases) = (OPS, scaled(4000));
    for i in 0..cases {
        let [input_type, weights_type, output_type] = types(&mut numbers);
        let op = match operations[i as usize % operations.len()] {
            Op::Depthwise { .. } if numbers.below(3) > 0 => Op::Depthwise { multiplier: 1 },
            Op::Separable { .. } if numbers.below(3) > 0 => Op::Separable { multiplier: 1 },
            op => op,
        };
        let layer = Layer { input_type, output_type, ..random(op, &mut numbers) };
        let mode = [Mode::Integers, Mode::Reals, Mode::Specials][numbers.below(3)];
        check(&layer, weights_type, mode, &mut numbers);
    }
    println!("{cases} layers of random types on {:?}", levels());
}

/// Few pixels have micro-kernels that widen weights as they load them: of each height, any number
/// of columns, and deeper than a block of k.
#[test]
fn few_pixels_widen_weights_themselves() {
    let mut numbers = Random(6);
    let cases = scaled(4000);
    for i in 0..cases {
        let pixels = 1 + i as usize % 26;
        let depth = [1, 5, 16, 37, 64, 801][numbers.below(6)];
        let op = [Op::Dense, Op::Pointwise][numbers.below(2)];
        let input = if op == Op::Dense { [pixels, 1, 1, depth] } else { [1, 1, pixels, depth] };
        let layer = Layer {
            output_type: [ElementType::F32, ElementType::F16][numbers.below(2)],
            activation: [Activation::None, Activation::Relu6, Activation::Silu][numbers.below(3)],
            ..Layer::new(op, input, Window::new([1, 1]), 1 + numbers.below(70))
        };
        check(&layer, HALVES[numbers.below(2)], Mode::Reals, &mut numbers);
    }
    println!("{cases} layers of few pixels on {:?}", levels());
}

/// Deeper than a block of k, and with more pixels than a tile: sums wait in scratch.
#[test]
fn deep_layers_round_once() {
    let mut numbers = Random(3);
    for op in [Op::Pointwise, Op::Separable { multiplier: 1 }, Op::Conv { groups: 1 }, Op::Dense] {
        for [input_type, weights_type, output_type] in [
            [ElementType::Bf16; 3],
            [ElementType::F16; 3],
            [ElementType::F32, ElementType::Bf16, ElementType::F16],
            [ElementType::F16, ElementType::F32, ElementType::Bf16],
        ] {
            let depth = match op {
                Op::Conv { .. } => 200,
                _ => 1700,
            };
            let input = if op == Op::Dense { [3, 1, 1, depth] } else { [1, 12, 13, depth] };
            let window = Window::new([3, 3]).padding(Padding::Same);
            let layer = Layer {
                input_type,
                output_type,
                activation: Activation::Silu,
                ..Layer::new(op, input, window, 35)
            };
            check(&layer, weights_type, Mode::Reals, &mut numbers);
        }
    }
}

/// Against f64, with the bound of the types: γ of the chain in f32, then one rounding.
#[test]
fn sums_are_within_the_bound_of_their_type() {
    let mut numbers = Random(4);
    for output_type in HALVES {
        for input_type in ElementType::FLOATS {
            for weights_type in ElementType::FLOATS {
                let (c, o, pixels) = (300, 35, 30);
                let mut fill = |element, len: usize| {
                    Stored::new(element, &Mode::Reals.fill(&mut numbers, len))
                };
                let x = fill(input_type, c * pixels);
                let w = fill(weights_type, c * o);
                let (unit, least) = roundoff(output_type);
                let (xs, ws) = (x.values(), w.values());
                for level in levels() {
                    let options = Options::default()
                        .level(level)
                        .input_type(input_type)
                        .output_type(output_type);
                    let (weights, channels_out) = (w.elements(), o);
                    let params = PointwiseParams::new(channels_out, weights);
                    let plan = Pointwise::new([1, 1, pixels, c], &params, &options).unwrap();
                    let y = run(&plan, &x, None).values();
                    for (i, &y) in y.iter().enumerate() {
                        let (mut sum, mut magnitude) = (0.0, 0.0);
                        for k in 0..c {
                            let product =
                                f64::from(xs[i / o * c + k]) * f64::from(ws[k * o + i % o]);
                            sum += product;
                            magnitude += product.abs();
                        }
                        let error = common::gamma(c) * magnitude;
                        let bound = error + unit * (sum.abs() + error) + least;
                        holds((f64::from(y) - sum).abs() <= bound, || {
                            format!("{y} for {sum}, bound {bound:e}")
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn special_values_are_stored_as_ieee_says() {
    for level in levels() {
        let x = [65_520.0, -1e30, 1e-8, -1e-8, 5.97e-8, 0.0, -0.0, f32::INFINITY, f32::NAN, 3.4e38];
        let f16 = converted(&Stored::F32(x.into()), ElementType::F16, level);
        let wanted =
            [0x7c00, 0xfc00, 0x0000, 0x8000, 0x0001, 0x0000, 0x8000, 0x7c00, 0x7e00, 0x7c00];
        assert_same(&format!("f16 on {level}"), &f16, &Stored::F16(wanted.into()));
        let bf16 =
            converted(&Stored::F32(vec![3.4e38, -3.39e38, 1e-40, -0.0]), ElementType::Bf16, level);
        let wanted = [0x7f80, 0xff7f, 0x0001, 0x8000];
        assert_same(&format!("bf16 on {level}"), &bf16, &Stored::Bf16(wanted.into()));
    }
}

/// A ReLU, a residual: in f32, before the one rounding. −0 and NaN as in f32.
#[test]
fn epilogues_come_before_the_rounding() {
    for level in levels() {
        for element in HALVES {
            let x: Vec<f32> = vec![-0.0, f32::NAN, 1.0, 256.0, -3.0, 1.0];
            let r: Vec<f32> = vec![-0.0, 1.0, 0.001953125, 1.0, 2.0, f32::NAN];
            let options = Options::default()
                .level(level)
                .input_type(element)
                .output_type(element)
                .activation(Activation::Relu);
            let plan = Elementwise::new([1, 1, 1, 6], &options).unwrap();
            let sums: Vec<f32> = x.iter().zip(&r).map(|(x, r)| x + r).collect();
            let wanted: Vec<f32> = sums.iter().map(|&s| if s < 0.0 { 0.0 } else { s }).collect();
            let got = run(&plan, &Stored::new(element, &x), Some(&Stored::new(element, &r)));
            assert_same(&format!("{element} on {level}"), &got, &Stored::new(element, &wanted));
        }
    }
}

/// A max pool makes one NaN of all; sums keep what a NaN carries, and no rounding may carry that
/// into the sign.
#[test]
fn nans_of_any_payload_stay_nans() {
    let x = [0x7fff_ffff_u32, 0xffff_ffff, 0x7fff_8000, 0x7fc0_7fff, 0x7fc0_0000].repeat(5);
    let x = Stored::F32(x.into_iter().map(f32::from_bits).collect());
    let window = Window::new([1, 1]);
    for level in levels() {
        for output_type in HALVES {
            for op in [Op::Average, Op::Pointwise] {
                let input = if op == Op::Average { [1, 1, 1, 25] } else { [1, 1, 25, 1] };
                let layer = Layer { output_type, ..Layer::new(op, input, window, 17) };
                let ones = layer.lengths().map(|len| vec![1.0_f32; len]);
                let plan = layer.plan(ones.each_ref().map(|o| &o[..]), level).unwrap();
                let y = run(&*plan, &x, None).values();
                holds(y.iter().all(|y| y.is_nan()), || format!("{}: {y:?}", plan.kernel_name()));
            }
        }
    }
}

/// Those of weights and biases, too, in each depthwise kernel.
#[test]
fn nans_of_weights_stay_nans() {
    let nans = [0x7fff_ffff_u32, 0xffff_ffff, 0x7fff_8000, 0x7fc0_7fff, 0x7f80_0001].repeat(5);
    let nans: Vec<f32> = nans.into_iter().map(f32::from_bits).collect();
    for level in levels() {
        for element in HALVES {
            for window in
                [Window::new([3, 3]), Window::new([3, 3]).stride([2, 2]), Window::new([5, 5])]
            {
                let layer = Layer {
                    input_type: element,
                    output_type: element,
                    ..Layer::new(Op::Depthwise { multiplier: 1 }, [1, 9, 11, 25], window, 25)
                };
                let x = Stored::new(element, &vec![1.0; 9 * 11 * 25]);
                for which in 0..2 {
                    let mut operands = layer.lengths().map(|len| vec![1.0_f32; len]);
                    operands[which][..25].copy_from_slice(&nans);
                    let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
                    let y = run(&*plan, &x, None).values();
                    holds(y.iter().all(|y| y.is_nan()), || {
                        format!("{} {element}: {y:?}", plan.kernel_name())
                    });
                }
            }
        }
    }
}

/// Pointwise, separable and dense layers of bf16 weights by the CPU's dot products, if it has them:
/// within their bound of f64, the same with any number of threads, and by name.
#[test]
fn dot_products_are_within_their_bound() {
    let mut numbers = Random(6);
    let (mut dots, mut worst) = (0, 0.0_f64);
    for i in 0..scaled(400) {
        let op = [Op::Pointwise, Op::Dense, Op::Separable { multiplier: 1 }][i as usize % 3];
        let mut layer = random(op, &mut numbers);
        // Now and then deeper than a block of k; odd and even.
        if numbers.below(8) == 0 {
            layer.input[3] = 1530 + numbers.below(20);
        }
        layer.window = match op {
            Op::Separable { .. } => Window::new([1, 1]),
            _ => layer.window,
        };
        let layer = Layer {
            input_type: ElementType::FLOATS[numbers.below(3)],
            output_type: ElementType::F32,
            input_activation: Activation::None,
            mid_activation: Activation::None,
            activation: Activation::None,
            arithmetic: Arithmetic::Fast,
            ..layer
        };
        let types = [ElementType::Bf16, ElementType::F32, ElementType::Bf16, ElementType::F32];
        let operands = layer.fill(Mode::Reals, &mut numbers);
        let operands: [Stored; 4] = std::array::from_fn(|i| Stored::new(types[i], &operands[i]));
        let x = Mode::Reals.fill(&mut numbers, layer.input.iter().product());
        let x = Stored::new(layer.input_type, &x);
        let spaced = Spaced::of(layer.input, 1, &x);
        for level in levels() {
            let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
            let is_dot = plan.kernel_name().contains("dot_bf16");
            let got = common::run(&*plan, &spaced, None, 0, 2);
            let exact = Layer { arithmetic: Arithmetic::Exact, ..layer };
            let exact = exact.plan(operands.each_ref().map(Stored::elements), level).unwrap();
            let wanted = common::run(&*exact, &spaced, None, 0, 2);
            if !is_dot {
                common::assert_same_bits(format_args!("{layer:?} on {level}"), &got, &wanted);
                continue;
            }
            dots += 1;
            let again = common::run(&*plan, &spaced, None, 0, 5);
            common::assert_same_bits(format_args!("{layer:?} in 5 parts"), &got, &again);
            // The layer once more with magnitudes for operands.
            let c = layer.input[3];
            let magnitudes = operands.each_ref().map(|o| {
                let values: Vec<f32> = o.values().iter().map(|v| v.abs()).collect();
                Stored::F32(values)
            });
            let plan = Layer { input_type: ElementType::F32, ..layer };
            let plan = Layer { arithmetic: Arithmetic::Exact, ..plan };
            let plan = plan.plan(magnitudes.each_ref().map(Stored::elements), level).unwrap();
            let positive: Vec<f32> = x.values().iter().map(|v| v.abs()).collect();
            let positive = Spaced::of(layer.input, 0, &Stored::F32(positive));
            let sums = common::run(&*plan, &positive, None, 0, 2);
            for ((got, wanted), sum) in got.iter().zip(&wanted).zip(&sums) {
                let sum = f64::from(*sum);
                // γ of u = 2⁻²³ of the dot products, and that of the chain it is compared with.
                let bound = ((-8_f64).exp2() + 3.0 * common::gamma(c + 1)) * sum + 1e-35;
                let error = (f64::from(*got) - f64::from(*wanted)).abs();
                worst = worst.max(error / bound);
                holds(error <= bound, || format!("{layer:?}: {got} for {wanted}, of {sum}"));
            }
        }
    }
    println!("{dots} layers by dot products, worst {worst:.3} of the bound");
}
