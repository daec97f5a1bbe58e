//! The kernels of the level scalar: the general ones alone, as it is for comparison. Where it is
//! all that the target has ([`IS_ALONE`]), GEMMs have wider micro-tiles, and depthwise convolutions
//! of f32 kernels 3×3.

use crate::activation::Activate;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::F16Bf16;
use crate::epilogue::{AsIs, Bounded, General};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{
    Bf16Gemm, ChainGemm, F16Bf16Gemm, GemmKernels, MicroKernelFn, MicroKernels, PanelKernels,
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
use crate::simd::element::{Bf16, F16, F32};
use crate::simd::int8::Int8;
use crate::simd::scalar::{IS_ALONE, Scalar, ScalarInt8};
use crate::table::instances::*;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

type S = Scalar;

/// Of the arithmetic unfused.
type U = Scalar<false>;

/// The heights of micro-tiles: few, for the sake of the time in which they compile. Any two below 4
/// add up to each that is missing.
const ROWS: [usize; 3] = [1, 2, 4];

/// The width of micro-tiles.
const NR: usize = tile_size::<S>().nr;

/// The name of a kernel whose micro-tile is 4×2 or, where the level is alone, 4×4.
const fn of_tile(name: &'static str, alone: &'static str) -> &'static str {
    if IS_ALONE { alone } else { name }
}

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Scalar,
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
        f32: planes::<S, F32>(["from_planes_f32_scalar", "to_planes_f32_scalar"]),
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_PLANES) } else { None },
    },
    pixelwise: pixelwise::<S>(["resample_scalar", "softmax_scalar"]),
    int8: if cfg!(feature = "int8") { Some(INT8) } else { None },
    lines: lines::<S>(["binary_scalar", "normalize_scalar"]),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
    unfused_loop: if cfg!(feature = "unfused") { Some(U::entry::<FmaLoop>) } else { None },
};

/// Micro-kernels of each width, 1 to NR, for the exact GEMM and the unfused one.
const EXACT: &[&[MicroKernelFn]] =
    &[&gemm::<S, F32, 1, false, _>(ROWS), &gemm::<S, F32, 2, false, _>(ROWS)];
const UNFUSED: &[&[MicroKernelFn]] =
    &[&gemm::<U, F32, 1, false, _>(ROWS), &gemm::<U, F32, 2, false, _>(ROWS)];
const EXACT_ALONE: &[&[MicroKernelFn]] = &[
    &gemm::<S, F32, 1, false, _>(ROWS),
    &gemm::<S, F32, 2, false, _>(ROWS),
    &gemm::<S, F32, 3, false, _>(ROWS),
    &gemm::<S, F32, 4, false, _>(ROWS),
];
const UNFUSED_ALONE: &[&[MicroKernelFn]] = &[
    &gemm::<U, F32, 1, false, _>(ROWS),
    &gemm::<U, F32, 2, false, _>(ROWS),
    &gemm::<U, F32, 3, false, _>(ROWS),
    &gemm::<U, F32, 4, false, _>(ROWS),
];

const EXACT_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: of_tile("gemm_f32_4x2_scalar", "gemm_f32_4x4_scalar"),
        rows: &ROWS,
        packed: if IS_ALONE { EXACT_ALONE } else { EXACT },
        direct: &[],
    },
    small_m: None,
};

const UNFUSED_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: of_tile("gemm_f32_4x2_unfused_scalar", "gemm_f32_4x4_unfused_scalar"),
        rows: &ROWS,
        packed: if IS_ALONE { UNFUSED_ALONE } else { UNFUSED },
        direct: &[],
    },
    small_m: None,
};

const BF16_GEMM: Bf16Gemm = Bf16Gemm {
    rows: &ROWS,
    large_m: PanelKernels {
        name: of_tile("gemm_blocks_f32_4x2_scalar", "gemm_blocks_f32_4x4_scalar"),
        packed: &gemm_blocks::<S, F32, NR, _>(ROWS),
    },
    small_m: PanelKernels {
        name: of_tile("gemm_blocks_bf16_4x2_scalar", "gemm_blocks_bf16_4x4_scalar"),
        packed: &gemm_blocks::<S, Bf16, NR, _>(ROWS),
    },
    round: S::entry::<Round>,
};

const INT8: &[Int8Kernels] = &[int8::<ScalarInt8, ScalarInt8>(
    [
        of_tile("gemm_int8_4x2_scalar", "gemm_int8_4x4_scalar"),
        "requantize_scalar",
        "dw_int8_scalar",
        "pool_int8_scalar",
    ],
    || <ScalarInt8 as Int8>::detect().is_some(),
    false,
    &ROWS,
    &gemm_int8::<ScalarInt8, NR, _>(ROWS),
)];

const F16_BF16_PLANES: F16Bf16<PlanesOf> = F16Bf16 {
    f16: planes::<S, F16>(["from_planes_f16_scalar", "to_planes_f16_scalar"]),
    bf16: planes::<S, Bf16>(["from_planes_bf16_scalar", "to_planes_bf16_scalar"]),
};

const F32_DEPTHWISE: DepthwiseKernels =
    if IS_ALONE { F32_DEPTHWISE_ALONE } else { F32_DEPTHWISE_FEW };

const F32_UNFUSED: Option<DepthwiseKernels> = match F32_UNFUSED_FEW {
    Some(_) if IS_ALONE => Some(F32_UNFUSED_ALONE),
    few => few,
};

const F32_DEPTHWISE_FEW: DepthwiseKernels =
    few_depthwise::<S, F32>(["dw_f32_4_scalar", "dw_f32_general_1_scalar"]);

const F32_UNFUSED_FEW: Option<DepthwiseKernels> =
    few_unfused::<U, F32>(["dw_f32_4_unfused_scalar", "dw_f32_general_1_unfused_scalar"]);

/// Columns of 3×3 tiles: 9 weights, 6 chains and a column of the input fit 32 registers.
const COLUMNS: &[usize] = &[1, 2, 6];

const F32_DEPTHWISE_ALONE: DepthwiseKernels = DepthwiseKernels {
    k3x3: &[
        k3x3::<S, F32, 1, _>(["dw_f32_3x3s1_6_scalar", "dw_f32_relu_3x3s1_6_scalar"], COLUMNS),
        k3x3::<S, F32, 2, _>(["dw_f32_3x3s2_6_scalar", "dw_f32_relu_3x3s2_6_scalar"], COLUMNS),
    ],
    ..F32_DEPTHWISE_FEW
};

const F32_UNFUSED_ALONE: DepthwiseKernels = DepthwiseKernels {
    k3x3: &[
        k3x3::<U, F32, 1, _>(
            ["dw_f32_3x3s1_6_unfused_scalar", "dw_f32_relu_3x3s1_6_unfused_scalar"],
            COLUMNS,
        ),
        k3x3::<U, F32, 2, _>(
            ["dw_f32_3x3s2_6_unfused_scalar", "dw_f32_relu_3x3s2_6_unfused_scalar"],
            COLUMNS,
        ),
    ],
    ..few_depthwise::<U, F32>(["dw_f32_4_unfused_scalar", "dw_f32_general_1_unfused_scalar"])
};

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F32, AsIs>("max_f32_1_scalar", &[1]),
    max_general: rows::<S, Max, F32, General>("max_f32_general_1_scalar", &[1]),
    average: rows::<S, Average, F32, AsIs>("average_f32_1_scalar", &[1]),
    average_general: rows::<S, Average, F32, General>("average_f32_general_1_scalar", &[1]),
};

const F16_BF16_GEMM: F16Bf16Gemm = F16Bf16Gemm {
    dot: None,
    pack: F16Bf16 { f16: S::entry::<Pack<F16>>, bf16: S::entry::<Pack<Bf16>> },
    widen: S::entry::<Widen>,
    widen_names: F16Bf16 { f16: "widen_f16_scalar", bf16: "widen_bf16_scalar" },
    narrow: S::entry::<Narrow>,
    narrow_names: F16Bf16 { f16: "narrow_f16_scalar", bf16: "narrow_bf16_scalar" },
};

const F16_DEPTHWISE: DepthwiseKernels =
    few_depthwise::<S, F16>(["dw_f16_4_scalar", "dw_f16_general_1_scalar"]);

const F16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F16>(["dw_f16_4_unfused_scalar", "dw_f16_general_1_unfused_scalar"]);

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F16, Bounded>("max_f16_1_scalar", &[1]),
    max_general: rows::<S, Max, F16, General>("max_f16_general_1_scalar", &[1]),
    average: rows::<S, Average, F16, Bounded>("average_f16_1_scalar", &[1]),
    average_general: rows::<S, Average, F16, General>("average_f16_general_1_scalar", &[1]),
};

const BF16_DEPTHWISE: DepthwiseKernels =
    few_depthwise::<S, Bf16>(["dw_bf16_4_scalar", "dw_bf16_general_1_scalar"]);

const BF16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, Bf16>(["dw_bf16_4_unfused_scalar", "dw_bf16_general_1_unfused_scalar"]);

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, Bf16, Bounded>("max_bf16_1_scalar", &[1]),
    max_general: rows::<S, Max, Bf16, General>("max_bf16_general_1_scalar", &[1]),
    average: rows::<S, Average, Bf16, Bounded>("average_bf16_1_scalar", &[1]),
    average_general: rows::<S, Average, Bf16, General>("average_bf16_general_1_scalar", &[1]),
};
