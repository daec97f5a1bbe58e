//! The kernels of the level scalar: the general ones alone. It is for comparison, and for CPUs that
//! have no other.

use crate::activation::Activate;
use crate::depthwise::k3x3::pairs;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::depthwise::row::AnyTaps;
use crate::epilogue::{AS_IS, BOUND, GENERAL, RELU};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{GemmKernels, MicroKernelFn, MicroKernels, SmallMKernels};
use crate::gemm::micro_kernel::MicroKernel;
use crate::gemm::narrow::Narrow;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::level::Level;
use crate::pool::kernels::PoolKernels;
use crate::pool::row::{Average, Max};
use crate::simd::Simd;
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::simd::scalar::Scalar;
use crate::table::kernels::Kernels;
use crate::table::tiles::*;

type S = Scalar;

/// The heights of micro-tiles: any two below 4 add up to each that is missing.
const ROWS: [usize; 4] = [1, 2, 3, 4];

/// Micro-kernels of N vectors, by their height.
const fn gemm<B: Element, const N: usize, const DIRECT: bool>() -> &'static [MicroKernelFn] {
    const {
        &[
            S::entry::<MicroKernel<B, 1, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 2, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 3, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 4, N, DIRECT>> as MicroKernelFn,
        ]
    }
}

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Scalar,
    gemm: GemmKernels {
        lanes: S::LANES,
        tile: tile_size::<S>(),
        f32: MicroKernels {
            name: "gemm_f32_4x2_scalar",
            rows: &ROWS,
            packed: &[gemm::<F32, 1, false>(), gemm::<F32, 2, false>()],
            direct: &[gemm::<F32, 1, true>(), gemm::<F32, 2, true>()],
        },
        small_m: [
            SmallMKernels { name: "gemm_f16_4x2_scalar", packed: gemm::<F16, 2, false>() },
            SmallMKernels { name: "gemm_bf16_4x2_scalar", packed: gemm::<Bf16, 2, false>() },
        ],
        dot: None,
        pack: packs::<S>(),
        widen: S::entry::<Widen>,
        widen_names: ["widen_f16_scalar", "widen_bf16_scalar"],
        narrow: S::entry::<Narrow>,
        narrow_names: ["narrow_f16_scalar", "narrow_bf16_scalar"],
        activate: S::entry::<Activate>,
    },
    depthwise: [F32_DEPTHWISE, F16_DEPTHWISE, BF16_DEPTHWISE],
    pool: [F32_POOL, F16_POOL, BF16_POOL],
    planes: planes::<S>(
        ["from_planes_f32_scalar", "from_planes_f16_scalar", "from_planes_bf16_scalar"],
        ["to_planes_f32_scalar", "to_planes_f16_scalar", "to_planes_bf16_scalar"],
    ),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
};

const F32_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    k3x3: &[],
    dense: &[],
    as_is: rows_41::<S, AnyTaps, F32, AS_IS>("dw_f32_4_scalar"),
    relu: rows_41::<S, AnyTaps, F32, RELU>("dw_f32_relu_4_scalar"),
    general: rows_1::<S, AnyTaps, F32, GENERAL>("dw_f32_any_1_scalar"),
};

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, F32, AS_IS>("max_f32_4_scalar"),
    max_general: rows_1::<S, Max, F32, GENERAL>("max_f32_any_1_scalar"),
    average: rows_41::<S, Average, F32, AS_IS>("average_f32_4_scalar"),
    average_general: rows_1::<S, Average, F32, GENERAL>("average_f32_any_1_scalar"),
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its
// ReLU, and there are fewer widths of tiles. These would make the crate build for half as long
// again.

const F16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    k3x3: &[],
    dense: &[],
    as_is: rows_41::<S, AnyTaps, F16, BOUND>("dw_f16_4_scalar"),
    relu: rows_41::<S, AnyTaps, F16, BOUND>("dw_f16_4_scalar"),
    general: rows_1::<S, AnyTaps, F16, GENERAL>("dw_f16_any_1_scalar"),
};

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, F16, BOUND>("max_f16_4_scalar"),
    max_general: rows_1::<S, Max, F16, GENERAL>("max_f16_any_1_scalar"),
    average: rows_41::<S, Average, F16, BOUND>("average_f16_4_scalar"),
    average_general: rows_1::<S, Average, F16, GENERAL>("average_f16_any_1_scalar"),
};

const BF16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    k3x3: &[],
    dense: &[],
    as_is: rows_41::<S, AnyTaps, Bf16, BOUND>("dw_bf16_4_scalar"),
    relu: rows_41::<S, AnyTaps, Bf16, BOUND>("dw_bf16_4_scalar"),
    general: rows_1::<S, AnyTaps, Bf16, GENERAL>("dw_bf16_any_1_scalar"),
};

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, Bf16, BOUND>("max_bf16_4_scalar"),
    max_general: rows_1::<S, Max, Bf16, GENERAL>("max_bf16_any_1_scalar"),
    average: rows_41::<S, Average, Bf16, BOUND>("average_bf16_4_scalar"),
    average_general: rows_1::<S, Average, Bf16, GENERAL>("average_bf16_any_1_scalar"),
};
