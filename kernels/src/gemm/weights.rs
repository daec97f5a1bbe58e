//! The packed weights (B): panels of NR output channels, `[group][panel][k][NR]`, k ascending,
//! padded with zeros, in the type they were given in, and the biases likewise, in f32. The
//! arithmetic bf16 packs weights of f16 as bf16. Where tile registers or multiply-adds of bf16
//! multiply them, weights of f32 are packed as bf16, too, and pairs along k lie side by side. Of
//! 8-bit integers as many k lie side by side as a product takes.

use core::ptr::NonNull;

use crate::element::{ElementType, Elements, Pointer, bf16_to_f32, f16_to_f32};
use crate::error::Result;
use crate::gemm::blocking::Depth;
use crate::gemm::kernels::GemmKernels;
use crate::gemm::products::Products;
use crate::gemm::round::{flushed_bias, rounded};
use crate::geometry::product;
use crate::int8::quantization::{ChannelSums, Int8Weights, NO_INTEGERS};
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
    shape: Shape,
    /// k that are one element: 1, or 2 or 4 for dot products.
    group: usize,
    /// What a unit of an output channel's sums is in steps of the output's, where weights are of
    /// i8: as many as biases.
    multipliers: Option<Aligned>,
    /// See [`ChannelSums::in_i32`].
    in_i32: bool,
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
        let paired = matches!(products, Products::Dot(_));
        let rounds = cfg!(feature = "bf16") && products.is_bf16();
        let group = products.group();
        let unit = products.packed_unit_of_k();
        let shape = Shape::new(kernels, depth, groups, columns, &unpacked, unit)?;
        let Unpacked { weights, bias, .. } = unpacked;
        let element = match weights {
            // What is multiplied: it need not be widened for each tile of pixels.
            Elements::F32(_) if !products.takes_bf16() => ElementType::F32,
            _ if rounds => ElementType::Bf16,
            _ => weights.element_type(),
        };
        let per_f32 = size_of::<f32>() / element.size();
        let mut data = Aligned::new(shape.total()?.div_ceil(per_f32), 0.0)?;
        match weights {
            Elements::F32(weights) if element == ElementType::Bf16 => {
                pack(data.as_bits_mut(), &shape, weights, rounded);
            }
            Elements::F32(weights) => {
                let convert: fn(f32) -> f32 =
                    if rounds { |w| bf16_to_f32(rounded(w)) } else { flush_subnormal };
                pack(&mut data, &shape, weights, convert);
            }
            // Those of 16 bits have been refused: nothing for them is compiled.
            _ if !cfg!(feature = "f16-bf16") => return Err(NO_INTEGERS),
            Elements::F16(bits) | Elements::Bf16(bits) if rounds => {
                // Called through a pointer, which rounding hides, this compiles once.
                let convert: fn(u16) -> u16 = match weights {
                    Elements::F16(_) => |bits| rounded(f16_to_f32(bits)),
                    _ => |bits| rounded(bf16_to_f32(bits)),
                };
                pack(data.as_bits_mut(), &shape, bits, convert);
            }
            Elements::F16(bits) => pack(data.as_bits_mut(), &shape, bits, |bits| bits),
            Elements::Bf16(bits) => {
                let packed = data.as_bits_mut();
                pack(packed, &shape, bits, flush_subnormal_16);
                if paired {
                    interleave(packed, shape.nr, group);
                }
            }
            Elements::U8(_) | Elements::I8(_) => return Err(NO_INTEGERS),
        }
        if products.takes_bf16() {
            interleave(data.as_bits_mut(), shape.nr, 2);
        }
        let flush = if rounds { flushed_bias } else { flush_subnormal };
        let biases = shape.of_channels(bias.unwrap_or_default(), flush)?;
        Ok(Self { data, element, biases, group, multipliers: None, in_i32: false, shape })
    }

    /// The same for weights of i8.
    pub(crate) fn int8(
        kernels: &GemmKernels,
        depth: Depth,
        groups: usize,
        columns: usize,
        unpacked: Unpacked<'_>,
        int8: &Int8Weights<'_>,
    ) -> Result<Self> {
        let Int8Weights { group, side_by_side, unit_of_k, .. } = *int8;
        let shape = Shape::new(kernels, depth, groups, columns, &unpacked, unit_of_k)?;
        let (Elements::I8(weights), None) = (unpacked.weights, unpacked.bias) else {
            return Err(NO_INTEGERS);
        };
        let Shape { taps, inputs, strides, .. } = shape;
        let sums = ChannelSums::new(weights, strides, [taps, inputs, groups * columns], int8)?;
        let total = shape.total()?;
        let mut data = Aligned::new(total.div_ceil(size_of::<f32>()), 0.0)?;
        let packed = &mut data.as_i8_mut()[..total];
        pack(packed, &shape, weights, |w| w);
        interleave(packed, shape.nr, side_by_side);
        let biases = shape.of_channels(&sums.biases, |bias| bias)?;
        let multipliers = Some(shape.of_channels(&sums.multipliers, |multiplier| multiplier)?);
        let (element, in_i32) = (ElementType::I8, sums.in_i32);
        Ok(Self { data, element, biases, group, multipliers, in_i32, shape })
    }

    pub(crate) fn columns(&self) -> usize {
        self.shape.columns
    }

    /// Panels of a group.
    pub(crate) fn panels(&self) -> usize {
        self.shape.panels()
    }

    /// Bytes of weights and biases.
    pub(crate) fn bytes(&self) -> usize {
        let multipliers = self.multipliers.as_ref().map_or(0, |multipliers| multipliers.len());
        (self.data.len() + self.biases.len() + multipliers) * size_of::<f32>()
    }

    /// What they are stored in.
    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// Row `k` of a panel, where a group of k is one row.
    pub(crate) fn panel(&self, group: usize, panel: usize, k: usize) -> Pointer {
        let Shape { depth, nr, .. } = self.shape;
        let at = ((group * self.panels() + panel) * depth + k * self.group) * nr;
        Pointer { at: self.data.as_ptr().cast(), element: self.element }.add(at)
    }

    /// The NR biases of a panel.
    pub(crate) fn bias(&self, group: usize, panel: usize) -> Option<NonNull<f32>> {
        let at = (group * self.panels() + panel) * self.shape.nr;
        NonNull::new(self.biases.as_ptr().wrapping_add(at).cast_mut())
    }

    /// Of weights of i8: see [`ChannelSums::in_i32`].
    pub(crate) fn in_i32(&self) -> bool {
        self.in_i32
    }

    /// The NR multipliers of a panel, of weights of i8.
    pub(crate) fn multipliers(&self, group: usize, panel: usize) -> *const f32 {
        let at = (group * self.panels() + panel) * self.shape.nr;
        self.multipliers.as_ref().map_or(core::ptr::null(), |all| all.as_ptr().wrapping_add(at))
    }
}

/// `size` rows of `nr` become one of `nr` groups.
fn interleave<T: Copy + Default>(packed: &mut [T], nr: usize, size: usize) {
    let mut groups = alloc::vec![T::default(); size * nr];
    for rows in packed.chunks_exact_mut(size * nr) {
        for (n, group) in groups.chunks_exact_mut(size).enumerate() {
            for (i, to) in group.iter_mut().enumerate() {
                *to = rows[i * nr + n];
            }
        }
        rows.copy_from_slice(&groups);
    }
}

/// What is packed.
#[derive(Debug)]
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

impl Shape {
    /// Of checked weights, whose k are padded to a multiple of `unit`.
    fn new(
        kernels: &GemmKernels,
        depth: Depth,
        groups: usize,
        columns: usize,
        unpacked: &Unpacked<'_>,
        unit: usize,
    ) -> Result<Self> {
        let channels = product("output channels", &[groups, columns])?;
        let (k, inputs) = (depth.product()?, depth.channels);
        let expected = product("weights", &[k, channels])?;
        unpacked.check(["weights", "bias"], [expected, channels])?;
        let taps = k / inputs;
        let strides = unpacked.layout.strides(taps, inputs, channels);
        let (nr, depth) = (kernels.tile.nr, k.next_multiple_of(unit));
        Ok(Self { groups, columns, nr, depth, taps, inputs, strides })
    }

    /// Panels of a group.
    fn panels(&self) -> usize {
        self.columns.div_ceil(self.nr)
    }

    /// Elements of the packed weights.
    fn total(&self) -> Result<usize> {
        product("packed weights", &[self.groups, self.panels(), self.nr, self.depth])
    }

    /// A number for each output channel, as the panels have them; zeros for none.
    fn of_channels(&self, numbers: &[f32], convert: fn(f32) -> f32) -> Result<Aligned> {
        let Self { groups, columns, nr, .. } = *self;
        let mut packed =
            Aligned::new(product("packed biases", &[groups, self.panels(), nr])?, 0.0)?;
        if !numbers.is_empty() {
            let strides = WeightLayout::Hwio.strides(1, 1, groups * columns);
            let shape = Self { groups, columns, nr, depth: 1, taps: 1, inputs: 1, strides };
            pack(&mut packed, &shape, numbers, convert);
        }
        Ok(packed)
    }
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
    let (by_rows, of_group) = (strides.output == 1, shape.panels());
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
