//! The kernels of AVX-512.
//!
//! 3×3 tiles of 6 columns: 18 accumulators, 9 weights and the columns in use fit 32 registers.

use crate::activation::Activate;
use crate::depthwise::k3x3::pairs;
use crate::depthwise::kernels::{Dense, DepthwiseKernels, Stride3x3};
use crate::depthwise::row::AnyTaps;
use crate::epilogue::{AS_IS, BOUND, GENERAL, RELU};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{DotKernels, GemmKernels, MicroKernelFn, MicroKernels, SmallMKernels};
use crate::gemm::micro_kernel::{Bf16MicroKernel, MicroKernel};
use crate::gemm::narrow::Narrow;
use crate::gemm::pair::Pair;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::level::Level;
use crate::pool::kernels::PoolKernels;
use crate::pool::row::{Average, Max};
use crate::simd::avx512::{Avx512, Avx512Bf16};
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::simd::{Bf16Dot, Simd};
use crate::table::kernels::Kernels;
use crate::table::tiles::*;

type S = Avx512;

/// The heights of micro-tiles: any two below 12 add up to each that is missing.
const ROWS: [usize; 8] = [1, 2, 3, 4, 6, 8, 9, 12];

/// Micro-kernels of N vectors, by their height.
const fn gemm<B: Element, const N: usize, const DIRECT: bool>() -> &'static [MicroKernelFn] {
    const {
        &[
            S::entry::<MicroKernel<B, 1, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 2, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 3, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 4, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 6, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 8, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 9, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 12, N, DIRECT>> as MicroKernelFn,
        ]
    }
}

/// The same by dot products.
const fn gemm_dot<const N: usize>() -> &'static [MicroKernelFn] {
    const {
        &[
            Avx512Bf16::entry::<Bf16MicroKernel<1, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<2, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<3, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<4, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<6, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<8, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<9, N>> as MicroKernelFn,
            Avx512Bf16::entry::<Bf16MicroKernel<12, N>> as MicroKernelFn,
        ]
    }
}

/// By what is measured: on an Intel CPU (Emerald Rapids) dot products take 1.6 to 1.9 of the time
/// of f32, on an AMD one (Zen 5) 0.45 to 0.6.
fn is_amd() -> bool {
    #[allow(unused_unsafe, reason = "in older compilers only")]
    // SAFETY: every CPU with 64 bits has this instruction.
    let vendor = unsafe { core::arch::x86_64::__cpuid(0) };
    let words = [vendor.ebx, vendor.edx, vendor.ecx];
    words.map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Avx512,
    gemm: GemmKernels {
        lanes: S::LANES,
        tile: tile_size::<S>(),
        f32: MicroKernels {
            name: "gemm_f32_12x32_avx512",
            rows: &ROWS,
            packed: &[gemm::<F32, 1, false>(), gemm::<F32, 2, false>()],
            direct: &[gemm::<F32, 1, true>(), gemm::<F32, 2, true>()],
        },
        small_m: [
            SmallMKernels { name: "gemm_f16_12x32_avx512", packed: gemm::<F16, 2, false>() },
            SmallMKernels { name: "gemm_bf16_12x32_avx512", packed: gemm::<Bf16, 2, false>() },
        ],
        dot: Some(DotKernels {
            is_available: || Avx512Bf16::detect().is_some() && is_amd(),
            gemm: MicroKernels {
                name: "gemm_dot_bf16_12x32_avx512",
                rows: &ROWS,
                packed: &[gemm_dot::<1>(), gemm_dot::<2>()],
                direct: &[],
            },
            pair: Avx512Bf16::entry::<Pair>,
        }),
        pack: packs::<S>(),
        widen: S::entry::<Widen>,
        widen_names: ["widen_f16_avx512", "widen_bf16_avx512"],
        narrow: S::entry::<Narrow>,
        narrow_names: ["narrow_f16_avx512", "narrow_bf16_avx512"],
        activate: S::entry::<Activate>,
    },
    depthwise: [F32_DEPTHWISE, F16_DEPTHWISE, BF16_DEPTHWISE],
    pool: [F32_POOL, F16_POOL, BF16_POOL],
    planes: planes::<S>(
        ["from_planes_f32_avx512", "from_planes_f16_avx512", "from_planes_bf16_avx512"],
        ["to_planes_f32_avx512", "to_planes_f16_avx512", "to_planes_bf16_avx512"],
    ),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
};

const F32_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    k3x3: &[
        Stride3x3 {
            stride: 1,
            as_is: tiles_6::<S, F32, 1, AS_IS>("dw_f32_3x3s1_6_avx512"),
            relu: tiles_6::<S, F32, 1, RELU>("dw_f32_relu_3x3s1_6_avx512"),
        },
        Stride3x3 {
            stride: 2,
            as_is: tiles_6::<S, F32, 2, AS_IS>("dw_f32_3x3s2_6_avx512"),
            relu: tiles_6::<S, F32, 2, RELU>("dw_f32_relu_3x3s2_6_avx512"),
        },
    ],
    dense: &[
        Dense {
            kernel: 5,
            stride: 1,
            as_is: dense_8::<S, F32, AS_IS, 5, 1>("dw_f32_k5s1_8_avx512"),
            relu: dense_8::<S, F32, RELU, 5, 1>("dw_f32_relu_k5s1_8_avx512"),
        },
        Dense {
            kernel: 5,
            stride: 2,
            as_is: dense_8::<S, F32, AS_IS, 5, 2>("dw_f32_k5s2_8_avx512"),
            relu: dense_8::<S, F32, RELU, 5, 2>("dw_f32_relu_k5s2_8_avx512"),
        },
        Dense {
            kernel: 7,
            stride: 1,
            as_is: dense_4::<S, F32, AS_IS, 7, 1>("dw_f32_k7s1_4_avx512"),
            relu: dense_4::<S, F32, RELU, 7, 1>("dw_f32_relu_k7s1_4_avx512"),
        },
    ],
    as_is: rows_8::<S, AnyTaps, F32, AS_IS>("dw_f32_8_avx512"),
    relu: rows_8::<S, AnyTaps, F32, RELU>("dw_f32_relu_8_avx512"),
    general: rows_1::<S, AnyTaps, F32, GENERAL>("dw_f32_any_1_avx512"),
};

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, F32, AS_IS>("max_f32_4_avx512"),
    max_general: rows_1::<S, Max, F32, GENERAL>("max_f32_any_1_avx512"),
    average: rows_41::<S, Average, F32, AS_IS>("average_f32_4_avx512"),
    average_general: rows_1::<S, Average, F32, GENERAL>("average_f32_any_1_avx512"),
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its
// ReLU, and there are fewer widths of tiles. These would make the crate build for half as long
// again.

const F16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    k3x3: &[
        Stride3x3 {
            stride: 1,
            as_is: tiles_6431::<S, F16, 1, BOUND>("dw_f16_3x3s1_6_avx512"),
            relu: tiles_6431::<S, F16, 1, BOUND>("dw_f16_3x3s1_6_avx512"),
        },
        Stride3x3 {
            stride: 2,
            as_is: tiles_6431::<S, F16, 2, BOUND>("dw_f16_3x3s2_6_avx512"),
            relu: tiles_6431::<S, F16, 2, BOUND>("dw_f16_3x3s2_6_avx512"),
        },
    ],
    dense: &[
        Dense {
            kernel: 5,
            stride: 1,
            as_is: dense_841::<S, F16, BOUND, 5, 1>("dw_f16_k5s1_8_avx512"),
            relu: dense_841::<S, F16, BOUND, 5, 1>("dw_f16_k5s1_8_avx512"),
        },
        Dense {
            kernel: 5,
            stride: 2,
            as_is: dense_841::<S, F16, BOUND, 5, 2>("dw_f16_k5s2_8_avx512"),
            relu: dense_841::<S, F16, BOUND, 5, 2>("dw_f16_k5s2_8_avx512"),
        },
        Dense {
            kernel: 7,
            stride: 1,
            as_is: dense_41::<S, F16, BOUND, 7, 1>("dw_f16_k7s1_4_avx512"),
            relu: dense_41::<S, F16, BOUND, 7, 1>("dw_f16_k7s1_4_avx512"),
        },
    ],
    as_is: rows_8::<S, AnyTaps, F16, BOUND>("dw_f16_8_avx512"),
    relu: rows_8::<S, AnyTaps, F16, BOUND>("dw_f16_8_avx512"),
    general: rows_1::<S, AnyTaps, F16, GENERAL>("dw_f16_any_1_avx512"),
};

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, F16, BOUND>("max_f16_4_avx512"),
    max_general: rows_1::<S, Max, F16, GENERAL>("max_f16_any_1_avx512"),
    average: rows_41::<S, Average, F16, BOUND>("average_f16_4_avx512"),
    average_general: rows_1::<S, Average, F16, GENERAL>("average_f16_any_1_avx512"),
};

const BF16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    k3x3: &[
        Stride3x3 {
            stride: 1,
            as_is: tiles_6431::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_6_avx512"),
            relu: tiles_6431::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_6_avx512"),
        },
        Stride3x3 {
            stride: 2,
            as_is: tiles_6431::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_6_avx512"),
            relu: tiles_6431::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_6_avx512"),
        },
    ],
    dense: &[
        Dense {
            kernel: 5,
            stride: 1,
            as_is: dense_841::<S, Bf16, BOUND, 5, 1>("dw_bf16_k5s1_8_avx512"),
            relu: dense_841::<S, Bf16, BOUND, 5, 1>("dw_bf16_k5s1_8_avx512"),
        },
        Dense {
            kernel: 5,
            stride: 2,
            as_is: dense_841::<S, Bf16, BOUND, 5, 2>("dw_bf16_k5s2_8_avx512"),
            relu: dense_841::<S, Bf16, BOUND, 5, 2>("dw_bf16_k5s2_8_avx512"),
        },
        Dense {
            kernel: 7,
            stride: 1,
            as_is: dense_41::<S, Bf16, BOUND, 7, 1>("dw_bf16_k7s1_4_avx512"),
            relu: dense_41::<S, Bf16, BOUND, 7, 1>("dw_bf16_k7s1_4_avx512"),
        },
    ],
    as_is: rows_8::<S, AnyTaps, Bf16, BOUND>("dw_bf16_8_avx512"),
    relu: rows_8::<S, AnyTaps, Bf16, BOUND>("dw_bf16_8_avx512"),
    general: rows_1::<S, AnyTaps, Bf16, GENERAL>("dw_bf16_any_1_avx512"),
};

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows_41::<S, Max, Bf16, BOUND>("max_bf16_4_avx512"),
    max_general: rows_1::<S, Max, Bf16, GENERAL>("max_bf16_any_1_avx512"),
    average: rows_41::<S, Average, Bf16, BOUND>("average_bf16_4_avx512"),
    average_general: rows_1::<S, Average, Bf16, GENERAL>("average_bf16_any_1_avx512"),
};
