//! Every small geometry: padding, stride and dilation of each axis and side, against the naive
//! loops, in integers (exact).

use common::{Mode, Random, Spaced, assert_same_bits, levels, run};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

const CHANNELS: usize = 3;

/// Calls `f` for the windows of small kernels that fit an input of H × W: all of them, or at less
/// than full effort as large a part.
fn for_each_window(h: usize, w: usize, mut f: impl FnMut(Window)) -> usize {
    let mut count = 0;
    let mut random = Random((h * 1000 + w) as u64);
    let effort = common::effort();
    let mut paddings = vec![Padding::Valid, Padding::Same];
    for top in 0..3 {
        for bottom in 0..3 {
            for left in 0..3 {
                for right in 0..3 {
                    paddings.push(Padding::Explicit { top, bottom, left, right });
                }
            }
        }
    }
    for (kh, kw) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)] {
        for stride in [[1, 1], [1, 2], [2, 1], [2, 2], [3, 3]] {
            for dilation in [[1, 1], [2, 1], [1, 2]] {
                for &padding in &paddings {
                    let window =
                        Window::new([kh, kw]).stride(stride).dilation(dilation).padding(padding);
                    let taken = random.below(1 << 20) as f64 * 100.0 < effort * (1 << 20) as f64;
                    if taken && common::output(&window, [1, h, w, CHANNELS]).is_some() {
                        f(window);
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

fn check(h: usize, w: usize, level: Level) -> usize {
    let mut random = Random((h * 100 + w) as u64);
    let input = [1, h, w, CHANNELS];
    let x = Mode::Integers.fill(&mut random, h * w * CHANNELS);
    let spaced = Spaced::new(input, 0, &x);
    let weights = Mode::Integers.fill(&mut random, 9 * CHANNELS * 2);
    let options = Options::default().level(level);
    for_each_window(h, w, |window| {
        let expect = |what: &str, plan: &dyn Plan, sums: Vec<naive::Sum>| {
            let [oh, ow] = common::output(&window, input).unwrap();
            assert_eq!(plan.output_shape()[1..3], [oh, ow], "{what} {window:?} on {h}×{w}");
            let expected: Vec<f32> = sums.iter().map(|s| s.value as f32).collect();
            let got = run(plan, &spaced, None, 0, 0);
            assert_same_bits(format_args!("{what} {window:?} on {h}×{w}"), &got, &expected);
        };
        let taps = window.kernel[0] * window.kernel[1];
        let reference = |groups, channels_out, weights| Reference {
            input,
            x: &x,
            window,
            groups,
            channels_out,
            weights,
            bias: None,
        };

        let dw = &weights[..taps * CHANNELS];
        let params = DepthwiseParams::new(window, dw);
        let plan = Depthwise::new(input, &params, &options).unwrap();
        expect("depthwise", &plan, naive::conv(&reference(CHANNELS, CHANNELS, dw)));

        let full = &weights[..taps * CHANNELS * 2];
        let params = ConvParams::new(window, 2, full);
        let plan = Conv::new(input, &params, &options).unwrap();
        expect("standard", &plan, naive::conv(&reference(1, 2, full)));

        let plan = Pool::new(input, PoolKind::Max, window, &options).unwrap();
        expect("max pool", &plan, naive::pool(PoolKind::Max, input, &x, &window));

        // Both divide an exact sum once; f64 then f32 rounds the quotient of small integers the
        // same.
        let plan = Pool::new(input, PoolKind::Average, window, &options).unwrap();
        expect("average pool", &plan, naive::pool(PoolKind::Average, input, &x, &window));
    })
}

#[test]
fn every_small_geometry() {
    for level in levels() {
        let of_height = |h: usize| (1..=6).map(|w| check(h, w, level)).sum::<usize>();
        let count: usize = if cfg!(target_family = "wasm") {
            // Without threads.
            (1..=6).map(of_height).sum()
        } else {
            std::thread::scope(|scope| {
                let heights = (1..=6).map(|h| scope.spawn(move || of_height(h)));
                heights.collect::<Vec<_>>().into_iter().map(|h| h.join().unwrap()).sum()
            })
        };
        println!("{level}: {count} geometries × 4 operations, 0 mismatches");
        let share = common::effort().min(100.0) / 100.0;
        assert!(count as f64 >= 300_000.0 * share, "only {count} geometries");
    }
}

/// TensorFlow's rule at the sizes of Xception: (0, 1) on even inputs, (1, 1) on odd, for 3×3/2.
#[test]
fn same_is_asymmetric_on_even_inputs() {
    for (size, output, first) in [(147, 74, 1), (74, 37, 0), (37, 19, 1), (19, 10, 1), (112, 56, 0)]
    {
        let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
        assert_eq!(window.output_size([size, size]).unwrap(), [output, output]);
        // A max pool of 1, 2, 3, … tells where its windows end.
        let x: Vec<f32> = (0..size).map(|i| i as f32).collect();
        let window = Window::new([1, 3]).stride([1, 2]).padding(Padding::Same);
        let plan = Pool::new([1, 1, size, 1], PoolKind::Max, window, &Options::default()).unwrap();
        let y = run(&plan, &Spaced::new([1, 1, size, 1], 0, &x), None, 0, 1);
        assert_eq!(y[0], (2 - first) as f32, "size {size}");
    }
}

/// A dilated kernel as large as the padded input has one output, one that is larger by one has
/// none.
#[test]
fn a_kernel_must_fit() {
    let padding = Padding::Explicit { top: 1, bottom: 2, left: 0, right: 1 };
    for (size, padding, extent) in [([5, 7], Padding::Valid, [5, 7]), ([2, 6], padding, [5, 7])] {
        for dilation in [1, 2] {
            let kernel = extent.map(|e| (e - 1) / dilation + 1);
            let window = Window::new(kernel).dilation([dilation; 2]).padding(padding);
            assert_eq!(window.output_size(size), Ok([1, 1]));
            for (axis, name) in ["height", "width"].into_iter().enumerate() {
                let mut smaller = size;
                smaller[axis] -= 1;
                let refused = window.output_size(smaller);
                let expected = Error::KernelLargerThanInput {
                    axis: name,
                    kernel: extent[axis],
                    input: extent[axis] - 1,
                };
                assert_eq!(refused, Err(expected));
            }
        }
    }
}

/// Runs a plan if its tensors are small, whatever its strides and dilations are. Any rows of its
/// output take rows that the input has.
fn small_runs(plan: impl Plan) -> bool {
    let ([_, height, ..], [_, last, ..]) = (plan.input_shape(), plan.output_shape());
    for rows in [0..usize::MAX, last - 1..last, last / 2..last / 2 + 1, usize::MAX - 1..usize::MAX]
    {
        let needed = plan.input_rows(rows.clone());
        assert!(needed.start <= needed.end && needed.end <= height, "{rows:?} take {needed:?}");
    }
    let elements = |shape: [usize; 4]| shape.iter().product::<usize>();
    let small = |shape| elements(shape) <= 4096;
    if small(plan.input_shape()) && small(plan.output_shape()) && plan.scratch_len(1) < 1 << 20 {
        let x = vec![1.0; elements(plan.input_shape())];
        run(&plan, &Spaced::new(plan.input_shape(), 0, &x), None, 0, 0);
    }
    true
}

/// Plans from any numbers are made or refused, quickly and without a panic; small ones run.
#[test]
fn hostile_numbers_are_refused() {
    let mut random = Random(1);
    let interesting = [
        0,
        1,
        2,
        3,
        7,
        64,
        255,
        65_536,
        (1 << 31) - 1,
        1 << (usize::BITS / 2),
        (1 << (usize::BITS - 2)) + 1,
        isize::MAX as usize,
        usize::MAX - 1,
        usize::MAX,
    ];
    let (mut made, rounds) = (0, common::scaled(2_500_000));
    for round in 0..rounds {
        let limit = if round % 2 == 0 { 5 } else { interesting.len() };
        let mut any = || interesting[random.below(limit)];
        let input = [any(), any(), any(), any()];
        let padding = match any() % 3 {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => Padding::Explicit { top: any(), bottom: any(), left: any(), right: any() },
        };
        let window = Window::new([any(), any()])
            .stride([any(), any()])
            .dilation([any(), any()])
            .padding(padding);
        let options = Options::default();
        let (multiplier, groups, channels_out) = (any(), any(), any());
        let weights = vec![1.0; any().min(4096)];
        let pool = Pool::new(input, PoolKind::Average, window, &options);
        made += usize::from(pool.is_ok_and(small_runs));
        let params = DepthwiseParams::new(window, &weights).multiplier(multiplier);
        made += usize::from(Depthwise::new(input, &params, &options).is_ok_and(small_runs));
        let params = ConvParams::new(window, channels_out, &weights).groups(groups);
        made += usize::from(Conv::new(input, &params, &options).is_ok_and(small_runs));
        // Where nothing but the weights' length is wrong, the right length must be asked for.
        if let Err(Error::Length { expected, .. }) = Conv::new(input, &params, &options)
            && expected <= 1 << 16
        {
            let weights = vec![1.0; expected];
            let params = ConvParams::new(window, channels_out, &weights).groups(groups);
            made += usize::from(Conv::new(input, &params, &options).is_ok_and(small_runs));
        }
        let params = PointwiseParams::new(channels_out, &weights).stride([any(), any()]);
        made += usize::from(Pointwise::new(input, &params, &options).is_ok_and(small_runs));
    }
    println!(
        "of {} plans from any numbers {made} were made, the others refused",
        4 * u64::from(rounds)
    );
    assert!(made >= common::scaled(12_500) as usize, "only {made} plans were made");
}

/// The plan of a wide picture takes no more memory than that of a narrow one.
#[test]
fn a_separable_plan_may_be_wide() {
    let window = Window::new([3, 3]).padding(Padding::Same);
    let depthwise = DepthwiseParams::new(window, &[1.0; 9]);
    let params = SeparableParams::new(depthwise, 1, &[1.0]);
    for width in [300, 1 << 20, 1 << (usize::BITS / 2 + 8), isize::MAX as usize / 8] {
        let plan = Separable::new([1, 1, width, 1], &params, &Options::default()).unwrap();
        assert_eq!(plan.output_shape(), [1, 1, width, 1]);
    }
}

/// A run with operands of another shape or too little scratch is refused and writes nothing.
#[test]
fn wrong_operands_are_refused() {
    let weights = vec![1.0; 12];
    let params = PointwiseParams::new(4, &weights);
    let plan = Pointwise::new([1, 2, 2, 3], &params, &Options::default()).unwrap();
    let x = [1.0; 12];
    let mut y = [7.0; 16];
    let mut scratch = vec![0.0; plan.scratch_len(1)];
    let short = scratch.len() - 1;
    let view = |shape| NhwcView::new(&x, shape).unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Shape { what, .. } | Error::Length { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let mut y_view = |y: &mut [f32], shape| {
        refused(plan.run(
            view([1, 2, 2, 3]),
            None,
            NhwcViewMut::new(y, shape).unwrap(),
            &mut scratch,
        ))
    };
    assert_eq!(y_view(&mut y, [1, 4, 1, 4]), "output");
    assert_eq!(
        refused(plan.run(
            view([1, 1, 4, 3]),
            None,
            NhwcViewMut::new(&mut y, [1, 2, 2, 4]).unwrap(),
            &mut scratch
        )),
        "input"
    );
    assert_eq!(
        refused(plan.run(
            view([1, 2, 2, 3]),
            Some(view([1, 2, 2, 3])),
            NhwcViewMut::new(&mut y, [1, 2, 2, 4]).unwrap(),
            &mut scratch
        )),
        "residual"
    );
    assert_eq!(
        refused(plan.run(
            view([1, 2, 2, 3]),
            None,
            NhwcViewMut::new(&mut y, [1, 2, 2, 4]).unwrap(),
            &mut scratch[..short]
        )),
        "scratch"
    );
    assert_eq!(y, [7.0; 16]);

    for length in [11, 13] {
        assert_eq!(
            NhwcView::new(&vec![0.0; length], [1, 2, 2, 3]).unwrap_err(),
            Error::Length { what: "view", expected: 12, actual: length }
        );
    }
    assert!(NhwcView::with_pixel_stride(&x, [1, 2, 2, 3], 2).is_err());
    assert!(NhwcView::new(&x, [usize::MAX, usize::MAX, 2, 3]).is_err());
    // From the slice's first channel on, the last pixel's gap may be missing or present.
    assert!(NhwcView::with_pixel_stride(&x, [1, 1, 3, 2], 4).is_ok());
    assert!(NhwcView::with_pixel_stride(&x[2..], [1, 1, 3, 2], 4).is_ok());
    assert!(NhwcView::with_pixel_stride(&x[3..], [1, 1, 3, 2], 4).is_err());
}
