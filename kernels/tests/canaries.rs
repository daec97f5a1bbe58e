//! Poison: no output is left as it was, none is made of what lies in gaps or scratch, and nothing beside an
//! output or the scratch is written. [`run`] checks that; here are the runs, with gaps everywhere.

mod common;

use std::sync::atomic::Ordering;

use common::layer::{OPS, random};
use common::{INTACT, Mode, OVERWRITTEN, Random, Spaced, levels, run};

#[test]
fn poison_goes_inside_and_stays_outside() {
    let mut numbers = Random(8);
    let mut runs = 0;
    for _ in 0..common::scaled(400) {
        for op in OPS {
            let layer = random(op, &mut numbers);
            let operands = layer.fill(Mode::Reals, &mut numbers);
            let gaps = [0; 3].map(|_| 1 + numbers.below(20));
            let threads = 1 + numbers.below(4);
            for level in levels() {
                let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
                let mut input = |shape: [usize; 4], gap| {
                    let dense = Mode::Reals.fill(&mut numbers, shape.iter().product());
                    Spaced::new(shape, gap, &dense)
                };
                let x = input(plan.input_shape(), gaps[0]);
                let residual = input(plan.output_shape(), gaps[1]);
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
