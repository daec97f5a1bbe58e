//! Weights as callers have them.

use crate::element::Elements;
use crate::error::{Error, Result};
use crate::layout::WeightLayout;

/// Weights and bias as they were given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacked<'a> {
    pub(crate) weights: Elements<'a>,
    pub(crate) layout: WeightLayout,
    /// None for zeros.
    pub(crate) bias: Option<&'a [f32]>,
}

impl Unpacked<'_> {
    /// Checks the weights' type and both lengths; `what` are the names of weights and bias.
    pub(crate) fn check(&self, what: [&'static str; 2], lengths: [usize; 2]) -> Result<()> {
        self.weights.element_type().checked(what[0])?;
        let actual = [Some(self.weights.len()), self.bias.map(<[f32]>::len)];
        for i in 0..2 {
            let (what, expected) = (what[i], lengths[i]);
            if let Some(actual) = actual[i].filter(|&actual| actual != expected) {
                return Err(Error::Length { what, expected, actual });
            }
        }
        Ok(())
    }
}
