//! Layers of 8-bit integers against naive sums, to the bit: all levels, with the CPU's dot products
//! and without, threads, rows, gaps between pixels; the extremes of the types and of i32; what is
//! refused.

use common::half::Stored;
use common::int8::{Case, Given, OPS, Op, quantization, stored, ways};
use common::{Random, Spaced, assert_same_bits, effort, holds, levels, run, run_rows, scaled};
use sepconv_kernels::*;

/// The plans of a case that differ: each level, by matrices, by dot products and without.
fn plans(case: &Case) -> Vec<Box<dyn Plan>> {
    let mut plans: Vec<Box<dyn Plan>> = Vec::new();
    for level in levels() {
        for &way in ways(level) {
            let plan = case.plan(level, way).unwrap_or_else(|e| panic!("{case}: {e}"));
            if plans.last().is_none_or(|last| last.kernel_name() != plan.kernel_name()) {
                plans.push(plan);
            }
        }
    }
    plans
}

/// Row by row.
fn check_rows(case: &Case, plan: &dyn Plan, expected: &[f32]) {
    let (input, output) = (plan.input_shape(), plan.output_shape());
    for row in 0..output[1] {
        let needed = plan.input_rows(row..row + 1);
        let x = Spaced::rows(input, needed, 1, &case.x);
        let residual = case.residual.as_ref();
        let residual = residual.map(|r| Spaced::rows(output, row..row + 1, 0, r));
        let got = run_rows(plan, row..row + 1, &x, residual.as_ref(), 1, 1);
        let len = output[2] * output[3];
        let pictures = expected.chunks_exact(output[1] * len);
        let expected: Vec<f32> = pictures.flat_map(|p| &p[row * len..][..len]).copied().collect();
        assert_same_bits(
            format_args!("row {row} of {case} by {}", plan.kernel_name()),
            &got,
            &expected,
        );
    }
}

/// Every way to run a case.
fn check(case: &Case, random: &mut Random) {
    let expected = case.expected();
    for plan in plans(case) {
        let (threads, gap) = (1 + random.below(3), random.below(3));
        let got = case.run(&*plan, threads, gap);
        assert_same_bits(format_args!("{case} by {}", plan.kernel_name()), &got, &expected);
        if random.below(4) == 0 {
            check_rows(case, &*plan, &expected);
        }
    }
}

#[test]
fn layers_are_those_of_naive_sums() {
    let mut random = Random(27);
    for i in 0..scaled(4000) {
        check(&Case::random(OPS[i as usize % OPS.len()], &mut random), &mut random);
    }
}

/// Inputs, outputs and residuals in planes, with gaps between pictures, by rows and threads.
#[test]
fn planes_give_what_pixels_give() {
    const PLANES: [[TensorLayout; 2]; 3] = [
        [TensorLayout::Nchw, TensorLayout::Nhwc],
        [TensorLayout::Nhwc, TensorLayout::Nchw],
        [TensorLayout::Nchw, TensorLayout::Nchw],
    ];
    let mut random = Random(33);
    for i in 0..scaled(2700).max(135) as usize {
        let op = OPS[i % OPS.len()];
        let mut case = if (i / OPS.len()).is_multiple_of(5) {
            Case::random(op, &mut random)
        } else {
            Case::small(op, &mut random)
        };
        for [input, output] in PLANES {
            case.options = case.options.input_layout(input).output_layout(output);
            check(&case, &mut random);
        }
    }
    // Several bands of rows, some chunks of channels, tiles that end within rows.
    let same = |k: usize, s: usize| Window::new([k; 2]).stride([s; 2]).padding(Padding::Same);
    let large = [
        (Op::Depthwise, [1, 19, 300, 130], same(3, 1), [1, 1, 130]),
        (Op::AveragePool, [2, 11, 310, 70], same(3, 2), [1, 1, 70]),
        (Op::Elementwise, [1, 9, 1000, 67], same(1, 1), [1, 1, 67]),
        (Op::Separable, [1, 21, 45, 33], same(3, 2), [1, 1, 70]),
        (Op::Conv, [1, 17, 23, 64], same(3, 1), [4, 1, 68]),
        (Op::Pointwise, [2, 13, 15, 150], same(1, 1), [1, 1, 66]),
    ];
    for (op, input, window, sizes) in large.into_iter().take(scaled(60).max(2) as usize) {
        let mut case = Case::of(op, &mut random, input, window, sizes);
        for [input, output] in PLANES {
            case.options = case.options.input_layout(input).output_layout(output);
            check(&case, &mut random);
        }
    }
}

/// Very many small shapes: at least 100,000 for each kernel at full effort, and never fewer than
/// 250, of which each level's kernels have every tail.
#[test]
fn small_layers() {
    const DEPTHWISE: &[Op] = &[Op::Depthwise, Op::Separable];
    const GEMM: &[Op] = &[Op::Pointwise, Op::Conv, Op::Dense];
    const POOL: &[Op] = &[Op::MaxPool, Op::AveragePool, Op::GlobalAveragePool, Op::Elementwise];
    let all = if effort() < 100.0 { 50_000 } else { 100_000 };
    let cases = scaled(all).max(250);
    let mut random = Random(28);
    for i in 0..cases as usize {
        for ops in [DEPTHWISE, GEMM, POOL] {
            let case = Case::small(ops[i % ops.len()], &mut random);
            let expected = case.expected();
            for plan in plans(&case) {
                let got = case.run(&*plan, 0, i % 3);
                assert_same_bits(format_args!("{case} by {}", plan.kernel_name()), &got, &expected);
            }
        }
    }
    println!("{cases} small layers of each kernel on {:?}", levels());
}

/// One picture, to f32 in steps of 1, so that sums can be seen.
fn plain(op: Op, input: [usize; 4], window: Window, channels_out: usize) -> Case {
    let mut case = Case::of(op, &mut Random(1), input, window, [1, 1, channels_out]);
    case.options = Options::new().input_type(ElementType::U8);
    for scales in &mut case.scales {
        scales.fill(1.0);
    }
    case.residual = None;
    case
}

/// Numbers that no i32 holds become the type's last integers.
#[test]
fn outputs_far_beyond_the_integers() {
    let mut random = Random(29);
    for (element, weight) in
        [ElementType::U8, ElementType::I8].into_iter().flat_map(|e| [(e, 127), (e, -127)])
    {
        for (op, window) in [
            (Op::Depthwise, Window::new([3, 3])),
            (Op::Depthwise, Window::new([2, 3])),
            (Op::Pointwise, Window::new([1, 1])),
        ] {
            let mut case = Case::of(op, &mut random, [1, 4, 6, 70], window, [1, 1, 70]);
            case.options = Options::new()
                .input_type(ElementType::U8)
                .output_type(element)
                .output_quantization(Quantization::new(1e-3, 5));
            let half = usize::from(op != Op::Depthwise);
            case.x = stored(&mut random, ElementType::U8, 4 * 6 * 70);
            case.weights[half].fill(weight);
            case.scales[half].fill(1e9);
            case.residual = None;
            check(&case, &mut random);
        }
    }
}

/// 255 steps from the zero point times 127, 60,000 times, of either sign, and the bias that goes to
/// the last integer of i32.
#[test]
fn sums_at_the_ends_of_i32() {
    let k: i32 = 60_000;
    let product = 255 * 127 * k;
    let one = Window::new([1, 1]);
    let layers = [
        (Op::Dense, [1, 1, 1, 60_000], one, 5),
        (Op::Pointwise, [1, 1, 2, 60_000], one, 1),
        (Op::Conv, [1, 3, 3, 20_000 / 3], Window::new([3, 3]), 2),
        (Op::Depthwise, [1, 200, 300, 2], Window::new([200, 300]), 2),
    ];
    for (op, input, window, channels_out) in layers {
        let half = usize::from(op != Op::Depthwise);
        for (element, zero_point, byte) in [
            (ElementType::U8, 0, 255_u8),
            (ElementType::U8, 255, 0),
            (ElementType::I8, -128, 127),
            (ElementType::I8, 127, 128),
        ] {
            for weight in [127, -127] {
                let mut case = plain(op, input, window, channels_out);
                let stored = vec![byte; input.iter().product()];
                case.x = match element {
                    ElementType::U8 => Stored::U8(stored),
                    _ => Stored::I8(stored.into_iter().map(|byte| byte as i8).collect()),
                };
                case.options.input_type = element;
                case.options.input_quantization = Quantization::new(1.0, zero_point);
                case.weights[half].fill(weight);
                let of_sum = if op == Op::Conv { 255 * 127 * 9 * (20_000 / 3) } else { product };
                let sign = if (zero_point <= 0) == (weight > 0) { 1 } else { -1 };
                let bias = sign * (i32::MAX - of_sum);
                case.biases[half] = Some(vec![bias; channels_out]);
                let expected = case.expected();
                assert!(expected.iter().all(|&sum| sum == sign as f32 * 2_147_483_648.0));
                for plan in plans(&case) {
                    let got = case.run(&*plan, 1, 0);
                    let name = plan.kernel_name();
                    assert_same_bits(format_args!("{case} by {name}"), &got, &expected);
                }
                // One more is refused, with the channel and the magnitude.
                let last = case.biases[half].as_mut().unwrap().last_mut().unwrap();
                *last += sign;
                for level in levels() {
                    let error = case.plan(level, [true; 2]).expect_err("too large");
                    let (channel, magnitude) = (channels_out - 1, 1 << 31);
                    assert_eq!(error, Error::Sums { channel, magnitude });
                }
            }
        }
    }
}

/// Sums that are exactly between two integers go to the even one, of either sign.
#[test]
fn ties_go_to_even() {
    let mut case = plain(Op::Elementwise, [1, 1, 256, 1], Window::new([1, 1]), 1);
    case.x = Stored::U8((0..=255).collect());
    for (output_type, zero_point) in [(ElementType::I8, 0), (ElementType::U8, 131)] {
        case.options = Options::new()
            .input_type(ElementType::U8)
            .input_quantization(Quantization::new(0.5, 120))
            .output_type(output_type)
            .output_quantization(Quantization::new(1.0, zero_point));
        let expected: Vec<f32> = (-120..=135)
            .map(|above: i32| (f64::from(above) / 2.0).round_ties_even() as f32 + zero_point as f32)
            .collect();
        assert_same_bits("the naive loops", &case.expected(), &expected);
        for plan in plans(&case) {
            assert_same_bits(plan.kernel_name(), &case.run(&*plan, 1, 0), &expected);
        }
    }
}

/// Activations that are no clamp: within one integer of the naive loops, whose exponential is of
/// f64, and the same bits on all levels.
#[test]
fn smooth_activations() {
    let mut random = Random(29);
    let smooth = [
        Activation::Silu,
        Activation::HardSwish,
        Activation::Elu { alpha: 0.7 },
        Activation::Sigmoid,
        Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Softplus,
        Activation::Mish,
        Activation::LeakyRelu { alpha: 0.3 },
    ];
    for i in 0..scaled(900) as usize {
        let mut case = Case::random(OPS[i % OPS.len()], &mut random);
        case.options.activation = smooth[i / OPS.len() % smooth.len()];
        if case.options.output_type == ElementType::F32 {
            case.options.output_type = ElementType::U8;
            case.options.output_quantization = quantization(&mut random, ElementType::U8);
            case.options.residual_quantization = None;
            case.residual = None;
        }
        let expected =
            if case.options.input_type == ElementType::F32 { None } else { Some(case.expected()) };
        let mut first: Option<Vec<f32>> = None;
        for plan in plans(&case) {
            let got = case.run(&*plan, 1, 0);
            assert_same_bits(&case, &got, first.get_or_insert_with(|| got.clone()));
            for (got, expected) in got.iter().zip(expected.iter().flatten()) {
                holds((got - expected).abs() <= 1.0, || format!("{case}: {got}, not {expected}"));
            }
        }
    }
}

/// NaN stands for 0, infinities are clamped.
#[test]
fn numbers_that_no_integer_is_near() {
    let x =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::MIN, 1e-40, 0.3, -9.0];
    let cases = [
        (ElementType::U8, 100, Activation::None, [100, 255, 0, 100, 255, 0, 100, 101, 82]),
        (ElementType::I8, -7, Activation::None, [-7, 127, -128, -7, 127, -128, -7, -6, -25]),
        (ElementType::U8, 3, Activation::Relu, [3, 255, 3, 3, 255, 3, 3, 4, 3]),
        (ElementType::I8, 0, Activation::Clamp { lo: 1.0, hi: 4.0 }, [2, 8, 2, 2, 8, 2, 2, 2, 2]),
    ];
    for (output_type, zero_point, load, expected) in cases {
        // With whole vectors and tails of every level.
        let repeats = 11;
        let mut case =
            plain(Op::Elementwise, [1, 1, repeats, x.len()], Window::new([1, 1]), x.len());
        case.x = Stored::F32(x.repeat(repeats));
        case.options = Options::new()
            .input_activation(load)
            .output_type(output_type)
            .output_quantization(Quantization::new(0.5, zero_point));
        let expected: Vec<f32> = expected.map(|y| y as f32).repeat(repeats);
        for plan in plans(&case) {
            let what = format!("{output_type}, {load:?} by {}", plan.kernel_name());
            assert_same_bits(what, &case.run(&*plan, 1, 0), &expected);
        }
    }
}

/// Numbers halfway between integers, as near as there are any, and their neighbours, by scales of
/// all sizes: a division is rounded once.
#[test]
fn divisions_are_rounded_once() {
    let mut random = Random(33);
    for _ in 0..scaled(3000) {
        let scale = f32::from_bits(((1 + random.below(254)) << 23 | random.below(1 << 23)) as u32);
        let halves = (-130..130).map(|k| (k as f32 + 0.5) * scale);
        let x: Vec<f32> = halves
            .flat_map(|half| {
                [-1, 0, 1].map(|by| f32::from_bits(half.to_bits().wrapping_add_signed(by)))
            })
            .map(|x| if x.is_nan() { 0.0 } else { x })
            .collect();
        let mut case = plain(Op::Elementwise, [1, 1, 1, x.len()], Window::new([1, 1]), x.len());
        case.options = Options::new()
            .output_type(ElementType::I8)
            .output_quantization(Quantization::new(scale, 0));
        let expected: Vec<f32> =
            x.iter().map(|x| (x / scale).round_ties_even().clamp(-128.0, 127.0) + 0.0).collect();
        case.x = Stored::F32(x);
        for plan in plans(&case) {
            let what = format!("scale {scale:e} by {}", plan.kernel_name());
            assert_same_bits(what, &case.run(&*plan, 1, 0), &expected);
        }
    }
}

/// A clamp of the input that 0 isn't in: padding stays 0.
#[test]
fn clamps_of_the_input_leave_padding() {
    let mut random = Random(34);
    let window = Window::new([3, 3]).padding(Padding::Same);
    for (i, op) in [Op::Depthwise, Op::Separable, Op::Conv].iter().cycle().take(30).enumerate() {
        let channels = [3, 32, 64, 70][i % 4];
        let multiplier = if *op == Op::Conv { 1 } else { 1 + i / 15 };
        let channels_out = if *op == Op::Depthwise { channels * multiplier } else { 5 };
        let sizes = [1, multiplier, channels_out];
        let mut case = Case::of(*op, &mut random, [1, 5, 6, channels], window, sizes);
        case.options.input_type = ElementType::U8;
        case.options.input_quantization = Quantization::new(0.5, 100);
        case.mid = Quantization::new(2.0, 90);
        case.options.input_activation = Activation::Clamp { lo: 1.0, hi: 4.0 };
        let x: Vec<u8> = (0..5 * 6 * channels).map(|_| random.below(256) as u8).collect();
        case.x = Stored::U8(x.clone());
        let got = plans(&case).iter().map(|plan| case.run(&**plan, 1, 0)).collect::<Vec<_>>();
        case.options.input_activation = Activation::None;
        case.x = Stored::U8(x.iter().map(|x| *x.clamp(&102, &108)).collect());
        for (got, plan) in got.iter().zip(plans(&case)) {
            assert_same_bits(
                format_args!("{case} by {}", plan.kernel_name()),
                got,
                &case.expected(),
            );
        }
    }
}

/// The weights of a half \[taps, inputs of a group, outputs\] in the order of a layout.
fn in_layout(weights: &[i8], [taps, inputs, outputs]: [usize; 3], layout: WeightLayout) -> Vec<i8> {
    let at = |t: usize, i: usize, o: usize| weights[(t * inputs + i) * outputs + o];
    let mut ordered = Vec::new();
    match layout {
        WeightLayout::Oihw => {
            for o in 0..outputs {
                for i in 0..inputs {
                    ordered.extend((0..taps).map(|t| at(t, i, o)));
                }
            }
        }
        WeightLayout::Iohw => {
            for i in 0..inputs {
                for o in 0..outputs {
                    ordered.extend((0..taps).map(|t| at(t, i, o)));
                }
            }
        }
        WeightLayout::Ohwi => {
            for o in 0..outputs {
                for t in 0..taps {
                    ordered.extend((0..inputs).map(|i| at(t, i, o)));
                }
            }
        }
        _ => ordered.extend_from_slice(weights),
    }
    ordered
}

/// Weights in any layout, packed once, for plans of any size: the bits of plans that packed by
/// themselves from the default layout.
#[test]
fn packed_weights_of_every_layout() {
    let mut random = Random(30);
    let layouts = [WeightLayout::Hwio, WeightLayout::Oihw, WeightLayout::Iohw, WeightLayout::Ohwi];
    let with_weights = &OPS[..5];
    for i in 0..scaled(400).max(40) as usize {
        let mut case = Case::random(with_weights[i % 5], &mut random);
        let layout = layouts[i / 5 % 4];
        let shapes = case.weights_shapes();
        let weights: [Vec<i8>; 2] =
            std::array::from_fn(|half| in_layout(&case.weights[half], shapes[half], layout));
        for level in levels() {
            let way = ways(level)[i % ways(level).len()];
            let options = case.options_of(level, way);
            let given =
                Given { weights: weights.each_ref().map(|w| &w[..]), layout, ..case.given() };
            let packed = case.pack(&given, &options).unwrap().expect("an operation with weights");
            for size in 0..3 {
                let [n, h, w, c] = case.input;
                let [n, h, w] = if size == 0 {
                    [n, h, w]
                } else {
                    [3, 12, 20].map(|most| 1 + random.below(most))
                };
                case.input = [n, h, w, c];
                let (plan, new) = match (packed([n, h, w]), case.plan(level, way)) {
                    (Ok(plan), Ok(new)) => (plan, new),
                    (Err(refused), Err(by_new)) if refused == by_new => continue,
                    other => panic!("{case}: {other:?}"),
                };
                assert_eq!(plan.kernel_name(), new.kernel_name(), "{case}");
                assert_eq!(plan.multiply_adds(), new.multiply_adds(), "{case}");
                let x = stored(&mut random, case.options.input_type, n * h * w * c);
                let x = Spaced::of(case.input, 0, &x);
                let [plan, new] = [plan, new].map(|plan| run(&*plan, &x, None, 0, 1));
                assert_same_bits(format_args!("{layout:?} {case}"), &plan, &new);
            }
        }
    }
}

/// The message of what is refused.
fn refused<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "not refused".into(),
        Err(error) => error.to_string(),
    }
}

/// Scales, zero points, weights and sums that make no sense, by packing as by planning.
#[test]
fn quantizations_that_make_no_sense() {
    let case = plain(Op::Separable, [1, 4, 5, 3], Window::new([3, 3]), 2);
    let given = case.given();
    let options = Options::new().input_type(ElementType::U8);
    let plan = |options: &Options| refused(case.plan_of(&given, options));
    let expects = "expected a positive normal scale and a zero point of the type, got scale";
    for (scale, zero_point, got) in [
        (0.0, 0, "0e0 and zero point 0"),
        (-0.5, 0, "-5e-1 and zero point 0"),
        (f32::NAN, 0, "NaN and zero point 0"),
        (f32::INFINITY, 0, "inf and zero point 0"),
        (1e-40, 0, "1e-40 and zero point 0"),
        (1.0, -1, "1e0 and zero point -1"),
        (1.0, 256, "1e0 and zero point 256"),
    ] {
        let wrong = Quantization::new(scale, zero_point);
        let message = |what: &str| format!("{what}: {expects} {got}");
        assert_eq!(plan(&options.input_quantization(wrong)), message("input"));
        let to_u8 = options.output_type(ElementType::U8);
        assert_eq!(plan(&to_u8.output_quantization(wrong)), message("output"));
        assert_eq!(plan(&to_u8.residual_quantization(wrong)), message("residual"));
    }
    let of_i8 = Options::new().input_type(ElementType::I8);
    for zero_point in [-129, 128] {
        let wrong = of_i8.input_quantization(Quantization::new(1.0, zero_point));
        assert_eq!(plan(&wrong), format!("input: {expects} 1e0 and zero point {zero_point}"));
    }
    let mid = SeparableParams::new(
        DepthwiseParams::new(case.window, Elements::I8(given.weights[0]))
            .quantized(QuantizedWeights::new(given.scales[0])),
        2,
        Elements::I8(given.weights[1]),
    )
    .quantized(QuantizedWeights::new(given.scales[1]))
    .mid_quantization(Quantization::new(0.0, 9));
    assert!(refused(Separable::new(case.input, &mid, &options)).ends_with("0e0 and zero point 9"));

    for scale in [-1.0, f32::NAN, f32::INFINITY] {
        let scales = [1.0, scale];
        let wrong = Given { scales: [given.scales[0], &scales], ..given };
        let message = refused(case.plan_of(&wrong, &options));
        assert_eq!(message, format!("weights: {expects} {scale:e} and zero point 0"));
    }
    let large = [1.0, 1.0, f32::MAX];
    let wrong = Given { scales: [&large, given.scales[1]], ..given };
    let options = options.input_quantization(Quantization::new(1e9, 0));
    let message = refused(case.plan_of(&wrong, &options));
    assert_eq!(message, "output: expected a finite ratio of scales, got inf");
}

/// Operands of wrong lengths, weights that are not symmetric.
#[test]
fn weights_that_make_no_sense() {
    let case = plain(Op::Separable, [1, 4, 5, 3], Window::new([3, 3]), 2);
    let options = Options::new().input_type(ElementType::U8);
    let given = case.given();
    let plan = |given: Given<'_>| refused(case.plan_of(&given, &options));
    let (few, many) = ([1.0], [1.0; 4]);
    let (few_biases, many_biases) = ([1], [1; 4]);
    let [scales, biases] = [[given.scales[0], &few], [&many, given.scales[1]]];
    assert_eq!(plan(Given { scales, ..given }), "scales: expected 2 elements, got 1");
    assert_eq!(plan(Given { scales: biases, ..given }), "scales: expected 3 elements, got 4");
    let biases = [None, Some(&few_biases[..])];
    assert_eq!(plan(Given { biases, ..given }), "bias: expected 2 elements, got 1");
    let biases = [Some(&many_biases[..]), None];
    assert_eq!(plan(Given { biases, ..given }), "bias: expected 3 elements, got 4");
    let short = [given.weights[0], &given.weights[1][1..]];
    assert_eq!(plan(Given { weights: short, ..given }), "weights: expected 6 elements, got 5");
    let short = [&given.weights[0][1..], given.weights[1]];
    let message = "depthwise weights: expected 27 elements, got 26";
    assert_eq!(plan(Given { weights: short, ..given }), message);
    for half in [0, 1] {
        let mut wrong = case.weights.clone();
        wrong[half][4] = -128;
        let weights = wrong.each_ref().map(|weights| &weights[..]);
        let message = "expected weights of i8 in -127..=127, got -128 at 4";
        assert_eq!(plan(Given { weights, ..given }), message);
    }
    let biases = [Some(&[i32::MIN; 3][..]), None];
    let message = plan(Given { biases, ..given });
    assert!(message.starts_with("sums of output channel 0 can be as large as 214"), "{message}");
    assert!(message.ends_with(", which i32 can't hold"), "{message}");
    // An average of so many taps that i32 can't hold their sum, and of more than u64 can.
    for (side, magnitude) in [(4096, 255_u64 << 24), (1 << 29, u64::MAX)] {
        if usize::BITS < 64 && side > 4096 {
            continue;
        }
        let window = Window::new([side; 2]).padding(Padding::Same);
        let error = Pool::new([1, 1, 1, 1], PoolKind::Average, window, &options).unwrap_err();
        assert_eq!(error, Error::Sums { channel: 0, magnitude });
    }
}

/// Types, layouts and activations without a kernel.
#[test]
fn combinations_without_a_kernel() {
    let case = plain(Op::Dense, [1, 1, 1, 3], Window::new([1, 1]), 2);
    let options = Options::new().input_type(ElementType::U8);
    let dense = |params: DenseParams<'_>, options: &Options| {
        refused(Dense::new(case.input, &params, options))
    };
    let (weights, scales) = ([1_i8; 6], [1.0; 2]);
    let quantized = QuantizedWeights::new(&scales);
    let whole = DenseParams::new(2, Elements::I8(&weights)).quantized(quantized);
    let mixed = "layers of integers take an input of u8 or i8 and weights of i8 with scales, \
                 without a bias of f32";
    assert_eq!(dense(whole, &options), "not refused");
    assert_eq!(dense(whole.bias(&scales), &options), mixed);
    assert_eq!(dense(whole, &Options::new()), mixed);
    assert_eq!(dense(DenseParams::new(2, Elements::I8(&weights)), &options), mixed);
    let of_u8 = DenseParams::new(2, Elements::U8(&[1; 6]));
    assert_eq!(dense(of_u8.quantized(quantized), &options), mixed);
    assert_eq!(dense(DenseParams::new(2, &[1.0; 6]), &options), mixed);
    assert_eq!(dense(DenseParams::new(2, &[1.0; 6]).quantized(quantized), &options), mixed);

    let outputs = "outputs of integer inputs are of u8, i8 or f32";
    let smooth = "the input activation of integers has to be a clamp";
    let to = |options: &Options| {
        let pool = Pool::new([1, 3, 3, 2], PoolKind::Max, Window::new([2, 2]), options);
        [dense(whole, options), refused(pool)]
    };
    assert_eq!(to(&options.input_activation(Activation::Silu)), [smooth; 2]);
    if cfg!(feature = "f16-bf16") {
        assert_eq!(to(&options.output_type(ElementType::F16)), [outputs; 2]);
        assert_eq!(to(&options.output_type(ElementType::Bf16)), [outputs; 2]);
        let from_bf16 = options.input_type(ElementType::Bf16).output_type(ElementType::U8);
        let message = refused(Elementwise::new([1, 1, 1, 1], &from_bf16));
        assert_eq!(message, "inputs of integer outputs are of u8, i8 or f32");
    }
    let to_u8 = Options::new().output_type(ElementType::U8);
    for kind in [PoolKind::Max, PoolKind::Average] {
        let pool = Pool::new([1, 3, 3, 2], kind, Window::new([2, 2]), &to_u8);
        assert_eq!(refused(pool), "a pool of numbers to integers");
    }
    let message = refused(GlobalAveragePool::new([1, 3, 3, 2], &to_u8));
    assert_eq!(message, "a pool of numbers to integers");
    // Numbers times numbers, to integers.
    let floats = DenseParams::new(2, &[1.0; 6]);
    assert_eq!(dense(floats, &to_u8), mixed);
    let depthwise = DepthwiseParams::new(Window::new([1, 1]), &[1.0; 3]);
    assert_eq!(refused(Depthwise::new(case.input, &depthwise, &to_u8)), mixed);
    let separable = SeparableParams::new(depthwise, 2, &[1.0; 6]);
    assert_eq!(refused(Separable::new(case.input, &separable, &to_u8)), mixed);
    let nan = options.activation(Activation::Clamp { lo: 1.0, hi: 0.0 });
    assert_eq!(to(&nan), ["activation: the lower bound of clamp exceeds the upper"; 2]);
}

/// The views of a run have the plan's types.
#[test]
fn views_of_other_types() {
    let mut random = Random(31);
    for op in OPS {
        let mut case = Case::small(op, &mut random);
        case.options.output_type = ElementType::I8;
        case.options.output_quantization = Quantization::new(0.5, -3);
        case.options.residual_quantization = None;
        for plan in plans(&case) {
            let [input, output] = [plan.input_shape(), plan.output_shape()];
            let mut scratch = vec![0.0; plan.scratch_len(1)];
            for other in ElementType::ALL {
                let spaced = |shape: [usize; 4], element| {
                    Spaced::of(shape, 0, &Stored::new(element, &vec![1.0; shape.iter().product()]))
                };
                let mut try_run = |x, residual, y| {
                    let (x, residual) = (spaced(input, x), spaced(output, residual));
                    let mut y = spaced(output, y);
                    plan.run(x.view(), Some(residual.view()), y.view_mut(), &mut scratch)
                };
                let (x, y) = (plan.input_type(), plan.output_type());
                let wrong = |what, expected| Error::ElementType { what, expected, actual: other };
                if other != x {
                    assert_eq!(try_run(other, y, y), Err(wrong("input", x)));
                }
                if other != y {
                    assert_eq!(try_run(x, other, y), Err(wrong("residual", y)));
                    assert_eq!(try_run(x, y, other), Err(wrong("output", y)));
                }
                assert_eq!(try_run(x, y, y), Ok(()));
            }
        }
    }
}
