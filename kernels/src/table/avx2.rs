//! The kernels of AVX2.
//!
//! 3×3 tiles of 3 columns: 9 accumulators, 5 columns and a weight take 15 of the 16 registers; 4
//! would spill. Of 2 with stride 2 and f32, two vectors of channels at a time: 8 accumulators, 5
//! columns, 2 biases and a weight. (f16 and bf16 would gain 5 %, and take the crate 2 of the 40 s
//! of CPU time in which it builds.)
//!
//! Kernels 7 wide with stride 1 leave their weights in memory, as longer ones do: 7 accumulators, 7
//! weights, a bound and columns are more than 16. With stride 2 that would be 2 loads for each FMA:
//! tiles have 4 pixels.

use crate::activation::Activate;
use crate::depthwise::k3x3::pairs;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::F16Bf16;
use crate::epilogue::{AsIs, Bounded, General, Relu};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{
    Bf16Gemm, ChainGemm, F16Bf16Gemm, GemmKernels, MicroKernels, PanelKernels,
};
use crate::gemm::narrow::Narrow;
use crate::gemm::pack::Pack;
use crate::gemm::round::Round;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::int8::kernels::Int8Kernels;
use crate::level::Level;
use crate::planes::{PlanesKernels, PlanesOf};
use crate::pool::kernels::PoolKernels;
use crate::pool::row::{Average, Max};
use crate::simd::Simd;
use crate::simd::avx2::{Avx2, Avx2Vnni, Avx2Words};
use crate::simd::element::{Bf16, F16, F32};
use crate::simd::int8::Int8;
use crate::table::instances::*;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

type S = Avx2;

/// Of the arithmetic unfused.
type U = Avx2<false>;

/// The heights of micro-tiles. (Without 5, five pixels take 1.3 to 1.5 times as long, 35 take 1.1.)
const ROWS: [usize; 6] = [1, 2, 3, 4, 5, 6];

/// Those of the arithmetics bf16 and unfused: fewer, so that they compile faster.
/// Any two below 6 add up to each that is missing.
const BLOCK_ROWS: [usize; 4] = [1, 3, 4, 6];

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Avx2,
    gemm: GemmKernels {
        lanes: S::LANES,
        tile: tile_size::<S>(),
        exact: EXACT_GEMM,
        unfused: if cfg!(feature = "unfused") { Some(UNFUSED_GEMM) } else { None },
        pack: S::entry::<Pack<F32>>,
        activate: S::entry::<Activate>,
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_GEMM) } else { None },
        bf16: if cfg!(feature = "bf16") { Some(BF16_GEMM) } else { None },
        bf16_pairs: None,
        tiles: None,
    },
    f32: ChannelwiseKernels { depthwise: F32_DEPTHWISE, unfused: F32_UNFUSED, pool: F32_POOL },
    f16_bf16: if cfg!(feature = "f16-bf16") {
        Some(F16Bf16 {
            f16: ChannelwiseKernels {
                depthwise: F16_DEPTHWISE,
                unfused: F16_UNFUSED,
                pool: F16_POOL,
            },
            bf16: ChannelwiseKernels {
                depthwise: BF16_DEPTHWISE,
                unfused: BF16_UNFUSED,
                pool: BF16_POOL,
            },
        })
    } else {
        None
    },
    planes: PlanesKernels {
        lanes: S::LANES,
        f32: planes::<S, F32>(["from_planes_f32_avx2", "to_planes_f32_avx2"]),
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_PLANES) } else { None },
    },
    pixelwise: pixelwise::<S>(["resample_avx2", "softmax_avx2"]),
    int8: if cfg!(feature = "int8") { Some(INT8) } else { None },
    lines: lines::<S>(["binary_avx2", "normalize_avx2"]),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
    unfused_loop: if cfg!(feature = "unfused") { Some(U::entry::<FmaLoop>) } else { None },
};

const EXACT_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_6x16_avx2",
        rows: &ROWS,
        packed: &[&gemm::<S, F32, 1, false, _>(ROWS), &gemm::<S, F32, 2, false, _>(ROWS)],
        direct: &[&gemm::<S, F32, 1, true, _>(ROWS), &gemm::<S, F32, 2, true, _>(ROWS)],
    },
    small_m: if cfg!(feature = "f16-bf16") { Some(EXACT_SMALL_M) } else { None },
};

const EXACT_SMALL_M: F16Bf16<PanelKernels> = F16Bf16 {
    f16: PanelKernels { name: "gemm_f16_6x16_avx2", packed: &gemm::<S, F16, 2, false, _>(ROWS) },
    bf16: PanelKernels { name: "gemm_bf16_6x16_avx2", packed: &gemm::<S, Bf16, 2, false, _>(ROWS) },
};

// For comparison: with fewer heights, and A in panels alone.
const UNFUSED_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_6x16_unfused_avx2",
        rows: &BLOCK_ROWS,
        packed: &[
            &gemm::<U, F32, 1, false, _>(BLOCK_ROWS),
            &gemm::<U, F32, 2, false, _>(BLOCK_ROWS),
        ],
        direct: &[],
    },
    small_m: None,
};

const BF16_GEMM: Bf16Gemm = Bf16Gemm {
    rows: &BLOCK_ROWS,
    large_m: PanelKernels {
        name: "gemm_blocks_f32_6x16_avx2",
        packed: &gemm_blocks::<S, F32, 2, _>(BLOCK_ROWS),
    },
    small_m: PanelKernels {
        name: "gemm_blocks_bf16_6x16_avx2",
        packed: &gemm_blocks::<S, Bf16, 2, _>(BLOCK_ROWS),
    },
    round: S::entry::<Round>,
};

/// The heights of micro-tiles of 8-bit integers: any two add up to each that is missing.
const INT8_ROWS: [usize; 4] = [1, 2, 3, 6];

const INT8: &[Int8Kernels] = &[
    int8::<Avx2Vnni, Avx2Words>(
        ["gemm_int8_6x16_vnni_avx2", "requantize_avx2", "dw_int8_vnni_avx2", "pool_int8_avx2"],
        || <Avx2Vnni as Int8>::detect().is_some(),
        true,
        &INT8_ROWS,
        &gemm_int8::<Avx2Vnni, 2, _>(INT8_ROWS),
    ),
    int8::<Avx2Words, Avx2Words>(
        ["gemm_int8_6x16_avx2", "requantize_avx2", "dw_int8_avx2", "pool_int8_avx2"],
        || <Avx2Words as Int8>::detect().is_some(),
        false,
        &INT8_ROWS,
        &gemm_int8::<Avx2Words, 2, _>(INT8_ROWS),
    ),
];

const F16_BF16_PLANES: F16Bf16<PlanesOf> = F16Bf16 {
    f16: planes::<S, F16>(["from_planes_f16_avx2", "to_planes_f16_avx2"]),
    bf16: planes::<S, Bf16>(["from_planes_bf16_avx2", "to_planes_bf16_avx2"]),
};

// One long kernel serves the input as it is and its ReLU: it bounds the input from below by −∞ or
// 0, in 0.98 to 1.02 of the time (Emerald Rapids). With 5×5 that would take 1.03 to 1.12.

const F32_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    k3x3: &[
        k3x3::<S, F32, 1, _>(["dw_f32_3x3s1_3_avx2", "dw_f32_relu_3x3s1_3_avx2"], &[1, 2, 3]),
        k3x3::<S, F32, 2, _>(["dw_f32_3x3s2_2_avx2", "dw_f32_relu_3x3s2_2_avx2"], &[1, 2]),
    ],
    dense: &[
        dense::<S, F32, 3, 1, _>(["dw_f32_k3s1_7_avx2", "dw_f32_relu_k3s1_7_avx2"], &[1, 2, 4, 7]),
        dense::<S, F32, 5, 1, _>(["dw_f32_k5s1_7_avx2", "dw_f32_relu_k5s1_7_avx2"], &[1, 2, 4, 7]),
        dense::<S, F32, 5, 2, _>(["dw_f32_k5s2_4_avx2", "dw_f32_relu_k5s2_4_avx2"], &[1, 2, 4]),
        dense::<S, F32, 7, 2, _>(["dw_f32_k7s2_4_avx2", "dw_f32_relu_k7s2_4_avx2"], &[1, 2, 4]),
    ],
    long: Some(long::<S, F32, _>(["dw_f32_long_7_avx2"], 4, &[1, 2, 4, 7])),
    as_is: any_rows::<S, F32, AsIs>("dw_f32_8_avx2", &[1, 2, 4, 8]),
    relu: any_rows::<S, F32, Relu>("dw_f32_relu_8_avx2", &[1, 2, 4, 8]),
    general: any_rows::<S, F32, General>("dw_f32_general_1_avx2", &[1]),
};

const F32_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F32>(["dw_f32_4_unfused_avx2", "dw_f32_general_1_unfused_avx2"]);

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F32, AsIs>("max_f32_4_avx2", &[1, 4]),
    max_general: rows::<S, Max, F32, General>("max_f32_general_1_avx2", &[1]),
    average: rows::<S, Average, F32, AsIs>("average_f32_4_avx2", &[1, 4]),
    average_general: rows::<S, Average, F32, General>("average_f32_general_1_avx2", &[1]),
};

const F16_BF16_GEMM: F16Bf16Gemm = F16Bf16Gemm {
    dot: None,
    pack: F16Bf16 { f16: S::entry::<Pack<F16>>, bf16: S::entry::<Pack<Bf16>> },
    widen: S::entry::<Widen>,
    widen_names: F16Bf16 { f16: "widen_f16_avx2", bf16: "widen_bf16_avx2" },
    narrow: S::entry::<Narrow>,
    narrow_names: F16Bf16 { f16: "narrow_f16_avx2", bf16: "narrow_bf16_avx2" },
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its
// ReLU, and there are fewer widths of tiles. These would make the crate build for half as long
// again.

const F16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    k3x3: &[
        k3x3::<S, F16, 1, _>(["dw_f16_3x3s1_3_avx2"], &[1, 2, 3]),
        k3x3::<S, F16, 2, _>(["dw_f16_3x3s2_3_avx2"], &[1, 2, 3]),
    ],
    dense: &[
        dense::<S, F16, 3, 1, _>(["dw_f16_k3s1_7_avx2"], &[1, 4, 7]),
        dense::<S, F16, 5, 1, _>(["dw_f16_k5s1_7_avx2"], &[1, 4, 7]),
        dense::<S, F16, 5, 2, _>(["dw_f16_k5s2_4_avx2"], &[1, 4]),
        dense::<S, F16, 7, 2, _>(["dw_f16_k7s2_4_avx2"], &[1, 4]),
    ],
    long: Some(long::<S, F16, _>(["dw_f16_long_7_avx2"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, F16, Bounded>("dw_f16_8_avx2", &[1, 2, 4, 8]),
    relu: any_rows::<S, F16, Bounded>("dw_f16_8_avx2", &[1, 2, 4, 8]),
    general: any_rows::<S, F16, General>("dw_f16_general_1_avx2", &[1]),
};

const F16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F16>(["dw_f16_4_unfused_avx2", "dw_f16_general_1_unfused_avx2"]);

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F16, Bounded>("max_f16_4_avx2", &[1, 4]),
    max_general: rows::<S, Max, F16, General>("max_f16_general_1_avx2", &[1]),
    average: rows::<S, Average, F16, Bounded>("average_f16_4_avx2", &[1, 4]),
    average_general: rows::<S, Average, F16, General>("average_f16_general_1_avx2", &[1]),
};

const BF16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    k3x3: &[
        k3x3::<S, Bf16, 1, _>(["dw_bf16_3x3s1_3_avx2"], &[1, 2, 3]),
        k3x3::<S, Bf16, 2, _>(["dw_bf16_3x3s2_3_avx2"], &[1, 2, 3]),
    ],
    dense: &[
        dense::<S, Bf16, 3, 1, _>(["dw_bf16_k3s1_7_avx2"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 1, _>(["dw_bf16_k5s1_7_avx2"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 2, _>(["dw_bf16_k5s2_4_avx2"], &[1, 4]),
        dense::<S, Bf16, 7, 2, _>(["dw_bf16_k7s2_4_avx2"], &[1, 4]),
    ],
    long: Some(long::<S, Bf16, _>(["dw_bf16_long_7_avx2"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, Bf16, Bounded>("dw_bf16_8_avx2", &[1, 2, 4, 8]),
    relu: any_rows::<S, Bf16, Bounded>("dw_bf16_8_avx2", &[1, 2, 4, 8]),
    general: any_rows::<S, Bf16, General>("dw_bf16_general_1_avx2", &[1]),
};

const BF16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, Bf16>(["dw_bf16_4_unfused_avx2", "dw_bf16_general_1_unfused_avx2"]);

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, Bf16, Bounded>("max_bf16_4_avx2", &[1, 4]),
    max_general: rows::<S, Max, Bf16, General>("max_bf16_general_1_avx2", &[1]),
    average: rows::<S, Average, Bf16, Bounded>("average_bf16_4_avx2", &[1, 4]),
    average_general: rows::<S, Average, Bf16, General>("average_bf16_general_1_avx2", &[1]),
};
