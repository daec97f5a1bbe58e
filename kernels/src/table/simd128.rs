//! The kernels of WebAssembly's vectors: those of the arithmetic unfused, and a few of the others,
//! whose fused multiply-adds take some forty instructions each. Engines have the 16 registers of
//! x86-64, or 32.

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
use crate::simd::element::{Bf16, F16, F32};
use crate::simd::int8::Int8;
use crate::simd::wasm::{Simd128, WasmWords};
use crate::table::instances::*;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

type S = Simd128;

/// Of the arithmetic unfused.
type U = Simd128<false>;

/// The heights of micro-tiles: any two below 4 add up to each that is missing.
const ROWS: [usize; 4] = [1, 2, 3, 4];

/// Those of what most layers do without: fewer, for the sake of the time in which they compile. Any
/// two below 4 add up to each that is missing.
const FEW_ROWS: [usize; 3] = [1, 2, 4];

pub(super) static KERNELS: Kernels = Kernels {
    level: Level::Simd128,
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
        f32: planes::<S, F32>(["from_planes_f32_simd128", "to_planes_f32_simd128"]),
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_PLANES) } else { None },
    },
    pixelwise: pixelwise::<S>(["resample_simd128", "softmax_simd128"]),
    int8: if cfg!(feature = "int8") { Some(INT8) } else { None },
    lines: lines::<S>(["binary_simd128", "normalize_simd128"]),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
    unfused_loop: if cfg!(feature = "unfused") { Some(U::entry::<FmaLoop>) } else { None },
};

// Fewer heights, and A in panels alone.
const EXACT_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_4x8_simd128",
        rows: &FEW_ROWS,
        packed: &[&gemm::<S, F32, 1, false, _>(FEW_ROWS), &gemm::<S, F32, 2, false, _>(FEW_ROWS)],
        direct: &[],
    },
    small_m: None,
};

const UNFUSED_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_4x8_unfused_simd128",
        rows: &ROWS,
        packed: &[&gemm::<U, F32, 1, false, _>(ROWS), &gemm::<U, F32, 2, false, _>(ROWS)],
        direct: &[&gemm::<U, F32, 1, true, _>(ROWS), &gemm::<U, F32, 2, true, _>(ROWS)],
    },
    small_m: if cfg!(feature = "f16-bf16") { Some(UNFUSED_SMALL_M) } else { None },
};

const UNFUSED_SMALL_M: F16Bf16<PanelKernels> = F16Bf16 {
    f16: PanelKernels {
        name: "gemm_f16_4x8_unfused_simd128",
        packed: &gemm::<U, F16, 2, false, _>(ROWS),
    },
    bf16: PanelKernels {
        name: "gemm_bf16_4x8_unfused_simd128",
        packed: &gemm::<U, Bf16, 2, false, _>(ROWS),
    },
};

const BF16_GEMM: Bf16Gemm = Bf16Gemm {
    rows: &FEW_ROWS,
    large_m: PanelKernels {
        name: "gemm_blocks_f32_4x8_simd128",
        packed: &gemm_blocks::<S, F32, 2, _>(FEW_ROWS),
    },
    small_m: PanelKernels {
        name: "gemm_blocks_bf16_4x8_simd128",
        packed: &gemm_blocks::<S, Bf16, 2, _>(FEW_ROWS),
    },
    round: S::entry::<Round>,
};

const INT8: &[Int8Kernels] = &[int8::<WasmWords<false>, WasmWords<false>>(
    ["gemm_int8_4x8_simd128", "requantize_simd128", "dw_int8_simd128", "pool_int8_simd128"],
    || <WasmWords<false> as Int8>::detect().is_some(),
    false,
    &FEW_ROWS,
    &gemm_int8::<WasmWords<false>, 2, _>(FEW_ROWS),
)];

const F16_BF16_PLANES: F16Bf16<PlanesOf> = F16Bf16 {
    f16: planes::<S, F16>(["from_planes_f16_simd128", "to_planes_f16_simd128"]),
    bf16: planes::<S, Bf16>(["from_planes_bf16_simd128", "to_planes_bf16_simd128"]),
};

const F32_DEPTHWISE: DepthwiseKernels =
    few_depthwise::<S, F32>(["dw_f32_4_simd128", "dw_f32_general_1_simd128"]);

const F32_UNFUSED: Option<DepthwiseKernels> =
    if cfg!(feature = "unfused") { Some(F32_UNFUSED_DEPTHWISE) } else { None };

const F32_UNFUSED_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<U, F32>(),
    k3x3: &[
        k3x3::<U, F32, 1, _>(
            ["dw_f32_3x3s1_3_unfused_simd128", "dw_f32_relu_3x3s1_3_unfused_simd128"],
            &[1, 2, 3],
        ),
        k3x3::<U, F32, 2, _>(
            ["dw_f32_3x3s2_2_unfused_simd128", "dw_f32_relu_3x3s2_2_unfused_simd128"],
            &[1, 2],
        ),
    ],
    dense: &[
        dense::<U, F32, 5, 1, _>(
            ["dw_f32_k5s1_4_unfused_simd128", "dw_f32_relu_k5s1_4_unfused_simd128"],
            &[1, 4],
        ),
        dense::<U, F32, 5, 2, _>(
            ["dw_f32_k5s2_4_unfused_simd128", "dw_f32_relu_k5s2_4_unfused_simd128"],
            &[1, 4],
        ),
        dense::<U, F32, 7, 1, _>(
            ["dw_f32_k7s1_4_unfused_simd128", "dw_f32_relu_k7s1_4_unfused_simd128"],
            &[1, 4],
        ),
        dense::<U, F32, 7, 2, _>(
            ["dw_f32_k7s2_4_unfused_simd128", "dw_f32_relu_k7s2_4_unfused_simd128"],
            &[1, 4],
        ),
    ],
    long: None,
    as_is: any_rows::<U, F32, AsIs>("dw_f32_8_unfused_simd128", &[1, 4, 8]),
    relu: any_rows::<U, F32, Relu>("dw_f32_relu_8_unfused_simd128", &[1, 4, 8]),
    general: any_rows::<U, F32, General>("dw_f32_general_1_unfused_simd128", &[1]),
};

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F32, AsIs>("max_f32_4_simd128", &[1, 4]),
    max_general: rows::<S, Max, F32, General>("max_f32_general_1_simd128", &[1]),
    average: rows::<S, Average, F32, AsIs>("average_f32_4_simd128", &[1, 4]),
    average_general: rows::<S, Average, F32, General>("average_f32_general_1_simd128", &[1]),
};

const F16_BF16_GEMM: F16Bf16Gemm = F16Bf16Gemm {
    dot: None,
    pack: F16Bf16 { f16: S::entry::<Pack<F16>>, bf16: S::entry::<Pack<Bf16>> },
    widen: S::entry::<Widen>,
    widen_names: F16Bf16 { f16: "widen_f16_simd128", bf16: "widen_bf16_simd128" },
    narrow: S::entry::<Narrow>,
    narrow_names: F16Bf16 { f16: "narrow_f16_simd128", bf16: "narrow_bf16_simd128" },
};

// Of 16 bits there are the general kernels alone, for the sake of the time in which they compile.

const F16_DEPTHWISE: DepthwiseKernels =
    few_depthwise::<S, F16>(["dw_f16_4_simd128", "dw_f16_general_1_simd128"]);

const F16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F16>(["dw_f16_4_unfused_simd128", "dw_f16_general_1_unfused_simd128"]);

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F16, Bounded>("max_f16_4_simd128", &[1, 4]),
    max_general: rows::<S, Max, F16, General>("max_f16_general_1_simd128", &[1]),
    average: rows::<S, Average, F16, Bounded>("average_f16_4_simd128", &[1, 4]),
    average_general: rows::<S, Average, F16, General>("average_f16_general_1_simd128", &[1]),
};

const BF16_DEPTHWISE: DepthwiseKernels =
    few_depthwise::<S, Bf16>(["dw_bf16_4_simd128", "dw_bf16_general_1_simd128"]);

const BF16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, Bf16>(["dw_bf16_4_unfused_simd128", "dw_bf16_general_1_unfused_simd128"]);

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, Bf16, Bounded>("max_bf16_4_simd128", &[1, 4]),
    max_general: rows::<S, Max, Bf16, General>("max_bf16_general_1_simd128", &[1]),
    average: rows::<S, Average, Bf16, Bounded>("average_bf16_4_simd128", &[1, 4]),
    average_general: rows::<S, Average, Bf16, General>("average_bf16_general_1_simd128", &[1]),
};
