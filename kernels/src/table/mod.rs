//! The list of kernels that dispatch chooses from; tests and benches iterate the same list.

#[cfg(all(
    any(target_arch = "x86", target_arch = "x86_64"),
    target_feature = "sse2",
    any(feature = "std", target_feature = "avx2")
))]
mod avx2;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
mod avx512;
mod instances;
pub(crate) mod kernels;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed_simd;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse2"))]
mod sse;

use alloc::vec::Vec;

use crate::amx::Amx;
use crate::depthwise::kernels::DepthwiseKernels;
use crate::element::F16Bf16;
use crate::gemm::kernels::{F16Bf16Gemm, GemmKernels};
use crate::level::Level;
use crate::pool::kernels::PoolKernels;
use crate::table::kernels::{ChannelwiseKernels, Kernels};

/// The kernels of a level that this build contains.
pub(crate) fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Scalar => Some(&scalar::KERNELS),
        #[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse2"))]
        Level::Sse => Some(&sse::KERNELS),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => Some(&simd128::KERNELS),
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Level::RelaxedSimd => Some(&relaxed_simd::KERNELS),
        #[cfg(all(
            any(target_arch = "x86", target_arch = "x86_64"),
            target_feature = "sse2",
            any(feature = "std", target_feature = "avx2")
        ))]
        Level::Avx2 => Some(&avx2::KERNELS),
        #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
        Level::Avx512 => Some(&avx512::KERNELS),
        #[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
        Level::Neon => Some(&neon::KERNELS),
        #[allow(unreachable_patterns, reason = "levels of other architectures")]
        _ => None,
    }
}

/// One kernel of one level.
///
/// ```
/// # use sepconv_kernels::*;
/// let scalar = kernels().into_iter().filter(|kernel| kernel.level == Level::Scalar);
/// for Kernel { name, available, .. } in scalar {
///     assert!(available && name.ends_with("_scalar"));
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// The level it needs.
    pub level: Level,
    /// Operation, type, tile and level, e.g. `gemm_f32_6x16_avx2` (pixels × channels) or
    /// `dw_f32_relu_3x3s1_3_avx2` (ReLU on load, 3×3, stride 1, tiles of up to 3 columns); the type
    /// is that of the input, of a GEMM that of the weights.
    pub name: &'static str,
    /// Whether this CPU runs it; one by tile registers, whether this process has asked for them
    /// ([`Amx`]).
    pub available: bool,
}

/// Every kernel that this build contains.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let plan = GlobalAveragePool::new([1, 7, 7, 8], &Options::default())?;
/// let kernel = kernels().into_iter().find(|kernel| kernel.name == plan.kernel_name());
/// assert!(kernel.is_some_and(|kernel| kernel.available && kernel.level == plan.level()));
/// # Ok(())
/// # }
/// ```
pub fn kernels() -> Vec<Kernel> {
    Level::ALL
        .into_iter()
        .filter_map(of)
        .flat_map(|k| {
            let of_16_bits = k.f16_bf16.iter().flat_map(F16Bf16::iter);
            let channelwise = core::iter::once(&k.f32).chain(of_16_bits);
            let mut names: Vec<_> = gemm_names(&k.gemm).collect();
            names.extend(channelwise.flat_map(channelwise_names));
            names.extend([k.lines.binary_name, k.lines.normalize_name]);
            let of_16_bits = k.planes.f16_bf16.iter().flat_map(F16Bf16::iter);
            let planes = core::iter::once(&k.planes.f32).chain(of_16_bits);
            names.extend(planes.flat_map(|planes| [planes.from_name, planes.to_name]));
            names.extend([k.pixelwise.resample_name, k.pixelwise.softmax_name]);
            // One kernel can serve an input as it is and its ReLU.
            names.dedup();
            let dot = k.gemm.dot().into_iter().map(|dot| (dot.gemm.name, (dot.is_available)()));
            let pairs = k.gemm.bf16_pairs.iter();
            let pairs = pairs.map(|pairs| (pairs.gemm.name, (pairs.is_available)()));
            let tiles = k.gemm.tiles.iter().map(|t| (t.unit.gemm.name, Amx::is_granted()));
            let int8 = k.int8.iter().copied().flatten().flat_map(|kernels| {
                let fits = (kernels.is_available)();
                let tiles = kernels.tiles.iter();
                let tiles = tiles.map(move |unit| (unit.gemm.name, fits && Amx::is_granted()));
                let matrices = kernels.matrices.iter();
                let matrices = matrices.map(move |m| (m.gemm.name, fits && (m.is_available)()));
                let own = kernels.names().into_iter().map(move |name| (name, fits));
                own.chain(tiles).chain(matrices)
            });
            let all = names.into_iter().map(|name| (name, true));
            let all = all.chain(dot).chain(pairs).chain(tiles).chain(int8);
            all.map(|(name, fits)| Kernel {
                level: k.level,
                name,
                available: fits && k.level.is_available(),
            })
        })
        .collect()
}

/// The kernels of a GEMM that every CPU of the level runs.
fn gemm_names(gemm: &GemmKernels) -> impl Iterator<Item = &'static str> {
    let of_16_bits = gemm.f16_bf16.iter().flat_map(|kernels| {
        let F16Bf16Gemm { widen_names, narrow_names, .. } = kernels;
        widen_names.iter().copied().chain(narrow_names.iter().copied())
    });
    let bf16 = gemm.bf16.iter().flat_map(|bf16| [bf16.large_m.name, bf16.small_m.name]);
    let chains = core::iter::once(&gemm.exact).chain(&gemm.unfused).flat_map(|chain| {
        let small_m = chain.small_m.iter().flat_map(F16Bf16::iter).map(|small_m| small_m.name);
        core::iter::once(chain.f32.name).chain(small_m)
    });
    chains.chain(of_16_bits).chain(bf16)
}

/// The kernels for one type of the input.
fn channelwise_names(
    ChannelwiseKernels { depthwise, unfused, pool }: &ChannelwiseKernels,
) -> impl Iterator<Item = &'static str> {
    let depthwise = core::iter::once(depthwise).chain(unfused).flat_map(depthwise_names);
    let PoolKernels { max, max_general, average, average_general, .. } = pool;
    let pools = [max, max_general, average, average_general];
    depthwise.chain(pools.into_iter().map(|rows| rows.name))
}

/// Those of depthwise convolutions.
fn depthwise_names(kernels: &DepthwiseKernels) -> impl Iterator<Item = &'static str> {
    let k3x3 = kernels.k3x3.iter().flat_map(|k| [k.as_is.name, k.relu.name]);
    let dense = kernels.dense.iter().chain(&kernels.long).flat_map(|d| [&d.as_is, &d.relu]);
    let DepthwiseKernels { as_is, relu, general, .. } = kernels;
    k3x3.chain([as_is, relu, general].into_iter().chain(dense).map(|rows| rows.name))
}
