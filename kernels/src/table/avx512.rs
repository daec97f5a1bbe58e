//! The kernels of AVX-512.
//!
//! 3×3 tiles of 6 columns: 18 accumulators, 9 weights and the columns in use fit 32 registers.

use crate::activation::Activate;
use crate::depthwise::k3x3::pairs;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::F16Bf16;
use crate::epilogue::{AsIs, Bounded, General};
use crate::fma_loop::FmaLoop;
use crate::gemm::kernels::{
    Bf16Gemm, ChainGemm, DotKernels, F16Bf16Gemm, GemmKernels, MicroKernelFn, MicroKernels,
    PanelKernels, TileUnit, TilesGemm,
};
use crate::gemm::narrow::Narrow;
use crate::gemm::pack::Pack;
use crate::gemm::pack_tiles::PackTiles;
use crate::gemm::pair::Pair;
use crate::gemm::round::Round;
use crate::gemm::tile::tile_size;
use crate::gemm::tile_micro_kernel::TileMicroKernel;
use crate::gemm::tile_rows::TileRows;
use crate::gemm::widen::Widen;
use crate::int8::kernels::Int8Kernels;
use crate::level::Level;
use crate::planes::{PlanesKernels, PlanesOf};
use crate::pool::kernels::PoolKernels;
use crate::pool::row::{Average, Max};
use crate::simd::amx;
use crate::simd::avx512::{Avx512, Avx512Bf16, Avx512Vnni, Avx512Words};
use crate::simd::element::{Bf16, F16, F32};
use crate::simd::int8::Int8;
use crate::simd::{Bf16Dot, Simd};
use crate::table::instances::*;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

type S = Avx512;

/// Of the arithmetic unfused.
type U = Avx512<false>;

/// The heights of micro-tiles: any two below 12 add up to each that is missing. (Without 3, three
/// pixels take 1.3 to 1.7 times as long; without 8, eight take 1.1 to 1.3 times, twenty 1.1.)
const ROWS: [usize; 8] = [1, 2, 3, 4, 6, 8, 9, 12];

/// Those of the arithmetics bf16 and unfused: fewer, so that they compile faster.
/// (A square of pixels leaves 0, 1, 4 or 9.)
const FEW_ROWS: [usize; 6] = [1, 2, 4, 6, 9, 12];

/// The columns of 3×3 tiles; of 16 bits fewer, for the sake of the time in which they compile.
const COLUMNS: &[usize] = &[1, 2, 3, 4, 5, 6];
const COLUMNS_16: &[usize] = &[1, 3, 4, 6];

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
        exact: EXACT_GEMM,
        unfused: if cfg!(feature = "unfused") { Some(UNFUSED_GEMM) } else { None },
        pack: S::entry::<Pack<F32>>,
        activate: S::entry::<Activate>,
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_GEMM) } else { None },
        bf16: if cfg!(feature = "bf16") { Some(BF16_GEMM) } else { None },
        bf16_pairs: None,
        tiles: if cfg!(feature = "bf16") { Some(TILES_GEMM) } else { None },
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
        f32: planes::<S, F32>(["from_planes_f32_avx512", "to_planes_f32_avx512"]),
        f16_bf16: if cfg!(feature = "f16-bf16") { Some(F16_BF16_PLANES) } else { None },
    },
    pixelwise: pixelwise::<S>(["resample_avx512", "softmax_avx512"]),
    int8: if cfg!(feature = "int8") { Some(INT8) } else { None },
    lines: lines::<S>(["binary_avx512", "normalize_avx512"]),
    activate: S::entry::<Activate>,
    fma_loop: S::entry::<FmaLoop>,
    unfused_loop: if cfg!(feature = "unfused") { Some(U::entry::<FmaLoop>) } else { None },
};

const EXACT_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_12x32_avx512",
        rows: &ROWS,
        packed: &[&gemm::<S, F32, 1, false, _>(ROWS), &gemm::<S, F32, 2, false, _>(ROWS)],
        direct: &[&gemm::<S, F32, 1, true, _>(ROWS), &gemm::<S, F32, 2, true, _>(ROWS)],
    },
    small_m: if cfg!(feature = "f16-bf16") { Some(EXACT_SMALL_M) } else { None },
};

const EXACT_SMALL_M: F16Bf16<PanelKernels> = F16Bf16 {
    f16: PanelKernels { name: "gemm_f16_12x32_avx512", packed: &gemm::<S, F16, 2, false, _>(ROWS) },
    bf16: PanelKernels {
        name: "gemm_bf16_12x32_avx512",
        packed: &gemm::<S, Bf16, 2, false, _>(ROWS),
    },
};

// For comparison: with fewer heights, and A in panels alone.
const UNFUSED_GEMM: ChainGemm = ChainGemm {
    f32: MicroKernels {
        name: "gemm_f32_12x32_unfused_avx512",
        rows: &FEW_ROWS,
        packed: &[&gemm::<U, F32, 1, false, _>(FEW_ROWS), &gemm::<U, F32, 2, false, _>(FEW_ROWS)],
        direct: &[],
    },
    small_m: None,
};

const BF16_GEMM: Bf16Gemm = Bf16Gemm {
    rows: &FEW_ROWS,
    large_m: PanelKernels {
        name: "gemm_blocks_f32_12x32_avx512",
        packed: &gemm_blocks::<S, F32, 2, _>(FEW_ROWS),
    },
    small_m: PanelKernels {
        name: "gemm_blocks_bf16_12x32_avx512",
        packed: &gemm_blocks::<S, Bf16, 2, _>(FEW_ROWS),
    },
    round: S::entry::<Round>,
};

/// What multiplies by tile registers. The CPUs that have these have this level, and VNNI.
const fn tile_unit(name: &'static str, packed: &'static [MicroKernelFn]) -> TileUnit {
    let gemm = PanelKernels { name, packed };
    TileUnit { gemm, configure: amx::configure, release: amx::release }
}

const TILES_GEMM: TilesGemm = TilesGemm {
    unit: tile_unit("gemm_amx_bf16_32x32_avx512", &[S::entry::<TileMicroKernel<false>>]),
    pack_f32: S::entry::<PackTiles<F32>>,
    pack_16: F16Bf16 { f16: S::entry::<PackTiles<F16>>, bf16: S::entry::<PackTiles<Bf16>> },
    rows: S::entry::<TileRows>,
};

/// The heights of micro-tiles of 8-bit integers: any two add up to each that is missing, and 6 and
/// 7 to 13, so that the last tiles are of like height (49 pixels: 12, 12, 12, 7, 6).
const INT8_ROWS: [usize; 7] = [1, 2, 4, 5, 6, 7, 12];

const INT8: &[Int8Kernels] = &[
    Int8Kernels {
        tiles: Some(tile_unit("gemm_amx_int8_32x32_avx512", &[S::entry::<TileMicroKernel<true>>])),
        ..int8::<Avx512Vnni, Avx512Words>(
            [
                "gemm_int8_12x32_vnni_avx512",
                "requantize_avx512",
                "dw_int8_vnni_avx512",
                "pool_int8_avx512",
            ],
            || <Avx512Vnni as Int8>::detect().is_some(),
            true,
            &INT8_ROWS,
            &gemm_int8::<Avx512Vnni, 2, _>(INT8_ROWS),
        )
    },
    int8::<Avx512Words, Avx512Words>(
        ["gemm_int8_12x32_avx512", "requantize_avx512", "dw_int8_avx512", "pool_int8_avx512"],
        || <Avx512Words as Int8>::detect().is_some(),
        false,
        &INT8_ROWS,
        &gemm_int8::<Avx512Words, 2, _>(INT8_ROWS),
    ),
];

const F16_BF16_PLANES: F16Bf16<PlanesOf> = F16Bf16 {
    f16: planes::<S, F16>(["from_planes_f16_avx512", "to_planes_f16_avx512"]),
    bf16: planes::<S, Bf16>(["from_planes_bf16_avx512", "to_planes_bf16_avx512"]),
};

// Where a layer waits for memory, not for arithmetic, one kernel serves the input as it is and its
// ReLU: it bounds the input from below by −∞ or 0. With a bound a layer takes 0.97 to 1.02 of the
// time without (3×3, dilated or not; Emerald Rapids), 0.91 to 1.01 (others with a stride), but 1.00
// to 1.04 (5×5, 7×7 and larger).

const F32_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F32>(),
    k3x3: &[
        k3x3::<S, F32, 1, _>(["dw_f32_3x3s1_6_avx512"], COLUMNS),
        k3x3::<S, F32, 2, _>(["dw_f32_3x3s2_6_avx512"], COLUMNS),
    ],
    dense: &[
        dense::<S, F32, 3, 1, _>(["dw_f32_k3s1_7_avx512"], &[1, 2, 4, 7]),
        dense::<S, F32, 5, 1, _>(
            ["dw_f32_k5s1_7_avx512", "dw_f32_relu_k5s1_7_avx512"],
            &[1, 2, 4, 7],
        ),
        dense::<S, F32, 5, 2, _>(["dw_f32_k5s2_7_avx512"], &[1, 2, 4, 7]),
        dense::<S, F32, 7, 1, _>(
            ["dw_f32_k7s1_7_avx512", "dw_f32_relu_k7s1_7_avx512"],
            &[1, 2, 4, 7],
        ),
        dense::<S, F32, 7, 2, _>(["dw_f32_k7s2_7_avx512"], &[1, 2, 4, 7]),
    ],
    long: Some(long::<S, F32, _>(
        ["dw_f32_long_7_avx512", "dw_f32_relu_long_7_avx512"],
        4,
        &[1, 2, 4, 7],
    )),
    as_is: any_rows::<S, F32, Bounded>("dw_f32_8_avx512", &[1, 2, 4, 8]),
    relu: any_rows::<S, F32, Bounded>("dw_f32_8_avx512", &[1, 2, 4, 8]),
    general: any_rows::<S, F32, General>("dw_f32_general_1_avx512", &[1]),
};

const F32_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F32>(["dw_f32_4_unfused_avx512", "dw_f32_general_1_unfused_avx512"]);

const F32_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F32, AsIs>("max_f32_4_avx512", &[1, 4]),
    max_general: rows::<S, Max, F32, General>("max_f32_general_1_avx512", &[1]),
    average: rows::<S, Average, F32, AsIs>("average_f32_4_avx512", &[1, 4]),
    average_general: rows::<S, Average, F32, General>("average_f32_general_1_avx512", &[1]),
};

const F16_BF16_GEMM: F16Bf16Gemm = F16Bf16Gemm {
    dot: Some(DotKernels {
        is_available: || Avx512Bf16::detect().is_some() && is_amd(),
        gemm: MicroKernels {
            name: "gemm_dot_bf16_12x32_avx512",
            rows: &ROWS,
            packed: &[&gemm_dot::<Avx512Bf16, 1, _>(ROWS), &gemm_dot::<Avx512Bf16, 2, _>(ROWS)],
            direct: &[],
        },
        pair: Avx512Bf16::entry::<Pair<false>>,
    }),
    pack: F16Bf16 { f16: S::entry::<Pack<F16>>, bf16: S::entry::<Pack<Bf16>> },
    widen: S::entry::<Widen>,
    widen_names: F16Bf16 { f16: "widen_f16_avx512", bf16: "widen_bf16_avx512" },
    narrow: S::entry::<Narrow>,
    narrow_names: F16Bf16 { f16: "narrow_f16_avx512", bf16: "narrow_bf16_avx512" },
};

// One kernel, which bounds its input from below by 0 or −∞, does for the input as it is and for its
// ReLU, and there are fewer widths of tiles. These would make the crate build for half as long
// again.

const F16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, F16>(),
    k3x3: &[
        k3x3::<S, F16, 1, _>(["dw_f16_3x3s1_6_avx512"], COLUMNS_16),
        k3x3::<S, F16, 2, _>(["dw_f16_3x3s2_6_avx512"], COLUMNS_16),
    ],
    dense: &[
        dense::<S, F16, 3, 1, _>(["dw_f16_k3s1_7_avx512"], &[1, 4, 7]),
        dense::<S, F16, 5, 1, _>(["dw_f16_k5s1_7_avx512"], &[1, 4, 7]),
        dense::<S, F16, 5, 2, _>(["dw_f16_k5s2_7_avx512"], &[1, 4, 7]),
        dense::<S, F16, 7, 1, _>(["dw_f16_k7s1_7_avx512"], &[1, 4, 7]),
        dense::<S, F16, 7, 2, _>(["dw_f16_k7s2_7_avx512"], &[1, 4, 7]),
    ],
    long: Some(long::<S, F16, _>(["dw_f16_long_7_avx512"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, F16, Bounded>("dw_f16_8_avx512", &[1, 2, 4, 8]),
    relu: any_rows::<S, F16, Bounded>("dw_f16_8_avx512", &[1, 2, 4, 8]),
    general: any_rows::<S, F16, General>("dw_f16_general_1_avx512", &[1]),
};

const F16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, F16>(["dw_f16_4_unfused_avx512", "dw_f16_general_1_unfused_avx512"]);

const F16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, F16, Bounded>("max_f16_4_avx512", &[1, 4]),
    max_general: rows::<S, Max, F16, General>("max_f16_general_1_avx512", &[1]),
    average: rows::<S, Average, F16, Bounded>("average_f16_4_avx512", &[1, 4]),
    average_general: rows::<S, Average, F16, General>("average_f16_general_1_avx512", &[1]),
};

const BF16_DEPTHWISE: DepthwiseKernels = DepthwiseKernels {
    lanes: S::LANES,
    pairs: pairs::<S, Bf16>(),
    k3x3: &[
        k3x3::<S, Bf16, 1, _>(["dw_bf16_3x3s1_6_avx512"], COLUMNS_16),
        k3x3::<S, Bf16, 2, _>(["dw_bf16_3x3s2_6_avx512"], COLUMNS_16),
    ],
    dense: &[
        dense::<S, Bf16, 3, 1, _>(["dw_bf16_k3s1_7_avx512"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 1, _>(["dw_bf16_k5s1_7_avx512"], &[1, 4, 7]),
        dense::<S, Bf16, 5, 2, _>(["dw_bf16_k5s2_7_avx512"], &[1, 4, 7]),
        dense::<S, Bf16, 7, 1, _>(["dw_bf16_k7s1_7_avx512"], &[1, 4, 7]),
        dense::<S, Bf16, 7, 2, _>(["dw_bf16_k7s2_7_avx512"], &[1, 4, 7]),
    ],
    long: Some(long::<S, Bf16, _>(["dw_bf16_long_7_avx512"], 4, &[1, 4, 7])),
    as_is: any_rows::<S, Bf16, Bounded>("dw_bf16_8_avx512", &[1, 2, 4, 8]),
    relu: any_rows::<S, Bf16, Bounded>("dw_bf16_8_avx512", &[1, 2, 4, 8]),
    general: any_rows::<S, Bf16, General>("dw_bf16_general_1_avx512", &[1]),
};

const BF16_UNFUSED: Option<DepthwiseKernels> =
    few_unfused::<U, Bf16>(["dw_bf16_4_unfused_avx512", "dw_bf16_general_1_unfused_avx512"]);

const BF16_POOL: PoolKernels = PoolKernels {
    lanes: S::LANES,
    max: rows::<S, Max, Bf16, Bounded>("max_bf16_4_avx512", &[1, 4]),
    max_general: rows::<S, Max, Bf16, General>("max_bf16_general_1_avx512", &[1]),
    average: rows::<S, Average, Bf16, Bounded>("average_bf16_4_avx512", &[1, 4]),
    average_general: rows::<S, Average, Bf16, General>("average_bf16_general_1_avx512", &[1]),
};
