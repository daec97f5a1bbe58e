//! Operands of a wrong length or shape: each of each operation is refused, by one element too few or too
//! many, and nothing is written then.
//!
//! Two mistakes that other libraries must guard against can't be made. Input and output that overlap: the
//! borrow checker refuses them (the documentation of `NhwcViewMut` shows it, a doctest). Weights packed for
//! another level: a plan packs its weights itself and owns them.

mod common;

use common::layer::{Layer, OPS, random};
use common::{Mode, POISON, Random, is_poison, levels};
use sepconv_kernels::*;

/// Plans refuse weights and biases that are short or long by one.
fn plans_refuse(layer: &Layer, operands: &[Vec<f32>; 4], level: Level) -> u64 {
    let mut refused = 0;
    for i in 0..4 {
        let right = operands[i].len();
        if right == 0 {
            continue;
        }
        for length in [right - 1, right + 1] {
            let wrong = vec![0.5; length];
            let mut operands = operands.each_ref().map(|o| &o[..]);
            operands[i] = &wrong;
            match layer.plan(operands, level) {
                Err(Error::Length { expected, actual, .. }) => {
                    assert_eq!((expected, actual), (right, length), "{layer:?}, operand {i}");
                }
                other => panic!("{layer:?}, operand {i}, {length} elements: {other:?}"),
            }
            refused += 1;
        }
    }
    refused
}

/// Views refuse lengths below the least and above the most.
fn views_refuse(shape: [usize; 4], gap: usize) -> u64 {
    let stride = shape[3] + gap;
    let most = shape[..3].iter().product::<usize>() * stride;
    let mut refused = 0;
    for length in [most - gap - 1, most + 1] {
        let mut wrong = vec![0.5; length];
        let expected = if length < most { most - gap } else { most };
        let error = Error::Length { what: "view", expected, actual: length };
        let shared = NhwcView::with_pixel_stride(&wrong, shape, stride).unwrap_err();
        assert_eq!(shared, error);
        let mutable = NhwcViewMut::with_pixel_stride(&mut wrong, shape, stride).unwrap_err();
        assert_eq!(mutable, error);
        refused += 2;
    }
    for length in [most - gap, most] {
        assert!(NhwcView::with_pixel_stride(&vec![0.5; length], shape, stride).is_ok());
    }
    let narrow = NhwcView::with_pixel_stride(&[0.5; 9], shape, shape[3] - 1).unwrap_err();
    assert!(matches!(narrow, Error::PixelStride { .. }));
    refused + 1
}

/// Runs refuse views whose shape differs by one in any dimension, and scratch that is short by one.
fn runs_refuse(plan: &dyn Plan) -> u64 {
    let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
    let (input, output) = (plan.input_shape(), plan.output_shape());
    let (x, residual) = (vec![0.5; elements(input)], vec![0.5; elements(output)]);
    let mut y = vec![POISON; elements(output)];
    let mut scratch = vec![0.0; plan.scratch_len(1)];
    let run = |x: (&[f32], _), residual: (&[f32], _), y: (&mut [f32], _), scratch: &mut [f32]| {
        plan.run(
            NhwcView::new(x.0, x.1).unwrap(),
            Some(NhwcView::new(residual.0, residual.1).unwrap()),
            NhwcViewMut::new(y.0, y.1).unwrap(),
            scratch,
        )
    };
    let mut refused = 0;
    let mut refuse = |what: &str, result: Result<()>| {
        match result {
            Err(Error::Shape { what: named, .. } | Error::Length { what: named, .. }) => {
                assert_eq!(named, what);
            }
            other => panic!("{}: {what}: {other:?}", plan.kernel_name()),
        }
        refused += 1;
    };
    for dimension in 0..4 {
        for more in [true, false] {
            let changed = |shape: [usize; 4]| -> [usize; 4] {
                std::array::from_fn(|i| match (i == dimension, more) {
                    (true, true) => shape[i] + 1,
                    (true, false) => shape[i] - 1,
                    (false, _) => shape[i],
                })
            };
            let (shape_in, shape_out) = (changed(input), changed(output));
            let (other_in, mut other_out) =
                (vec![0.5; elements(shape_in)], vec![POISON; elements(shape_out)]);
            let result =
                run((&other_in, shape_in), (&residual, output), (&mut y, output), &mut scratch);
            refuse("input", result);
            let result = run((&x, input), (&other_out, shape_out), (&mut y, output), &mut scratch);
            refuse("residual", result);
            let result =
                run((&x, input), (&residual, output), (&mut other_out, shape_out), &mut scratch);
            refuse("output", result);
            assert!(other_out.iter().all(is_poison));
        }
    }
    if let Some(short) = scratch.len().checked_sub(1) {
        let short = &mut scratch[..short];
        refuse("scratch", run((&x, input), (&residual, output), (&mut y, output), short));
    }
    assert!(y.iter().all(is_poison), "{} wrote before it refused", plan.kernel_name());
    run((&x, input), (&residual, output), (&mut y, output), &mut scratch).unwrap();
    refused
}

#[test]
fn one_element_or_dimension_off_is_refused() {
    let mut numbers = Random(3);
    let mut refused = 0;
    for _ in 0..common::scaled(200) {
        for op in OPS {
            let layer = random(op, &mut numbers);
            let operands = layer.fill(Mode::Reals, &mut numbers);
            for level in levels() {
                refused += plans_refuse(&layer, &operands, level);
                let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
                refused += views_refuse(plan.input_shape(), numbers.below(4));
                refused += views_refuse(plan.output_shape(), numbers.below(4));
                refused += runs_refuse(&*plan);
            }
        }
    }
    println!("{refused} wrong operands on {:?}: all refused, nothing written", levels());
}

/// Shapes whose elements wrap around to the length of the slice, also to none at all, are refused.
#[test]
fn shapes_that_wrap_are_refused() {
    let half = 1_usize << (usize::BITS / 2);
    let top = 1_usize << (usize::BITS - 1);
    let data = [0.5; 6];
    let mut refused = 0;
    for (shape, pixel_stride, length) in [
        ([top, 2, 1, 1], 1, 0),
        ([half, half, 1, 1], 1, 0),
        ([half, 1, half, 3], 3, 0),
        ([half, 3, half, 2], 2, 0),
        ([top + 3, 2, 1, 1], 1, 6),
        ([top + 1, 1, 2, 3], 3, 6),
        ([2, 1, 1, top + 3], top + 3, 6),
        ([2, 1, 1, 3], top + 3, 6),
        ([4, 1, 1, 1], top / 2, 1),
        ([usize::MAX; 4], usize::MAX, 1),
    ] {
        let view = NhwcView::with_pixel_stride(&data[..length], shape, pixel_stride);
        assert!(matches!(view, Err(Error::Overflow { .. })), "{shape:?}, {pixel_stride}: {view:?}");
        refused += 1;
    }
    println!("{refused} shapes that wrap: all refused");
}

/// The crate's own memory: on a cache line, of the value asked for, refused where there is none.
#[test]
fn aligned_memory() {
    for len in [0, 1, 37, (2 << 20) / 4 - 1, (2 << 20) / 4 + 5] {
        let mut memory = Aligned::new(len, 0.5).unwrap();
        assert_eq!(memory.len(), len);
        assert!(len == 0 || memory.as_ptr().addr().is_multiple_of(4 * Aligned::LINE));
        assert!(memory.iter().all(|v| *v == 0.5));
        memory.fill(2.0);
        assert!(memory.iter().all(|v| *v == 2.0));
        assert!(format!("{memory:?}").contains(&len.to_string()));
    }
    for elements in [usize::MAX, isize::MAX as usize, isize::MAX as usize / 4] {
        assert_eq!(Aligned::new(elements, 0.5).unwrap_err(), Error::Memory { elements });
    }
}

/// Views are what they were made of, and so are their copies.
#[test]
fn views_tell_their_shape() {
    let mut data = [0.5; 11];
    let view = NhwcView::with_pixel_stride(&data, [1, 1, 3, 3], 4).unwrap();
    for view in [view, Clone::clone(&view)] {
        assert_eq!((view.shape(), view.pixel_stride()), ([1, 1, 3, 3], 4));
    }
    let view = NhwcViewMut::with_pixel_stride(&mut data, [1, 1, 3, 3], 4).unwrap();
    assert_eq!((view.shape(), view.pixel_stride()), ([1, 1, 3, 3], 4));
}

/// Each refusal says the numbers that made it so.
#[test]
fn refusals_say_why() {
    let [a, b] = [4711, 8150];
    for (error, words) in [
        (Error::ZeroDimension { what: "stride" }, ["stride", "0"]),
        (Error::Overflow { what: "elements" }, ["elements", "overflow"]),
        (Error::Memory { elements: a }, ["4711", "memory"]),
        (Error::Length { what: "bias", expected: a, actual: b }, ["4711", "8150"]),
        (Error::PixelStride { channels: a, pixel_stride: b }, ["4711", "8150"]),
        (Error::Shape { what: "input", expected: [a; 4], actual: [b; 4] }, ["4711", "8150"]),
        (Error::KernelLargerThanInput { axis: "width", kernel: a, input: b }, ["4711", "8150"]),
        (Error::Groups { groups: 7, channels_in: a, channels_out: b }, ["4711", "8150"]),
        (Error::Activation { what: "no bound" }, ["activation", "no bound"]),
        (Error::LevelUnavailable { level: Level::Neon }, ["neon", "not available"]),
        (Error::UnknownLevel { value: "sse9".into() }, ["sse9", "avx512"]),
    ] {
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}
