//! Poison: no output is left as it was, none is made of what lies in gaps or scratch, and nothing
//! beside an output or the scratch is written. [`run`] checks that; here are the runs, with gaps
//! everywhere.

use std::sync::atomic::Ordering;

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{INTACT, Mode, OVERWRITTEN, Random, Spaced, assert_same_bits, levels, run};
use sepconv_kernels::*;

#[test]
fn poison_goes_inside_and_stays_outside() {
    let mut numbers = Random(8);
    let mut runs = 0;
    // Twice as many as in f32 alone: every other one in any types.
    for i in 0..common::scaled(800) {
        for op in OPS {
            let (layer, operands) = random_stored(op, i, &mut numbers);
            let gaps = [0; 3].map(|_| 1 + numbers.below(20));
            let threads = 1 + numbers.below(4);
            for level in levels() {
                let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
                let mut input = |shape: [usize; 4], gap, element| {
                    let dense = Mode::Reals.fill(&mut numbers, shape.iter().product());
                    Spaced::of(shape, gap, &Stored::new(element, &dense))
                };
                let x = input(plan.input_shape(), gaps[0], layer.input_type);
                let residual = input(plan.output_shape(), gaps[1], layer.output_type);
                let y = run(&*plan, &x, Some(&residual), gaps[2], threads);
                // Of numbers alone, so that a NaN would be of poison that an operation changed.
                assert!(!y.iter().any(|y| y.is_nan()), "{layer:?} read poison");
                runs += 1;
            }
        }
    }
    let (overwritten, intact) =
        (OVERWRITTEN.load(Ordering::Relaxed), INTACT.load(Ordering::Relaxed));
    println!("{runs} runs: {overwritten} poisoned outputs written, {intact} canaries intact");
    assert!(overwritten > runs && intact > runs);
}

/// Pictures of more than 6 MiB, of which kernels prefetch what comes next: addresses beyond all
/// operands.
#[test]
fn large_pictures() {
    let input = [1, 150, 149, 73];
    let same =
        |kernel, stride: usize| Window::new([kernel; 2]).stride([stride; 2]).padding(Padding::Same);
    let one = Window::new([1, 1]);
    let mut numbers = Random(9);
    let x = Mode::Reals.fill(&mut numbers, input.iter().product());
    let x = Spaced::new(input, 3, &x);
    let mut runs = 0;
    for (op, window) in [
        (Op::Depthwise { multiplier: 1 }, same(3, 1)),
        (Op::Depthwise { multiplier: 1 }, same(3, 2)),
        (Op::Depthwise { multiplier: 1 }, same(5, 1)),
        (Op::Separable { multiplier: 1 }, same(3, 1)),
        (Op::Pointwise, one),
        (Op::Pointwise, one.stride([2, 2])),
        (Op::Max, same(3, 2)),
    ] {
        let layer = Layer::new(op, input, window, 5);
        let operands = layer.fill(Mode::Reals, &mut numbers);
        let mut first: Option<Vec<f32>> = None;
        for level in levels() {
            let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
            let shape = plan.output_shape();
            let residual = Mode::Reals.fill(&mut Random(10), shape.iter().product());
            let residual = Spaced::new(shape, 1, &residual);
            for threads in [1, 3] {
                let y = run(&*plan, &x, Some(&residual), 2, threads);
                assert_same_bits(plan.kernel_name(), &y, first.get_or_insert_with(|| y.clone()));
                runs += 1;
            }
        }
    }
    println!("{runs} runs over a picture of 6 MiB: the same bits");
}
