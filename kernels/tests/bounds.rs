//! The rounding errors themselves, against the bounds that theory gives for one chain of fused
//! multiply-adds: |error| ≤ γ·(Σ|x||w| + |b|).

use common::{Mode, Random, Spaced, assert_same_bits, gamma, levels, run};
use sepconv_kernels::naive::{self, Conv as Reference};
use sepconv_kernels::*;

/// Numbers that make errors large in different ways.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// In [−1, 1): partial sums wander about 0.
    Signed,
    /// In [0, 1): they grow, and each addition rounds at the size of the result.
    Positive,
    /// Of magnitudes 2⁻¹² to 2¹².
    Wide,
}

impl Kind {
    fn fill(self, random: &mut Random, len: usize) -> Vec<f32> {
        let mut reals = Mode::Reals.fill(random, len);
        for real in &mut reals {
            match self {
                Kind::Signed => {}
                Kind::Positive => *real = real.abs(),
                Kind::Wide => *real *= (random.below(25) as f32 - 12.0).exp2(),
            }
        }
        reals
    }
}

/// The worst |error| / (Σ|x||w| + |b|) of a layer over many seeds.
fn worst(
    input: [usize; 4],
    window: Window,
    groups: usize,
    channels_out: usize,
    seeds: u32,
    plan: impl Fn(&[f32], &[f32], &Options) -> Box<dyn Plan>,
) -> (f64, u64) {
    let per_output = window.kernel[0] * window.kernel[1] * input[3] / groups;
    let (mut worst, mut outputs) = (0.0_f64, 0);
    for seed in 0..common::scaled(seeds) {
        for kind in [Kind::Signed, Kind::Positive, Kind::Wide] {
            let mut random = Random(u64::from(seed));
            let x = kind.fill(&mut random, input.iter().product());
            let weights = kind.fill(&mut random, per_output * channels_out);
            let bias = kind.fill(&mut random, channels_out);
            let sums = naive::conv(&Reference {
                input,
                x: &x,
                window,
                groups,
                channels_out,
                weights: &weights,
                bias: Some(&bias),
            });
            let mut first: Option<Vec<f32>> = None;
            for level in levels() {
                let options = Options::default().level(level);
                let plan = plan(&weights, &bias, &options);
                let y = run(&*plan, &Spaced::new(input, 0, &x), None, 0, 1);
                if let Some(first) = &first {
                    assert_same_bits(plan.kernel_name(), &y, first);
                    continue;
                }
                for (y, sum) in y.iter().zip(&sums) {
                    let error = (f64::from(*y) - sum.value).abs();
                    worst = worst.max(error / sum.magnitude);
                }
                outputs += sums.len() as u64;
                first = Some(y);
            }
        }
    }
    (worst, outputs)
}

fn report(what: &str, terms: usize, (worst, outputs): (f64, u64)) {
    let bound = gamma(terms + 1);
    println!(
        "{what}: {outputs} outputs, worst error {worst:.3e}·(Σ|x||w| + |b|), bound {bound:.3e}, {:.1} % of it",
        100.0 * worst / bound
    );
    assert!(worst <= bound, "{what}: {worst:e} exceeds γ_{} = {bound:e}", terms + 1);
    assert!(worst > 0.0, "{what}: no rounding at all?");
}

/// γ₁₀ for nine taps and a bias.
#[test]
fn depthwise() {
    for stride in [1, 2] {
        let window = Window::new([3, 3]).stride([stride; 2]).padding(Padding::Same);
        let input = [1, 9, 11, 37];
        let errors = worst(input, window, 37, 37, 400, |weights, bias, options| {
            let params = DepthwiseParams::new(window, weights).bias(bias);
            Box::new(Depthwise::new(input, &params, options).unwrap())
        });
        report(&format!("depthwise 3×3, stride {stride}"), 9, errors);
    }
}

/// γ of K + 1, at Xception's K and where blocks of k follow one another.
#[test]
fn pointwise() {
    let window = Window::new([1, 1]);
    for (k, seeds) in [(728, 60), (1536, 20), (2048, 20)] {
        let input = [1, 1, 17, k];
        let errors = worst(input, window, 1, 35, seeds, |weights, bias, options| {
            let params = PointwiseParams::new(35, weights).bias(bias);
            Box::new(Pointwise::new(input, &params, options).unwrap())
        });
        report(&format!("pointwise, K = {k}"), k, errors);
    }
}

/// The same chain where the panel is produced and not the input itself: rows, and blocks that begin
/// at kernel rows.
#[test]
fn standard() {
    let window = Window::new([3, 3]).padding(Padding::Same);
    let input = [1, 4, 5, 211];
    let errors = worst(input, window, 1, 19, 10, |weights, bias, options| {
        let params = ConvParams::new(window, 19, weights).bias(bias);
        Box::new(Conv::new(input, &params, options).unwrap())
    });
    report("standard 3×3, K = 1899", 1899, errors);
}
