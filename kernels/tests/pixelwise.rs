//! Up-sampling, depth to space, softmax, and averages that count padding, against the naive loops:
//! random shapes on every level, with gaps, of all types, whole and in rows.

use common::half::{Stored, roundoff};
use common::{
    Mode, Random, Spaced, activated, assert_close, assert_same_bits, gamma, levels, run, run_rows,
};
use sepconv_kernels::*;

/// What is computed.
#[derive(Debug, Clone, Copy)]
enum Op {
    Resize([usize; 2], Interpolation, Coordinates),
    DepthToSpace(usize, DepthOrder),
    Softmax,
    AverageOfPadded(Window),
}

/// A plan to be made.
#[derive(Debug, Clone, Copy)]
struct Case {
    op: Op,
    input: [usize; 4],
    /// Of input and output.
    types: [ElementType; 2],
    activation: Activation,
}

impl Case {
    fn plan(&self, level: Level) -> Box<dyn Plan> {
        let options = Options::default()
            .level(level)
            .input_type(self.types[0])
            .output_type(self.types[1])
            .activation(self.activation);
        self.try_plan(&options).unwrap()
    }

    fn try_plan(&self, options: &Options) -> Result<Box<dyn Plan>, Error> {
        let input = self.input;
        Ok(match self.op {
            Op::Resize(size, interpolation, coordinates) => {
                Box::new(Resize::new(input, size, interpolation, coordinates, options)?)
            }
            Op::DepthToSpace(block, order) => {
                Box::new(DepthToSpace::new(input, block, order, options)?)
            }
            Op::Softmax => Box::new(Softmax::new(input, options)?),
            Op::AverageOfPadded(window) => {
                Box::new(Pool::new(input, PoolKind::AverageOfPadded, window, options)?)
            }
        })
    }

    /// Results before residual and activation, and the bound of their errors.
    fn expected(&self, x: &[f32]) -> Vec<(f64, f64)> {
        let input = self.input;
        match self.op {
            Op::Resize(size, interpolation, coordinates) => {
                let sums = naive::resize(input, x, size, interpolation, coordinates);
                // Four products, whose weights are rounded products, too.
                sums.iter().map(|sum| (sum.value, gamma(6) * sum.magnitude)).collect()
            }
            Op::DepthToSpace(block, order) => {
                let moved = naive::depth_to_space(input, x, block, order);
                moved.iter().map(|&x| (x.into(), 0.0)).collect()
            }
            Op::Softmax => {
                let y = naive::softmax(x, input[3]);
                // 3 ULP for each exponential, of a rounded difference of up to 40; the sum.
                let relative = gamma(64 + 16 + input[3] / 16);
                y.iter().map(|&y| (y, relative * y + 1e-37)).collect()
            }
            Op::AverageOfPadded(window) => {
                let sums = naive::pool(PoolKind::AverageOfPadded, input, x, &window);
                let taps = window.kernel[0] * window.kernel[1];
                sums.iter().map(|sum| (sum.value, gamma(taps + 1) * sum.magnitude)).collect()
            }
        }
    }
}

/// Runs a case on each level, whole and in rows, with and without a residual: the same bits, near
/// what the naive loops give.
fn compare(case: &Case, numbers: &mut Random) {
    let Case { input, types, activation, .. } = *case;
    let x = Stored::new(types[0], &Mode::Reals.fill(numbers, input.iter().product()));
    let gaps = [0; 3].map(|_| numbers.below(4));
    let threads = numbers.below(4);
    let x_spaced = Spaced::of(input, gaps[0], &x);
    let expected = case.expected(&x.values());
    let (relative, absolute) = roundoff(types[1]);
    let mut first: Option<Vec<f32>> = None;
    for level in levels() {
        let plan = case.plan(level);
        let output = plan.output_shape();
        let residual = Mode::Reals.fill(&mut Random(5), output.iter().product());
        let residual = Stored::new(types[1], &residual);
        let residual_spaced = Spaced::of(output, gaps[1], &residual);
        let got = run(&*plan, &x_spaced, Some(&residual_spaced), gaps[2], threads);
        let alone = run(&*plan, &x_spaced, None, gaps[2], 1);
        assert_same_bits(
            format_args!("{case:?} on {level}"),
            &got,
            first.get_or_insert(got.clone()),
        );
        let what = format!("{case:?} on {level}");
        for (i, (&(value, bound), residual)) in expected.iter().zip(residual.values()).enumerate() {
            for (got, residual) in [(&got, f64::from(residual)), (&alone, 0.0)] {
                let sum = value + residual;
                let expected = f64::from(activated(&[sum as f32], activation)[0]);
                let bound = bound + (gamma(2) + relative) * (sum.abs() + bound) + absolute + 1e-37;
                assert_close(&what, i, got[i], expected, bound);
            }
        }
        // A part of the rows, made of the rows that it needs.
        let start = numbers.below(output[1]);
        let rows = start..start + 1 + numbers.below(output[1] - start);
        let part = run_rows(
            &*plan,
            rows.clone(),
            &Spaced::rows(input, plan.input_rows(rows.clone()), gaps[0], &x),
            Some(&Spaced::rows(output, rows.clone(), gaps[1], &residual)),
            gaps[2],
            1,
        );
        let whole = Spaced::rows(output, rows.clone(), 0, &Stored::F32(got));
        let whole = whole.into_dense().into_values();
        assert_same_bits(format_args!("{case:?}, rows {rows:?} on {level}"), &part, &whole);
    }
}

/// Compares that many random cases of an operation at full effort. Each runs three times: a kernel
/// then has as many runs as the ledger asks for.
fn check(cases: u32, of: impl Fn([usize; 4], &mut Random) -> (Op, [usize; 4])) {
    let mut numbers = Random(29);
    let cases = common::scaled(cases).max(100);
    for i in 0..cases {
        let c = 1 + if i.is_multiple_of(4) { numbers.below(70) } else { numbers.below(18) };
        let input = [1 + numbers.below(2), 1 + numbers.below(6), 1 + numbers.below(9), c];
        let (op, input) = of(input, &mut numbers);
        let any = [(); 2].map(|()| ElementType::FLOATS[numbers.below(3)]);
        let types = if i.is_multiple_of(2) { [ElementType::F32; 2] } else { any };
        let activation = [Activation::None, Activation::Relu6][numbers.below(2)];
        compare(&Case { op, input, types, activation }, &mut numbers);
    }
    println!("{cases} cases on {:?}", levels());
}

const COORDINATES: [Coordinates; 3] =
    [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric];

#[test]
fn resized() {
    check(20_000, |input, numbers| {
        // Of any ratio, in half of the cases a whole one.
        let mut of = |input: usize| match numbers.below(4) {
            0 => input,
            1 => 2 * input,
            _ => 1 + numbers.below(19),
        };
        let size = [of(input[1]), of(input[2])];
        let interpolation = [Interpolation::Nearest, Interpolation::Bilinear][numbers.below(2)];
        (Op::Resize(size, interpolation, COORDINATES[numbers.below(3)]), input)
    });
}

#[test]
fn depth_to_space() {
    check(16_000, |[n, h, w, c], numbers| {
        let block = 1 + numbers.below(3);
        let order = [DepthOrder::BlockFirst, DepthOrder::ChannelFirst][numbers.below(2)];
        (Op::DepthToSpace(block, order), [n, h, w, c * block * block])
    });
}

#[test]
fn softmax() {
    check(35_000, |input, _| (Op::Softmax, input));
}

#[test]
fn averages_that_count_padding() {
    check(2_000, |input, numbers| {
        let kernel = [1 + numbers.below(3), 1 + numbers.below(3)];
        let sides = [0; 4].map(|_| numbers.below(3));
        let padding = Padding::Explicit {
            top: sides[0] + kernel[0] - 1,
            bottom: sides[1],
            left: sides[2] + kernel[1] - 1,
            right: sides[3],
        };
        let window = Window::new(kernel).stride([1 + numbers.below(2); 2]).padding(padding);
        (Op::AverageOfPadded(window), input)
    });
}

/// What TensorFlow and PyTorch give, to the digit: the sources are named beside.
#[test]
fn known_values() {
    let resized = |input: [usize; 2], x: &[f32], size, interpolation, coordinates| {
        let options = Options::default();
        let [h, w] = input;
        let plan = Resize::new([1, h, w, 1], size, interpolation, coordinates, &options).unwrap();
        let x = Spaced::new([1, h, w, 1], 0, x);
        run(&plan, &x, None, 0, 0)
    };
    let (nearest, bilinear) = (Interpolation::Nearest, Interpolation::Bilinear);
    let [half_pixel, aligned, asymmetric] = COORDINATES;
    // torch.nn.functional.interpolate of [1, 2, 3], size 5; tf.image.resize alike.
    let row = |interpolation, coordinates, size| {
        resized([1, 3], &[1.0, 2.0, 3.0], [1, size], interpolation, coordinates)
    };
    assert_eq!(row(nearest, asymmetric, 5), [1.0, 1.0, 2.0, 2.0, 3.0]);
    assert_eq!(row(nearest, half_pixel, 2), [1.0, 3.0]);
    assert_eq!(row(nearest, asymmetric, 2), [1.0, 2.0]);
    assert_eq!(row(bilinear, aligned, 5), [1.0, 1.5, 2.0, 2.5, 3.0]);
    assert_eq!(row(bilinear, half_pixel, 6), [1.0, 1.25, 1.75, 2.25, 2.75, 3.0]);
    assert_eq!(row(bilinear, asymmetric, 6), [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]);
    // Down: no filter, as neither has one unless asked for.
    assert_eq!(row(bilinear, half_pixel, 1), [2.0]);
    assert_eq!(row(bilinear, aligned, 1), [1.0]);
    let square = resized([2, 2], &[1.0, 2.0, 3.0, 4.0], [3, 3], bilinear, aligned);
    assert_eq!(square, [1.0, 1.5, 2.0, 2.0, 2.5, 3.0, 3.0, 3.5, 4.0]);
}

/// What an output lies on is copied: NaN beside it stays out, −0 and infinities stay in.
#[test]
fn copies_are_copies() {
    for level in levels() {
        let (op, input) =
            (Op::Resize([1, 5], Interpolation::Bilinear, COORDINATES[1]), [1, 1, 3, 1]);
        let types = [ElementType::F32; 2];
        let case = Case { op, input, types, activation: Activation::None };
        let x = Spaced::new(input, 0, &[-0.0, f32::NAN, f32::INFINITY]);
        let y = run(&*case.plan(level), &x, None, 0, 0);
        assert_same_bits(level, &[y[0], y[4]], &[-0.0, f32::INFINITY]);
        assert!(y[1..4].iter().all(|y| y.is_nan()), "{y:?}");
    }
}

/// Far apart, equal, infinite below, none.
#[test]
fn extreme_softmax() {
    let infinity = f32::INFINITY;
    for level in levels() {
        let of = |x: &[f32]| {
            let input = [1, 1, 1, x.len()];
            let plan = Softmax::new(input, &Options::default().level(level)).unwrap();
            run(&plan, &Spaced::new(input, 0, x), None, 0, 0)
        };
        assert_eq!(of(&[3e38, -3e38]), [1.0, 0.0]);
        assert_eq!(of(&[-infinity, 1.0, 1.0]), [0.0, 0.5, 0.5]);
        assert_eq!(of(&[-120.0, 0.0]), [0.0, 1.0]);
        assert_eq!(of(&[7.0; 64]), [1.0 / 64.0; 64]);
        for x in [[f32::NAN, 0.0], [infinity, 0.0], [-infinity, -infinity]] {
            assert!(of(&x).iter().all(|y| y.is_nan()), "{x:?} on {level}");
        }
    }
}

/// What can't be computed is refused, with the numbers.
#[test]
fn refused() {
    let options = Options::default();
    let case =
        |op, input| Case { op, input, types: [ElementType::F32; 2], activation: Activation::None };
    let said = |op, input, options: &Options| {
        case(op, input).try_plan(options).map(drop).unwrap_err().to_string()
    };
    let resize = |size| Op::Resize(size, Interpolation::Nearest, Coordinates::HalfPixel);
    let to_space = |block| Op::DepthToSpace(block, DepthOrder::BlockFirst);
    assert_eq!(
        said(to_space(2), [1, 1, 1, 10], &options),
        "channels: expected a multiple of 2 x 2, got 10"
    );
    assert_eq!(said(to_space(0), [1, 1, 1, 10], &options), "block is 0; it must be at least 1");
    assert_eq!(
        said(resize([0, 1]), [1, 1, 1, 1], &options),
        "output height is 0; it must be at least 1"
    );
    assert_eq!(
        said(resize([1, 1]), [1, 0, 1, 1], &options),
        "input height is 0; it must be at least 1"
    );
    let huge = usize::MAX / 2;
    assert_eq!(
        said(resize([huge, huge]), [1, 1, 1, 1], &options),
        "output elements overflow the address space"
    );
    assert_eq!(
        said(to_space(huge), [1, 1, 1, 1], &options),
        "pixels of a block overflow the address space"
    );
    // More than there is memory for its table.
    let wide = usize::MAX >> if cfg!(target_pointer_width = "64") { 9 } else { 4 };
    let too_wide = said(resize([1, wide]), [1, 1, 1, 1], &options);
    assert!(too_wide.contains("memory"), "{too_wide}");
    let layers =
        [(resize([2, 2]), [1, 1, 1, 1]), (to_space(1), [1, 1, 1, 1]), (Op::Softmax, [1, 1, 1, 1])];
    for (op, input) in layers {
        let nchw = options.input_layout(TensorLayout::Nchw);
        let activated = options.input_activation(Activation::Relu);
        assert!(said(op, input, &nchw).contains("expected NHWC"));
        assert!(said(op, input, &activated).contains("activate it before"));
        assert!(said(op, input, &options.input_scale(true)).contains("multiply it before"));
        if ElementType::U8.is_available() {
            assert!(said(op, input, &options.input_type(ElementType::U8)).contains("integers"));
        }
    }
}
