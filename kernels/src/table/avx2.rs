//! The kernels of AVX2.
//!
//! Strips of 3: 9 accumulators, 5 columns and a weight take 15 of the 16 registers; 4 would spill. Of 2 with stride 2
//! and f32, two vectors of channels at a time: 8 accumulators, 5 columns, 2 biases and a weight. (f16 and bf16 would
//! gain 5 %, and take the crate 2 of the 35 s of CPU time in which it builds.)

use crate::activation::Activate;
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{GemmKernels, MicroKernelFn, MicroKernels, SmallMKernels};
use crate::gemm::micro_kernel::MicroKernel;
use crate::gemm::narrow::Narrow;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::level::Level;
use crate::simd::Simd;
use crate::simd::avx2::Avx2;
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::table::kernels::Kernels;
use crate::table::tiles::*;
use crate::window::kernel::{ANY, AVERAGE, BOUND, DEPTHWISE, MAX, PLAIN, RELU};
use crate::window::kernels::{InputKernels, Sliding, Strips};
use crate::window::strip::pairs;

type S = Avx2;

/// The heights of micro-tiles: any two below 6 add up to each that is missing.
const ROWS: [usize; 6] = [1, 2, 3, 4, 5, 6];

/// Micro-kernels of N vectors, by their height.
const fn gemm<B: Element, const N: usize, const DIRECT: bool>() -> &'static [MicroKernelFn] {
    const {
        &[
            S::entry::<MicroKernel<B, 1, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 2, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 3, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 4, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 5, N, DIRECT>> as MicroKernelFn,
            S::entry::<MicroKernel<B, 6, N, DIRECT>> as MicroKernelFn,
        ]
    }
}

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Avx2,
    gemm: GemmKernels {
        lanes: S::LANES,
        tile: tile_size::<S>(),
        f32: MicroKernels {
            name: "gemm_f32_6x16_avx2",
            rows: &ROWS,
            packed: &[gemm::<F32, 1, false>(), gemm::<F32, 2, false>()],
            direct: &[gemm::<F32, 1, true>(), gemm::<F32, 2, true>()],
        },
        small_m: [
            SmallMKernels { name: "gemm_f16_6x16_avx2", packed: gemm::<F16, 2, false>() },
            SmallMKernels { name: "gemm_bf16_6x16_avx2", packed: gemm::<Bf16, 2, false>() },
        ],
        dot: None,
        pack: packs::<S>(),
        widen: S::entry::<Widen>,
        widen_names: ["widen_f16_avx2", "widen_bf16_avx2"],
        narrow: S::entry::<Narrow>,
        narrow_names: ["narrow_f16_avx2", "narrow_bf16_avx2"],
        activate: S::entry::<Activate>,
    },
    inputs: [F32_INPUT, F16_INPUT, BF16_INPUT],
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
};

const F32_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    strips: &[
        Strips {
            stride: 1,
            plain: strips_3::<S, F32, 1, PLAIN>("dw_f32_3x3s1_3_avx2"),
            relu: strips_3::<S, F32, 1, RELU>("dw_f32_relu_3x3s1_3_avx2"),
        },
        Strips {
            stride: 2,
            plain: strips_2::<S, F32, 2, PLAIN>("dw_f32_3x3s2_2_avx2"),
            relu: strips_2::<S, F32, 2, RELU>("dw_f32_relu_3x3s2_2_avx2"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_8::<S, F32, DEPTHWISE, PLAIN, 5, 1>("dw_f32_k5s1_8_avx2"),
            relu: windows_8::<S, F32, DEPTHWISE, RELU, 5, 1>("dw_f32_relu_k5s1_8_avx2"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_8::<S, F32, DEPTHWISE, PLAIN, 5, 2>("dw_f32_k5s2_8_avx2"),
            relu: windows_8::<S, F32, DEPTHWISE, RELU, 5, 2>("dw_f32_relu_k5s2_8_avx2"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_4::<S, F32, DEPTHWISE, PLAIN, 7, 1>("dw_f32_k7s1_4_avx2"),
            relu: windows_4::<S, F32, DEPTHWISE, RELU, 7, 1>("dw_f32_relu_k7s1_4_avx2"),
        },
    ],
    depthwise: windows_8::<S, F32, DEPTHWISE, PLAIN, 0, 1>("dw_f32_8_avx2"),
    depthwise_relu: windows_8::<S, F32, DEPTHWISE, RELU, 0, 1>("dw_f32_relu_8_avx2"),
    depthwise_any: windows_1::<S, F32, DEPTHWISE, ANY, 0, 1>("dw_f32_any_1_avx2"),
    max: windows_41::<S, F32, MAX, PLAIN, 0, 1>("max_f32_4_avx2"),
    max_any: windows_1::<S, F32, MAX, ANY, 0, 1>("max_f32_any_1_avx2"),
    average: windows_41::<S, F32, AVERAGE, PLAIN, 0, 1>("average_f32_4_avx2"),
    average_any: windows_1::<S, F32, AVERAGE, ANY, 0, 1>("average_f32_any_1_avx2"),
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its ReLU, and
// there are fewer widths of tiles. These would make the crate build for half as long again.
const F16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    strips: &[
        Strips {
            stride: 1,
            plain: strips_3::<S, F16, 1, BOUND>("dw_f16_3x3s1_3_avx2"),
            relu: strips_3::<S, F16, 1, BOUND>("dw_f16_3x3s1_3_avx2"),
        },
        Strips {
            stride: 2,
            plain: strips_3::<S, F16, 2, BOUND>("dw_f16_3x3s2_3_avx2"),
            relu: strips_3::<S, F16, 2, BOUND>("dw_f16_3x3s2_3_avx2"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 1>("dw_f16_k5s1_8_avx2"),
            relu: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 1>("dw_f16_k5s1_8_avx2"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 2>("dw_f16_k5s2_8_avx2"),
            relu: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 2>("dw_f16_k5s2_8_avx2"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_41::<S, F16, DEPTHWISE, BOUND, 7, 1>("dw_f16_k7s1_4_avx2"),
            relu: windows_41::<S, F16, DEPTHWISE, BOUND, 7, 1>("dw_f16_k7s1_4_avx2"),
        },
    ],
    depthwise: windows_8::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_8_avx2"),
    depthwise_relu: windows_8::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_8_avx2"),
    depthwise_any: windows_1::<S, F16, DEPTHWISE, ANY, 0, 1>("dw_f16_any_1_avx2"),
    max: windows_41::<S, F16, MAX, BOUND, 0, 1>("max_f16_4_avx2"),
    max_any: windows_1::<S, F16, MAX, ANY, 0, 1>("max_f16_any_1_avx2"),
    average: windows_41::<S, F16, AVERAGE, BOUND, 0, 1>("average_f16_4_avx2"),
    average_any: windows_1::<S, F16, AVERAGE, ANY, 0, 1>("average_f16_any_1_avx2"),
};

const BF16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    strips: &[
        Strips {
            stride: 1,
            plain: strips_3::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_3_avx2"),
            relu: strips_3::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_3_avx2"),
        },
        Strips {
            stride: 2,
            plain: strips_3::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_3_avx2"),
            relu: strips_3::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_3_avx2"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 1>("dw_bf16_k5s1_8_avx2"),
            relu: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 1>("dw_bf16_k5s1_8_avx2"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 2>("dw_bf16_k5s2_8_avx2"),
            relu: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 2>("dw_bf16_k5s2_8_avx2"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_41::<S, Bf16, DEPTHWISE, BOUND, 7, 1>("dw_bf16_k7s1_4_avx2"),
            relu: windows_41::<S, Bf16, DEPTHWISE, BOUND, 7, 1>("dw_bf16_k7s1_4_avx2"),
        },
    ],
    depthwise: windows_8::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_8_avx2"),
    depthwise_relu: windows_8::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_8_avx2"),
    depthwise_any: windows_1::<S, Bf16, DEPTHWISE, ANY, 0, 1>("dw_bf16_any_1_avx2"),
    max: windows_41::<S, Bf16, MAX, BOUND, 0, 1>("max_bf16_4_avx2"),
    max_any: windows_1::<S, Bf16, MAX, ANY, 0, 1>("max_bf16_any_1_avx2"),
    average: windows_41::<S, Bf16, AVERAGE, BOUND, 0, 1>("average_bf16_4_avx2"),
    average_any: windows_1::<S, Bf16, AVERAGE, ANY, 0, 1>("average_bf16_any_1_avx2"),
};
