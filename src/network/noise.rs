//! How far integers are from the numbers that they stand for: signal to noise in decibels,
//! 10·log₁₀(Σ y² / Σ (y − ŷ)²).

use sepconv_kernels::Quantization;

use super::shape::Shape;
use super::{Network, NetworkPlan, Node, PlanOptions, Session};
use crate::Result;
use crate::weights::Weights;

/// Sums of squares of numbers and of errors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    pub(super) fn add(&mut self, exact: &[f32], rounded: &[f32]) {
        for (&y, &z) in exact.iter().zip(rounded) {
            let (y, z) = (f64::from(y), f64::from(z));
            self.signal += y * y;
            self.noise += (y - z) * (y - z);
        }
    }

    /// Noise ÷ signal, 0 without either.
    pub(super) fn ratio(self) -> f64 {
        if self.noise == 0.0 || self.signal == 0.0 { 0.0 } else { self.noise / self.signal }
    }

    /// Infinite without noise, NaN without numbers.
    pub(super) fn decibels(self) -> f64 {
        match (self.signal, self.noise) {
            (0.0, 0.0) => f64::NAN,
            (signal, noise) => 10.0 * (signal / noise).log10(),
        }
    }
}

/// A layer by itself, once in f32 and once in integers, to find the error that its own rounding
/// adds. In integers, the operand and the weights are rounded, and the members that have a
/// quantization.
pub(super) struct Alone {
    sessions: [Session; 2],
    pub(super) noise: Noise,
    /// By channel of the result: the sum of the errors, integers − f32.
    errors: Vec<f64>,
    pixels: u64,
}

impl Alone {
    /// Plans the members of a layer, each with its quantization, for an operand of this shape and
    /// quantization: in f32 with the first weights, and in integers with the second.
    pub(super) fn new(
        nodes: &[Node],
        [exact, rounded]: [&Weights; 2],
        (input, of_operand): (Shape, Quantization),
        members: &[(usize, Option<Quantization>)],
    ) -> Result<Self> {
        let mut alone = Network::new("layer", "operand of layer", [None; 2], input[3]);
        alone.set_quantization(alone.output(), Some(of_operand))?;
        for &(member, quantization) in members {
            let Node { name, layer, op, .. } = &nodes[member];
            let id = alone.push_for_layer(name, layer, op.clone(), &[alone.output()])?;
            alone.set_quantization(id, quantization)?;
        }
        let mut float = alone.clone();
        float.clear_quantizations();
        let session = |network: &Network, weights: &Weights| {
            let plan = NetworkPlan::new(network, weights, input, &PlanOptions::default())?;
            Session::new(plan)
        };
        let sessions = [session(&float, exact)?, session(&alone, rounded)?];
        let [.., channels] = sessions[0].plan().output_shape();
        let errors = vec![0.0; channels];
        Ok(Self { sessions, noise: Noise::default(), errors, pixels: 0 })
    }

    /// Runs the layer both ways on an operand.
    pub(super) fn add(&mut self, operand: &[f32]) -> Result<()> {
        let [exact, rounded] = &mut self.sessions;
        exact.run(operand)?;
        rounded.run(operand)?;
        let (exact, rounded) = (exact.output(), rounded.output());
        self.noise.add(exact, rounded);
        let channels = self.errors.len();
        for (exact, rounded) in exact.chunks_exact(channels).zip(rounded.chunks_exact(channels)) {
            for ((error, &y), &z) in self.errors.iter_mut().zip(exact).zip(rounded) {
                *error += f64::from(z) - f64::from(y);
            }
            self.pixels += 1;
        }
        Ok(())
    }

    /// The mean error of integers, by channel. None after fewer than `least` pixels.
    pub(super) fn mean_errors(&self, least: u64) -> Option<impl Iterator<Item = f64>> {
        let pixels = self.pixels as f64;
        (self.pixels >= least.max(1)).then(|| self.errors.iter().map(move |sum| sum / pixels))
    }
}
