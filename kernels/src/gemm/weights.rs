//! The packed weights (B): panels of NR output channels, `[group][panel][k][NR]`, k ascending,
//! padded with zeros, in the type they were given in (bf16 in the arithmetic bf16), and the biases
//! likewise, in f32.

use core::ptr::NonNull;

use crate::element::{ElementType, Elements, Pointer, bf16_to_f32, f16_to_f32};
use crate::error::Result;
use crate::gemm::blocking::Depth;
use crate::gemm::kernels::{GemmKernels, Products};
use crate::gemm::round::{flushed_bias, rounded};
use crate::geometry::product;
use crate::layout::{Strides, WeightLayout};
use crate::memory::{Aligned, flush_subnormal, flush_subnormal_16};
use crate::unpacked::Unpacked;

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
    /// Packs the weights of groups of `columns` output channels each, `depth` being the k of a
    /// group.
    pub(crate) fn new(
        kernels: &GemmKernels,
        depth: Depth,
        groups: usize,
        columns: usize,
        unpacked: Unpacked<'_>,
        products: Products,
    ) -> Result<Self> {
        let channels = product("output channels", &[groups, columns])?;
        let k = depth.product()?;
        let expected = product("weights", &[k, channels])?;
        unpacked.check(["weights", "bias"], [expected, channels])?;
        let Unpacked { weights, layout, bias } = unpacked;
        let inputs = depth.channels;
        let nr = kernels.tile.nr;
        let panels = columns.div_ceil(nr);
        let paired = matches!(products, Products::Dot(_));
        let rounds = matches!(products, Products::Bf16(_));
        let depth = if paired { k.next_multiple_of(2) } else { k };
        let total = product("packed weights", &[groups, panels, nr, depth])?;
        let element = if rounds { ElementType::Bf16 } else { weights.element_type() };
        let mut data = Aligned::new(total.div_ceil(size_of::<f32>() / element.size()), 0.0)?;
        let taps = k / inputs;
        let strides = layout.strides(taps, inputs, channels);
        let shape = Shape { groups, columns, nr, depth, taps, inputs, strides };
        match weights {
            Elements::F32(weights) if rounds => {
                pack(data.as_bits_mut(), &shape, weights, rounded);
            }
            Elements::F16(bits) if rounds => {
                pack(data.as_bits_mut(), &shape, bits, |bits| rounded(f16_to_f32(bits)));
            }
            Elements::Bf16(bits) if rounds => {
                pack(data.as_bits_mut(), &shape, bits, |bits| rounded(bf16_to_f32(bits)));
            }
            Elements::F32(weights) => pack(&mut data, &shape, weights, flush_subnormal),
            Elements::F16(bits) => pack(data.as_bits_mut(), &shape, bits, |bits| bits),
            Elements::Bf16(bits) => {
                let packed = data.as_bits_mut();
                pack(packed, &shape, bits, flush_subnormal_16);
                if paired {
                    pair(packed, nr);
                }
            }
        }
        let mut biases = Aligned::new(product("packed biases", &[groups, panels, nr])?, 0.0)?;
        if let Some(bias) = bias {
            let strides = WeightLayout::Hwio.strides(1, 1, channels);
            let shape = Shape { depth: 1, taps: 1, inputs: 1, strides, ..shape };
            let flush = if rounds { flushed_bias } else { flush_subnormal };
            pack(&mut biases, &shape, bias, flush);
        }
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

/// What is packed.
struct Shape {
    groups: usize,
    /// Output channels of a group.
    columns: usize,
    nr: usize,
    /// k of a panel, of which the last may be of no tap.
    depth: usize,
    taps: usize,
    /// Input channels of a group.
    inputs: usize,
    strides: Strides,
}

/// Input channels that are packed at a time: a cache line of them where they are innermost.
const INPUTS: usize = 16;

/// Writes weights, converted, to `packed`, `[group][panel][k][NR]`.
///
/// Where output channels are innermost, a block of input channels goes to all panels: so many rows
/// are read on. Else all input channels of a panel are packed, and its columns are read on. (The
/// other way round takes 2 to 3 times as long, with 1024 × 1024 and 1536 × 2048 weights.)
fn pack<T: Copy, U: Copy>(
    packed: &mut [U],
    shape: &Shape,
    weights: &[T],
    convert: impl Fn(T) -> U,
) {
    let Shape { groups, columns, nr, depth, taps, inputs, strides } = *shape;
    let (by_rows, of_group) = (strides.output == 1, columns.div_ceil(nr));
    let (panels, blocks) = (groups * of_group, inputs.div_ceil(INPUTS));
    for step in 0..blocks * panels {
        let (block, panel) =
            if by_rows { (step / panels, step % panels) } else { (step % blocks, step / blocks) };
        let first_input = block * INPUTS;
        let count = INPUTS.min(inputs - first_input);
        let (group, first) = (panel / of_group, panel % of_group * nr);
        let width = nr.min(columns - first);
        let weights = &weights[(group * columns + first) * strides.output..];
        for tap in 0..taps {
            let from = &weights[tap * strides.tap + first_input * strides.input..];
            let to = &mut packed[(panel * depth + tap * inputs + first_input) * nr..][..count * nr];
            if by_rows {
                for (i, row) in to.chunks_exact_mut(nr).enumerate() {
                    let from = &from[i * strides.input..];
                    row[..width].iter_mut().zip(from).for_each(|(to, &w)| *to = convert(w));
                }
            } else {
                for n in 0..width {
                    let from = &from[n * strides.output..];
                    for i in 0..count {
                        to[i * nr + n] = convert(from[i * strides.input]);
                    }
                }
            }
        }
    }
}
