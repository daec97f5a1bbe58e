//! The kernels of AVX-512.
//!
//! Strips of 6: 18 accumulators, 9 weights and the columns in use fit 32 registers.

use crate::activation::Activate;
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{DotKernels, GemmKernels, MicroKernelFn, MicroKernels, SmallMKernels};
use crate::gemm::micro_kernel::{Bf16MicroKernel, MicroKernel};
use crate::gemm::narrow::Narrow;
use crate::gemm::pair::Pair;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::level::Level;
use crate::simd::avx512::{Avx512, Avx512Bf16};
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::simd::{Bf16Dot, Simd};
use crate::table::kernels::Kernels;
use crate::table::tiles::*;
use crate::window::kernel::{ANY, AVERAGE, BOUND, DEPTHWISE, MAX, PLAIN, RELU};
use crate::window::kernels::{InputKernels, Sliding, Strips};
use crate::window::strip::pairs;

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

/// By what is measured: on an Intel CPU (Emerald Rapids) dot products take 1.6 to 1.9 of the time of f32, on an AMD
/// one (Zen 5) 0.45 to 0.6.
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
            plain: strips_6::<S, F32, 1, PLAIN>("dw_f32_3x3s1_6_avx512"),
            relu: strips_6::<S, F32, 1, RELU>("dw_f32_relu_3x3s1_6_avx512"),
        },
        Strips {
            stride: 2,
            plain: strips_6::<S, F32, 2, PLAIN>("dw_f32_3x3s2_6_avx512"),
            relu: strips_6::<S, F32, 2, RELU>("dw_f32_relu_3x3s2_6_avx512"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_8::<S, F32, DEPTHWISE, PLAIN, 5, 1>("dw_f32_k5s1_8_avx512"),
            relu: windows_8::<S, F32, DEPTHWISE, RELU, 5, 1>("dw_f32_relu_k5s1_8_avx512"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_8::<S, F32, DEPTHWISE, PLAIN, 5, 2>("dw_f32_k5s2_8_avx512"),
            relu: windows_8::<S, F32, DEPTHWISE, RELU, 5, 2>("dw_f32_relu_k5s2_8_avx512"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_4::<S, F32, DEPTHWISE, PLAIN, 7, 1>("dw_f32_k7s1_4_avx512"),
            relu: windows_4::<S, F32, DEPTHWISE, RELU, 7, 1>("dw_f32_relu_k7s1_4_avx512"),
        },
    ],
    depthwise: windows_8::<S, F32, DEPTHWISE, PLAIN, 0, 1>("dw_f32_8_avx512"),
    depthwise_relu: windows_8::<S, F32, DEPTHWISE, RELU, 0, 1>("dw_f32_relu_8_avx512"),
    depthwise_any: windows_1::<S, F32, DEPTHWISE, ANY, 0, 1>("dw_f32_any_1_avx512"),
    max: windows_41::<S, F32, MAX, PLAIN, 0, 1>("max_f32_4_avx512"),
    max_any: windows_1::<S, F32, MAX, ANY, 0, 1>("max_f32_any_1_avx512"),
    average: windows_41::<S, F32, AVERAGE, PLAIN, 0, 1>("average_f32_4_avx512"),
    average_any: windows_1::<S, F32, AVERAGE, ANY, 0, 1>("average_f32_any_1_avx512"),
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its ReLU, and
// there are fewer widths of tiles. These would make the crate build for half as long again.
const F16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    strips: &[
        Strips {
            stride: 1,
            plain: strips_6431::<S, F16, 1, BOUND>("dw_f16_3x3s1_6_avx512"),
            relu: strips_6431::<S, F16, 1, BOUND>("dw_f16_3x3s1_6_avx512"),
        },
        Strips {
            stride: 2,
            plain: strips_6431::<S, F16, 2, BOUND>("dw_f16_3x3s2_6_avx512"),
            relu: strips_6431::<S, F16, 2, BOUND>("dw_f16_3x3s2_6_avx512"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 1>("dw_f16_k5s1_8_avx512"),
            relu: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 1>("dw_f16_k5s1_8_avx512"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 2>("dw_f16_k5s2_8_avx512"),
            relu: windows_841::<S, F16, DEPTHWISE, BOUND, 5, 2>("dw_f16_k5s2_8_avx512"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_41::<S, F16, DEPTHWISE, BOUND, 7, 1>("dw_f16_k7s1_4_avx512"),
            relu: windows_41::<S, F16, DEPTHWISE, BOUND, 7, 1>("dw_f16_k7s1_4_avx512"),
        },
    ],
    depthwise: windows_8::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_8_avx512"),
    depthwise_relu: windows_8::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_8_avx512"),
    depthwise_any: windows_1::<S, F16, DEPTHWISE, ANY, 0, 1>("dw_f16_any_1_avx512"),
    max: windows_41::<S, F16, MAX, BOUND, 0, 1>("max_f16_4_avx512"),
    max_any: windows_1::<S, F16, MAX, ANY, 0, 1>("max_f16_any_1_avx512"),
    average: windows_41::<S, F16, AVERAGE, BOUND, 0, 1>("average_f16_4_avx512"),
    average_any: windows_1::<S, F16, AVERAGE, ANY, 0, 1>("average_f16_any_1_avx512"),
};

const BF16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    strips: &[
        Strips {
            stride: 1,
            plain: strips_6431::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_6_avx512"),
            relu: strips_6431::<S, Bf16, 1, BOUND>("dw_bf16_3x3s1_6_avx512"),
        },
        Strips {
            stride: 2,
            plain: strips_6431::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_6_avx512"),
            relu: strips_6431::<S, Bf16, 2, BOUND>("dw_bf16_3x3s2_6_avx512"),
        },
    ],
    sliding: &[
        Sliding {
            kernel: 5,
            stride: 1,
            plain: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 1>("dw_bf16_k5s1_8_avx512"),
            relu: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 1>("dw_bf16_k5s1_8_avx512"),
        },
        Sliding {
            kernel: 5,
            stride: 2,
            plain: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 2>("dw_bf16_k5s2_8_avx512"),
            relu: windows_841::<S, Bf16, DEPTHWISE, BOUND, 5, 2>("dw_bf16_k5s2_8_avx512"),
        },
        Sliding {
            kernel: 7,
            stride: 1,
            plain: windows_41::<S, Bf16, DEPTHWISE, BOUND, 7, 1>("dw_bf16_k7s1_4_avx512"),
            relu: windows_41::<S, Bf16, DEPTHWISE, BOUND, 7, 1>("dw_bf16_k7s1_4_avx512"),
        },
    ],
    depthwise: windows_8::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_8_avx512"),
    depthwise_relu: windows_8::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_8_avx512"),
    depthwise_any: windows_1::<S, Bf16, DEPTHWISE, ANY, 0, 1>("dw_bf16_any_1_avx512"),
    max: windows_41::<S, Bf16, MAX, BOUND, 0, 1>("max_bf16_4_avx512"),
    max_any: windows_1::<S, Bf16, MAX, ANY, 0, 1>("max_bf16_any_1_avx512"),
    average: windows_41::<S, Bf16, AVERAGE, BOUND, 0, 1>("average_bf16_4_avx512"),
    average_any: windows_1::<S, Bf16, AVERAGE, ANY, 0, 1>("average_bf16_any_1_avx512"),
};
