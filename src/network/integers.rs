//! What 8-bit integers stand for in a step, and the weights that go with them.
//!
//! A value of range \[lo, hi\], 0 included, is stored in u8 with scale (hi − lo) / 255 and the zero
//! point nearest to −lo / scale. Weights are stored in i8, with a scale per output channel: the
//! largest magnitude over 127. Biases are i32, in steps of the input's scale times the weights'.

use sepconv_kernels::{Quantization, QuantizedWeights};

use super::flow::{Flow, ValueId};
use super::fuse::FusedStep;
use crate::weights::Int8Tensor;

/// What u8 stands for if it covers the range and 0.
pub(super) fn quantization([lo, hi]: [f32; 2]) -> Quantization {
    let (lo, hi) = (f64::from(lo.min(0.0)), f64::from(hi.max(0.0)));
    // The difference of two f32 over 255 is an f32.
    let scale = ((hi - lo) / 255.0) as f32;
    if !scale.is_normal() {
        return Quantization::default();
    }
    let zero_point = (-lo / f64::from(scale)).round_ties_even().clamp(0.0, 255.0);
    Quantization::new(scale, zero_point as i32)
}

/// What the integers of a step's tensors stand for, those of them that are integers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepQuantizations {
    pub(super) x: Quantization,
    /// Between the depthwise and the pointwise step.
    pub(super) mid: Quantization,
    pub(super) residual: Option<Quantization>,
    pub(super) result: Quantization,
}

impl StepQuantizations {
    pub(super) fn of(flow: &Flow<'_>, step: &FusedStep) -> Self {
        let of = |v: ValueId| flow.values[v].quantization;
        let mid = step.depthwise.as_ref().and_then(|_| of(flow.values[step.kernel].operands[0]));
        Self {
            x: of(step.x).unwrap_or_default(),
            mid: mid.unwrap_or_default(),
            residual: step.residual.and_then(of),
            result: of(step.result).unwrap_or_default(),
        }
    }
}

/// The number that an integer stands for.
pub(super) fn number(quantization: Quantization, integer: u8) -> f32 {
    quantization.scale * (i32::from(integer) - quantization.zero_point) as f32
}

/// Weights of i8 and what belongs to them.
#[derive(Debug)]
pub(super) struct Int8Weights {
    pub(super) weights: Vec<i8>,
    scales: Vec<f32>,
    bias: Option<Vec<i32>>,
}

/// The largest bias, and the largest sum of products, in steps of their scale. Together they fit
/// in an i32, with room for what is rounded.
const LARGEST: f64 = (1 << 29) as f64;

impl Int8Weights {
    /// Of a linear layer whose inputs have scale `input`. The output channel is innermost.
    pub(super) fn new(weights: &[f32], bias: Option<&[f32]>, channels: usize, input: f32) -> Self {
        let (mut largest, mut sums) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
        for row in weights.chunks_exact(channels) {
            for ((largest, sum), &w) in largest.iter_mut().zip(&mut sums).zip(row) {
                let magnitude = f64::from(w.abs());
                *largest = largest.max(magnitude);
                *sum += magnitude;
            }
        }
        let scale = |o: usize| {
            let bias = bias.map_or(0.0, |bias| f64::from(bias[o].abs())) / f64::from(input);
            // An input is at most 255 from its zero point.
            let products = 255.0 * sums[o];
            (largest[o] / 127.0).max(bias / LARGEST).max(products / LARGEST) as f32
        };
        let scales: Vec<f32> = (0..channels).map(scale).collect();
        let steps = |x: f32, scale: f64| match scale {
            0.0 => 0.0,
            _ => (f64::from(x) / scale).round_ties_even(),
        };
        let of = weights.iter().zip(scales.iter().cycle());
        let weights = of.map(|(&w, &s)| steps(w, s.into()).clamp(-127.0, 127.0) as i8).collect();
        let bias = bias.map(|bias| {
            let scale = |&s: &f32| f64::from(input) * f64::from(s);
            bias.iter().zip(&scales).map(|(&b, s)| steps(b, scale(s)) as i32).collect()
        });
        Self { weights, scales, bias }
    }

    /// Integers that are given, or others for the same numbers if sums of these do not fit.
    pub(super) fn given(
        tensor: &Int8Tensor,
        bias: Option<&[f32]>,
        channels: usize,
        input: f32,
    ) -> Self {
        let Int8Tensor { data, scales, .. } = tensor;
        let mut sums = vec![0_u64; channels];
        for row in data.chunks_exact(channels) {
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += u64::from(w.unsigned_abs()));
        }
        let bias_of = |o: usize| {
            let steps = bias.map_or(0.0, |bias| f64::from(bias[o]));
            steps / (f64::from(input) * f64::from(scales[o]))
        };
        let fits = |(o, &sum): (usize, &u64)| match bias_of(o) {
            bias if bias.is_nan() => true, // 0 of scale 0
            bias => 255.0 * sum as f64 + bias.abs() <= f64::from(i32::MAX - 1),
        };
        if data.contains(&i8::MIN) || !sums.iter().enumerate().all(fits) {
            return Self::new(&tensor.numbers(), bias, channels, input);
        }
        let nearest = |o| bias_of(o).round_ties_even() as i32; // NaN is 0
        let bias = bias.map(|_| (0..channels).map(nearest).collect());
        Self { weights: data.clone(), scales: scales.clone(), bias }
    }

    /// The weights alone, as a tensor of this shape.
    pub(super) fn into_tensor(self, shape: Vec<usize>) -> Int8Tensor {
        Int8Tensor { shape, data: self.weights, scales: self.scales }
    }

    pub(super) fn quantized(&self) -> QuantizedWeights<'_> {
        let mut quantized = QuantizedWeights::new(&self.scales);
        quantized.bias = self.bias.as_deref();
        quantized
    }
}
