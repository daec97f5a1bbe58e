//! The levels: what differs between instruction sets, and nothing else.
//!
//! A kernel body is written once, generic over [`Isa`], with every helper `#[inline(always)]` (one
//! missing attribute and vectors travel through memory). Each file here instantiates the bodies under
//! its `#[target_feature]` and lists the instances in a [`Kernels`] table, from which everything else
//! (dispatch, tests, benches) chooses.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use pulp::{MemMask, Simd};

use crate::Level;
use crate::gemm::kernel::GemmTile;
use crate::memory::LINE;
use crate::panel::pack::PackRun;
use crate::window::kernel::WindowTile;

/// An instruction set as the kernel bodies see it: pulp's vectors, tile sizes, and the two operations
/// whose exact meaning at NaN and −0 pulp leaves to the hardware.
pub(crate) trait Isa: Copy {
    /// pulp's token.
    type S: Simd;

    /// Pixels of a micro-tile.
    const MR: usize;
    /// Vectors along the output channels of a micro-tile.
    const NV: usize;

    /// Cache lines of the next B panel that are prefetched per block of k: with eight micro-tiles or
    /// more to a tile, all of it.
    const PREFETCH_LINES: usize = {
        let block = lanes::<Self>() * lanes::<Self>() * Self::NV / LINE;
        if block < 8 { 1 } else { block / 8 }
    };

    /// # Safety
    /// The level must be available.
    unsafe fn token() -> Self::S;

    /// `v` itself, through a barrier that costs no instruction: `v` is computed before it, memory that
    /// is read later is read after it. Where registers are scarce this keeps the compiler from
    /// beginning the next step before the current one has let go of its registers.
    #[inline(always)]
    fn settle(v: V<Self>) -> V<Self> {
        v
    }

    /// Asks for a cache line to be brought into L2 for reading. Any address will do.
    fn prefetch(p: *const f32);

    /// Asks for a cache line to be brought into L1 for writing. Any address will do.
    fn prefetch_write(p: *const f32);

    /// `bound > x ? bound : x`, so that NaN and −0 of `x` stay.
    fn at_least(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self>;

    /// `bound < x ? bound : x`, likewise.
    fn at_most(s: Self::S, bound: V<Self>, x: V<Self>) -> V<Self>;
}

/// A vector of f32.
pub(crate) type V<I> = <<I as Isa>::S as Simd>::f32s;

/// f32 lanes of a vector.
pub(crate) const fn lanes<I: Isa>() -> usize {
    <I::S as Simd>::F32_LANES
}

/// # Safety
/// `p` must be valid for reading `lanes` elements; no alignment is needed.
#[inline(always)]
pub(crate) unsafe fn load<I: Isa>(p: *const f32) -> V<I> {
    // SAFETY: the caller's contract; V is plain data of exactly `lanes` elements.
    unsafe { p.cast::<V<I>>().read_unaligned() }
}

/// # Safety
/// `p` must be valid for writing `lanes` elements; no alignment is needed.
#[inline(always)]
pub(crate) unsafe fn store<I: Isa>(p: *mut f32, v: V<I>) {
    // SAFETY: the caller's contract; V is plain data of exactly `lanes` elements.
    unsafe { p.cast::<V<I>>().write_unaligned(v) }
}

/// The mask of a vector's first `n` lanes, for [`load_head`] and [`store_head`].
#[inline(always)]
pub(crate) fn head<I: Isa>(s: I::S, n: usize) -> MemMask<<I::S as Simd>::m32s> {
    // Made anew from the bare mask: pulp's own carries pointers to out-of-line load routines.
    MemMask::new(s.mask_between_m32s(0, n as u32).mask())
}

/// Lanes outside the mask are 0 and their memory is not touched.
///
/// # Safety
/// `p` must be valid for reading the masked lanes.
#[inline(always)]
pub(crate) unsafe fn load_head<I: Isa>(
    s: I::S,
    mask: MemMask<<I::S as Simd>::m32s>,
    p: *const f32,
) -> V<I> {
    // SAFETY: the caller's contract; masked lanes are neither read nor faulted on.
    unsafe { s.mask_load_ptr_f32s(mask, p) }
}

/// Memory outside the mask is not touched.
///
/// # Safety
/// `p` must be valid for writing the masked lanes.
#[inline(always)]
pub(crate) unsafe fn store_head<I: Isa>(
    s: I::S,
    mask: MemMask<<I::S as Simd>::m32s>,
    p: *mut f32,
    v: V<I>,
) {
    // SAFETY: the caller's contract; masked lanes are neither written nor faulted on.
    unsafe { s.mask_store_ptr_f32s(mask, p, v) }
}

pub(crate) type GemmFn = unsafe fn(&GemmTile);
pub(crate) type WindowFn = unsafe fn(&WindowTile);

/// The instances of one window kernel by the number of pixels they hold.
#[derive(Debug)]
pub(crate) struct WindowKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, WindowFn)],
}

/// Everything that one level runs.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) level: Level,
    /// f32 lanes of a vector; also the depth of a block of the A panel.
    pub(crate) lanes: usize,
    /// Pixels of a micro-tile.
    pub(crate) mr: usize,
    /// Output channels of a micro-tile.
    pub(crate) nr: usize,
    pub(crate) gemm_name: &'static str,
    /// Micro-kernels by \[vectors − 1\]\[pixels − 1\].
    pub(crate) gemm: &'static [&'static [GemmFn]],
    /// Depthwise, multiplier 1, input activation none.
    pub(crate) depthwise: WindowKernels,
    /// Depthwise, multiplier 1, clamped input.
    pub(crate) depthwise_clamp: WindowKernels,
    /// Depthwise, any multiplier, any input activation.
    pub(crate) depthwise_any: WindowKernels,
    /// Max over the window, any input activation.
    pub(crate) max: WindowKernels,
    /// Mean over the window, any input activation.
    pub(crate) average: WindowKernels,
    /// Copies channels of one pixel into an A panel.
    pub(crate) pack: unsafe fn(&PackRun),
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&mut [f32], crate::Activation),
    /// Runs a given number of independent FMAs on registers, for measuring the peak.
    pub(crate) fma_loop: unsafe fn(u64) -> f32,
}

/// The compiled-in level's kernels.
pub(crate) fn kernels(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Scalar => Some(&scalar::KERNELS),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some(&avx2::KERNELS),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some(&avx512::KERNELS),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => Some(&neon::KERNELS),
        #[allow(unreachable_patterns, reason = "levels of other architectures")]
        _ => None,
    }
}

/// See [`Level::is_available`].
///
/// Without `std`, pulp asks CPUID alone, and a CPU can have what the operating system did not enable:
/// then only features that the target guarantees count.
pub(crate) fn is_available(level: Level) -> bool {
    match level {
        Level::Scalar => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            (cfg!(feature = "std") || cfg!(all(target_feature = "avx2", target_feature = "fma")))
                && pulp::x86::V3::try_new().is_some()
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            (cfg!(feature = "std")
                || cfg!(all(
                    target_feature = "avx512f",
                    target_feature = "avx512bw",
                    target_feature = "avx512cd",
                    target_feature = "avx512dq",
                    target_feature = "avx512vl"
                )))
                && pulp::x86::V4::try_new().is_some()
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            (cfg!(feature = "std") || cfg!(target_feature = "neon"))
                && pulp::aarch64::Neon::try_new().is_some()
        }
        #[allow(unreachable_patterns, reason = "levels of other architectures")]
        _ => false,
    }
}

/// Instantiates all bodies for one [`Isa`] under a list of target features.
macro_rules! instantiate {
    ($isa:ty, $level:literal, [$($feature:literal)?], rows: [$($m:literal)*], vectors: [$($n:literal)*],
     gemm: $gemm_tile:literal, window: $window_tile:literal, pixels: [$($p:literal)*]) => {
        mod instances {
            use super::*;
            use crate::window::kernel::{self as window, WindowTile};

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn gemm<const M: usize, const N: usize>(
                tile: &crate::gemm::kernel::GemmTile,
            ) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe { crate::gemm::kernel::tile::<$isa, M, N>(<$isa>::token(), tile) }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn depthwise<const P: usize, const LOAD: u8>(tile: &WindowTile) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe {
                    window::tile::<$isa, P, { window::DEPTHWISE }, LOAD>(<$isa>::token(), tile)
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn max<const P: usize>(tile: &WindowTile) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe {
                    window::tile::<$isa, P, { window::MAX }, { window::ANY }>(
                        <$isa>::token(), tile)
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn average<const P: usize>(tile: &WindowTile) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe {
                    window::tile::<$isa, P, { window::AVERAGE }, { window::ANY }>(
                        <$isa>::token(), tile)
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn pack(run: &crate::panel::pack::PackRun) {
                // SAFETY: the caller vouches for the run and for the level.
                unsafe { crate::panel::pack::pack::<$isa>(<$isa>::token(), run) }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn activate(x: &mut [f32], activation: crate::Activation) {
                // SAFETY: the caller vouches for the level.
                let token = unsafe { <$isa>::token() };
                crate::activation::apply_slice::<$isa>(token, x, activation)
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn fma_loop(rounds: u64) -> f32 {
                // SAFETY: the caller vouches for the level.
                let token = unsafe { <$isa>::token() };
                crate::peak::fma_loop::<$isa>(token, rounds)
            }
        }

        instantiate!(@rows $isa, [$($m)*], [$($n)*]);

        pub(crate) static KERNELS: crate::isa::Kernels = crate::isa::Kernels {
            level: LEVEL,
            lanes: crate::isa::lanes::<$isa>(),
            mr: <$isa>::MR,
            nr: <$isa>::NV * crate::isa::lanes::<$isa>(),
            gemm_name: concat!("gemm_f32_", $gemm_tile, "_", $level),
            gemm: GEMM,
            depthwise: crate::isa::WindowKernels {
                name: concat!("dw_f32_", $window_tile, "_", $level),
                tiles: &[$(($p, instances::depthwise::<$p, { crate::window::kernel::PLAIN }>)),*],
            },
            depthwise_clamp: crate::isa::WindowKernels {
                name: concat!("dw_f32_clamp_", $window_tile, "_", $level),
                tiles: &[$(($p, instances::depthwise::<$p, { crate::window::kernel::CLAMP }>)),*],
            },
            depthwise_any: crate::isa::WindowKernels {
                name: concat!("dw_f32_any_", $window_tile, "_", $level),
                tiles: &[
                    (4, instances::depthwise::<4, { crate::window::kernel::ANY }>),
                    (1, instances::depthwise::<1, { crate::window::kernel::ANY }>),
                ],
            },
            max: crate::isa::WindowKernels {
                name: concat!("max_f32_", $window_tile, "_", $level),
                tiles: &[(4, instances::max::<4>), (1, instances::max::<1>)],
            },
            average: crate::isa::WindowKernels {
                name: concat!("average_f32_", $window_tile, "_", $level),
                tiles: &[(4, instances::average::<4>), (1, instances::average::<1>)],
            },
            pack: instances::pack,
            activate: instances::activate,
            fma_loop: instances::fma_loop,
        };
    };
    (@rows $isa:ty, $rows:tt, [$($n:literal)*]) => {
        static GEMM: &[&[crate::isa::GemmFn]] = &[$(instantiate!(@row $n, $rows)),*];
    };
    (@row $n:literal, [$($m:literal)*]) => {
        &[$(instances::gemm::<$m, $n>),*]
    };
}
pub(crate) use instantiate;
