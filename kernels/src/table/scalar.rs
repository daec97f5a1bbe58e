//! The kernels of the level scalar: the general ones alone. It is for comparison, and for CPUs that have no other.

use crate::activation::Activate;
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{GemmKernels, MicroKernelFn, MicroKernels, SmallMKernels};
use crate::gemm::micro_kernel::MicroKernel;
use crate::gemm::narrow::Narrow;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::level::Level;
use crate::simd::Simd;
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::simd::scalar::Scalar;
use crate::table::kernels::Kernels;
use crate::table::tiles::*;
use crate::window::kernel::{ANY, AVERAGE, BOUND, DEPTHWISE, MAX, PLAIN, RELU};
use crate::window::kernels::InputKernels;
use crate::window::strip::pairs;

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
    inputs: [F32_INPUT, F16_INPUT, BF16_INPUT],
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
};

const F32_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    strips: &[],
    sliding: &[],
    depthwise: windows_41::<S, F32, DEPTHWISE, PLAIN, 0, 1>("dw_f32_4_scalar"),
    depthwise_relu: windows_41::<S, F32, DEPTHWISE, RELU, 0, 1>("dw_f32_relu_4_scalar"),
    depthwise_any: windows_1::<S, F32, DEPTHWISE, ANY, 0, 1>("dw_f32_any_1_scalar"),
    max: windows_41::<S, F32, MAX, PLAIN, 0, 1>("max_f32_4_scalar"),
    max_any: windows_1::<S, F32, MAX, ANY, 0, 1>("max_f32_any_1_scalar"),
    average: windows_41::<S, F32, AVERAGE, PLAIN, 0, 1>("average_f32_4_scalar"),
    average_any: windows_1::<S, F32, AVERAGE, ANY, 0, 1>("average_f32_any_1_scalar"),
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its ReLU, and
// there are fewer widths of tiles. These would make the crate build for half as long again.
const F16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    strips: &[],
    sliding: &[],
    depthwise: windows_41::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_4_scalar"),
    depthwise_relu: windows_41::<S, F16, DEPTHWISE, BOUND, 0, 1>("dw_f16_4_scalar"),
    depthwise_any: windows_1::<S, F16, DEPTHWISE, ANY, 0, 1>("dw_f16_any_1_scalar"),
    max: windows_41::<S, F16, MAX, BOUND, 0, 1>("max_f16_4_scalar"),
    max_any: windows_1::<S, F16, MAX, ANY, 0, 1>("max_f16_any_1_scalar"),
    average: windows_41::<S, F16, AVERAGE, BOUND, 0, 1>("average_f16_4_scalar"),
    average_any: windows_1::<S, F16, AVERAGE, ANY, 0, 1>("average_f16_any_1_scalar"),
};

const BF16_INPUT: InputKernels = InputKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    strips: &[],
    sliding: &[],
    depthwise: windows_41::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_4_scalar"),
    depthwise_relu: windows_41::<S, Bf16, DEPTHWISE, BOUND, 0, 1>("dw_bf16_4_scalar"),
    depthwise_any: windows_1::<S, Bf16, DEPTHWISE, ANY, 0, 1>("dw_bf16_any_1_scalar"),
    max: windows_41::<S, Bf16, MAX, BOUND, 0, 1>("max_bf16_4_scalar"),
    max_any: windows_1::<S, Bf16, MAX, ANY, 0, 1>("max_bf16_any_1_scalar"),
    average: windows_41::<S, Bf16, AVERAGE, BOUND, 0, 1>("average_bf16_4_scalar"),
    average_any: windows_1::<S, Bf16, AVERAGE, ANY, 0, 1>("average_bf16_any_1_scalar"),
};
