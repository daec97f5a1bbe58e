//! Operations on lines, of two tensors and normalizations, against the naive loops on every level,
//! and their bits: the same everywhere.

use std::fmt::Display;

use common::digest::{Table, digest};
use common::half::{Stored, roundoff};
use common::{
    Mode, Random, Spaced, activated, assert_close, assert_same_bits, gamma, holds, levels, run,
    run_rows, scaled,
};
use sepconv_kernels::*;

const OPS: [BinaryOp; 6] = [
    BinaryOp::Add,
    BinaryOp::Subtract,
    BinaryOp::Multiply,
    BinaryOp::Maximum,
    BinaryOp::Minimum,
    BinaryOp::PRelu,
];

/// How many shapes a kernel gets.
fn cases() -> usize {
    scaled(100_000).max(600) as usize
}

fn elements(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

fn options(level: Level, types: [ElementType; 2], activation: Activation) -> Options {
    let [input_type, output_type] = types;
    let options = Options::default().level(level).activation(activation);
    options.input_type(input_type).output_type(output_type)
}

/// Element (n, h, w, c) of a tensor of which one element of a dimension may stand for all.
fn at(shape: [usize; 4], index: [usize; 4]) -> usize {
    (0..4).fold(0, |at, axis| {
        let i = if shape[axis] == 1 { 0 } else { index[axis] };
        at * shape[axis] + i
    })
}

fn indices([n, h, w, c]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..n * h * w * c).map(move |i| [i / c / w / h, i / c / w % h, i / c % w, i % c])
}

/// The types of input and output.
fn types(turn: usize) -> [ElementType; 2] {
    let [f32, f16, bf16] = ElementType::FLOATS;
    [[f32, f32], [f16, f16], [bf16, bf16], [f32, f16], [bf16, f32]][turn % 5]
}

#[test]
fn operations_of_two_tensors_are_those_of_the_naive_loops() {
    let mut random = Random(29);
    for case in 0..cases() {
        let mut output = [1 + random.below(2), 1 + random.below(3), 1 + random.below(3), 0];
        // Beyond a block now and then, and in several tasks.
        output[3] = 1 + match case % 256 {
            0 => random.below(1100),
            1..32 => random.below(100),
            _ => random.below(20),
        };
        if case % 64 == 5 {
            output[1] += 9;
        }
        let [mut first, mut second] = [output; 2];
        for (a, b) in first.iter_mut().zip(&mut second) {
            match random.below(4) {
                0 => *a = 1,
                1 => *b = 1,
                _ => {}
            }
        }
        let shapes = if case % 3 == 0 { [output; 2] } else { [first, second] };
        let output: [usize; 4] = std::array::from_fn(|i| shapes[0][i].max(shapes[1][i]));
        let (op, types) = (OPS[case % OPS.len()], types(case / OPS.len()));
        // A clamp that keeps zeros of either sign.
        let clamp = Activation::Clamp { lo: -3.0, hi: 20.0 };
        let activation = [Activation::None, clamp][random.below(2)];
        let mode = [Mode::Integers, Mode::Specials][random.below(2)];
        let [a, b] = [0, 1].map(|i| {
            let values = mode.fill(&mut random, elements(shapes[i]));
            Stored::new(types[i], &values)
        });
        let (a_values, b_values) = (a.values(), b.values());
        let values = indices(output).map(|index| {
            let [a, b] = [(&a_values, shapes[0]), (&b_values, shapes[1])]
                .map(|(values, shape)| f64::from(values[at(shape, index)]));
            // One rounding by way of f64 is one rounding.
            naive::binary(op, a, b) as f32
        });
        let wanted = activated(&values.collect::<Vec<_>>(), activation);
        let wanted = Stored::new(types[1], &wanted).into_values();
        let (gap, threads) = (random.below(3), if case % 64 == 5 { 3 } else { 0 });
        let [a, b] = [(shapes[0], &a), (shapes[1], &b)]
            .map(|(shape, values)| Spaced::of(shape, gap, values));
        for level in levels() {
            let options = options(level, types, activation);
            let plan = Binary::new(op, shapes[0], shapes[1], &options).unwrap();
            assert_eq!(plan.output_shape(), output);
            let got = run(&plan, &a, Some(&b), gap, threads);
            assert_same_bits(format_args!("{op:?} of {shapes:?} {types:?}"), &got, &wanted);
        }
    }
}

#[test]
fn some_rows_have_the_bits_of_all() {
    let mut random = Random(1);
    let shape = [2, 9, 4, 19];
    let [x, r] = [(); 2].map(|()| Stored::F32(Mode::Reals.fill(&mut random, elements(shape))));
    let line = Stored::F32(Mode::Reals.fill(&mut random, 2 * 19));
    let params = NormalizationParams::new(NormalizationKind::Layer, 1e-3);
    for level in levels() {
        let options = Options::default().level(level);
        let product = Binary::new(BinaryOp::Multiply, shape, [2, 1, 1, 19], &options).unwrap();
        let norm = Normalization::new(shape, &params, &options).unwrap();
        let x_all = Spaced::of(shape, 1, &x);
        let whole = [
            run(&product, &x_all, Some(&Spaced::of([2, 1, 1, 19], 0, &line)), 0, 0),
            run(&norm, &x_all, Some(&Spaced::of(shape, 0, &r)), 0, 0),
        ];
        for rows in [0..1, 3..4, 2..9, 8..9] {
            let part = Spaced::rows(shape, rows.clone(), 1, &x);
            let seconds =
                [Spaced::of([2, 1, 1, 19], 0, &line), Spaced::rows(shape, rows.clone(), 0, &r)];
            let plans: [&dyn Plan; 2] = [&product, &norm];
            for ((plan, second), whole) in plans.into_iter().zip(seconds).zip(&whole) {
                assert_eq!(plan.input_rows(rows.clone()), rows);
                let got = run_rows(plan, rows.clone(), &part, Some(&second), 0, 2);
                let whole = Stored::F32(whole.clone());
                let wanted = Spaced::rows(shape, rows.clone(), 0, &whole).data.into_values();
                assert_same_bits(format_args!("rows {rows:?}"), &got, &wanted);
            }
        }
    }
}

/// A normalization and its operands.
struct Case {
    kind: NormalizationKind,
    shape: [usize; 4],
    types: [ElementType; 2],
    activation: Activation,
    x: Stored,
    residual: Option<Stored>,
    affine: [Vec<f32>; 2],
}

const EPSILON: f32 = 1e-3;

impl Case {
    fn new(number: usize, random: &mut Random, mode: Mode) -> Self {
        let groups = 1 + random.below(4);
        let kinds = [
            NormalizationKind::Layer,
            NormalizationKind::Rms,
            NormalizationKind::Unit,
            NormalizationKind::Group { groups },
        ];
        let kind = kinds[number % 4];
        let of_group = 1 + match number % 253 {
            0 => random.below(1100),
            1..32 => random.below(100),
            _ => random.below(20),
        };
        let channels = if number % 4 == 3 { groups * of_group } else { of_group };
        let rows = if number % 61 == 5 { 17 } else { 3 };
        let shape = [1 + random.below(2), 1 + random.below(rows), 1 + random.below(3), channels];
        let types = types(number / 4);
        let mut fill = |len: usize, mode: Mode| mode.fill(random, len);
        let x = Stored::new(types[0], &fill(elements(shape), mode));
        let residual = fill(elements(shape), Mode::Reals);
        let affine = [(); 2].map(|()| fill(channels, Mode::Reals));
        Self {
            kind,
            shape,
            types,
            activation: [Activation::None, Activation::Relu][number / 8 % 2],
            x,
            residual: (number.is_multiple_of(3)).then(|| Stored::new(types[1], &residual)),
            affine,
        }
    }

    fn run(&self, level: Level, gap: usize, threads: usize) -> Vec<f32> {
        let [scale, shift] = &self.affine;
        let params = NormalizationParams::new(self.kind, EPSILON).scale(scale).shift(shift);
        let options = options(level, self.types, self.activation);
        let plan = Normalization::new(self.shape, &params, &options).unwrap();
        let x = Spaced::of(self.shape, gap, &self.x);
        let residual = self.residual.as_ref().map(|r| Spaced::of(self.shape, gap, r));
        run(&plan, &x, residual.as_ref(), gap, threads)
    }

    fn check(&self, what: impl Display, got: &[f32]) {
        let x = self.x.values();
        let values = naive::normalize(self.kind, f64::from(EPSILON), self.shape, &x);
        let [_, h, w, c] = self.shape;
        // Of partial sums, their sum, and what is made of it. A distance from the mean is off by
        // what the mean is, which is as large as the largest element.
        let chain = match self.kind {
            NormalizationKind::Group { groups } => w * (c / groups).div_ceil(32) + h + 16,
            _ => c.div_ceil(32) + 16,
        };
        let (relative, absolute) = roundoff(self.types[1]);
        let residual = self.residual.as_ref().map_or(vec![0.0; got.len()], Stored::values);
        for (i, (&got, value)) in got.iter().zip(values).enumerate() {
            let [scale, shift] = [0, 1].map(|a| f64::from(self.affine[a][i % c]));
            let residual = f64::from(residual[i]);
            let wanted = naive::activate(self.activation, value * scale + shift + residual);
            // x is within [−1, 1], and divided by √ε at least.
            let most = 1.0 / f64::from(EPSILON).sqrt();
            let error = 4.0 * gamma(chain) * (most * scale.abs() + shift.abs() + residual.abs());
            let bound = error + relative * (wanted.abs() + error) + absolute;
            assert_close(&format!("{what}"), i, got, wanted, bound);
        }
    }
}

#[test]
fn normalizations_are_those_of_the_naive_loops() {
    let mut random = Random(7);
    for number in 0..cases() {
        let case = Case::new(number, &mut random, Mode::Reals);
        let mut first: Option<Vec<f32>> = None;
        for level in levels() {
            let got = case.run(level, number % 3, if number % 61 == 5 { 3 } else { 0 });
            let what = format!("{:?} of {:?} on {level}", case.kind, case.shape);
            case.check(&what, &got);
            assert_same_bits(&what, &got, first.get_or_insert_with(|| got.clone()));
        }
    }
}

#[test]
fn digests() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests/lines.txt");
    let mut table = Table::new(file, include_str!("digests/lines.txt"));
    let mut random = Random(3);
    for number in 0..120 {
        let mode = if number % 5 == 4 { Mode::Specials } else { Mode::Reals };
        let case = Case::new(number, &mut random, mode);
        for level in levels() {
            let digest = digest(&case.run(level, 0, 1));
            let [n, h, w, c] = case.shape;
            let kind = format!("{:?}", case.kind).to_lowercase();
            let name = format!("{number:03} {kind} {n}x{h}x{w}x{c}");
            let entered = table.enter(&name, digest);
            holds(entered.is_ok(), || format!("{level}: {}", entered.unwrap_err()));
        }
    }
    table.close();
}

#[test]
fn what_can_not_be_is_refused_with_numbers() {
    let options = Options::default();
    let message = |result: Result<Binary, Error>| result.unwrap_err().to_string();
    let error = Binary::new(BinaryOp::Add, [1, 2, 3, 4], [1, 2, 2, 4], &options);
    assert_eq!(
        message(error),
        "operands: expected dimensions (N, H, W, C) that are equal or 1, got [1, 2, 3, 4] and \
         [1, 2, 2, 4]"
    );
    let huge = [usize::MAX / 16, 1, 1, 1];
    let error = Binary::new(BinaryOp::Add, huge, [1, 1 << 20, 1, 1], &options);
    assert_eq!(message(error), "output elements overflow the address space");
    let error = Binary::new(BinaryOp::Add, [1; 4], [1, 1, 1, 0], &options);
    assert_eq!(message(error), "channels is 0; it must be at least 1");
    for refused in [
        options.input_activation(Activation::Relu),
        options.input_scale(true),
        options.input_layout(TensorLayout::Nchw),
        options.output_type(ElementType::U8),
    ] {
        assert!(Binary::new(BinaryOp::Add, [1; 4], [1; 4], &refused).is_err());
    }

    let plan = Binary::new(BinaryOp::Add, [1, 1, 1, 2], [1, 1, 1, 1], &options).unwrap();
    let (x, mut y) = ([1.0, 2.0], [0.0; 2]);
    let view = || NhwcView::new(&x, [1, 1, 1, 2]).unwrap();
    let mut run = |second| {
        let y = NhwcViewMut::new(&mut y, [1, 1, 1, 2]).unwrap();
        plan.run(view(), second, y, &mut []).unwrap_err().to_string()
    };
    let missing = "residual: expected the second operand of a binary operation, got none";
    assert_eq!(run(None), missing);
    let other = "residual: expected shape [1, 1, 1, 1] (N, H, W, C), got [1, 1, 1, 2]";
    assert_eq!(run(Some(view())), other);

    let norm = |params: NormalizationParams<'_>| {
        Normalization::new([1, 2, 2, 6], &params, &options).unwrap_err().to_string()
    };
    let layer = NormalizationParams::new(NormalizationKind::Layer, 0.1);
    assert_eq!(norm(layer.scale(&[1.0; 5])), "scale: expected 6 elements, got 5");
    assert_eq!(norm(layer.shift(&[1.0; 7])), "shift: expected 6 elements, got 7");
    let group = NormalizationParams::new(NormalizationKind::Group { groups: 4 }, 0.1);
    let groups = "can't divide 6 input and 6 output channels into 4 groups";
    assert_eq!(norm(group), groups);
    let epsilon = NormalizationParams::new(NormalizationKind::Rms, -1.0);
    assert_eq!(norm(epsilon), "epsilon: expected a number of at least 0");

    // A picture is normalized as a whole.
    let group = NormalizationParams::new(NormalizationKind::Group { groups: 3 }, 0.1);
    let plan = Normalization::new([1, 2, 1, 3], &group, &options).unwrap();
    assert_eq!(plan.input_rows(1..2), 0..2);
    let (x, mut y) = ([0.0; 6], [0.0; 3]);
    let x = NhwcView::new(&x, [1, 2, 1, 3]).unwrap();
    let y = NhwcViewMut::new(&mut y, [1, 1, 1, 3]).unwrap();
    let error = plan.run_rows(1..2, x, None, y, &mut []).unwrap_err();
    assert_eq!(error.to_string(), "expected output rows within 0..2, got 1..2");
}
