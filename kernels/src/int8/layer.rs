//! What layers of 8-bit integers take from their options.

use crate::activation::{Activation, UNBOUNDED};
use crate::amx::Amx;
use crate::element::{ElementType, Elements};
use crate::error::{Error, Result};
use crate::gemm::kernels::{MatrixGemm, PanelKernels, TileUnit};
use crate::gemm::tile::{MATRIX_K, TILE_ROWS};
use crate::int8::kernels::Int8Kernels;
use crate::int8::pack::BytePrologue;
use crate::int8::quantization::{
    Int8Weights, NO_INTEGERS, Quantization, QuantizedWeights, Requantization, operand,
};
use crate::options::Options;
use crate::simd::int8::Bytes;
use crate::simd::scalar::Scalar;
use crate::table::kernels::Kernels;

/// The proof that this build has kernels for 8-bit integers. Without the feature `int8` it has no
/// values, and neither have the types that hold a layer: what is done with these isn't compiled.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "that there is one is what counts")]
struct HasKernels(#[cfg(not(feature = "int8"))] core::convert::Infallible);

/// The proof, or an error for an input of that type.
fn has_kernels(_input: ElementType) -> Result<HasKernels> {
    #[cfg(feature = "int8")]
    return Ok(HasKernels());
    #[cfg(not(feature = "int8"))]
    return Err(Error::ElementTypeUnavailable { what: "input", element: _input });
}

/// A layer of 8-bit integers: its kernels, and what comes before and after the sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int8Layer {
    pub(crate) kernels: &'static Int8Kernels,
    /// What multiplies in a GEMM in place of the kernels' dot products.
    pub(crate) matrices: Option<&'static MatrixGemm>,
    /// The same by tile registers, which the process may use.
    pub(crate) tiles: Option<&'static TileUnit>,
    pub(crate) input: Quantization,
    pub(crate) prologue: BytePrologue,
    /// The clamp of the input's integers, or of its numbers.
    pub(crate) input_bounds: (f32, f32),
    pub(crate) epilogue: Requantization,
    #[allow(dead_code, reason = "that there is one is what counts")]
    has_kernels: HasKernels,
}

impl Int8Layer {
    /// Of a layer without weights, whose input or output are integers.
    pub(crate) fn new(kernels: &Kernels, options: &Options) -> Result<Self> {
        let input_type = options.input_type;
        let has_kernels = has_kernels(input_type)?;
        let usable =
            |k: &&Int8Kernels| (k.is_available)() && (options.dot_products || !k.has_dot_products);
        let unavailable = Error::ElementTypeUnavailable { what: "input", element: input_type };
        let kernels = kernels.int8.iter().copied().flatten().find(usable).ok_or(unavailable)?;
        let matrices = kernels.matrices.as_ref();
        let matrices = matrices.filter(|m| options.armv8_6 && (m.is_available)());
        if matches!(options.output_type, ElementType::F16 | ElementType::Bf16) {
            return Err(Error::Unsupported {
                what: "outputs of integer inputs are of u8, i8 or f32",
            });
        }
        let flip = kernels.flip(input_type == ElementType::I8);
        let activation = options.input_activation.checked()?;
        let bounds = activation.bounds().ok_or(Error::Unsupported {
            what: "the input activation of integers has to be a clamp",
        })?;
        let (input, input_bounds) = match input_type {
            ElementType::F32 => (Quantization::default(), bounds),
            ElementType::U8 | ElementType::I8 => {
                let input = options.input_quantization.checked("input", input_type)?;
                let [lo, hi] = [bounds.0, bounds.1].map(|bound| input.nearest(bound, input_type));
                (input, (lo as f32, hi as f32))
            }
            _ => {
                return Err(Error::Unsupported {
                    what: "inputs of integer outputs are of u8, i8 or f32",
                });
            }
        };
        let byte = |bound: f32| bound as i32 as u8 ^ flip;
        let bytes = [byte(input_bounds.0), byte(input_bounds.1)];
        let prologue = BytePrologue { flip, bounds: (bounds != UNBOUNDED).then_some(bytes) };
        let epilogue = Requantization::new(
            options.output_type,
            options.output_quantization,
            options.residual_quantization,
            options.activation,
        )?;
        let tiles = None;
        Ok(Self { kernels, matrices, tiles, input, prologue, input_bounds, epilogue, has_kernels })
    }

    /// Of a layer with weights, if its input, output or weights are integers.
    pub(crate) fn with_weights<'a>(
        kernels: &Kernels,
        weights: Elements<'_>,
        quantized: Option<QuantizedWeights<'a>>,
        options: &Options,
    ) -> Result<Option<(Self, QuantizedWeights<'a>)>> {
        let of_weights = weights.element_type();
        let types = [of_weights, options.input_type, options.output_type];
        if !types.iter().any(|element| element.is_quantized()) && quantized.is_none() {
            return Ok(None);
        }
        match (of_weights, quantized) {
            (ElementType::I8, Some(quantized)) if options.input_type.is_quantized() => {
                Ok(Some((Self::new(kernels, options)?, quantized)))
            }
            _ => Err(NO_INTEGERS),
        }
    }

    /// The same, whose GEMM multiplies by tile registers if they are asked for, and the process may
    /// use them.
    pub(crate) fn by_tiles_if_asked(self, options: &Options) -> Result<Self> {
        let asked = options.asks_for_amx()?;
        let tiles = self.kernels.tiles.as_ref();
        let tiles = tiles.filter(|_| asked && Amx::request() == Amx::Granted);
        Ok(Self { tiles, ..self })
    }

    /// What multiplies in a GEMM.
    pub(crate) fn gemm(&self) -> &'static PanelKernels {
        match (self.tiles, self.matrices) {
            (Some(unit), _) => &unit.gemm,
            (None, Some(matrices)) => &matrices.gemm,
            (None, None) => &self.kernels.gemm,
        }
    }

    /// The heights of its micro-tiles, if not of tile registers.
    pub(crate) fn rows(&self) -> &'static [usize] {
        self.matrices.map_or(self.kernels.rows, |matrices| matrices.rows)
    }

    /// The k of a channel that lie side by side in a GEMM's packed weights.
    fn side_by_side(&self) -> usize {
        self.matrices.map_or(self.kernels.group, |_| MATRIX_K)
    }

    /// What the k of a GEMM's packed weights are padded to multiples of: those that lie side by
    /// side, or of as many groups as a tile has rows.
    pub(crate) fn packed_unit_of_k(&self) -> usize {
        if self.tiles.is_some() { self.kernels.group * TILE_ROWS } else { self.side_by_side() }
    }

    /// The same, whose outputs are the integers of another layer's input.
    pub(crate) fn to(
        self,
        mid: ElementType,
        quantization: Quantization,
        activation: Activation,
    ) -> Result<Self> {
        Ok(Self { epilogue: Requantization::new(mid, quantization, None, activation)?, ..self })
    }

    /// What its weights take.
    pub(crate) fn weights<'a>(&'a self, quantized: QuantizedWeights<'a>) -> Int8Weights<'a> {
        Int8Weights {
            group: self.kernels.group,
            side_by_side: self.side_by_side(),
            unit_of_k: self.packed_unit_of_k(),
            zero_point: self.zero_point(),
            scale: self.input.scale,
            quantized,
            epilogue: &self.epilogue,
        }
    }

    /// Whether outputs stand for what inputs of that type do, and nothing follows but a clamp that
    /// the type is already.
    pub(crate) fn keeps(&self, input: ElementType) -> bool {
        let Requantization { output, quantization, activation, bounds, .. } = self.epilogue;
        let (least, largest) = output.integers();
        let all = [least, largest].map(|limit| (limit - quantization.zero_point) as f32);
        (output, quantization) == (input, self.input)
            && activation.is_none()
            && bounds == all.into()
    }

    /// The input's zero point as the input has it.
    pub(crate) fn zero_byte(&self) -> u8 {
        self.input.zero_point as u8
    }

    /// The input's zero point in the integers that are multiplied.
    pub(crate) fn zero_point(&self) -> i32 {
        operand(self.kernels.signed, self.zero_byte() ^ self.prologue.flip)
    }
}

impl Quantization {
    /// The integer of a type whose value is nearest to `x`; of two the even one.
    pub(crate) fn nearest(self, x: f32, element: ElementType) -> i32 {
        let (least, largest) = element.integers();
        let steps = (x / self.scale).clamp(-512.0, 512.0);
        let steps = Scalar.to_i32(steps).to_bits() as i32;
        (steps + self.zero_point).clamp(least, largest)
    }
}
