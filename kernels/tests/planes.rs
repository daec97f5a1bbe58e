//! NCHW: inputs, outputs and residuals made of planes, whose pictures may lie apart, give the bits
//! that NHWC gives, for every operation and type, by rows and by any number of threads.

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{Mode, Random, Spaced, assert_same_bits, levels, run, run_rows};
use sepconv_kernels::*;

const LAYOUTS: [[TensorLayout; 2]; 3] = [
    [TensorLayout::Nchw, TensorLayout::Nhwc],
    [TensorLayout::Nhwc, TensorLayout::Nchw],
    [TensorLayout::Nchw, TensorLayout::Nchw],
];

/// Compares a layer of each layout with the one in NHWC.
fn compare(layer: &Layer, operands: &[Stored; 4], numbers: &mut Random) -> u64 {
    let nhwc =
        Layer { input_layout: TensorLayout::Nhwc, output_layout: TensorLayout::Nhwc, ..*layer };
    let mut runs = 0;
    for level in levels() {
        let operands = || operands.each_ref().map(Stored::elements);
        let plan = nhwc.plan(operands(), level).unwrap();
        let (input, output) = (plan.input_shape(), plan.output_shape());
        let mut tensor = |shape: [usize; 4], element| {
            let dense = Mode::Specials.fill(numbers, shape.iter().product());
            Stored::new(element, &dense)
        };
        let (x, residual) = (tensor(input, layer.input_type), tensor(output, layer.output_type));
        let gap = numbers.below(3);
        let [x_all, residual_all] =
            [(input, &x), (output, &residual)].map(|(shape, data)| Spaced::of(shape, gap, data));
        let with_residual = numbers.below(2) == 0;
        let residual_of = |residual| Some(residual).filter(|_| with_residual);
        let expected = run(&*plan, &x_all, residual_of(&residual_all), 0, 0);
        let start = numbers.below(output[1]);
        let rows = start..start + 1 + numbers.below(output[1] - start);
        let [n, _, w, c] = output;
        let all = Stored::F32(expected.clone());
        let expected_rows = Spaced::rows(output, rows.clone(), 0, &all).into_dense().into_values();
        for [input_layout, output_layout] in LAYOUTS {
            let planes = Layer { input_layout, output_layout, ..*layer };
            let plan = planes.plan(operands(), level).unwrap();
            assert_eq!([plan.input_layout(), plan.output_layout()], [input_layout, output_layout]);
            let what = || format!("{planes:?} on {level}");
            for (layout, [_, h, w, _], copy) in
                [(input_layout, input, "from_planes"), (output_layout, output, "to_planes")]
            {
                // Of single pixels both layouts are the same memory.
                let expected = layout == TensorLayout::Nchw;
                let named = plan.kernel_name().contains(copy);
                assert!(
                    named == expected || [h, w] == [1, 1],
                    "{}: {}",
                    what(),
                    plan.kernel_name()
                );
            }
            let threads = numbers.below(4);
            let got = run(&*plan, &x_all, residual_of(&residual_all), gap, threads);
            assert_same_bits(what(), &got, &expected);
            let x_rows = Spaced::rows(input, plan.input_rows(rows.clone()), gap, &x);
            let residual_rows = Spaced::rows(output, rows.clone(), gap, &residual);
            let residual_rows = with_residual.then_some(&residual_rows);
            let got = run_rows(&*plan, rows.clone(), &x_rows, residual_rows, gap, threads);
            assert_eq!(got.len(), n * rows.len() * w * c);
            assert_same_bits(format_args!("{} rows {rows:?}", what()), &got, &expected_rows);
            runs += 2;
        }
    }
    runs
}

#[test]
fn planes_give_the_bits_of_nhwc() {
    let mut numbers = Random(31);
    let mut runs = 0;
    for i in 0..common::scaled(600).max(6) {
        for op in OPS {
            let (layer, operands) = random_stored(op, i, &mut numbers);
            runs += compare(&layer, &operands, &mut numbers);
        }
    }
    println!("{runs} runs: the same bits");
}

/// Layers with several tiles, regions, bands and chunks of channels.
#[test]
fn large_layers() {
    let window = |k: usize, s: usize| Window::new([k; 2]).stride([s; 2]).padding(Padding::Same);
    let mut numbers = Random(32);
    let layers = [
        (Op::GlobalAverage, [2, 10, 10, 300], window(1, 1), 0),
        (Op::Elementwise, [1, 20, 30, 100], window(1, 1), 0),
        (Op::Max, [1, 37, 37, 70], window(3, 2), 0),
        (Op::Depthwise { multiplier: 1 }, [1, 33, 40, 150], window(3, 1), 0),
        (Op::Depthwise { multiplier: 1 }, [2, 31, 29, 96], window(3, 2), 0),
        (Op::Separable { multiplier: 1 }, [1, 30, 45, 33], window(3, 2), 64),
        (Op::Pointwise, [1, 33, 35, 64], window(1, 2), 128),
        (Op::Depthwise { multiplier: 3 }, [1, 20, 21, 70], window(5, 1), 0),
        (Op::Separable { multiplier: 1 }, [1, 37, 37, 100], window(3, 1), 130),
        (Op::Separable { multiplier: 2 }, [2, 17, 300, 9], window(7, 1), 40),
        (Op::Pointwise, [2, 19, 19, 200], window(1, 1), 100),
        (Op::Conv { groups: 1 }, [1, 41, 43, 3], window(3, 2), 32),
        (Op::Conv { groups: 2 }, [1, 14, 14, 96], window(3, 1), 64),
    ];
    let mut runs = 0;
    // The first of them on emulated CPUs.
    let count = (common::scaled(130) as usize).max(4);
    for (op, input, window, channels_out) in layers.into_iter().take(count) {
        for types in
            [[ElementType::F32; 3], [ElementType::F16, ElementType::Bf16, ElementType::F16]]
        {
            let layer = Layer::new(op, input, window, channels_out);
            let [input_type, weights, output_type] = types;
            let layer = Layer { input_type, output_type, activation: Activation::Relu, ..layer };
            let operands = layer.fill_stored(weights, Mode::Reals, &mut numbers);
            runs += compare(&layer, &operands, &mut numbers);
        }
    }
    println!("{runs} runs: the same bits");
}

#[test]
fn a_view_of_another_layout_is_refused() {
    let options = Options::default().input_layout(TensorLayout::Nchw);
    let plan = Elementwise::new([1, 2, 3, 4], &options).unwrap();
    let (x, mut y) = ([0.0; 24], [7.0; 24]);
    let mut scratch = vec![0.0; plan.scratch_len(1)];
    let to = NhwcViewMut::new(&mut y, [1, 2, 3, 4]).unwrap();
    let from = NhwcView::new(&x, [1, 2, 3, 4]).unwrap();
    let error = plan.run(from, None, to, &mut scratch).unwrap_err();
    let (expected, actual) = (TensorLayout::Nchw, TensorLayout::Nhwc);
    assert_eq!(error, Error::Layout { what: "input", expected, actual });
    assert_eq!(error.to_string(), "input: expected layout NCHW, got NHWC");
    let to = NhwcViewMut::nchw(&mut y, [1, 4, 2, 3]).unwrap();
    let from = NhwcView::nchw(&x, [1, 4, 2, 3]).unwrap();
    let error = plan.run(from, None, to, &mut scratch).unwrap_err();
    let (expected, actual) = (TensorLayout::Nhwc, TensorLayout::Nchw);
    assert_eq!(error, Error::Layout { what: "output", expected, actual });
    assert_eq!(y, [7.0; 24], "nothing is written");
    let error = NhwcView::nchw(&x, [1, 4, 2, 4]).unwrap_err();
    assert_eq!(error, Error::Length { what: "view", expected: 32, actual: 24 });
}
