//! Transposed convolutions against the naive loops that scatter: random shapes, strides, dilations,
//! paddings, groups and types on every level, with gaps, whole and in rows.

use common::half::{Stored, roundoff};
use common::{
    Mode, Random, Spaced, activated, assert_close, assert_same_bits, gamma, levels, run, run_rows,
};
use sepconv_kernels::*;

/// A layer and its operands.
struct Case {
    input: [usize; 4],
    window: TransposedWindow,
    groups: usize,
    channels_out: usize,
    options: Options,
    x: Stored,
    /// As Keras has them, \[kh, kw, O/groups, C\].
    weights: Stored,
    bias: Vec<f32>,
}

impl Case {
    /// None if the padding leaves nothing.
    fn random(numbers: &mut Random, i: u32) -> Option<Self> {
        let mut below = |n: usize| numbers.below(n);
        let kernel = [1 + below(5), 1 + below(5)];
        let stride = [1 + below(4), 1 + below(3)];
        let padding = match below(3) {
            0 => TransposedPadding::Valid,
            1 => TransposedPadding::Same,
            _ => TransposedPadding::Explicit {
                padding: kernel.map(|k| below(k + 2)),
                output_padding: [below(3), below(3)],
            },
        };
        // Half of them 1; also with a stride, with common divisors and without.
        let dilation = [(); 2].map(|()| 1 + below(8).saturating_sub(4));
        let window =
            TransposedWindow::new(kernel).stride(stride).dilation(dilation).padding(padding);
        let c = 1 + if i.is_multiple_of(4) { below(40) } else { below(9) };
        let (groups, of_group) = match below(4) {
            0 => (c, 1),
            1 => (c, 2),
            2 if c % 2 == 0 => (2, 1 + below(9)),
            _ => (1, 1 + below(40)),
        };
        let input = [1 + below(2), 1 + below(5), 1 + below(8), c];
        let [oh, ow] = window.output_size([input[1], input[2]]).ok()?;
        assert!(oh > 0 && ow > 0);
        let mut types = [(); 3].map(|()| ElementType::FLOATS[below(3)]);
        if i.is_multiple_of(2) {
            types = [ElementType::F32; 3];
        }
        let activations = [Activation::None, Activation::Relu, Activation::Silu];
        let options = Options::default()
            .input_type(types[0])
            .output_type(types[2])
            .input_activation(activations[below(3)])
            .activation(activations[below(3)]);
        let channels_out = groups * of_group;
        let len = kernel[0] * kernel[1] * of_group * c;
        Some(Self {
            input,
            window,
            groups,
            channels_out,
            options,
            x: Stored::new(types[0], &Mode::Reals.fill(numbers, input.iter().product())),
            weights: Stored::new(types[1], &Mode::Reals.fill(numbers, len)),
            bias: Mode::Reals.fill(numbers, channels_out),
        })
    }

    fn plan(&self, level: Level) -> TransposedConv {
        let params = TransposedParams::new(self.window, self.channels_out, self.weights.elements())
            .groups(self.groups)
            .bias(&self.bias);
        TransposedConv::new(self.input, &params, &self.options.level(level)).unwrap()
    }

    fn what(&self, level: Level) -> String {
        let Self { input, window, groups, channels_out, options, .. } = self;
        format!("{input:?}, {window:?}, {groups} groups to {channels_out}, {options:?} on {level}")
    }

    /// Sums by the naive loops.
    fn expected(&self) -> Vec<naive::Sum> {
        let x = activated(&self.x.values(), self.options.input_activation);
        let Self { input, window, groups, channels_out, .. } = *self;
        let (weights, bias) = (&self.weights.values()[..], Some(&self.bias[..]));
        let x = &x[..];
        naive::transposed_conv(&naive::TransposedConv {
            input,
            x,
            window,
            groups,
            channels_out,
            weights,
            bias,
        })
    }
}

fn compare(case: &Case, numbers: &mut Random) {
    let gaps = [0; 3].map(|_| numbers.below(4));
    let threads = numbers.below(4);
    let x = Spaced::of(case.input, gaps[0], &case.x);
    let sums = case.expected();
    let mut first: Option<Vec<f32>> = None;
    let chain = case.window.kernel[0] * case.window.kernel[1] * case.input[3] / case.groups;
    for level in levels() {
        let (plan, what) = (case.plan(level), case.what(level));
        let output = plan.output_shape();
        let residual = Mode::Reals.fill(&mut Random(5), output.iter().product());
        let residual = Stored::new(case.options.output_type, &residual);
        let spaced = Spaced::of(output, gaps[1], &residual);
        let got = run(&plan, &x, Some(&spaced), gaps[2], threads);
        assert_same_bits(&what, &got, first.get_or_insert(got.clone()));
        let (relative, absolute) = roundoff(case.options.output_type);
        for (i, (sum, residual)) in sums.iter().zip(residual.values()).enumerate() {
            let before = sum.value + f64::from(residual);
            let expected = naive::activate(case.options.activation, before);
            // Of SiLU on both ends, whose slope is at most 1.1.
            let magnitude = sum.magnitude + f64::from(residual).abs();
            let bound = 1.1 * gamma(chain + 10) * magnitude
                + (gamma(8) + relative) * (expected.abs() + before.abs())
                + absolute
                + 1e-35;
            assert_close(&what, i, got[i], expected, bound);
        }
        let start = numbers.below(output[1]);
        let rows = start..start + 1 + numbers.below(output[1] - start);
        let part = run_rows(
            &plan,
            rows.clone(),
            &Spaced::rows(case.input, plan.input_rows(rows.clone()), gaps[0], &case.x),
            Some(&Spaced::rows(output, rows.clone(), gaps[1], &residual)),
            gaps[2],
            1 + numbers.below(3),
        );
        let whole = Spaced::rows(output, rows.clone(), 0, &Stored::F32(got)).into_dense();
        assert_same_bits(format_args!("{what}, rows {rows:?}"), &part, &whole.into_values());
    }
}

#[test]
fn random_layers() {
    let mut numbers = Random(30);
    let mut compared = 0;
    for i in 0..common::scaled(4000).max(200) {
        if let Some(case) = Case::random(&mut numbers, i) {
            compare(&case, &mut numbers);
            compared += 1;
        }
    }
    println!("{compared} transposed convolutions on {:?}", levels());
    assert!(compared > 100);
}

/// Tiles, panels and blocks, and more than one of each.
#[test]
fn larger_layers() {
    let mut numbers = Random(31);
    let same = TransposedPadding::Same;
    for (input, kernel, stride, groups, channels_out) in [
        ([1, 14, 15, 64], [3, 3], [2, 2], 1, 70),
        ([1, 12, 13, 40], [2, 2], [2, 2], 1, 33),
        ([1, 13, 9, 48], [4, 4], [2, 2], 48, 48),
        ([1, 20, 21, 72], [6, 6], [2, 2], 72, 72),
        ([1, 6, 7, 600], [4, 4], [4, 4], 1, 20),
        ([1, 9, 11, 24], [5, 5], [2, 4], 1, 40),
    ] {
        let dilation = if stride == [2, 4] { [3, 6] } else { [1, 1] };
        let window = TransposedWindow::new(kernel).stride(stride).dilation(dilation).padding(same);
        let len = kernel[0] * kernel[1] * channels_out / groups * input[3];
        let case = Case {
            input,
            window,
            groups,
            channels_out,
            options: Options::default().activation(Activation::Relu),
            x: Stored::F32(Mode::Reals.fill(&mut numbers, input.iter().product())),
            weights: Stored::F32(Mode::Reals.fill(&mut numbers, len)),
            bias: Mode::Reals.fill(&mut numbers, channels_out),
        };
        compare(&case, &mut numbers);
    }
}

/// PyTorch's weights, \[C, O/groups, kh, kw\], give the bits of Keras's.
#[test]
fn layouts() {
    let mut numbers = Random(32);
    for (groups, c, o) in [(1, 3, 5), (2, 4, 6), (4, 4, 4)] {
        let (kernel, of_group) = ([2, 3], o / groups);
        let torch = Mode::Reals.fill(&mut numbers, 6 * c * of_group);
        let mut keras = Vec::new();
        for tap in 0..6 {
            for o in 0..of_group {
                keras.extend((0..c).map(|i| torch[(i * of_group + o) * 6 + tap]));
            }
        }
        let window = TransposedWindow::new(kernel).stride([2, 2]);
        let input = [1, 3, 4, c];
        let x = Spaced::new(input, 0, &Mode::Reals.fill(&mut numbers, 12 * c));
        let y = [(&keras, WeightLayout::Hwoi), (&torch, WeightLayout::Iohw)].map(|(w, layout)| {
            let params = TransposedParams::new(window, o, &w[..]).groups(groups).layout(layout);
            let plan = TransposedConv::new(input, &params, &Options::default()).unwrap();
            run(&plan, &x, None, 0, 0)
        });
        assert_same_bits(format_args!("{groups} groups"), &y[0], &y[1]);
    }
}

/// To check by hand: inputs lie two outputs apart, taps three.
#[test]
fn stride_and_dilation_along_one_axis() {
    let window = TransposedWindow::new([1, 3]).stride([1, 2]).dilation([1, 3]);
    let params = TransposedParams::new(window, 1, &[1.0, 10.0, 100.0]).bias(&[0.5]);
    for level in levels() {
        let options = Options::default().level(level);
        let plan = TransposedConv::new([1, 1, 2, 1], &params, &options).unwrap();
        let y = run(&plan, &Spaced::new([1, 1, 2, 1], 0, &[3.0, 4.0]), None, 0, 0);
        assert_eq!(y, [3.5, 0.5, 4.5, 30.5, 0.5, 40.5, 300.5, 0.5, 400.5]);
    }
}

/// A stride beyond the kernel leaves outputs of the bias alone; packed weights serve any size.
#[test]
fn gaps_between_pixels() {
    let window = TransposedWindow::new([1, 1]).stride([2, 3]);
    let params = TransposedParams::new(window, 1, &[2.0]).bias(&[0.5]);
    for level in levels() {
        let packed = TransposedConv::pack(1, &params, &Options::default().level(level)).unwrap();
        assert_eq!(packed.output_shape([1, 1, 2]), Ok([1, 2, 6, 1]));
        let plan = packed.plan([1, 1, 2]).unwrap();
        let y = run(&plan, &Spaced::new([1, 1, 2, 1], 0, &[3.0, f32::NAN]), None, 0, 0);
        assert_eq!(y[..3], [6.5, 0.5, 0.5]);
        assert!(y[3].is_nan());
        assert_eq!(y[4..], [0.5; 8]);
    }
}

#[test]
fn refused() {
    let options = Options::default();
    let said = |params: &TransposedParams<'_>, options: &Options| {
        TransposedConv::new([1, 2, 2, 2], params, options).map(drop).unwrap_err().to_string()
    };
    let window = TransposedWindow::new([1, 1]);
    let weights = [1.0; 4];
    let params = TransposedParams::new(window, 2, &weights);
    assert_eq!(said(&params.groups(0), &options), "groups is 0; it must be at least 1");
    assert_eq!(said(&params.groups(2), &options), "weights: expected 2 elements, got 4");
    assert_eq!(said(&params.bias(&[0.0]), &options), "bias: expected 2 elements, got 1");
    let of = |window| TransposedParams::new(window, 2, &weights);
    let none = TransposedPadding::Explicit { padding: [1, 0], output_padding: [0, 0] };
    assert_eq!(
        said(&of(window.padding(none)), &options),
        "padding 1 on both sides leaves nothing of a transposed height of 2"
    );
    assert_eq!(
        said(&of(window.stride([1, 65])), &options),
        "stride of a transposed convolution: expected at most 64, got 65"
    );
    let message = said(&of(window.stride([0, 1])), &options);
    assert_eq!(message, "stride along the height is 0; it must be at least 1");
    let huge = TransposedPadding::Explicit { padding: [0, 0], output_padding: [usize::MAX, 0] };
    assert!(said(&of(window.padding(huge)), &options).contains("overflow"));
    assert!(said(&params, &options.output_layout(TensorLayout::Nchw)).contains("expected NHWC"));
    if Arithmetic::Bf16.is_available() {
        assert!(said(&params, &options.arithmetic(Arithmetic::Bf16)).contains("arithmetic bf16"));
    }
}
