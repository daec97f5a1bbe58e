//! How a GEMM multiplies.

use crate::gemm::block_micro_kernel::BLOCK;
use crate::gemm::kernels::{Bf16Gemm, DotKernels, GemmKernels};
use crate::int8::layer::Int8Layer;

/// How a GEMM multiplies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Products {
    /// In f32, by fused multiply-adds.
    Exact,
    /// In the arithmetic bf16.
    Bf16(&'static Bf16Gemm),
    /// By dot products of pairs of bf16.
    Dot(&'static DotKernels),
    /// 8-bit integers, in sums of i32.
    Int8(Int8Layer),
}

impl Products {
    /// The k that are one element to the micro-kernels.
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Exact | Self::Bf16(_) => 1,
            Self::Dot(_) => 2,
            Self::Int8(layer) => layer.kernels.group,
        }
    }

    /// What blocks of k begin at multiples of.
    pub(crate) fn unit_of_k(self, kernels: &GemmKernels) -> usize {
        match self {
            Self::Bf16(_) => BLOCK,
            // Groups, too, are in whole vectors.
            Self::Exact | Self::Dot(_) | Self::Int8(_) => self.group() * kernels.lanes,
        }
    }

    /// The heights of micro-tiles, ascending.
    pub(crate) fn heights(self, kernels: &GemmKernels) -> &'static [usize] {
        match self {
            Self::Exact => kernels.f32.rows,
            Self::Bf16(bf16) => bf16.rows,
            Self::Dot(dot) => dot.gemm.rows,
            Self::Int8(layer) => layer.kernels.rows,
        }
    }
}
