//! How far integers are from the numbers that they stand for: signal to noise in decibels,
//! 10·log₁₀(Σ y² / Σ (y − ŷ)²).

use std::collections::BTreeMap;

use sepconv_kernels::Quantization;

use super::assign::{Assignment, Layer};
use super::{Network, NetworkPlan, PlanOptions, Session};
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

    /// Infinite without noise, NaN without numbers.
    pub(super) fn decibels(self) -> f64 {
        match (self.signal, self.noise) {
            (0.0, 0.0) => f64::NAN,
            (signal, noise) => 10.0 * (signal / noise).log10(),
        }
    }
}

/// A layer by itself, once in f32 and once in integers, to find the error that its own rounding
/// adds. The integers round the operand, the weights, the value between a depthwise and a pointwise
/// convolution, and the result unless it goes into a sum.
pub(super) struct Alone {
    sessions: [Session; 2],
    pub(super) noise: Noise,
}

impl Alone {
    /// None if the operand is not a node's value, or is not rounded to integers.
    pub(super) fn new(
        network: &Network,
        weights: &Weights,
        input: [usize; 4],
        (assignment, layer): (&Assignment, &Layer),
        quantizations: &BTreeMap<usize, Quantization>,
    ) -> Result<Option<Self>> {
        let nodes = network.nodes();
        let rounded =
            |node: usize| assignment.source(node).and_then(|source| quantizations.get(&source));
        let Some(&of_operand) = layer.operand.and_then(&rounded) else { return Ok(None) };
        let mut alone = Network::new("layer", "operand of layer", [None; 2], input[3]);
        alone.set_quantization(alone.output(), Some(of_operand))?;
        let last = layer.members.len().saturating_sub(1);
        for (i, &member) in layer.members.iter().enumerate() {
            let node = &nodes[member];
            let id = alone.push_for_layer(
                &node.name,
                &node.layer,
                node.op.clone(),
                &[alone.output()],
            )?;
            if i < last || !layer.is_cut {
                alone.set_quantization(id, rounded(member).copied())?;
            }
        }
        let mut float = alone.clone();
        float.clear_quantizations();
        let session = |network: &Network| {
            let plan = NetworkPlan::new(network, weights, input, &PlanOptions::default())?;
            Session::new(plan)
        };
        let sessions = [session(&float)?, session(&alone)?];
        Ok(Some(Self { sessions, noise: Noise::default() }))
    }

    /// Runs the layer both ways on an operand.
    pub(super) fn add(&mut self, operand: &[f32]) -> Result<()> {
        let [exact, rounded] = &mut self.sessions;
        exact.run(operand)?;
        rounded.run(operand)?;
        self.noise.add(exact.output(), rounded.output());
        Ok(())
    }
}
