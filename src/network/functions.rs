//! Element-wise functions and softmax that have no vector kernel: one definition each.
//!
//! They are computed in f64 by `libm`, which is plain Rust, and rounded to f32 once. Results have
//! the same bits on every platform and are within 0.501 ULP of the exact value. NaN gives NaN.

/// An element-wise function that has no vector kernel.
///
/// ```
/// # use sepconv::network::*;
/// let mut network = Network::new("small", "input", [None, None], 1);
/// network.push("sigmoid", Op::Function(Function::Sigmoid), &[network.output()])?;
/// let weights = sepconv::weights::Weights::default();
/// let plan = NetworkPlan::new(&network, &weights, [1, 1, 2, 1], &PlanOptions::default())?;
/// let mut session = Session::new(plan)?;
/// session.run(&[0.0, f32::INFINITY])?;
/// assert_eq!(session.output(), [0.5, 1.0]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// min(max(`slope`·x + 0.5, 0), 1). The slope is 1/6 in Keras 3, 0.2 in Keras 2.
    HardSigmoid {
        /// The slope of the middle part.
        slope: f32,
    },
    /// (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)
    Tanh,
    /// ln(1 + eˣ)
    Softplus,
    /// min(x, `max`) if x ≥ `threshold`, else `slope`·(x − `threshold`). Covers all parameters of
    /// Keras's `ReLU` and `LeakyReLU` layers.
    Relu {
        /// The slope below the threshold.
        slope: f32,
        /// The least x that keeps its value.
        threshold: f32,
        /// The largest value.
        max: f32,
    },
}

impl Function {
    /// The name of the step.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid { .. } => "hard_sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::Relu { .. } => "relu",
        }
    }

    /// The function of one element.
    pub(super) fn apply(self, x: f32) -> f32 {
        let wide = f64::from(x);
        let y = match self {
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-wide)),
            // `max` and `min` would drop a NaN.
            Self::HardSigmoid { slope } => (f64::from(slope) * wide + 0.5).clamp(0.0, 1.0),
            Self::Tanh => libm::tanh(wide),
            // Of e^−|x| nothing overflows.
            Self::Softplus => match x.is_nan() {
                true => wide,
                false => wide.max(0.0) + libm::log1p(libm::exp(-wide.abs())),
            },
            Self::Relu { threshold, max, .. } if x >= threshold => f64::from(x.min(max)),
            // 0 · −∞ would be a NaN.
            Self::Relu { slope: 0.0, .. } if !x.is_nan() => 0.0,
            Self::Relu { slope, threshold, .. } => f64::from(slope) * (wide - f64::from(threshold)),
        };
        y as f32
    }
}

/// α·x below zero, x elsewhere.
pub(super) fn prelu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * x } else { x }
}

/// exp(x − max) / Σ over one pixel's channels. A NaN, or +∞, makes its pixel NaN.
pub(super) fn softmax(x: &[f32], y: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |v: f32| libm::exp(f64::from(v) - f64::from(max));
    let sum: f64 = x.iter().map(|&v| exp(v)).sum();
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (exp(x) / sum) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    /// Every 1021st f32, of both signs, infinities included.
    fn all() -> impl Iterator<Item = f32> {
        (0..=f32::INFINITY.to_bits())
            .step_by(1021)
            .chain([f32::INFINITY.to_bits()])
            .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
    }

    /// By the mathematical definition, in the form that loses no digits at x.
    fn exact(function: Function, x: f64) -> f64 {
        match function {
            Function::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Function::HardSigmoid { slope } => {
                let y = f64::from(slope) * x + 0.5;
                if y < 0.0 { 0.0 } else { y.min(1.0) }
            }
            // (1 − e^−2x) / (1 + e^−2x)
            Function::Tanh if x.abs() > 20.0 => x.signum(),
            Function::Tanh => (2.0 * x).exp_m1() / ((2.0 * x).exp() + 1.0),
            Function::Softplus if x > 40.0 => x,
            Function::Softplus => x.exp().ln_1p(),
            Function::Relu { slope, threshold, max } => match x >= f64::from(threshold) {
                true => x.min(f64::from(max)),
                false if slope == 0.0 => 0.0,
                false => f64::from(slope) * (x - f64::from(threshold)),
            },
        }
    }

    #[test]
    fn error_is_at_most_0_501_ulp() {
        let leaky = Function::Relu { slope: 0.3, threshold: 0.0, max: f32::INFINITY };
        let all_options = Function::Relu { slope: 0.1, threshold: 0.5, max: 4.0 };
        let flat = Function::Relu { slope: 0.0, threshold: -1.0, max: 6.0 };
        let keras2 = Function::HardSigmoid { slope: 0.2 };
        let keras3 = Function::HardSigmoid { slope: 1.0 / 6.0 };
        for function in [Function::Sigmoid, Function::Tanh, Function::Softplus].into_iter().chain([
            leaky,
            all_options,
            flat,
            keras2,
            keras3,
        ]) {
            let mut worst = 0.0_f64;
            for x in all() {
                let (y, exact) = (function.apply(x), exact(function, x.into()));
                if exact.abs() > f64::from(f32::MAX) {
                    assert_eq!(y, exact as f32, "{function:?}({x:e})");
                    continue;
                }
                // The distance of f32s around the exact value; that of subnormals below 2⁻¹²⁶.
                let exponent = exact.abs().log2().floor().max(-126.0);
                let ulp = 2.0_f64.powf(exponent - 23.0);
                let error = (f64::from(y) - exact).abs() / ulp;
                assert!(error <= 0.501, "{function:?}({x:e}) = {y:e}, exactly {exact:e}");
                worst = worst.max(error);
            }
            println!("{function:?}: {worst} ULP");
            assert!(function.apply(f32::NAN).is_nan());
        }
        assert!(super::prelu(f32::NAN, 0.5).is_nan());
        assert_eq!([-2.0, 2.0].map(|x| super::prelu(x, 0.25)), [-0.5, 2.0]);
    }
}
