//! The packed weights (B): panels of NR output channels, `[group][panel][k][NR]`, k ascending,
//! padded with zeros, in the type they were given in, and the biases likewise, in f32.

use core::ptr::NonNull;

use crate::element::{ElementType, Elements, Pointer};
use crate::error::{Error, Result};
use crate::gemm::kernels::GemmKernels;
use crate::geometry::product;
use crate::memory::{Aligned, flush_subnormal, flush_subnormal_16};

/// Weights and biases of a GEMM, packed for one level.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    /// 16-bit ones two to an f32.
    data: Aligned,
    element: ElementType,
    biases: Aligned,
    depth: usize,
    /// Output channels of a group.
    columns: usize,
    nr: usize,
    panels: usize,
    /// Whether two k are one element, for dot products.
    paired: bool,
}

impl PackedWeights {
    /// Packs weights of shape \[depth, groups·columns\], output channels innermost.
    pub(crate) fn new(
        kernels: &GemmKernels,
        depth: usize,
        groups: usize,
        columns: usize,
        weights: Elements<'_>,
        bias: Option<&[f32]>,
        paired: bool,
    ) -> Result<Self> {
        weights.element_type().checked("weights")?;
        let channels = product("output channels", &[groups, columns])?;
        let expected = product("weights", &[depth, channels])?;
        if weights.len() != expected {
            return Err(Error::Length { what: "weights", expected, actual: weights.len() });
        }
        if let Some(bias) = bias.filter(|b| b.len() != channels) {
            return Err(Error::Length { what: "bias", expected: channels, actual: bias.len() });
        }
        let nr = kernels.tile.nr;
        let panels = columns.div_ceil(nr);
        let depth = if paired { depth.next_multiple_of(2) } else { depth };
        let total = product("packed weights", &[groups, panels, nr, depth])?;
        let shape = [groups, panels, depth, nr];
        let element = weights.element_type();
        let mut data = Aligned::new(total.div_ceil(size_of::<f32>() / element.size()), 0.0)?;
        match weights {
            Elements::F32(weights) => pack(&mut data, shape, columns, weights, flush_subnormal),
            Elements::F16(bits) => pack(data.as_bits_mut(), shape, columns, bits, |bits| bits),
            Elements::Bf16(bits) => {
                let packed = data.as_bits_mut();
                pack(packed, shape, columns, bits, flush_subnormal_16);
                if paired {
                    pair(packed, nr);
                }
            }
        }
        let mut biases = Aligned::new(product("packed biases", &[groups, panels, nr])?, 0.0)?;
        let bias = bias.unwrap_or_default();
        pack(&mut biases, [groups, panels, 1, nr], columns, bias, flush_subnormal);
        Ok(Self { data, element, biases, depth, columns, nr, panels, paired })
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Panels of a group.
    pub(crate) fn panels(&self) -> usize {
        self.panels
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        (self.data.len() + self.biases.len()) * size_of::<f32>()
    }

    /// What they are stored in.
    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// Row `k` of a panel; if they are paired, pair `k`.
    pub(crate) fn panel(&self, group: usize, panel: usize, k: usize) -> Pointer {
        let k = if self.paired { 2 * k } else { k };
        let at = ((group * self.panels + panel) * self.depth + k) * self.nr;
        Pointer { at: self.data.as_ptr().cast(), element: self.element }.add(at)
    }

    /// The NR biases of a panel.
    pub(crate) fn bias(&self, group: usize, panel: usize) -> Option<NonNull<f32>> {
        let at = (group * self.panels + panel) * self.nr;
        NonNull::new(self.biases.as_ptr().wrapping_add(at).cast_mut())
    }
}

/// Two rows of `nr` become one of `nr` pairs.
fn pair(packed: &mut [u16], nr: usize) {
    let mut pairs = alloc::vec![0; 2 * nr];
    for rows in packed.chunks_exact_mut(2 * nr) {
        for (n, pair) in pairs.chunks_exact_mut(2).enumerate() {
            pair.copy_from_slice(&[rows[n], rows[nr + n]]);
        }
        rows.copy_from_slice(&pairs);
    }
}

/// Writes the rows of a matrix of groups × columns to `packed`, `[group][panel][row][NR]`.
fn pack<T: Copy>(
    packed: &mut [T],
    [groups, panels, depth, nr]: [usize; 4],
    columns: usize,
    rows: &[T],
    flush: impl Fn(T) -> T,
) {
    for (k, row) in rows.chunks_exact(groups * columns).enumerate() {
        for (group, row) in row.chunks_exact(columns).enumerate() {
            for (panel, row) in row.chunks(nr).enumerate() {
                let at = ((group * panels + panel) * depth + k) * nr;
                for (to, &weight) in packed[at..].iter_mut().zip(row) {
                    *to = flush(weight);
                }
            }
        }
    }
}
