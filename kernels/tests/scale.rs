//! Inputs that come with a factor for each picture and channel: the same bits as of an input that
//! was multiplied before, for every operation, type, layout and arithmetic, on all levels, in parts
//! and by rows; and what is refused.

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{Mode, Random, Spaced, assert_same_bits, levels, run, run_rows, scaled};
use sepconv_kernels::*;

/// activation(x) · scale, one picture and channel after the other.
fn multiplied(x: &[f32], [n, h, w, c]: [usize; 4], scale: &[f32], load: Activation) -> Vec<f32> {
    let (lo, hi) = match load {
        Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Clamp { lo, hi } => (lo, hi),
        other => panic!("{other:?} is no clamp"),
    };
    let mut y = Vec::new();
    for picture in 0..n {
        for pixel in 0..h * w {
            for channel in 0..c {
                let x = x[(picture * h * w + pixel) * c + channel];
                let clamped = if x < lo {
                    lo
                } else if x > hi {
                    hi
                } else {
                    x
                };
                y.push(clamped * scale[picture * c + channel]);
            }
        }
    }
    y
}

#[test]
fn scaled_inputs_are_products() {
    let mut random = Random(29);
    for i in 0..scaled(1200) {
        let op = OPS[i as usize % OPS.len()];
        let (mut layer, operands) = random_stored(op, i / OPS.len() as u32, &mut random);
        if layer.input_activation == Activation::Silu {
            layer.input_activation = Activation::None;
        }
        layer.amx = layer.arithmetic == Arithmetic::Bf16 && i % 2 == 0;
        // Pictures in one tile.
        layer.input[0] = 1 + i as usize % 3;
        let [n, h, w, c] = layer.input;
        let mode = if i % 4 == 3 { Mode::Specials } else { Mode::Reals };
        let x = Stored::new(layer.input_type, &mode.fill(&mut random, n * h * w * c));
        let scale = mode.fill(&mut random, n * c);
        let product =
            multiplied(&x.clone().into_values(), layer.input, &scale, layer.input_activation);
        let (input_activation, input_type) = (Activation::None, ElementType::F32);
        let before = Layer { input_activation, input_type, ..layer };
        let layer = Layer { input_scale: true, ..layer };
        let gap = i as usize % 2 * 3;
        for level in levels() {
            let weights = operands.each_ref().map(Stored::elements);
            let plan = before.plan(weights, level).unwrap();
            let expected = run(&*plan, &Spaced::new(layer.input, 0, &product), None, 0, 1);
            let plan = layer.plan(weights, level).unwrap();
            let x = Spaced::of(layer.input, gap, &x).scaled(&scale);
            let what = format!("{layer:?} by {}", plan.kernel_name());
            assert_same_bits(&what, &run(&*plan, &x, None, gap, 1 + i as usize % 4), &expected);
            // Some rows of each picture.
            let [_, oh, ow, o] = plan.output_shape();
            let first = i as usize % oh;
            let rows = first..(first + 1 + i as usize / 2 % 3).min(oh);
            let stored = Stored::F32(expected);
            let expected = Spaced::rows([n, oh, ow, o], rows.clone(), 0, &stored);
            let needed = plan.input_rows(rows.clone());
            let some = Spaced::rows(layer.input, needed, gap, &{
                let dense = x.clone();
                Spaced { scale: None, ..dense }.into_dense()
            });
            let got = run_rows(&*plan, rows, &some.scaled(&scale), None, 0, 1);
            assert_same_bits(&what, &got, &expected.data.into_values());
        }
    }
}

/// Padding stays 0, whatever the factors are: infinite ones, too.
#[test]
fn padding_has_no_factor() {
    let input = [1, 1, 1, 3];
    let window = Window::new([3, 3]).padding(Padding::Same);
    for op in
        [Op::Depthwise { multiplier: 1 }, Op::Separable { multiplier: 1 }, Op::Conv { groups: 1 }]
    {
        for arithmetic in [Arithmetic::Exact, Arithmetic::Bf16] {
            if !arithmetic.is_available() {
                continue;
            }
            let layer = Layer { input_scale: true, arithmetic, ..Layer::new(op, input, window, 2) };
            let operands = layer.lengths().map(|len| vec![1.0; len]);
            for level in levels() {
                let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
                let inf = f32::INFINITY;
                let x = Spaced::new(input, 0, &[1.0; 3]).scaled(&[inf; 3]);
                let y = run(&*plan, &x, None, 0, 1);
                assert!(y.iter().all(|&y| y == inf), "{op:?} {arithmetic} {level}: {y:?}");
            }
        }
    }
}

#[test]
fn refusals() {
    let options = Options::default().input_scale(true);
    let of = |options: &Options| Elementwise::new([1, 1, 1, 2], options).unwrap_err().to_string();
    let silu = options.input_activation(Activation::Silu);
    assert_eq!(of(&silu), "the input activation has to be a clamp beside a scale");
    if cfg!(feature = "int8") {
        assert_eq!(of(&options.output_type(ElementType::U8)), "a scale of integers");
        assert_eq!(of(&options.input_type(ElementType::I8)), "a scale of integers");
    }
    let window = TransposedWindow::new([1, 3]).stride([1, 2]);
    let params = TransposedParams::new(window, 1, &[1.0, 10.0, 100.0]);
    let error = TransposedConv::new([1, 1, 2, 1], &params, &options).unwrap_err().to_string();
    assert_eq!(error, "a scale on load of a transposed convolution: multiply it before");
    let shape = [2, 1, 1, 2];
    let data = [1.0; 4];
    let view = NhwcView::new(&data, shape).unwrap();
    let error = view.scaled(&[1.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "scale: expected 4 elements, got 3");
    let scaled = view.scaled(&[1.0; 4]).unwrap();
    let run = |plan: &Elementwise, x, residual| {
        let mut y = [7.0; 4];
        let mut scratch = vec![0.0; plan.scratch_len(1)];
        let y_view = NhwcViewMut::new(&mut y, shape).unwrap();
        let error = plan.run(x, residual, y_view, &mut scratch).unwrap_err();
        assert_eq!(y, [7.0; 4]);
        error.to_string()
    };
    let plan = Elementwise::new(shape, &options).unwrap();
    assert_eq!(run(&plan, view, None), "input: expected a view with a scale, got one without");
    let residual = "residual: expected a view without a scale, got one with";
    assert_eq!(run(&plan, scaled, Some(scaled)), residual);
    let plan = Elementwise::new(shape, &Options::default()).unwrap();
    assert_eq!(run(&plan, scaled, None), "input: expected a view without a scale, got one with");
}
