//! The packed weights of depthwise convolutions: `[block of lanes][kh][kw][lane]`, then the biases.

use crate::element::Elements;
use crate::error::{Error, Result};
use crate::geometry::product;
use crate::memory::{Aligned, flush_subnormal};

/// Weights and biases of a depthwise convolution, packed for one level. They are f32 whatever they
/// were given in: there are few of them, and each is used for a whole picture.
#[derive(Debug)]
pub(crate) struct DepthwiseWeights {
    data: Aligned,
    /// Where the biases begin.
    bias_at: usize,
}

impl DepthwiseWeights {
    /// Packs weights of shape \[kh, kw, channels\].
    pub(crate) fn new(
        lanes: usize,
        kernel: [usize; 2],
        channels: usize,
        weights: Elements<'_>,
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let taps = product("kernel elements", &kernel)?;
        let expected = product("depthwise weights", &[taps, channels])?;
        if weights.len() != expected {
            let (what, actual) = ("depthwise weights", weights.len());
            return Err(Error::Length { what, expected, actual });
        }
        if let Some(bias) = bias.filter(|b| b.len() != channels) {
            let (what, actual) = ("depthwise bias", bias.len());
            return Err(Error::Length { what, expected: channels, actual });
        }
        let overflow = Error::Overflow { what: "depthwise weights" };
        let padded = channels.checked_next_multiple_of(lanes).ok_or(overflow.clone())?;
        let bias_at = product("packed depthwise weights", &[padded, taps])?;
        let mut data = Aligned::new(bias_at.checked_add(padded).ok_or(overflow)?, 0.0)?;
        // No NaNs but the one: see `Element::store_sum`.
        let plain = |w: f32| if w.is_nan() { f32::NAN } else { flush_subnormal(w) };
        for tap in 0..taps {
            for c in 0..channels {
                let weight = weights.get(tap * channels + c);
                data[(c / lanes * taps + tap) * lanes + c % lanes] = plain(weight);
            }
        }
        for (c, &b) in bias.unwrap_or_default().iter().enumerate() {
            data[bias_at + c] = plain(b);
        }
        Ok(Self { data, bias_at })
    }

    pub(crate) fn weights(&self) -> *const f32 {
        self.data.as_ptr()
    }

    pub(crate) fn biases(&self) -> *const f32 {
        self.data.as_ptr().wrapping_add(self.bias_at)
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}
