//! The packed weights (B): panels of NR output channels, `[group][panel][k][NR]`, k ascending, padded
//! with zeros, and the biases likewise.

use crate::error::{Error, Result};
use crate::geometry::product;
use crate::isa::Kernels;
use crate::memory::{Aligned, flush_subnormal};

/// Weights and biases of a GEMM, packed for one level.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    data: Aligned,
    depth: usize,
    /// Output channels of a group.
    columns: usize,
    nr: usize,
    panels: usize,
    bias_at: usize,
}

impl PackedWeights {
    /// Packs weights of shape \[depth, groups·columns\], output channels innermost.
    pub(crate) fn new(
        kernels: &Kernels,
        depth: usize,
        groups: usize,
        columns: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let channels = product("output channels", &[groups, columns])?;
        let expected = product("weights", &[depth, channels])?;
        if weights.len() != expected {
            return Err(Error::Length { what: "weights", expected, actual: weights.len() });
        }
        if let Some(bias) = bias.filter(|b| b.len() != channels) {
            return Err(Error::Length { what: "bias", expected: channels, actual: bias.len() });
        }
        let nr = kernels.nr;
        let panels = columns.div_ceil(nr);
        let bias_at = product("packed weights", &[groups, panels, nr, depth])?;
        let biases = product("packed biases", &[groups, panels, nr])?;
        let total =
            bias_at.checked_add(biases).ok_or(Error::Overflow { what: "packed weights" })?;
        let mut data = Aligned::new(total, 0.0)?;
        let packed = &mut data[..];
        for (k, row) in weights.chunks_exact(channels).enumerate() {
            for (group, row) in row.chunks_exact(columns).enumerate() {
                for (panel, row) in row.chunks(nr).enumerate() {
                    let at = ((group * panels + panel) * depth + k) * nr;
                    for (to, &weight) in packed[at..].iter_mut().zip(row) {
                        *to = flush_subnormal(weight);
                    }
                }
            }
        }
        for (group, row) in bias.unwrap_or_default().chunks_exact(columns).enumerate() {
            let at = bias_at + group * panels * nr;
            for (to, &b) in packed[at..].iter_mut().zip(row) {
                *to = flush_subnormal(b);
            }
        }
        Ok(Self { data, depth, columns, nr, panels, bias_at })
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Panels of a group.
    pub(crate) fn panels(&self) -> usize {
        self.panels
    }

    /// Row `k` of a panel.
    pub(crate) fn panel(&self, group: usize, panel: usize, k: usize) -> *const f32 {
        let at = ((group * self.panels + panel) * self.depth + k) * self.nr;
        self.data.as_ptr().wrapping_add(at)
    }

    /// The NR biases of a panel.
    pub(crate) fn bias(&self, group: usize, panel: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(self.bias_at + (group * self.panels + panel) * self.nr)
    }
}
