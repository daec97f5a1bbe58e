//! Operands of a wrong length, shape or type: each of each operation is refused, by one element too
//! few or too many, and nothing is written then.
//!
//! Two mistakes that other libraries must guard against can't be made. Input and output that
//! overlap: the borrow checker refuses them (the documentation of `NhwcViewMut` shows it, a
//! doctest). Weights packed for another level: a plan packs its weights itself and owns them.

use common::half::Stored;
use common::layer::{Layer, OPS, Op, random_stored};
use common::{Mode, Random, levels};
use sepconv_kernels::*;

/// Plans refuse weights and biases that are short or long by one.
fn plans_refuse(layer: &Layer, operands: &[Stored; 4], level: Level) -> u64 {
    let mut refused = 0;
    for i in 0..4 {
        let right = operands[i].elements();
        if right.len() == 0 {
            continue;
        }
        for length in [right.len() - 1, right.len() + 1] {
            let wrong = Stored::new(right.element_type(), &vec![0.5; length]);
            let mut operands = operands.each_ref().map(Stored::elements);
            operands[i] = wrong.elements();
            match layer.plan(operands, level) {
                Err(Error::Length { expected, actual, .. }) => {
                    assert_eq!((expected, actual), (right.len(), length), "{layer:?}, operand {i}");
                }
                other => panic!("{layer:?}, operand {i}, {length} elements: {other:?}"),
            }
            refused += 1;
        }
    }
    refused
}

fn nchw([n, h, w, c]: [usize; 4]) -> [usize; 4] {
    [n, c, h, w]
}

fn view(layout: TensorLayout, (data, shape): (&Stored, [usize; 4])) -> NhwcView<'_> {
    match layout {
        TensorLayout::Nhwc => NhwcView::new(data.elements(), shape).unwrap(),
        TensorLayout::Nchw => NhwcView::nchw(data.elements(), nchw(shape)).unwrap(),
    }
}

/// Views refuse lengths below the least and above the most.
fn views_refuse(shape: [usize; 4], gap: usize, element: ElementType) -> u64 {
    let stride = shape[3] + gap;
    let most = shape[..3].iter().product::<usize>() * stride;
    let mut refused = 0;
    for length in [most - gap - 1, most + 1] {
        let mut wrong = Stored::poisoned(element, length);
        let expected = if length < most { most - gap } else { most };
        let error = Error::Length { what: "view", expected, actual: length };
        let shared = NhwcView::with_pixel_stride(wrong.elements(), shape, stride).unwrap_err();
        assert_eq!(shared, error);
        let mutable =
            NhwcViewMut::with_pixel_stride(wrong.elements_mut(), shape, stride).unwrap_err();
        assert_eq!(mutable, error);
        refused += 2;
    }
    for length in [most - gap, most] {
        let right = Stored::poisoned(element, length);
        let view = NhwcView::with_pixel_stride(right.elements(), shape, stride).unwrap();
        assert_eq!(view.element_type(), element);
    }
    let narrow = NhwcView::with_pixel_stride(&[0.5; 9], shape, shape[3] - 1).unwrap_err();
    assert!(matches!(narrow, Error::PixelStride { .. }));
    refused + 1 + planes_refuse(shape, gap, element)
}

/// The same for pictures of planes.
fn planes_refuse(shape: [usize; 4], gap: usize, element: ElementType) -> u64 {
    let elements = shape[1..].iter().product::<usize>();
    let (stride, shape) = (elements + gap, nchw(shape));
    let most = shape[0] * stride;
    let mut refused = 0;
    for length in [most - gap - 1, most + 1] {
        let mut wrong = Stored::poisoned(element, length);
        let expected = if length < most { most - gap } else { most };
        let error = Error::Length { what: "view", expected, actual: length };
        let shared = NhwcView::nchw_with_picture_stride(wrong.elements(), shape, stride);
        assert_eq!(shared.unwrap_err(), error);
        let mutable = NhwcViewMut::nchw_with_picture_stride(wrong.elements_mut(), shape, stride);
        assert_eq!(mutable.unwrap_err(), error);
        refused += 2;
    }
    for length in [most - gap, most] {
        let right = Stored::poisoned(element, length);
        let view = NhwcView::nchw_with_picture_stride(right.elements(), shape, stride).unwrap();
        assert_eq!(view.element_type(), element);
    }
    let narrow = NhwcView::nchw_with_picture_stride(&[0.5; 9], shape, elements - 1).unwrap_err();
    assert_eq!(narrow, Error::PictureStride { elements, picture_stride: elements - 1 });
    refused + 1
}

/// Whether nothing has been written.
fn untouched(y: &Stored) -> bool {
    // Compared by bits: poison is a NaN.
    let poison = Stored::poisoned(y.elements().element_type(), y.elements().len());
    let bits = |stored: &Stored| stored.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    bits(y) == bits(&poison)
}

/// Runs refuse views whose shape differs by one in any dimension, views of another type, and
/// scratch that is short by one.
fn runs_refuse(plan: &dyn Plan) -> u64 {
    let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
    let (input, output) = (plan.input_shape(), plan.output_shape());
    let (input_type, output_type) = (plan.input_type(), plan.output_type());
    let filled = |element, shape| Stored::new(element, &vec![0.5; elements(shape)]);
    let poisoned = |element, shape| Stored::poisoned(element, elements(shape));
    let (x, residual) = (filled(input_type, input), filled(output_type, output));
    let mut y = poisoned(output_type, output);
    let mut scratch = vec![0.0; plan.scratch_len(1)];
    let run =
        |x: (&Stored, _), residual: (&Stored, _), y: (&mut Stored, _), scratch: &mut [f32]| {
            let to = match plan.output_layout() {
                TensorLayout::Nhwc => NhwcViewMut::new(y.0.elements_mut(), y.1).unwrap(),
                TensorLayout::Nchw => NhwcViewMut::nchw(y.0.elements_mut(), nchw(y.1)).unwrap(),
            };
            let residual = view(plan.output_layout(), residual);
            plan.run(view(plan.input_layout(), x), Some(residual), to, scratch)
        };
    let mut refused = 0;
    let mut refuse = |what: &str, result: Result<(), Error>| {
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
                (filled(input_type, shape_in), poisoned(output_type, shape_out));
            let result =
                run((&other_in, shape_in), (&residual, output), (&mut y, output), &mut scratch);
            refuse("input", result);
            let result = run((&x, input), (&other_out, shape_out), (&mut y, output), &mut scratch);
            refuse("residual", result);
            let result =
                run((&x, input), (&residual, output), (&mut other_out, shape_out), &mut scratch);
            refuse("output", result);
            assert!(untouched(&other_out));
        }
    }
    if let Some(short) = scratch.len().checked_sub(1) {
        let short = &mut scratch[..short];
        refuse("scratch", run((&x, input), (&residual, output), (&mut y, output), short));
    }
    let mut refuse = |what: &'static str, expected, actual, result: Result<(), Error>| {
        assert_eq!(result, Err(Error::ElementType { what, expected, actual }));
        refused += 1;
    };
    for other in ElementType::FLOATS {
        if other != input_type {
            let other_in = filled(other, input);
            let result =
                run((&other_in, input), (&residual, output), (&mut y, output), &mut scratch);
            refuse("input", input_type, other, result);
        }
        if other != output_type {
            let mut other_out = poisoned(other, output);
            let result = run((&x, input), (&other_out, output), (&mut y, output), &mut scratch);
            refuse("residual", output_type, other, result);
            let result =
                run((&x, input), (&residual, output), (&mut other_out, output), &mut scratch);
            refuse("output", output_type, other, result);
            assert!(untouched(&other_out));
        }
    }
    assert!(untouched(&y), "{} wrote before it refused", plan.kernel_name());
    run((&x, input), (&residual, output), (&mut y, output), &mut scratch).unwrap();
    refused
}

#[test]
fn one_element_dimension_or_type_off_is_refused() {
    let mut numbers = Random(3);
    let mut refused = 0;
    for i in 0..common::scaled(200) {
        for op in OPS {
            let (layer, operands) = random_stored(op, i, &mut numbers);
            for level in levels() {
                refused += plans_refuse(&layer, &operands, level);
                let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
                refused += views_refuse(plan.input_shape(), numbers.below(4), layer.input_type);
                refused += views_refuse(plan.output_shape(), numbers.below(4), layer.output_type);
                refused += runs_refuse(&*plan);
            }
        }
    }
    println!("{refused} wrong operands on {:?}: all refused, nothing written", levels());
}

/// The sums of 16-bit outputs wait as f32 in scratch, and 16-bit weights are made f32 there.
#[test]
fn types_of_16_bits_need_more_scratch() {
    let window = Window::new([1, 1]);
    for level in levels() {
        let scratch = |weights, output_type| {
            let layer =
                Layer { output_type, ..Layer::new(Op::Pointwise, [1, 5, 7, 40], window, 70) };
            let operands = layer.fill_stored(weights, Mode::Reals, &mut Random(5));
            let plan = layer.plan(operands.each_ref().map(Stored::elements), level).unwrap();
            plan.scratch_len(1)
        };
        let [f32, f16, bf16] = ElementType::FLOATS;
        let least = scratch(f32, f32);
        for half in [f16, bf16] {
            let (weights, outputs) = (scratch(half, f32), scratch(f32, half));
            assert!(weights > least && outputs > least, "{half} on {level}");
            assert!(scratch(half, half) > weights.max(outputs), "{half} on {level}");
        }
    }
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
    for (shape, picture_stride, length) in [
        ([1, top, 2, 1], 6, 6),
        ([1, half, half, 1], 0, 0),
        ([1, half, 1, half], 0, 0),
        ([2, 1, 1, 1], top, 0),
        ([2, 1, 2, 3], top + 3, 6),
        ([4, 1, 1, 1], top / 2, 1),
        ([usize::MAX; 4], usize::MAX, 1),
    ] {
        let data = &data[..length];
        let view = NhwcView::nchw_with_picture_stride(data, shape, picture_stride);
        assert!(matches!(view, Err(Error::Overflow { .. })), "{shape:?}, {picture_stride}");
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
    assert_eq!((view.shape(), view.pixel_stride(), view.picture_stride()), ([1, 1, 3, 3], 4, 12));
    let view = NhwcViewMut::nchw_with_picture_stride(&mut data, [2, 1, 2, 2], 7).unwrap();
    assert_eq!((view.shape(), view.pixel_stride(), view.picture_stride()), ([2, 2, 2, 1], 1, 7));
    let view = NhwcView::nchw(&data[..8], [2, 1, 2, 2]).unwrap();
    assert_eq!((view.shape(), view.pixel_stride(), view.picture_stride()), ([2, 2, 2, 1], 1, 4));
}

/// Plans tell their work and what their weights take, of the multiply-adds and the weights that the
/// operation has.
#[test]
fn plans_tell_their_size() {
    let window = Window::new([3, 3]);
    let [pixels, inner] = [2 * 5 * 6, 2 * 3 * 4];
    for level in levels() {
        for op in OPS {
            let input = if op == Op::Dense { [2, 1, 1, 8] } else { [2, 5, 6, 8] };
            let layer = Layer::new(op, input, window, 6);
            let operands = layer.lengths().map(|len| vec![0.5_f32; len]);
            let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
            let work = match op {
                Op::Depthwise { multiplier: m } => inner * 9 * 8 * m,
                Op::Separable { multiplier: m } => inner * (9 * 8 * m + 8 * m * 6),
                Op::Conv { groups } => inner * 9 * 8 / groups * 6,
                Op::Pointwise => pixels * 8 * 6,
                Op::Dense => 2 * 8 * 6,
                Op::Max | Op::Average | Op::GlobalAverage | Op::Elementwise => 0,
            };
            assert_eq!(plan.multiply_adds(), work as u64, "{layer:?}");
            let least = layer.lengths().iter().sum::<usize>() * size_of::<f32>();
            let bytes = plan.weights_bytes();
            assert!(bytes >= least && (bytes == 0) == (least == 0), "{layer:?}: {bytes} bytes");
        }
    }
    assert_eq!(
        convert((&[0.5; 3]).into(), (&mut [0.0; 2]).into(), None),
        Err(Error::Length { what: "output", expected: 3, actual: 2 })
    );
    assert_eq!(convert((&[]).into(), (&mut []).into(), None), Ok(()));
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
        (Error::PictureStride { elements: a, picture_stride: b }, ["4711", "8150"]),
        (Error::Strides { strides: [a as isize, b as isize, 5, 1] }, ["4711", "8150"]),
        (Error::Rows { start: a, end: b, height: 9 }, ["4711", "8150"]),
        (Error::Shape { what: "input", expected: [a; 4], actual: [b; 4] }, ["4711", "8150"]),
        (
            Error::ElementType {
                what: "residual",
                expected: ElementType::F32,
                actual: ElementType::Bf16,
            },
            ["f32", "bf16"],
        ),
        (Error::Scale { what: "input", expected: true }, ["with a scale", "without"]),
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
