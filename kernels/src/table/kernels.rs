//! What a table holds.

use crate::activation::ActivateRun;
use crate::arithmetic::Arithmetic;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::{ElementType, F16Bf16};
use crate::gemm::kernels::GemmKernels;
use crate::int8::kernels::Int8Kernels;
use crate::level::Level;
use crate::lines::LineKernels;
use crate::pixelwise::PixelwiseKernels;
use crate::planes::PlanesKernels;
use crate::pool::kernels::PoolKernels;

/// Everything that one level runs.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) level: Level,
    pub(crate) gemm: GemmKernels,
    /// For inputs of f32.
    pub(crate) f32: ChannelwiseKernels,
    /// For inputs of f16 and bf16, with the feature `f16-bf16`.
    pub(crate) f16_bf16: Option<F16Bf16<ChannelwiseKernels>>,
    pub(crate) planes: PlanesKernels,
    /// For elements of any type.
    pub(crate) pixelwise: PixelwiseKernels,
    /// For integers of 8 bits, by the instructions that multiply them, fastest first; with the
    /// feature `int8`.
    pub(crate) int8: Option<&'static [Int8Kernels]>,
    pub(crate) lines: LineKernels,
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&ActivateRun),
    /// Runs a given number of independent multiply-adds on registers, for measuring the peak.
    pub(crate) fma_loop: unsafe fn(&u64) -> f32,
    /// The same of products that are rounded before they are added; with the feature `unfused`.
    pub(crate) unfused_loop: Option<unsafe fn(&u64) -> f32>,
}

/// What treats channels by themselves, for one type of the input.
#[derive(Debug)]
pub(crate) struct ChannelwiseKernels {
    pub(crate) depthwise: DepthwiseKernels,
    /// In the arithmetic unfused, with the feature `unfused`.
    pub(crate) unfused: Option<DepthwiseKernels>,
    pub(crate) pool: PoolKernels,
}

impl Kernels {
    /// Those for inputs of a type that this build has kernels for.
    fn channelwise(&self, element: ElementType) -> &ChannelwiseKernels {
        let f16_bf16 = self.f16_bf16.as_ref().and_then(|kernels| kernels.of(element));
        f16_bf16.unwrap_or(&self.f32)
    }

    /// Those of depthwise convolutions for inputs of a type that this build has kernels for, in an
    /// arithmetic that it has.
    pub(crate) fn depthwise(
        &self,
        element: ElementType,
        arithmetic: Arithmetic,
    ) -> &DepthwiseKernels {
        let kernels = self.channelwise(element);
        match (arithmetic, &kernels.unfused) {
            (Arithmetic::Unfused, Some(unfused)) => unfused,
            _ => &kernels.depthwise,
        }
    }

    /// Those of pools for inputs of a type that this build has kernels for.
    pub(crate) fn pool(&self, element: ElementType) -> &PoolKernels {
        &self.channelwise(element).pool
    }
}
