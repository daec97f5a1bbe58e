//! Rows by rows: [`Plan::run_rows`] of any parts of an output gives the bits of [`Plan::run`], of
//! operands that hold nothing but the rows in need.

use std::ops::Range;

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{Mode, Random, Spaced, assert_same_bits, levels, run, run_rows};
use sepconv_kernels::*;

/// `0..height` in parts.
fn parts(height: usize, most: usize, numbers: &mut Random) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < height {
        let end = (start + 1 + numbers.below(most)).min(height);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// Runs a layer as a whole and in parts of up to `most` rows on each level; the number of parts.
fn compare(layer: &Layer, operands: &[Stored; 4], most: usize, numbers: &mut Random) -> usize {
    let gaps = [0; 3].map(|_| numbers.below(4));
    let mut count = 0;
    for level in levels() {
        let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
        let (input, output) = (plan.input_shape(), plan.output_shape());
        let mut fill = |shape: [usize; 4], element| {
            Stored::new(element, &Mode::Reals.fill(numbers, shape.iter().product()))
        };
        let (x, residual) = (fill(input, layer.input_type), fill(output, layer.output_type));
        let whole = run(
            &*plan,
            &Spaced::of(input, gaps[0], &x),
            Some(&Spaced::of(output, gaps[1], &residual)),
            gaps[2],
            1 + numbers.below(3),
        );
        let whole = Stored::F32(whole);
        for rows in parts(output[1], most, numbers) {
            let needed = plan.input_rows(rows.clone());
            let part = run_rows(
                &*plan,
                rows.clone(),
                &Spaced::rows(input, needed, gaps[0], &x),
                Some(&Spaced::rows(output, rows.clone(), gaps[1], &residual)),
                gaps[2],
                1 + numbers.below(3),
            );
            let wanted = Spaced::rows(output, rows.clone(), 0, &whole).into_dense().into_values();
            assert_same_bits(format_args!("{layer:?}, rows {rows:?} on {level}"), &part, &wanted);
            count += 1;
        }
    }
    count
}

#[test]
fn parts_have_the_bits_of_the_whole() {
    let mut numbers = Random(11);
    let mut count = 0;
    for i in 0..common::scaled(400) {
        for op in OPS {
            let (layer, operands) = random_stored(op, i, &mut numbers);
            let most = 1 + numbers.below(4);
            count += compare(&layer, &operands, most, &mut numbers);
        }
    }
    println!("{count} parts of random layers: the bits of the whole");
    assert!(count >= 9);
}

/// Large enough for tiles, strips, bands of columns, several threads.
#[test]
fn parts_of_layers_of_xception() {
    let same =
        |kernel, stride: usize| Window::new([kernel; 2]).stride([stride; 2]).padding(Padding::Same);
    let one = Window::new([1, 1]);
    let mut numbers = Random(12);
    let mut count = 0;
    for (op, input, window, o, most) in [
        (Op::Conv { groups: 1 }, [1, 61, 60, 3], Window::new([3, 3]).stride([2, 2]), 32, 20),
        (Op::Conv { groups: 1 }, [1, 30, 31, 32], Window::new([3, 3]), 64, 12),
        (Op::Pointwise, [1, 39, 40, 64], one.stride([2, 2]), 128, 9),
        (Op::Pointwise, [2, 19, 19, 33], one, 40, 7),
        (Op::Separable { multiplier: 1 }, [1, 47, 63, 64], same(3, 1), 128, 17),
        (Op::Separable { multiplier: 1 }, [2, 37, 37, 40], same(3, 1), 72, 11),
        (Op::Depthwise { multiplier: 1 }, [1, 60, 61, 72], same(3, 1), 72, 25),
        (Op::Depthwise { multiplier: 1 }, [1, 60, 61, 72], same(3, 2), 72, 12),
        (Op::Max, [1, 73, 74, 128], same(3, 2), 128, 9),
    ] {
        for input_activation in [Activation::None, Activation::Relu] {
            let layer = Layer { input_activation, ..Layer::new(op, input, window, o) };
            let operands = layer.fill_stored(ElementType::F32, Mode::Reals, &mut numbers);
            count += compare(&layer, &operands, most, &mut numbers);
        }
    }
    println!("{count} parts of larger layers: the bits of the whole");
}

/// Rows that the output lacks and views with one row more or less are refused, and nothing is
/// written.
#[test]
fn wrong_rows_are_refused() {
    let mut numbers = Random(13);
    for op in OPS {
        let (layer, operands) = random_stored(op, 0, &mut numbers);
        let plan = layer.plan(operands.each_ref().map(Stored::elements), Level::Scalar).unwrap();
        let [n, height, w, c] = plan.output_shape();
        let rows_of = |[n, _, w, c]: [usize; 4], rows: usize| [n, rows, w, c];
        let attempt = |rows: Range<usize>, x_rows: usize, residual_rows: usize, y_rows: usize| {
            let x = Spaced::poisoned(rows_of(layer.input, x_rows), 0, layer.input_type);
            let residual = Spaced::poisoned([n, residual_rows, w, c], 0, layer.output_type);
            let mut y = Spaced::poisoned([n, y_rows, w, c], 0, layer.output_type);
            let untouched = y.clone();
            let mut scratch = vec![0.0; plan.scratch_len(1)];
            let result =
                plan.run_rows(rows, x.view(), Some(residual.view()), y.view_mut(), &mut scratch);
            let bits = |y: &Spaced| y.data.values().iter().map(|y| y.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&y), bits(&untouched));
            result
        };
        #[allow(clippy::reversed_empty_ranges, reason = "a range that is refused")]
        for (start, end) in
            [(0, height + 1), (height, usize::MAX), (usize::MAX, usize::MAX), (1, 0)]
        {
            let result = attempt(start..end, 1, 1, 1);
            assert_eq!(result, Err(Error::Rows { start, end, height }), "{layer:?}");
        }
        let needed = plan.input_rows(height - 1..height).len();
        for (what, rows) in [
            ("input", [needed + 1, 1, 1]),
            ("input", [needed.wrapping_sub(1).min(needed + 2), 1, 1]),
            ("residual", [needed, 2, 1]),
            ("residual", [needed, 0, 1]),
            ("output", [needed, 1, 2]),
            ("output", [needed, 1, 0]),
        ] {
            let result = attempt(height - 1..height, rows[0], rows[1], rows[2]);
            let refused =
                matches!(&result, Err(Error::Shape { what: named, .. }) if *named == what);
            assert!(refused, "{layer:?}: {what} of {rows:?} rows: {result:?}");
        }
        // Of no rows nothing is made.
        attempt(height..height, plan.input_rows(height..height).len(), 0, 0).unwrap();
        assert_eq!(plan.input_rows(0..usize::MAX), plan.input_rows(0..height));
    }
}
