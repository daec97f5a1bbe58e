//! Weights packed once: plans of any size have the bits of plans that packed by themselves, from
//! weights in any layout; what is refused is refused with the numbers.

use std::thread;

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{Mode, Random, Spaced, assert_same_bits, levels, run, scaled};
use sepconv_kernels::*;

const SAME: Padding = Padding::Same;

/// Each operation that has weights.
fn with_weights() -> impl Iterator<Item = Op> {
    let none = [Op::Max, Op::Average, Op::GlobalAverage, Op::Elementwise];
    OPS.into_iter().filter(move |op| !none.contains(op))
}

#[test]
fn plans_of_any_size_have_the_bits_of_new() {
    let mut numbers = Random(51);
    let mut planned = 0;
    for op in with_weights() {
        for i in 0..scaled(60) {
            let (mut layer, operands) = random_stored(op, i, &mut numbers);
            for level in levels() {
                let operands = || operands.each_ref().map(|operand| operand.elements());
                let packed = layer.pack(operands(), level).unwrap().unwrap();
                for size in 0..3 {
                    if size > 0 {
                        let [_, _, _, c] = layer.input;
                        let [n, h, w] = [3, 12, 20].map(|most| 1 + numbers.below(most));
                        layer.input = [n, h, w, c];
                    }
                    let [n, h, w, _] = layer.input;
                    let what = format!("{layer:?} at {level}");
                    let (plan, new) = match (packed([n, h, w]), layer.plan(operands(), level)) {
                        (Ok(plan), Ok(new)) => (plan, new),
                        (Err(refused), Err(by_new)) if refused == by_new => continue,
                        other => panic!("{what}: {other:?}"),
                    };
                    assert_eq!(plan.kernel_name(), new.kernel_name(), "{what}");
                    assert_eq!(plan.output_shape(), new.output_shape(), "{what}");
                    assert_eq!(plan.multiply_adds(), new.multiply_adds(), "{what}");
                    let len = layer.input.iter().product();
                    let x = Mode::Reals.fill(&mut numbers, len);
                    let x = Stored::new(layer.input_type, &x);
                    let x = Spaced::of(layer.input, 0, &x);
                    let [plan, new] = [plan, new].map(|plan| run(&*plan, &x, None, 0, 1));
                    assert_same_bits(&what, &plan, &new);
                    planned += 1;
                }
            }
        }
    }
    assert!(planned > 0);
    println!("{planned} plans of weights packed before");
}

/// Weights \[taps, inputs, outputs\] in the order of a layout.
fn in_layout(
    weights: &Stored,
    [taps, inputs, outputs]: [usize; 3],
    layout: WeightLayout,
) -> Stored {
    fn reorder<T: Copy>(weights: &[T], order: &[usize]) -> Vec<T> {
        order.iter().map(|&i| weights[i]).collect()
    }
    let (mut order, at) =
        (Vec::new(), |t: usize, i: usize, o: usize| (t * inputs + i) * outputs + o);
    match layout {
        WeightLayout::Oihw => {
            for o in 0..outputs {
                for i in 0..inputs {
                    order.extend((0..taps).map(|t| at(t, i, o)));
                }
            }
        }
        WeightLayout::Iohw => {
            for i in 0..inputs {
                for o in 0..outputs {
                    order.extend((0..taps).map(|t| at(t, i, o)));
                }
            }
        }
        WeightLayout::Ohwi => {
            for o in 0..outputs {
                for t in 0..taps {
                    order.extend((0..inputs).map(|i| at(t, i, o)));
                }
            }
        }
        WeightLayout::Hwoi => {
            for t in 0..taps {
                for o in 0..outputs {
                    order.extend((0..inputs).map(|i| at(t, i, o)));
                }
            }
        }
        _ => order.extend(0..taps * inputs * outputs),
    }
    match weights {
        Stored::F32(x) => Stored::F32(reorder(x, &order)),
        Stored::F16(x) => Stored::F16(reorder(x, &order)),
        Stored::Bf16(x) => Stored::Bf16(reorder(x, &order)),
        Stored::U8(x) => Stored::U8(reorder(x, &order)),
        Stored::I8(x) => Stored::I8(reorder(x, &order)),
    }
}

/// A layer and its operands in each layout; those of the default one are the reference's.
fn same_in_every_layout(layer: Layer, operands: &[Stored; 4], numbers: &mut Random) {
    let x = Stored::new(layer.input_type, &Mode::Reals.fill(numbers, layer.input.iter().product()));
    let x = Spaced::of(layer.input, 0, &x);
    let shapes = layer.weights_shapes();
    for level in levels() {
        let result = |layout| {
            let [weights, bias, others, other_bias] = operands;
            let [weights, others] = [(weights, shapes[0]), (others, shapes[1])]
                .map(|(weights, shape)| in_layout(weights, shape, layout));
            let operands = [&weights, bias, &others, other_bias].map(Stored::elements);
            let plan = Layer { layout, ..layer }.plan(operands, level).unwrap();
            run(&*plan, &x, None, 0, 1)
        };
        let expected = result(WeightLayout::Hwio);
        let others =
            [WeightLayout::Oihw, WeightLayout::Iohw, WeightLayout::Ohwi, WeightLayout::Hwoi];
        for layout in others {
            let what = format_args!("{layout:?} {layer:?} at {level}");
            assert_same_bits(what, &result(layout), &expected);
        }
    }
}

#[test]
fn every_layout_has_the_bits_of_the_default() {
    let mut numbers = Random(53);
    let more = [
        Op::Depthwise { multiplier: 1 },
        Op::Depthwise { multiplier: 3 },
        Op::Separable { multiplier: 1 },
        Op::Conv { groups: 1 },
        Op::Conv { groups: 3 },
    ];
    for op in with_weights().chain(more) {
        let mut done = 0;
        for i in 0.. {
            if done >= scaled(40).max(4) {
                break;
            }
            let (layer, operands) = random_stored(op, i, &mut numbers);
            let size = layer.window.output_size([layer.input[1], layer.input[2]]);
            if size.is_ok() {
                same_in_every_layout(layer, &operands, &mut numbers);
                done += 1;
            }
        }
    }
}

/// Rows of k in pairs, an odd number of them.
#[test]
fn every_layout_serves_dot_products() {
    let mut numbers = Random(54);
    for op in [Op::Pointwise, Op::Separable { multiplier: 1 }, Op::Dense] {
        let window = Window::new(if op == Op::Dense { [1, 1] } else { [3, 3] }).padding(SAME);
        let layer = Layer::new(op, [5, 1, 1, 37], window, 41);
        let layer = Layer { arithmetic: Arithmetic::Fast, ..layer };
        let operands = layer.fill_stored(ElementType::Bf16, Mode::Reals, &mut numbers);
        same_in_every_layout(layer, &operands, &mut numbers);
    }
}

#[test]
fn clones_are_planned_and_run_on_threads() {
    let (c, o) = (24, 40);
    let mut numbers = Random(52);
    let [dw, pw] = [9 * c, c * o].map(|len| Mode::Reals.fill(&mut numbers, len));
    let depthwise = DepthwiseParams::new(Window::new([3, 3]).padding(SAME), &dw);
    let params = SeparableParams::new(depthwise, o, &pw);
    for level in levels() {
        let options = Options::default().level(level);
        let packed = Separable::pack(c, &params, &options).unwrap();
        thread::scope(|scope| {
            for height in 1..9 {
                let (packed, params) = (packed.clone(), &params);
                scope.spawn(move || {
                    let input = [1, height, 7, c];
                    let x = Mode::Reals.fill(&mut Random(height as u64), height * 7 * c);
                    let x = Spaced::new(input, 0, &x);
                    let plan = packed.plan([1, height, 7]).unwrap();
                    // The plan outlives what it was made of.
                    drop(packed);
                    let new = Separable::new(input, params, &options).unwrap();
                    let [got, expected] = [plan, new].map(|plan| run(&plan, &x, None, 0, 1));
                    assert_same_bits(format_args!("height {height} at {level}"), &got, &expected);
                });
            }
        });
    }
}

#[test]
fn packed_weights_say_what_they_are() {
    let (dw, pw) = (vec![0.5; 9 * 8 * 2], vec![0.5; 16 * 5]);
    let window = Window::new([3, 3]).stride([2, 2]).padding(SAME);
    let depthwise = DepthwiseParams::new(window, &dw).multiplier(2);
    let options = Options::default().level(Level::Scalar);

    let packed = Depthwise::pack(8, &depthwise, &options).unwrap();
    assert_eq!((packed.channels_in(), packed.channels_out()), (8, 16));
    assert_eq!(packed.level(), Level::Scalar);
    assert_eq!(packed.output_shape([2, 9, 10]), Ok([2, 5, 5, 16]));
    let plan = packed.plan([2, 9, 10]).unwrap();
    assert_eq!((plan.input_shape(), plan.output_shape()), ([2, 9, 10, 8], [2, 5, 5, 16]));
    assert_eq!(packed.weights_bytes(), plan.weights_bytes());
    assert!(packed.weights_bytes() >= 9 * 16 * size_of::<f32>());

    let params = SeparableParams::new(depthwise, 5, &pw);
    let packed = Separable::pack(8, &params, &options).unwrap();
    assert_eq!((packed.channels_in(), packed.channels_out()), (8, 5));
    assert_eq!(packed.output_shape([2, 9, 10]), Ok([2, 5, 5, 5]));
    assert_eq!(packed.weights_bytes(), packed.plan([1, 1, 1]).unwrap().weights_bytes());
}

/// What is refused when weights are packed, and the message.
#[test]
fn packing_refuses_with_the_numbers() {
    let options = Options::default();
    let refused = |what: &str, result: Result<(), Error>, message: &str| {
        assert_eq!(result.expect_err(what).to_string(), message, "{what}");
    };
    let window = Window::new([3, 3]);
    let (dw, pw, bias) = (vec![0.5; 9 * 8], vec![0.5; 8 * 5], vec![0.5; 5]);
    let depthwise = DepthwiseParams::new(window, &dw);
    let of_depthwise = |c, params| Depthwise::pack(c, &params, &options).map(drop);
    refused("none", of_depthwise(0, depthwise), "channels is 0; it must be at least 1");
    refused(
        "more channels",
        of_depthwise(9, depthwise),
        "depthwise weights: expected 81 elements, got 72",
    );
    refused(
        "multiplier",
        of_depthwise(8, depthwise.multiplier(0)),
        "depth multiplier is 0; it must be at least 1",
    );
    refused(
        "bias",
        of_depthwise(8, depthwise.bias(&bias)),
        "depthwise bias: expected 8 elements, got 5",
    );
    let other = DepthwiseParams::new(window.stride([1, 0]), &dw);
    refused("stride", of_depthwise(8, other), "stride along the width is 0; it must be at least 1");

    let of_separable = |params| Separable::pack(8, &params, &options).map(drop);
    let separable = SeparableParams::new(depthwise, 5, &pw);
    let other = SeparableParams::new(depthwise, 6, &pw);
    refused("outputs", of_separable(other), "weights: expected 48 elements, got 40");
    refused(
        "bounds",
        of_separable(separable.mid_activation(Activation::Clamp { lo: 1.0, hi: 0.0 })),
        "activation: the lower bound of clamp exceeds the upper",
    );

    let torch = separable.layout(WeightLayout::Oihw);
    let result = Separable::pack(9, &torch, &options).map(drop);
    refused("channels", result, "depthwise weights: expected 81 elements, got 72");
    let dense = DenseParams::new(5, &pw).layout(WeightLayout::Ohwi);
    let result = Dense::pack(9, &dense, &options).map(drop);
    refused("channels", result, "weights: expected 45 elements, got 40");

    let of_pointwise = |params| Pointwise::pack(8, &params, &options).map(drop);
    refused(
        "outputs",
        of_pointwise(PointwiseParams::new(4, &pw)),
        "weights: expected 32 elements, got 40",
    );
    refused(
        "none",
        of_pointwise(PointwiseParams::new(0, &pw)),
        "output channels is 0; it must be at least 1",
    );
    let dense = DenseParams::new(5, &pw).bias(&bias[1..]);
    let result = Dense::pack(8, &dense, &options).map(drop);
    refused("bias", result, "bias: expected 5 elements, got 4");
    let conv = ConvParams::new(Window::new([1, 1]), 5, &pw).groups(2);
    let result = Conv::pack(8, &conv, &options).map(drop);
    refused("groups", result, "can't divide 8 input and 5 output channels into 2 groups");
}

/// What is refused when a shape is known: by the plan and by its output shape alike.
#[test]
fn planning_refuses_with_the_numbers() {
    let (dw, full, pw) = (vec![0.5; 9 * 8], vec![0.5; 9 * 8 * 5], vec![0.5; 8 * 5]);
    let options = Options::default();
    let window = Window::new([3, 3]).dilation([1, 2]);
    let depthwise = DepthwiseParams::new(window, &dw);
    fn check<L: Plan>(packed: Packed<L>, size: [usize; 3], message: &str) {
        let refused = packed.plan(size).expect_err(message);
        assert_eq!(refused.to_string(), message);
        assert_eq!(packed.output_shape(size), Err(refused));
    }
    let narrow = "kernel width 5 (dilated) exceeds the padded input width 4";
    let rows = "input height is 0; it must be at least 1";
    let large = "input elements overflow the address space";
    let sizes = [([1, 9, 4], narrow), ([1, 0, 9], rows), ([usize::MAX / 8, 9, 9], large)];
    for (size, message) in sizes {
        check(Depthwise::pack(8, &depthwise, &options).unwrap(), size, message);
        let params = SeparableParams::new(depthwise, 5, &pw);
        check(Separable::pack(8, &params, &options).unwrap(), size, message);
        let params = ConvParams::new(window, 5, &full);
        check(Conv::pack(8, &params, &options).unwrap(), size, message);
        if message != narrow {
            let params = PointwiseParams::new(5, &pw);
            check(Pointwise::pack(8, &params, &options).unwrap(), size, message);
            check(Dense::pack(8, &DenseParams::new(5, &pw), &options).unwrap(), size, message);
        }
    }
}
