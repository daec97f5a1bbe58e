//! Layers of 8-bit integers against the naive loops, to the bit: every operation, on every level,
//! by matrices, by dot products and without.
#![no_main]

use common::Random;
use common::int8::{Case as Integers, OPS, Op, ways};
use libfuzzer_sys::{Corpus, fuzz_target};
use sepconv_fuzz::{Case, one_thread};
use sepconv_kernels::*;

fuzz_target!(|case: Case| -> Corpus {
    one_thread();
    let Some(integers) = integers(&case) else { return Corpus::Reject };
    let expected = integers.expected();
    for level in common::levels() {
        for &way in ways(level) {
            let plan = integers.plan(level, way).unwrap();
            assert_eq!(plan.level(), level);
            let more = (case.threads > 1).then_some(case.threads);
            for threads in [0].into_iter().chain(more) {
                let y = integers.run(&*plan, threads, case.gaps[0]);
                let what = format_args!("{integers} {} on {threads} threads", plan.kernel_name());
                common::assert_same_bits(what, &y, &expected);
            }
        }
    }
    Corpus::Keep
});

/// The layer of a case, if it is one that is small enough.
fn integers(case: &Case) -> Option<Integers> {
    let op = OPS[case.threads.wrapping_add(case.gaps[1]) % OPS.len()];
    let ([n, h, w, c], one) = (case.input, Window::new([1, 1]));
    let groups = if op == Op::Conv { case.groups } else { 1 };
    let c = c.div_ceil(groups) * groups;
    let (input, window) = match op {
        Op::Dense => ([n, 1, 1, c], one),
        Op::Pointwise => ([n, h, w, c], one.stride(case.window.stride)),
        Op::GlobalAveragePool | Op::Elementwise => ([n, h, w, c], one),
        _ => ([n, h, w, c], case.window),
    };
    let multiplier = match op {
        Op::Depthwise | Op::Separable => case.multiplier,
        _ => 1,
    };
    let taps = window.kernel[0] * window.kernel[1];
    let (channels_out, depth) = match op {
        Op::Depthwise => (c * multiplier, taps),
        // Each output channel as if it had depthwise ones of its own.
        Op::Separable => (case.channels_out, c * multiplier * (1 + taps)),
        Op::Pointwise | Op::Dense => (case.channels_out, c),
        Op::Conv => (case.channels_out.div_ceil(groups) * groups, taps * c / groups),
        _ => (c, taps),
    };
    Case { input, ..case.clone() }.output(&window, channels_out, depth)?;
    let sizes = [groups, multiplier, channels_out];
    Some(Integers::of(op, &mut Random(case.seed), input, window, sizes))
}
