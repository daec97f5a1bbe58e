//! Very many small random shapes for each kernel, in integers (exact in all types), on every level:
//! at least 100,000 a kernel at full effort, and never fewer than 250. The larger and the inexact
//! cases are `differential`'s and `halves`'.

use common::half::Stored;
use common::layer::{Layer, Op};
use common::{Mode, Random, Spaced, activated, assert_same_bits, levels, run};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

/// What has a kernel of its own.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    /// Depthwise k×k.
    Square(usize),
    /// Depthwise of other heights, of a width that has a kernel; also of that height and one column,
    /// and dilated.
    Wide(usize),
    /// Depthwise of a width that has none of its own, likewise.
    Long,
    /// Depthwise of other widths or dilated.
    Other,
    /// Depthwise with a multiplier, or an activation on load that is not ReLU.
    Any,
    Operation(Op),
}

/// Integers stay integers.
const CLAMP: Activation = Activation::Clamp { lo: -3.0, hi: 2.0 };

fn layer(kernel: Kernel, stride: usize, load: Activation, random: &mut Random) -> Layer {
    let mut below = |n: usize| random.below(n);
    // Now and then a batch; wider than any tile; more than two vectors.
    let n = 1 + usize::from(below(8) == 0);
    let h = 1 + below(4);
    let w = 1 + if below(8) == 0 { below(33) } else { below(6) };
    let c = 1 + if below(8) == 0 { below(40) } else { below(17) };
    let (mut op, mut dilation) = (Op::Depthwise { multiplier: 1 }, [1, 1]);
    let (mut input_activation, mut input) = (load, [n, h, w, c]);
    let mut shape = [1 + below(3), 1 + below(3)];
    let mut channels_out = 1 + below(40);
    match kernel {
        Kernel::Square(k) => shape = [k, k],
        Kernel::Wide(_) | Kernel::Long => {
            let k = match kernel {
                Kernel::Wide(k) => k,
                _ => [4, 6, 8, 9, 11, 31][below(6)],
            };
            shape = if below(4) == 0 { [k, 1] } else { [1 + below(4), k] };
            if stride == 1 && below(4) == 0 {
                dilation = [1 + below(3), 1 + below(3)];
            }
        }
        Kernel::Other if below(2) == 0 => {
            let width = [1, 2, 3, 4, 6][below(5)];
            shape = [if width == 3 { [1, 2, 4][below(3)] } else { 1 + below(4) }, width];
        }
        Kernel::Other => dilation = [1 + below(2), 2 + below(2)],
        Kernel::Any if below(2) == 0 => op = Op::Depthwise { multiplier: 2 + below(2) },
        Kernel::Any => input_activation = CLAMP,
        Kernel::Operation(operation) => {
            op = operation;
            match op {
                Op::Conv { groups } => {
                    input[3] = groups * (1 + below(9));
                    channels_out = groups * (1 + below(20));
                }
                Op::Dense => input = [1 + below(20), 1, 1, c],
                _ => {}
            }
        }
    }
    if shape[1] == 1 && matches!(kernel, Kernel::Other) {
        // Any width will do, but a dilation needs a second tap.
        dilation = [1, 1];
    }
    if matches!(op, Op::Pointwise | Op::Dense) {
        (shape, dilation) = ([1, 1], [1, 1]);
    }
    let window = Window::new(shape).stride([stride; 2]).dilation(dilation);
    // Enough to fit, on any side; of depthwise kernels perhaps more.
    let extent = [0, 1].map(|axis| (shape[axis] - 1) * dilation[axis]);
    let beyond = match op {
        Op::Depthwise { .. } if below(4) == 0 => 1 + below(9),
        _ => 0,
    };
    let padding = match below(3) {
        0 if h > extent[0] && w > extent[1] => Padding::Valid,
        1 => Padding::Explicit {
            top: below(extent[0] + 1),
            bottom: extent[0],
            left: extent[1] + beyond,
            right: below(extent[1] + 1),
        },
        _ => Padding::Same,
    };
    let activation = [Activation::None, Activation::Relu, CLAMP][below(3)];
    let mid_activation = [Activation::None, Activation::Relu][below(2)];
    let window =
        if matches!(op, Op::Pointwise | Op::Dense) { window } else { window.padding(padding) };
    Layer {
        input_activation,
        mid_activation,
        activation,
        ..Layer::new(op, input, window, channels_out)
    }
}

/// The result by the naive loops.
fn expected(layer: &Layer, x: &[f32], operands: &[Vec<f32>; 4], residual: &[f32]) -> Vec<f32> {
    let x = activated(x, layer.input_activation);
    let (input, window) = (layer.input, layer.window);
    let conv = |input, x: &[f32], window, groups, channels_out, weights: usize| {
        let (weights, bias) = (&operands[weights], Some(&operands[weights + 1][..]));
        naive::conv(&Reference { input, x, window, groups, channels_out, weights, bias })
    };
    let (c, o) = (input[3], layer.channels_out);
    let sums = match layer.op {
        Op::Depthwise { multiplier } => conv(input, &x, window, c, c * multiplier, 0),
        Op::Separable { multiplier } => {
            let first = conv(input, &x, window, c, c * multiplier, 0);
            let middle: Vec<f32> = first.iter().map(|sum| sum.value as f32).collect();
            let middle = activated(&middle, layer.mid_activation);
            let [h, w] = common::output(&window, input).unwrap();
            conv([input[0], h, w, c * multiplier], &middle, Window::new([1, 1]), 1, o, 2)
        }
        Op::Conv { groups } => conv(input, &x, window, groups, o, 0),
        Op::Pointwise | Op::Dense => conv(input, &x, window, 1, o, 0),
        Op::Max => naive::pool(PoolKind::Max, input, &x, &window),
        // The quotient of small integers is the same rounded by way of f64.
        Op::Average => naive::pool(PoolKind::Average, input, &x, &window),
        Op::GlobalAverage | Op::Elementwise => unreachable!("not among the kernels here"),
    };
    let results = sums.iter().zip(residual).map(|(sum, r)| sum.value as f32 + r);
    activated(&results.collect::<Vec<_>>(), layer.activation)
}

/// Runs one layer on each level, with weights of a type.
fn compare(layer: &Layer, weights: ElementType, random: &mut Random) {
    compare_in(&|_| vec![layer.arithmetic], layer, weights, random);
}

/// The same of the layer with this number in two arithmetics, which are exact in small integers: on
/// each level in the one that it has most kernels for, and by turns in the other.
fn compare_in_both(
    kernel: Kernel,
    number: u32,
    layer: &Layer,
    weights: ElementType,
    random: &mut Random,
) {
    let turns = match kernel {
        Kernel::Any => 1,
        Kernel::Operation(Op::Max | Op::Average) => u32::MAX,
        Kernel::Operation(_) => 2,
        _ => 4,
    };
    let arithmetics = |level: Level| {
        let mut both = [Arithmetic::Exact, Arithmetic::Unfused];
        if !level.has_fma() && level != Level::Scalar {
            both.reverse();
        }
        both[..if number.is_multiple_of(turns) { 2 } else { 1 }].to_vec()
    };
    compare_in(&arithmetics, layer, weights, random);
}

/// The same in the arithmetics that are given for a level.
fn compare_in(
    arithmetics: &dyn Fn(Level) -> Vec<Arithmetic>,
    layer: &Layer,
    weights: ElementType,
    random: &mut Random,
) {
    let stored = layer.fill_stored(weights, Mode::Integers, random);
    let operands = stored.each_ref().map(Stored::values);
    let x = Mode::Integers.fill(random, layer.input.iter().product());
    let x_stored = Stored::new(layer.input_type, &x);
    let x_spaced = Spaced::of(layer.input, random.below(3), &x_stored);
    let mut wanted = None;
    let operands_of = || stored.each_ref().map(Stored::elements);
    let plans = levels().into_iter().flat_map(|level| {
        let of = |arithmetic| Layer { arithmetic, ..*layer }.plans(operands_of(), level).unwrap();
        arithmetics(level).into_iter().flat_map(of).collect::<Vec<_>>()
    });
    for plan in plans {
        let (residual, wanted) = wanted.get_or_insert_with(|| {
            let output = plan.output_shape();
            let residual = Mode::Integers.fill(random, output.iter().product());
            let wanted = expected(layer, &x, &operands, &residual);
            // Rounded once, if at all.
            let wanted = Stored::new(layer.output_type, &wanted).into_values();
            let residual = Stored::new(layer.output_type, &residual);
            (Spaced::of(output, 0, &residual), wanted)
        });
        let got = run(&*plan, &x_spaced, Some(residual), 0, 0);
        assert_same_bits(format_args!("{layer:?}, weights of {weights}"), &got, wanted);
    }
}

/// How many shapes a kernel gets.
fn cases() -> u32 {
    // Emulated CPUs take half, so that those of 16 bits cost them nothing.
    let plain = if common::effort() < 100.0 { 50_000 } else { 100_000 };
    common::scaled(plain).max(250)
}

/// Runs that many random layers on each level.
fn check(kernel: Kernel, stride: usize, load: Activation) {
    let cases = cases();
    let mut random = Random(stride as u64);
    for i in 0..cases {
        let layer = layer(kernel, stride, load, &mut random);
        compare_in_both(kernel, i, &layer, ElementType::F32, &mut random);
    }
    // One kernel serves an input as it is and its ReLU, except those of pools: half in each of two
    // tests.
    let pool = matches!(kernel, Kernel::Operation(Op::Max | Op::Average));
    let halves = if pool { cases } else { cases.div_ceil(2) };
    // Other kernels store 16 bits of another type than their input's; they serve all windows.
    let to_any = cases / 20;
    let [f32, f16, bf16] = ElementType::FLOATS;
    for (input_type, cases, own) in [
        (f16, halves, true),
        (bf16, halves, true),
        (f32, 2 * to_any, false),
        (f16, to_any, false),
        (bf16, to_any, false),
    ] {
        for i in 0..cases {
            let (typed, weights) =
                layer(kernel, stride, load, &mut random).of_any_types(&mut random);
            let output_type = match typed.output_type {
                ElementType::F32 => f32,
                _ if own => input_type,
                other => other,
            };
            let typed = Layer { input_type, output_type, ..typed };
            compare_in_both(kernel, i, &typed, weights, &mut random);
        }
    }
    // Of any types, made of planes.
    for _ in 0..8 * to_any {
        let (typed, weights) = layer(kernel, stride, load, &mut random).of_any_types(&mut random);
        compare(&typed.of_planes(&mut random), weights, &mut random);
    }
    println!(
        "{kernel:?}, stride {stride}, {load:?} on load: {cases} shapes of f32, {halves} of f16, \
         {halves} of bf16, {} from any to any, {} of planes on {:?}",
        4 * to_any,
        8 * to_any,
        levels()
    );
}

/// By dot products of bf16, which are exact in small integers, too.
#[test]
fn dot_products() {
    let available = kernels().iter().any(|k| k.available && k.name.contains("_dot_"));
    let cases = if available { cases() } else { 10 };
    let mut random = Random(3);
    for i in 0..cases {
        let op = if i % 2 == 0 { Op::Pointwise } else { Op::Dense };
        let layer = layer(Kernel::Operation(op), 1, Activation::None, &mut random);
        let (typed, _) = layer.of_any_types(&mut random);
        let layer = Layer { arithmetic: Arithmetic::Fast, ..typed };
        compare(&layer, ElementType::Bf16, &mut random);
    }
    let ran = if available { "by dot products" } else { "dot products NOT RUN" };
    println!("{cases} shapes of bf16 weights, {ran}");
}

/// In the arithmetic bf16, which is exact in small integers, too: of few pixels, and of more.
#[test]
#[cfg(feature = "bf16")]
fn arithmetic_bf16() {
    let cases = cases();
    let mut random = Random(6);
    let ops = [
        Op::Pointwise,
        Op::Dense,
        Op::Conv { groups: 1 },
        Op::Conv { groups: 2 },
        Op::Separable { multiplier: 1 },
    ];
    for i in 0..4 * cases as usize / 3 {
        let op = ops[i % ops.len()];
        let layer = layer(Kernel::Operation(op), 1 + i % 2, Activation::None, &mut random);
        let (layer, weights) = layer.of_any_types(&mut random);
        // Weights of f32 have the same kernels for few pixels as for more.
        let of_few = if weights == ElementType::F32 { ElementType::Bf16 } else { weights };
        let layer = if i % 3 == 0 { layer.of_planes(&mut random) } else { layer };
        let window = match op {
            // Three taps, so that what they add up to is at most 200, which bf16 has exactly.
            Op::Separable { .. } => {
                let window = Window::new([1, 1 + random.below(3)]).stride(layer.window.stride);
                window.padding(Padding::Same)
            }
            _ => layer.window,
        };
        let layer = Layer { arithmetic: Arithmetic::Bf16, window, ..layer };
        compare(&layer, of_few, &mut random);
        let (c, window) = (layer.input[3], layer.window.stride([1, 1]).padding(Padding::Same));
        let input = match op {
            Op::Dense => [24 + random.below(40), 1, 1, c],
            _ => [1, 4, 6 + random.below(4), c],
        };
        // Of one region: all pixels see all taps.
        let window = match op {
            Op::Conv { .. } => Window::new([1, 1]),
            _ => window,
        };
        compare(&Layer { input, window, ..layer }, weights, &mut random);
    }
    println!("{cases} shapes in the arithmetic bf16 for few and for 24 pixels and more");
}

/// Weights of 16 bits that are widened before they are multiplied, as those of more than a few
/// pixels are: more pixels than most layers here have.
#[test]
fn widened_weights() {
    let cases = cases();
    let mut random = Random(4);
    for i in 0..cases {
        for weights in [ElementType::F16, ElementType::Bf16] {
            let op = if i % 2 == 0 { Op::Pointwise } else { Op::Separable { multiplier: 1 } };
            let layer = layer(Kernel::Operation(op), 1, Activation::None, &mut random);
            let input = [1, 4, 6 + random.below(4), layer.input[3]];
            let window = layer.window.padding(Padding::Same);
            compare(&Layer { input, window, ..layer }, weights, &mut random);
        }
    }
    println!("{cases} shapes of f16 and of bf16 weights for 24 to 36 pixels");
}

/// Taps that the GEMM reads in the input: rows of pixels that fill micro-tiles, or one column. (A
/// third of the views are dense.)
#[test]
fn taps_in_place() {
    let cases = cases();
    let mut random = Random(6);
    for i in 0..cases {
        let mut layer =
            layer(Kernel::Operation(Op::Conv { groups: 1 }), 1, Activation::None, &mut random);
        let mut below = |n: usize| random.below(n);
        // A column of taps can be of a group of channels.
        let (groups, kw) = if i % 4 == 0 { (1 + below(2), 1) } else { (1, 1 + below(5)) };
        let (kh, stride) = (1 + below(4), [1 + below(3), 1 + below(3)]);
        let window = Window::new([kh, kw]).stride(stride).dilation([1 + below(2), 1]);
        let mut side = |extent: usize| if below(2) == 0 { 0 } else { below(extent) };
        let padding = Padding::Explicit {
            top: side(3 * kh),
            bottom: side(2 * kh),
            left: side(kw + 1),
            right: side(kw + 1),
        };
        let width = if i % 8 == 0 { kw + below(2) } else { 12 * stride[1] + kw + below(30) };
        let channels = groups * (1 + below(6));
        layer.op = Op::Conv { groups };
        layer.input = [layer.input[0], 2 * kh + below(4), width, channels];
        layer.channels_out = groups * (1 + below(40));
        layer.window = window.padding(if below(3) == 0 { Padding::Same } else { padding });
        let weights = [ElementType::F32, ElementType::F32, ElementType::F16][i as usize % 3];
        compare(&layer, weights, &mut random);
    }
    println!("{cases} shapes");
}

/// Pixels 2 KiB and 4 KiB apart, whose strips are narrower on AVX2, and neighbours of these.
#[test]
fn aliased_pixels() {
    let mut random = Random(5);
    let channels = [512, 1024, 496, 528];
    for i in 0..common::scaled(64).max(4) as usize {
        let load = [Activation::None, Activation::Relu][i / 4 % 2];
        let layer = layer(Kernel::Square(3), 1 + i / 8 % 2, load, &mut random);
        let input = [1, 3 + random.below(3), 3 + random.below(6), channels[i % 4]];
        compare(&Layer { input, ..layer }, ElementType::F32, &mut random);
    }
}

macro_rules! kernels {
    ($($name:ident: $kernel:expr, $stride:literal;)*) => {
        $(
            mod $name {
                use super::*;

                #[test]
                fn plain() {
                    check($kernel, $stride, Activation::None);
                }

                #[test]
                fn relu() {
                    check($kernel, $stride, Activation::Relu);
                }
            }
        )*
    };
}

kernels! {
    depthwise_3x3_s1: Kernel::Square(3), 1;
    depthwise_3x3_s2: Kernel::Square(3), 2;
    depthwise_k3: Kernel::Wide(3), 1;
    depthwise_k5_s1: Kernel::Wide(5), 1;
    depthwise_k5_s2: Kernel::Wide(5), 2;
    depthwise_k7_s1: Kernel::Wide(7), 1;
    depthwise_k7_s2: Kernel::Wide(7), 2;
    depthwise_long: Kernel::Long, 1;
    depthwise_other: Kernel::Other, 1;
    depthwise_any: Kernel::Any, 1;
    pointwise: Kernel::Operation(Op::Pointwise), 1;
    pointwise_s2: Kernel::Operation(Op::Pointwise), 2;
    dense: Kernel::Operation(Op::Dense), 1;
    standard: Kernel::Operation(Op::Conv { groups: 1 }), 1;
    grouped: Kernel::Operation(Op::Conv { groups: 2 }), 2;
    separable: Kernel::Operation(Op::Separable { multiplier: 1 }), 1;
    max: Kernel::Operation(Op::Max), 1;
    average: Kernel::Operation(Op::Average), 1;
}
