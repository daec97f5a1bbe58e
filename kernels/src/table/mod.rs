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
    let mut list = List { level: Level::Scalar, kernels: Vec::new() };
    for kernels in Level::ALL.into_iter().filter_map(of) {
        list.level = kernels.level;
        list.add_level(kernels);
    }
    list.kernels
}

/// The list of kernels so far. (Loops that add to it: chains of iterators over all of this would
/// take as long to compile as a family of kernels.)
struct List {
    level: Level,
    kernels: Vec<Kernel>,
}

impl List {
    /// Adds kernels of the level, which CPUs that have it run if they fit.
    #[inline(never)]
    fn add(&mut self, names: &[&'static str], fits: bool) {
        let (level, available) = (self.level, fits && self.level.is_available());
        for &name in names {
            // One kernel can serve an input as it is and its ReLU, or several ways to multiply.
            match self.kernels.iter_mut().find(|kernel| kernel.name == name) {
                Some(kernel) => kernel.available |= available,
                None => self.kernels.push(Kernel { level, name, available }),
            }
        }
    }

    fn add_level(&mut self, k: &Kernels) {
        self.add_gemm(&k.gemm);
        self.add_channelwise(&k.f32);
        for kernels in k.f16_bf16.iter().flat_map(F16Bf16::iter) {
            self.add_channelwise(kernels);
        }
        self.add(&[k.lines.binary_name, k.lines.normalize_name], true);
        self.add(&[k.planes.f32.from_name, k.planes.f32.to_name], true);
        for planes in k.planes.f16_bf16.iter().flat_map(F16Bf16::iter) {
            self.add(&[planes.from_name, planes.to_name], true);
        }
        self.add(&[k.pixelwise.resample_name, k.pixelwise.softmax_name], true);
        for kernels in k.int8.unwrap_or_default() {
            let fits = (kernels.is_available)();
            self.add(&kernels.names(), fits);
            if let Some(unit) = &kernels.tiles {
                self.add(&[unit.gemm.name], fits && Amx::is_granted());
            }
            if let Some(matrices) = &kernels.matrices {
                self.add(&[matrices.gemm.name], fits && (matrices.is_available)());
            }
        }
    }

    fn add_gemm(&mut self, gemm: &GemmKernels) {
        for chain in core::iter::once(&gemm.exact).chain(&gemm.unfused) {
            self.add(&[chain.f32.name], true);
            for small_m in chain.small_m.iter().flat_map(F16Bf16::iter) {
                self.add(&[small_m.name], true);
            }
        }
        if let Some(F16Bf16Gemm { widen_names, narrow_names, .. }) = &gemm.f16_bf16 {
            self.add(&[widen_names.f16, widen_names.bf16], true);
            self.add(&[narrow_names.f16, narrow_names.bf16], true);
        }
        if let Some(bf16) = &gemm.bf16 {
            self.add(&[bf16.large_m.name, bf16.small_m.name], true);
        }
        // On CPUs that have more than the level.
        if let Some(dot) = gemm.dot() {
            self.add(&[dot.gemm.name], (dot.is_available)());
        }
        if let Some(pairs) = &gemm.bf16_pairs {
            self.add(&[pairs.gemm.name], (pairs.is_available)());
        }
        if let Some(tiles) = &gemm.tiles {
            self.add(&[tiles.unit.gemm.name], Amx::is_granted());
        }
    }

    /// Adds the kernels for one type of the input.
    fn add_channelwise(&mut self, kernels: &ChannelwiseKernels) {
        let ChannelwiseKernels { depthwise, unfused, pool } = kernels;
        for kernels in core::iter::once(depthwise).chain(unfused) {
            self.add_depthwise(kernels);
        }
        let PoolKernels { max, max_general, average, average_general, .. } = pool;
        self.add(&[max, max_general, average, average_general].map(|rows| rows.name), true);
    }

    fn add_depthwise(&mut self, kernels: &DepthwiseKernels) {
        for k in kernels.k3x3 {
            self.add(&[k.as_is.name, k.relu.name], true);
        }
        let DepthwiseKernels { as_is, relu, general, .. } = kernels;
        self.add(&[as_is, relu, general].map(|rows| rows.name), true);
        for dense in kernels.dense.iter().chain(&kernels.long) {
            self.add(&[dense.as_is.name, dense.relu.name], true);
        }
    }
}
