//! The activations: their stated errors over all f32, the same bits on all levels, their values at
//! the ends of the range, and their digests.

use common::digest::{Table, digest};
use common::{applied, assert_same_bits, holds, levels, scaled, ulps};
use sepconv_kernels::*;

/// Those that are no clamp, by name.
const ALL: [(&str, Activation); 18] = [
    ("elu", Activation::Elu { alpha: 1.0 }),
    ("elu-0.7", Activation::Elu { alpha: 0.7 }),
    ("silu", Activation::Silu),
    ("hard_swish", Activation::HardSwish),
    ("sigmoid", Activation::Sigmoid),
    ("hard_sigmoid-keras3", Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }),
    ("hard_sigmoid-keras2", Activation::HardSigmoid { slope: 0.2, offset: 0.5 }),
    ("tanh", Activation::Tanh),
    ("gelu", Activation::Gelu),
    ("gelu_tanh", Activation::GeluTanh),
    ("softplus", Activation::Softplus),
    ("mish", Activation::Mish),
    ("leaky_relu-0.3", Activation::LeakyRelu { alpha: 0.3 }),
    ("leaky_relu-0", Activation::LeakyRelu { alpha: 0.0 }),
    ("thresholded_relu", Activation::ThresholdedRelu { slope: 0.1, threshold: 0.5, max: 4.0 }),
    ("thresholded_relu-0", Activation::ThresholdedRelu { slope: 0.0, threshold: -1.0, max: 6.0 }),
    ("softsign", Activation::Softsign),
    ("exponential", Activation::Exponential),
];

/// Every so manieth f32 from the `first` on, in the order of their bits.
fn numbers(first: u32, step: usize) -> impl Iterator<Item = f32> {
    (first..=u32::MAX).step_by(step).map(f32::from_bits)
}

/// The distance of neighbouring f32 around a number, that of subnormals below 2⁻¹²⁶.
fn ulp(exact: f64) -> f64 {
    2.0_f64.powi(exact.abs().log2().floor().max(-126.0) as i32 - 23)
}

/// The error of y = activation(x), in ULP, if that is what is promised of it; other promises are
/// checked.
fn error(activation: Activation, x: f32, y: f32) -> f64 {
    let exact = naive::activate(activation, x.into());
    let wrong = || format!("{activation:?}({x:e}) = {y:e}, exactly {exact:e}");
    if exact.is_nan() {
        holds(y.is_nan(), wrong);
        return 0.0;
    }
    let absolute = (f64::from(y) - exact).abs();
    match activation {
        Activation::Silu if x < -88.3 => holds(absolute < 4e-37, wrong),
        // x + 3 is rounded: near −3 only the absolute error is small. The product may be subnormal,
        // and is then rounded by half of the least step.
        Activation::HardSwish if x < 0.0 => {
            let step = f64::from(f32::from_bits(1));
            holds(absolute <= 4e-7 * f64::from(x.abs().min(3.0)) + 0.5 * step, wrong);
        }
        // So is the product, once: near 0 it loses as much as there was.
        Activation::HardSigmoid { .. } => {
            holds(y == exact as f32 || absolute <= 0.500_001 * ulp(exact), wrong);
        }
        Activation::ThresholdedRelu { slope, threshold, .. } if x < threshold => {
            let rounded = f64::from(slope) * f64::from(x - threshold);
            holds(y == rounded as f32 || (rounded as f32).is_infinite(), wrong);
        }
        _ if exact.abs() > f64::from(f32::MAX) => {
            // Beyond half a step above the largest f32 lies ∞.
            holds(y.abs() == f32::INFINITY || f64::from(y.abs()) >= f64::from(f32::MAX), wrong);
            holds(y.is_sign_positive() == exact.is_sign_positive(), wrong);
        }
        _ if y.is_infinite() => {
            // A result within its error of the largest.
            holds(exact.abs() >= f64::from(f32::MAX) * (1.0 - 1e-6), wrong);
        }
        _ => {
            let error = absolute / ulp(exact);
            holds(error <= ulps(activation), || format!("{}: {error} ULP", wrong()));
            return error;
        }
    }
    0.0
}

/// The largest error of these numbers on one level, and the number that has it.
fn worst(activation: Activation, level: Level, x: &[f32]) -> (f64, f32) {
    let y = applied(x, activation, level);
    x.iter().zip(&y).map(|(&x, &y)| (error(activation, x, y), x)).fold((0.0, 0.0), larger)
}

fn larger(a: (f64, f32), b: (f64, f32)) -> (f64, f32) {
    if b.0 > a.0 { b } else { a }
}

#[test]
fn errors_are_those_stated() {
    let step = (u32::MAX / scaled(400_000)) as usize;
    // Where something begins or ends, and its neighbours.
    let edges = [
        1.0_f32,
        3.0,
        9.0,
        11.0,
        14.5,
        20.0,
        25.0,
        87.0,
        87.34,
        88.0,
        88.3,
        88.722_84,
        90.0,
        102.9,
        103.97,
        104.0,
        105.0,
        108.0,
        110.0,
        1e-4,
        1.220_703_1e-4,
        0.346_573_6,
        std::f32::consts::LN_2,
        0.5,
    ];
    let near = edges.iter().flat_map(|edge| (0..5).map(|i| f32::from_bits(edge.to_bits() + i - 2)));
    let x: Vec<f32> = numbers(0, step).chain(near.flat_map(|x| [x, -x])).collect();
    for (name, activation) in ALL {
        let mut first: Option<Vec<f32>> = None;
        for level in levels() {
            let y = applied(&x, activation, level);
            let what = format_args!("{name} on {level}");
            assert_same_bits(what, &y, first.get_or_insert_with(|| y.clone()));
        }
        let (worst, at) = worst(activation, levels()[0], &x);
        println!("{name}: {worst:.2} ULP at {at:e}, of {} numbers", x.len());
    }
}

/// All 2³² of them, on the best level, which the test above compares with the others: some minutes
/// each. `checks/activations.sh` runs it, for the activation that it names or for all.
#[test]
#[ignore = "an hour"]
fn errors_of_all_numbers() {
    const CHUNK: usize = 1 << 16;
    let level = *levels().last().expect("a level");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let only = std::env::var("SEPCONV_ACTIVATION").unwrap_or_default();
    let chosen = ALL.into_iter().filter(|(name, _)| only.is_empty() || *name == only);
    let chosen: Vec<_> = chosen.collect();
    assert!(!chosen.is_empty(), "expected one of {:?}, got {only:?}", ALL.map(|(name, _)| name));
    for (name, activation) in chosen {
        let of = |thread: usize| {
            let chunks = ((1 << 32) / CHUNK as u64) as usize;
            let largest = (thread..chunks).step_by(threads).map(|chunk| {
                let x: Vec<f32> = numbers((chunk * CHUNK) as u32, 1).take(CHUNK).collect();
                worst(activation, level, &x)
            });
            largest.fold((0.0, 0.0), larger)
        };
        let (worst, at) = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of(thread))).collect();
            let worst = all.into_iter().map(|thread| thread.join().expect("no mismatch"));
            worst.fold((0.0, 0.0), larger)
        });
        println!("{name}: {worst:.3} ULP at {at:e} on {level}");
    }
}

#[test]
fn ends_of_the_range() {
    let inf = f32::INFINITY;
    let x = [-0.0, 0.0, inf, -inf, f32::NAN];
    let nan = f32::NAN;
    let leaky = Activation::LeakyRelu { alpha: 0.3 };
    let keras2 = Activation::HardSigmoid { slope: 0.2, offset: 0.5 };
    let threshold = Activation::ThresholdedRelu { slope: 0.5, threshold: 1.0, max: 6.0 };
    let flat = Activation::ThresholdedRelu { slope: 0.0, threshold: 0.0, max: inf };
    let ln2 = core::f32::consts::LN_2;
    for (activation, expected) in [
        (Activation::Elu { alpha: 0.7 }, [0.0, 0.0, inf, -0.7, nan]),
        (Activation::Silu, [-0.0, 0.0, inf, -0.0, nan]),
        (Activation::HardSwish, [-0.0, 0.0, inf, nan, nan]),
        (Activation::Sigmoid, [0.5, 0.5, 1.0, 0.0, nan]),
        (keras2, [0.5, 0.5, 1.0, 0.0, nan]),
        (Activation::Tanh, [-0.0, 0.0, 1.0, -1.0, nan]),
        (Activation::Gelu, [-0.0, 0.0, inf, -0.0, nan]),
        (Activation::GeluTanh, [-0.0, 0.0, inf, -0.0, nan]),
        (Activation::Softplus, [ln2, ln2, inf, 0.0, nan]),
        (Activation::Mish, [-0.0, 0.0, inf, -0.0, nan]),
        (leaky, [-0.0, 0.0, inf, -inf, nan]),
        (Activation::LeakyRelu { alpha: 0.0 }, [-0.0, 0.0, inf, 0.0, nan]),
        (threshold, [-0.5, -0.5, 6.0, -inf, nan]),
        (flat, [-0.0, 0.0, inf, 0.0, nan]),
        (Activation::Softsign, [-0.0, 0.0, 1.0, -1.0, nan]),
        (Activation::Exponential, [1.0, 1.0, inf, 0.0, nan]),
    ] {
        for level in levels() {
            // Whole vectors and tails.
            let cycle = |values: [f32; 5]| values.into_iter().cycle().take(23).collect::<Vec<_>>();
            let got = applied(&cycle(x), activation, level);
            assert_same_bits(format_args!("{activation:?} on {level}"), &got, &cycle(expected));
        }
    }
}

/// Results that all levels of all CPUs give, of one number in 2¹⁸.
#[test]
fn digests_of_activations() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/activations.txt");
    let mut table = Table::new(file, include_str!("digests/activations.txt"));
    let x: Vec<f32> = numbers(12_345, 1 << 18).collect();
    for (name, activation) in ALL {
        for level in levels() {
            let entered = table.enter(name, digest(&applied(&x, activation, level)));
            holds(entered.is_ok(), || format!("{level}: {entered:?}"));
        }
    }
    table.close();
}
