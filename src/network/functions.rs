//! Softmax and PReLU, which have no kernel: one definition each.
//!
//! Exponentials are computed in f64 by `libm`, which is plain Rust, and rounded to f32 once.
//! Results have the same bits on every platform. NaN gives NaN.

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
    #[test]
    fn prelu_keeps_nan() {
        assert!(super::prelu(f32::NAN, 0.5).is_nan());
        assert_eq!([-2.0, 2.0].map(|x| super::prelu(x, 0.25)), [-0.5, 2.0]);
    }
}
