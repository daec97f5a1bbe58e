//! The kernels of NEON.
//!
//! 3×3 tiles of 6 columns: 18 accumulators, 9 weights and the columns in use fit 32 registers.

use crate::activation::Activate;
use crate::depthwise::k3x3::pairs;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::F16Bf16;
use crate::epilogue::{AsIs, Bounded, General, Relu};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{
    Bf16Gemm, Bf16Pairs, ChainGemm, DotKernels, F16Bf16Gemm, GemmKernels, MatrixGemm, MicroKernels,
    PanelKernels,
};
use crate::gemm::narrow::Narrow;
use crate::gemm::pack::Pack;
use crate::gemm::pair::Pair;
use crate::gemm::pair_rows::PairRows;
use crate::gemm::round::Round;
use crate::gemm::tile::tile_size;
use crate::gemm::widen::Widen;
use crate::int8::kernels::Int8Kernels;
use crate::level::Level;
use crate::planes::{PlanesKernels, PlanesOf};
use crate::pool::kernels::PoolKernels;
use crate::pool::row::{Average, Max};
use crate::simd::element::{Bf16, F16, F32};
use crate::simd::int8::{Int8, Int8Matrix};
use crate::simd::neon::{Neon, NeonBf16, NeonDot, NeonI8mm, NeonWords};
use crate::simd::{Bf16Dot, Bf16Fma, Simd};
use crate::table::instances::*;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

type S = Neon;

/// Of the arithmetic unfused.
type U = Neon<false>;

/// The heights of micro-tiles: any two below 8 add up to each that is missing.
const ROWS: [usize; 7] = [1, 2, 3, 4, 5, 6, 8];

/// The columns of 3×3 tiles; of 16 bits fewer, for the sake of the time in which they compile.
const COLUMNS: &[usize] = &[1, 2, 3, 4, 5, 6];
const COLUMNS_16: &[usize] = &[1, 3, 4, 6];

/// Those of the arithmetic bf16: 1, or multiples of the 2, 3 or 4 rows whose two chains registers
/// hold. Any two below 8 add up to each that is missing.
const BLOCK_ROWS: [usize; 5] = [1, 2, 4, 6, 8];

/// Those of the arithmetic unfused: fewer, so that they compile faster.
const UNFUSED_ROWS: [usize; 5] = [1, 3, 4, 5, 8];

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Neon,
    gemm: GemmKernels {
        lanes: S::LANES,
        tile: tile_size::<S>(),
        exact: EXACT_GEMM,
        unfused: if cfg!(feature = "unfused") { Some(UNFUSED_GEMM) } else { None },
        pack: S::entry::<Pack<F32>>,
        activate: S::entry::<Activate>,
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_GEMM) } else { None },
        bf16: if cfg!(feature = "bf16") { Some(BF16_GEMM) } else { None },
        bf16_pairs: if cfg!(feature = "bf16") { Some(BF16_PAIRS) } else { None },
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
        f32: planes::<S, F32>(["from_planes_f32_neon", "to_planes_f32_neon"]),
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_PLANES) } else { None },
    },
    pixelwise: pixelwise::<S>(["resample_neon", "softmax_neon"]),
    int8: if cfg!(feature = "int8") { Some(INT8) } else { None },
    lines: lines::<S>(["binary_neon", "normalize_neon"]),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
    unfused_loop: if cfg!(feature = "unfused") { Some(U::entry::<FmaLoop>) } else { None },
};

const EXACT_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_8x12_neon",
        rows: &ROWS,
        packed: &[
            &gemm::<S, F32, 1, false, _>(ROWS),
            &gemm::<S, F32, 2, false, _>(ROWS),
            &gemm::<S, F32, 3, false, _>(ROWS),
        ],
        direct: &[
            &gemm::<S, F32, 1, true, _>(ROWS),
            &gemm::<S, F32, 2, true, _>(ROWS),
            &gemm::<S, F32, 3, true, _>(ROWS),
        ],
    },
    small_m: if cfg!(feature = "f16-bf16") { Some(EXACT_SMALL_M) } else { None },
};

const EXACT_SMALL_M: F16Bf16<PanelKernels> = F16Bf16 {
    f16: PanelKernels { name: "gemm_f16_8x12_neon", packed: &gemm::<S, F16, 3, false, _>(ROWS) },
    bf16: PanelKernels { name: "gemm_bf16_8x12_neon", packed: &gemm::<S, Bf16, 3, false, _>(ROWS) },
};

// For comparison: with fewer heights, and A in panels alone.
const UNFUSED_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_8x12_unfused_neon",
        rows: &UNFUSED_ROWS,
        packed: &[
            &gemm::<U, F32, 1, false, _>(UNFUSED_ROWS),
            &gemm::<U, F32, 2, false, _>(UNFUSED_ROWS),
            &gemm::<U, F32, 3, false, _>(UNFUSED_ROWS),
        ],
        direct: &[],
    },
    small_m: None,
};

const BF16_GEMM: Bf16Gemm = Bf16Gemm {
    rows: &BLOCK_ROWS,
    large_m: PanelKernels {
        name: "gemm_blocks_f32_8x12_neon",
        packed: &gemm_blocks::<S, F32, 3, _>(BLOCK_ROWS),
    },
    small_m: PanelKernels {
        name: "gemm_blocks_bf16_8x12_neon",
        packed: &gemm_blocks::<S, Bf16, 3, _>(BLOCK_ROWS),
    },
    round: S::entry::<Round>,
};

const BF16_PAIRS: Bf16Pairs = Bf16Pairs {
    is_available: || <NeonBf16 as Bf16Fma>::detect().is_some(),
    rows: &BLOCK_ROWS,
    gemm: PanelKernels {
        name: "gemm_blocks_bf16_8x12_bfmlal_neon",
        packed: &gemm_pairs::<NeonBf16, 3, _>(BLOCK_ROWS),
    },
    pair: <NeonBf16 as Bf16Dot>::entry::<Pair<true>>,
};

/// The heights of micro-tiles of 8-bit integers: any two add up to each that is missing.
const INT8_ROWS: [usize; 5] = [1, 2, 3, 4, 8];
/// Those by products of matrices: 1, and even ones.
const MATRIX_ROWS: [usize; 5] = [1, 2, 4, 6, 8];

const INT8: &[Int8Kernels] = &[
    Int8Kernels {
        matrices: Some(INT8_MATRICES),
        ..int8::<NeonDot, NeonWords>(
            ["gemm_int8_8x12_dot_neon", "requantize_neon", "dw_int8_dot_neon", "pool_int8_neon"],
            || <NeonDot as Int8>::detect().is_some(),
            true,
            &INT8_ROWS,
            &gemm_int8::<NeonDot, 3, _>(INT8_ROWS),
        )
    },
    int8::<NeonWords, NeonWords>(
        ["gemm_int8_8x12_neon", "requantize_neon", "dw_int8_neon", "pool_int8_neon"],
        || <NeonWords as Int8>::detect().is_some(),
        false,
        &INT8_ROWS,
        &gemm_int8::<NeonWords, 3, _>(INT8_ROWS),
    ),
];

const INT8_MATRICES: MatrixGemm = MatrixGemm {
    is_available: || <NeonI8mm as Int8Matrix>::detect().is_some(),
    rows: &MATRIX_ROWS,
    gemm: PanelKernels {
        name: "gemm_int8_8x12_i8mm_neon",
        packed: &gemm_matrices::<NeonI8mm, 3, _>(MATRIX_ROWS),
    },
    pair_rows: <NeonI8mm as Int8Matrix>::entry::<PairRows>,
};

const F16_BF16_PLANES: F16Bf16<PlanesOf> = F16Bf16 {
    f16: planes::<S, F16>(["from_planes_f16_neon", "to_planes_f16_neon"]),
    bf16: planes::<S, Bf16>(["from_planes_bf16_neon", "to_planes_bf16_neon"]),
};

const F32_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    k3x3: &[
        k3x3::<S, F32, 1, _>(["dw_f32_3x3s1_6_neon", "dw_f32_relu_3x3s1_6_neon"], COLUMNS),
        k3x3::<S, F32, 2, _>(["dw_f32_3x3s2_6_neon", "dw_f32_relu_3x3s2_6_neon"], COLUMNS),
    ],
    dense: &[
        dense::<S, F32, 3, 1, _>(["dw_f32_k3s1_7_neon", "dw_f32_relu_k3s1_7_neon"], &[1, 2, 4, 7]),
        dense::<S, F32, 5, 1, _>(["dw_f32_k5s1_7_neon", "dw_f32_relu_k5s1_7_neon"], &[1, 2, 4, 7]),
        dense::<S, F32, 5, 2, _>(["dw_f32_k5s2_7_neon", "dw_f32_relu_k5s2_7_neon"], &[1, 2, 4, 7]),
        dense::<S, F32, 7, 1, _>(["dw_f32_k7s1_7_neon", "dw_f32_relu_k7s1_7_neon"], &[1, 2, 4, 7]),
        dense::<S, F32, 7, 2, _>(["dw_f32_k7s2_7_neon", "dw_f32_relu_k7s2_7_neon"], &[1, 2, 4, 7]),
    ],
    long: Some(long::<S, F32, _>(
        ["dw_f32_long_7_neon", "dw_f32_relu_long_7_neon"],
        4,
        &[1, 2, 4, 7],
    )),
    as_is: any_rows::<S, F32, AsIs>("dw_f32_8_neon", &[1, 2, 4, 8]),
    relu: any_rows::<S, F32, Relu>("dw_f32_relu_8_neon", &[1, 2, 4, 8]),
    general: any_rows::<S, F32, General>("dw_f32_general_1_neon", &[1]),
};

const F32_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F32>(["dw_f32_4_unfused_neon", "dw_f32_general_1_unfused_neon"]);

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F32, AsIs>("max_f32_4_neon", &[1, 4]),
    max_general: rows::<S, Max, F32, General>("max_f32_general_1_neon", &[1]),
    average: rows::<S, Average, F32, AsIs>("average_f32_4_neon", &[1, 4]),
    average_general: rows::<S, Average, F32, General>("average_f32_general_1_neon", &[1]),
};

const F16_BF16_GEMM: F16Bf16Gemm = F16Bf16Gemm {
    dot: Some(DotKernels {
        is_available: || <NeonBf16 as Bf16Dot>::detect().is_some(),
        gemm: MicroKernels {
            name: "gemm_dot_bf16_8x12_neon",
            rows: &ROWS,
            packed: &[
                &gemm_dot::<NeonBf16, 1, _>(ROWS),
                &gemm_dot::<NeonBf16, 2, _>(ROWS),
                &gemm_dot::<NeonBf16, 3, _>(ROWS),
            ],
            direct: &[],
        },
        pair: <NeonBf16 as Bf16Dot>::entry::<Pair<false>>,
    }),
    pack: F16Bf16 { f16: S::entry::<Pack<F16>>, bf16: S::entry::<Pack<Bf16>> },
    widen: S::entry::<Widen>,
    widen_names: F16Bf16 { f16: "widen_f16_neon", bf16: "widen_bf16_neon" },
    narrow: S::entry::<Narrow>,
    narrow_names: F16Bf16 { f16: "narrow_f16_neon", bf16: "narrow_bf16_neon" },
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its
// ReLU, and there are fewer widths of tiles. These would make the crate build for half as long
// again.

const F16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    k3x3: &[
        k3x3::<S, F16, 1, _>(["dw_f16_3x3s1_6_neon"], COLUMNS_16),
        k3x3::<S, F16, 2, _>(["dw_f16_3x3s2_6_neon"], COLUMNS_16),
    ],
    dense: &[
        dense::<S, F16, 3, 1, _>(["dw_f16_k3s1_7_neon"], &[1, 4, 7]),
        dense::<S, F16, 5, 1, _>(["dw_f16_k5s1_7_neon"], &[1, 4, 7]),
        dense::<S, F16, 5, 2, _>(["dw_f16_k5s2_7_neon"], &[1, 4, 7]),
        dense::<S, F16, 7, 1, _>(["dw_f16_k7s1_7_neon"], &[1, 4, 7]),
        dense::<S, F16, 7, 2, _>(["dw_f16_k7s2_7_neon"], &[1, 4, 7]),
    ],
    long: Some(long::<S, F16, _>(["dw_f16_long_7_neon"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, F16, Bounded>("dw_f16_8_neon", &[1, 2, 4, 8]),
    relu: any_rows::<S, F16, Bounded>("dw_f16_8_neon", &[1, 2, 4, 8]),
    general: any_rows::<S, F16, General>("dw_f16_general_1_neon", &[1]),
};

const F16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F16>(["dw_f16_4_unfused_neon", "dw_f16_general_1_unfused_neon"]);

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F16, Bounded>("max_f16_4_neon", &[1, 4]),
    max_general: rows::<S, Max, F16, General>("max_f16_general_1_neon", &[1]),
    average: rows::<S, Average, F16, Bounded>("average_f16_4_neon", &[1, 4]),
    average_general: rows::<S, Average, F16, General>("average_f16_general_1_neon", &[1]),
};

const BF16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    k3x3: &[
        k3x3::<S, Bf16, 1, _>(["dw_bf16_3x3s1_6_neon"], COLUMNS_16),
        k3x3::<S, Bf16, 2, _>(["dw_bf16_3x3s2_6_neon"], COLUMNS_16),
    ],
    dense: &[
        dense::<S, Bf16, 3, 1, _>(["dw_bf16_k3s1_7_neon"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 1, _>(["dw_bf16_k5s1_7_neon"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 2, _>(["dw_bf16_k5s2_7_neon"], &[1, 4, 7]),
        dense::<S, Bf16, 7, 1, _>(["dw_bf16_k7s1_7_neon"], &[1, 4, 7]),
        dense::<S, Bf16, 7, 2, _>(["dw_bf16_k7s2_7_neon"], &[1, 4, 7]),
    ],
    long: Some(long::<S, Bf16, _>(["dw_bf16_long_7_neon"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, Bf16, Bounded>("dw_bf16_8_neon", &[1, 2, 4, 8]),
    relu: any_rows::<S, Bf16, Bounded>("dw_bf16_8_neon", &[1, 2, 4, 8]),
    general: any_rows::<S, Bf16, General>("dw_bf16_general_1_neon", &[1]),
};

const BF16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, Bf16>(["dw_bf16_4_unfused_neon", "dw_bf16_general_1_unfused_neon"]);

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, Bf16, Bounded>("max_bf16_4_neon", &[1, 4]),
    max_general: rows::<S, Max, Bf16, General>("max_bf16_general_1_neon", &[1]),
    average: rows::<S, Average, Bf16, Bounded>("average_bf16_4_neon", &[1, 4]),
    average_general: rows::<S, Average, Bf16, General>("average_bf16_general_1_neon", &[1]),
};
