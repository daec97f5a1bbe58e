//! The list of kernels that dispatch chooses from; tests and benches iterate the same list.

use alloc::vec::Vec;

use crate::Level;
use crate::isa;

/// One kernel of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// The level it needs.
    pub level: Level,
    /// Operation, type, tile and level, e.g. `gemm_f32_6x16_avx2` (pixels × channels).
    pub name: &'static str,
    /// Whether this CPU runs it.
    pub available: bool,
}

/// Every kernel that this build contains.
pub fn kernels() -> Vec<Kernel> {
    Level::ALL
        .into_iter()
        .filter_map(isa::kernels)
        .flat_map(|k| {
            [
                k.gemm_name,
                k.depthwise.name,
                k.depthwise_clamp.name,
                k.depthwise_any.name,
                k.max.name,
                k.average.name,
            ]
            .map(|name| Kernel {
                level: k.level,
                name,
                available: k.level.is_available(),
            })
        })
        .collect()
}
