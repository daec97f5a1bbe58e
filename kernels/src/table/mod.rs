//! The list of kernels that dispatch chooses from; tests and benches iterate the same list.

#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
mod avx2;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
mod avx512;
pub(crate) mod kernels;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
mod neon;
mod scalar;
mod tiles;

use alloc::vec::Vec;

use crate::gemm::kernels::GemmKernels;
use crate::level::Level;
use crate::table::kernels::Kernels;

/// The kernels of a level that this build contains.
pub(crate) fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Scalar => Some(&scalar::KERNELS),
        #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
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
#[non_exhaustive]
pub struct Kernel {
    /// The level it needs.
    pub level: Level,
    /// Operation, type, tile and level, e.g. `gemm_f32_6x16_avx2` (pixels × channels) or
    /// `dw_f32_relu_3x3s1_3_avx2` (ReLU on load, 3×3, stride 1, tiles of up to 3 columns); the type
    /// is that of the input, of a GEMM that of the weights.
    pub name: &'static str,
    /// Whether this CPU runs it.
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
#[must_use]
pub fn kernels() -> Vec<Kernel> {
    Level::ALL
        .into_iter()
        .filter_map(of)
        .flat_map(|k| {
            let channelwise = k.depthwise.iter().zip(&k.pool).flat_map(|(d, p)| {
                let rows = [
                    &d.as_is,
                    &d.relu,
                    &d.general,
                    &p.max,
                    &p.max_general,
                    &p.average,
                    &p.average_general,
                ];
                let dense = d.dense.iter().flat_map(|d| [&d.as_is, &d.relu]);
                let rows = rows.into_iter().chain(dense).map(|rows| rows.name);
                d.k3x3.iter().flat_map(|k| [k.as_is.name, k.relu.name]).chain(rows)
            });
            let GemmKernels { f32, small_m, dot, widen_names, narrow_names, .. } = &k.gemm;
            let small_m = small_m.iter().map(|small_m| small_m.name);
            let gemm = [f32.name].into_iter().chain(small_m).chain(*widen_names);
            let gemm = gemm.chain(*narrow_names);
            let dot = dot.iter().map(|dot| (dot.gemm.name, (dot.is_available)()));
            let mut names: Vec<_> = gemm.chain(channelwise).collect();
            // One kernel can serve an input as it is and its ReLU.
            names.dedup();
            names.into_iter().map(|name| (name, true)).chain(dot).map(|(name, fits)| Kernel {
                level: k.level,
                name,
                available: fits && k.level.is_available(),
            })
        })
        .collect()
}
