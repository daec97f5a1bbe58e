//! The levels: what differs between instruction sets, and nothing else.
//!
//! A kernel body is written once, generic over [`Isa`], with every helper `#[inline(always)]` (one
//! missing attribute and vectors travel through memory). Each file here instantiates the bodies under
//! its `#[target_feature]` and lists the instances in a [`Kernels`] table, from which everything else
//! (dispatch, tests, benches) chooses.

// Without std a level is there where the target guarantees it: targets without vector registers compile no other.
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
mod avx2;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
mod avx512;
pub(crate) mod element;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
mod neon;
mod scalar;

use crate::gemm::kernel::GemmTile;
use crate::gemm::narrow::NarrowRun;
use crate::gemm::widen::WidenRun;
use crate::memory::LINE;
use crate::panel::pack::PackRun;
use crate::window::kernel::WindowTile;
use crate::window::strip::StripTile;
use crate::{ElementType, Level};

/// As many as the widest vector has.
pub(crate) const MAX_LANES: usize = 16;

/// An instruction set as the kernel bodies see it: vectors of f32, the operations on them, tile sizes.
///
/// Each operation is one rounding and the same on all levels, NaN and −0 included. None is `unsafe`, though
/// most are instructions that the CPU must have: bodies run in the instances alone, whose callers vouch for
/// the level.
pub(crate) trait Isa: Copy {
    /// A vector of f32: plain data of exactly [`Isa::LANES`] elements.
    type V: Copy;
    /// As many 16-bit elements as a vector has lanes, plain data.
    type H: Copy;
    /// A truth for each lane.
    type Mask: Copy;
    /// A vector's first lanes, at least one: see [`Isa::load_head`].
    type Head: Copy;
    /// A lane's number for each lane.
    type Places: Copy;

    /// f32 lanes of a vector.
    const LANES: usize;
    /// Pixels of a micro-tile.
    const MR: usize;
    /// Vectors along the output channels of a micro-tile.
    const NV: usize;

    /// Vector registers.
    const REGISTERS: usize = 32;

    /// Whether an FMA takes one lane of a vector as a factor. The GEMM then loads A's values by vectors of
    /// L k, where it loads them one by one otherwise.
    const LANE_FMA: bool = false;

    /// Cache lines of the next B panel that are prefetched per block of k: with eight micro-tiles or
    /// more to a tile, all of it.
    const PREFETCH_LINES: usize = {
        let block = Self::LANES * Self::LANES * Self::NV / LINE;
        if block < 8 { 1 } else { block / 8 }
    };

    /// `x` in each lane.
    fn splat(x: f32) -> Self::V;
    /// a·b + c, rounded once.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn add(a: Self::V, b: Self::V) -> Self::V;
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    fn mul(a: Self::V, b: Self::V) -> Self::V;
    fn div(a: Self::V, b: Self::V) -> Self::V;
    /// −|x|
    fn minus_abs(x: Self::V) -> Self::V;
    /// 2ⁿ of an n in −126..=127 that was added to 1.5·2²³, whose low bits are then n.
    fn power_of_two(n: Self::V) -> Self::V;
    /// `bound > x ? bound : x`, so that NaN and −0 of `x` stay.
    fn at_least(bound: Self::V, x: Self::V) -> Self::V;
    /// `bound < x ? bound : x`, likewise.
    fn at_most(bound: Self::V, x: Self::V) -> Self::V;
    /// a < b; never for a NaN.
    fn less(a: Self::V, b: Self::V) -> Self::Mask;
    /// Whether x is no NaN.
    fn ordered(x: Self::V) -> Self::Mask;
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `mask ? a : b`.
    fn select(mask: Self::Mask, a: Self::V, b: Self::V) -> Self::V;

    /// Of the first `LANES` numbers, each below `LANES`.
    fn places(lanes: [u32; MAX_LANES]) -> Self::Places;
    /// In each lane the one of `v` that has its number.
    fn permute(v: Self::V, places: Self::Places) -> Self::V;

    /// `v` itself, through a barrier that costs no instruction: `v` is computed before it, memory that
    /// is read later is read after it. Where registers are scarce this keeps the compiler from
    /// beginning the next step before the current one has let go of its registers.
    #[inline(always)]
    fn settle(v: Self::V) -> Self::V {
        v
    }

    /// `x` itself, in a register and of unknown origin.
    #[inline(always)]
    fn opaque(x: usize) -> usize {
        x
    }

    /// Asks for a cache line to be brought into L2 for reading. Any address will do.
    fn prefetch(p: *const f32);

    /// Asks for a cache line to be brought into L1 for reading. Any address will do.
    fn prefetch_near(p: *const f32);

    /// Asks for a cache line to be brought into L1 for writing. Any address will do.
    fn prefetch_write(p: *const f32);

    /// Exact.
    fn f16_to_f32(v: Self::H) -> Self::V;

    /// To the nearest, of two the even one; whatever the sign of a NaN, it stays one.
    fn f32_to_f16(v: Self::V) -> Self::H;

    /// Exact.
    fn bf16_to_f32(v: Self::H) -> Self::V;

    /// As [`Isa::f32_to_f16`].
    fn f32_to_bf16(v: Self::V) -> Self::H;

    /// The same of numbers and NaNs of bf16, whose lower halves are zeros: what a sum of products of bf16 and weights
    /// without other NaNs can be, as a NaN that arithmetic makes is such a one, or an operand.
    #[inline(always)]
    fn sum_to_bf16(v: Self::V) -> Self::H {
        Self::f32_to_bf16(v)
    }

    /// a₀·b₀ + a₁·b₁ + c of the bf16 pairs in each lane, where the level has [`DotKernels`] and no `LANE_FMA`.
    #[inline(always)]
    fn dot(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let _ = (a, b, c);
        unreachable!("not on this level")
    }

    /// The same of the pair in one lane of `a` with those in each lane of `b`, where the level has both.
    #[inline(always)]
    fn dot_lane<const LANE: i32>(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let _ = (a, b, c);
        unreachable!("not on this level")
    }

    /// `a`'s lane × `b` + `c`, where `LANE_FMA`.
    #[inline(always)]
    fn mul_add_lane<const LANE: i32>(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let _ = (a, b, c);
        unreachable!("not on this level")
    }

    /// # Safety
    /// `p` must be valid for reading `LANES` elements; no alignment is needed.
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller's contract; V is plain data of exactly `LANES` elements.
        unsafe { p.cast::<Self::V>().read_unaligned() }
    }

    /// # Safety
    /// `p` must be valid for writing `LANES` elements; no alignment is needed.
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller's contract; V is plain data of exactly `LANES` elements.
        unsafe { p.cast::<Self::V>().write_unaligned(v) }
    }

    /// The first `n` lanes, 1 ≤ n ≤ `LANES`.
    fn head(n: usize) -> Self::Head;

    /// Lanes outside the head are arbitrary and their memory is not touched.
    ///
    /// # Safety
    /// `p` must be valid for reading the head's lanes.
    unsafe fn load_head(head: Self::Head, p: *const f32) -> Self::V;

    /// Memory outside the head is not touched.
    ///
    /// # Safety
    /// `p` must be valid for writing the head's lanes.
    unsafe fn store_head(head: Self::Head, p: *mut f32, v: Self::V);

    /// As [`Isa::load_head`], of 16-bit elements.
    ///
    /// # Safety
    /// `p` must be valid for reading the head's elements.
    unsafe fn load_head_16(head: Self::Head, p: *const u16) -> Self::H;

    /// As [`Isa::store_head`], of 16-bit elements.
    ///
    /// # Safety
    /// `p` must be valid for writing the head's elements.
    unsafe fn store_head_16(head: Self::Head, p: *mut u16, v: Self::H);
}

/// Operations of an [`Isa`], each made of one expression of intrinsics.
#[allow(unused_macros, reason = "of levels with intrinsics")]
macro_rules! operations {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($($arg: $type),*) -> $out {
            // SAFETY: kernels run only where the level is available, and with it these instructions.
            unsafe { $body }
        }
    )*};
}
#[allow(unused_imports, reason = "of levels with intrinsics")]
use operations;

/// Whether the CPU has all these features: by what the compilation target guarantees or, with `std`, by
/// asking it.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
macro_rules! has {
    () => { true };
    ($($feature:tt)+) => { $(std::is_x86_feature_detected!($feature))&&+ };
}
#[cfg(all(feature = "std", target_arch = "aarch64"))]
macro_rules! has {
    () => { true };
    ($($feature:tt)+) => { $(std::arch::is_aarch64_feature_detected!($feature))&&+ };
}
#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"))))]
macro_rules! has {
    ($($feature:tt)*) => { cfg!(all($(target_feature = $feature),*)) };
}
use has;

/// The first `n` ≤ 8 elements at `p`, in the low bits; the others are 0.
///
/// # Safety
/// `p` must be valid for reading `n` elements.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline]
unsafe fn read_head_16(p: *const u16, n: usize) -> u128 {
    let (mut bits, mut at) = (0, 0);
    // SAFETY: the elements at..at + 4, 2 or 1 are of the n.
    unsafe {
        while n - at >= 4 {
            bits |= u128::from(p.add(at).cast::<u64>().read_unaligned()) << (16 * at);
            at += 4;
        }
        if n - at >= 2 {
            bits |= u128::from(p.add(at).cast::<u32>().read_unaligned()) << (16 * at);
            at += 2;
        }
        if n > at {
            bits |= u128::from(*p.add(at)) << (16 * at);
        }
    }
    bits
}

/// Writes the low `n` ≤ 8 elements of `bits`.
///
/// # Safety
/// `p` must be valid for writing `n` elements.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline]
unsafe fn write_head_16(p: *mut u16, n: usize, bits: u128) {
    let mut at = 0;
    // SAFETY: the elements at..at + 4, 2 or 1 are of the n.
    unsafe {
        while n - at >= 4 {
            p.add(at).cast::<u64>().write_unaligned((bits >> (16 * at)) as u64);
            at += 4;
        }
        if n - at >= 2 {
            p.add(at).cast::<u32>().write_unaligned((bits >> (16 * at)) as u32);
            at += 2;
        }
        if n > at {
            *p.add(at) = (bits >> (16 * at)) as u16;
        }
    }
}

pub(crate) type GemmFn = unsafe fn(&GemmTile);
pub(crate) type WindowFn = unsafe fn(&WindowTile);
pub(crate) type StripFn = unsafe fn(&StripTile);

/// The instances of one window kernel by the number of pixels they hold.
#[derive(Debug)]
pub(crate) struct WindowKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, WindowFn)],
    /// The instance for one pixel whose kernel columns are not all inside the input.
    pub(crate) border: WindowFn,
}

/// The instances of the strip kernel.
#[derive(Debug)]
pub(crate) struct StripKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, StripFn)],
}

/// The strip kernels for one stride.
#[derive(Debug)]
pub(crate) struct Strips {
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) plain: StripKernels,
    /// ReLU of the input.
    pub(crate) relu: StripKernels,
}

/// The sliding depthwise kernels for one kernel width and stride along the width.
#[derive(Debug)]
pub(crate) struct Sliding {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) plain: WindowKernels,
    /// ReLU of the input.
    pub(crate) relu: WindowKernels,
}

/// What reads an input of one element type.
#[derive(Debug)]
pub(crate) struct InputKernels {
    /// Depthwise 3×3, multiplier 1, no dilation.
    pub(crate) strips: &'static [Strips],
    /// Whether strips of [`strip::PAIR`](crate::window::strip::PAIR) pixels take two vectors of channels at a time.
    pub(crate) pairs: bool,
    /// Depthwise, multiplier 1, no dilation along the width, for the usual kernels.
    pub(crate) sliding: &'static [Sliding],
    /// Depthwise, multiplier 1, input activation none.
    pub(crate) depthwise: WindowKernels,
    /// Depthwise, multiplier 1, ReLU of the input.
    pub(crate) depthwise_relu: WindowKernels,
    /// Depthwise, any multiplier, any activation of input and output.
    pub(crate) depthwise_any: WindowKernels,
    /// Max over the window, input activation none.
    pub(crate) max: WindowKernels,
    /// Max over the window, any activation of input and output.
    pub(crate) max_any: WindowKernels,
    /// Mean over the window, input activation none.
    pub(crate) average: WindowKernels,
    /// Mean over the window, any activation of input and output.
    pub(crate) average_any: WindowKernels,
    /// Copies channels of one pixel into an A panel.
    pub(crate) pack: unsafe fn(&PackRun),
}

/// The micro-kernels of a GEMM.
#[derive(Debug)]
pub(crate) struct GemmKernels {
    pub(crate) name: &'static str,
    /// The heights of micro-tiles, ascending, of which one is 1 and the last MR; any other is made of two.
    pub(crate) rows: &'static [usize],
    /// By \[vectors − 1\] and the index in `rows`.
    pub(crate) packed: &'static [&'static [GemmFn]],
    /// The same for an A that isn't packed; none if it always is.
    pub(crate) direct: &'static [&'static [GemmFn]],
}

/// The micro-kernels of a GEMM that widen 16-bit weights as they load them.
#[derive(Debug)]
pub(crate) struct FewKernels {
    pub(crate) name: &'static str,
    /// Of packed A and any number of columns, by the index in [`GemmKernels::rows`].
    pub(crate) packed: &'static [GemmFn],
}

/// The GEMM by dot products of bf16 pairs, on CPUs that have these besides the level. A level has none, or all
/// rows of its tile by all vectors.
#[derive(Debug)]
pub(crate) struct DotKernels {
    /// Whether the CPU has them, and they are faster than multiply-adds of f32.
    pub(crate) is_available: fn() -> bool,
    /// Like the others, but what they take for an f32 of A and of B is a pair along k.
    pub(crate) gemm: GemmKernels,
    /// Makes an A panel of pairs of one of f32 in its place.
    pub(crate) pair: unsafe fn(&mut [f32], usize),
}

/// Everything that one level runs.
#[derive(Debug)]
pub(crate) struct Kernels {
    pub(crate) level: Level,
    /// Whether the CPU has all features that the kernels were compiled for.
    pub(crate) is_available: fn() -> bool,
    /// f32 lanes of a vector; also the depth of a block of the A panel.
    pub(crate) lanes: usize,
    /// Pixels of a micro-tile.
    pub(crate) mr: usize,
    /// Output channels of a micro-tile.
    pub(crate) nr: usize,
    pub(crate) gemm: GemmKernels,
    /// For few pixels and 16-bit weights, by the type.
    pub(crate) few: [FewKernels; 2],
    pub(crate) dot: Option<DotKernels>,
    /// By the [`ElementType`] of the input.
    pub(crate) inputs: [InputKernels; 3],
    /// Makes f32 of 16-bit weights.
    pub(crate) widen: unsafe fn(&WidenRun),
    /// Its name for each 16-bit type.
    pub(crate) widen_names: [&'static str; 2],
    /// Finishes outputs of the GEMM that are stored in 16 bits.
    pub(crate) narrow: unsafe fn(&NarrowRun),
    /// Its name for each 16-bit type.
    pub(crate) narrow_names: [&'static str; 2],
    /// Applies an activation to contiguous elements in place.
    pub(crate) activate: unsafe fn(&mut [f32], crate::Activation),
    /// Runs a given number of independent FMAs on registers, for measuring the peak.
    pub(crate) fma_loop: unsafe fn(u64) -> f32,
}

impl Kernels {
    /// Those for inputs of a type.
    pub(crate) fn input(&self, element: ElementType) -> &InputKernels {
        &self.inputs[element as usize]
    }

    /// The GEMM of few pixels by weights of a type; none for f32.
    pub(crate) fn few(&self, element: ElementType) -> Option<&FewKernels> {
        (element as usize).checked_sub(1).map(|i| &self.few[i])
    }

    /// The name of `widen` for weights of a type; none for f32.
    pub(crate) fn widen_name(&self, element: ElementType) -> Option<&'static str> {
        (element as usize).checked_sub(1).map(|i| self.widen_names[i])
    }

    /// The name of `narrow` for outputs of a type; none for f32.
    pub(crate) fn narrow_name(&self, element: ElementType) -> Option<&'static str> {
        (element as usize).checked_sub(1).map(|i| self.narrow_names[i])
    }
}

/// The compiled-in level's kernels.
pub(crate) fn kernels(level: Level) -> Option<&'static Kernels> {
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

/// See [`Level::is_available`].
pub(crate) fn is_available(level: Level) -> bool {
    kernels(level).is_some_and(|kernels| (kernels.is_available)())
}

/// Instantiates all bodies for one [`Isa`] under a list of target features, which are also what the level asks of the
/// CPU.
///
/// `rows`, `vectors`: sizes of the GEMM's micro-tiles, where any two heights below MR must add up to each that is
/// missing. `pixels`: tile widths of the general window kernels, most
/// first; `strips`: those of 3×3 for stride 1 and 2, of f32 and of 16 bits. A level without `strips` has the general ones
/// alone.
macro_rules! instantiate {
    ($isa:ty, $level:literal, [$($feature:tt)*], rows: $rows:tt, vectors: [$($n:literal)*],
     gemm: $gemm_tile:literal, window: $window_tile:literal, pixels: $pixels:tt
     $(, strips: $strips:tt, $half_strips:tt)? $(, dot: $dot:expr)?) => {
        mod instances {
            use super::*;
            use crate::isa::element::Element;
            use crate::window::kernel::{self as window, WindowTile};

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn gemm<
                W: Element,
                const M: usize,
                const N: usize,
                const DIRECT: bool,
            >(
                tile: &crate::gemm::kernel::GemmTile,
            ) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe { crate::gemm::kernel::tile::<$isa, W, M, N, DIRECT>(tile) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn window<
                X: Element,
                const P: usize,
                const COMBINE: u8,
                const LOAD: u8,
                const K: usize,
                const S: usize,
            >(
                tile: &WindowTile,
            ) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe { window::tile::<$isa, X, P, COMBINE, LOAD, K, S>(tile) }
            }

            #[allow(dead_code, reason = "of levels with strips")]
            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn strip<
                X: Element,
                const P: usize,
                const S: usize,
                const LOAD: u8,
            >(
                tile: &crate::window::strip::StripTile,
            ) {
                // SAFETY: the caller vouches for the tile and for the level.
                unsafe { crate::window::strip::strip::<$isa, X, P, S, LOAD>(tile) }
            }

            pub(super) const fn pairs<X: Element>() -> bool {
                crate::window::strip::pairs::<$isa, X>()
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn pack<X: Element>(run: &crate::panel::pack::PackRun) {
                // SAFETY: the caller vouches for the run and for the level.
                unsafe { crate::panel::pack::pack::<$isa, X>(run) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn widen(run: &crate::gemm::widen::WidenRun) {
                // SAFETY: the caller vouches for the run and for the level.
                unsafe { crate::gemm::widen::widen::<$isa>(run) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn narrow(run: &crate::gemm::narrow::NarrowRun) {
                // SAFETY: the caller vouches for the run and for the level.
                unsafe { crate::gemm::narrow::narrow::<$isa>(run) }
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn activate(x: &mut [f32], activation: crate::Activation) {
                crate::activation::apply_slice::<$isa>(x, activation)
            }

            $(#[target_feature(enable = $feature)])*
            pub(super) unsafe fn fma_loop(rounds: u64) -> f32 {
                crate::peak::fma_loop::<$isa>(rounds)
            }
        }

        use crate::isa::element::{Bf16, F16, F32};
        use crate::window::kernel::{ANY, AVERAGE, BOUND, DEPTHWISE, MAX, PLAIN, RELU};

        pub(crate) static KERNELS: crate::isa::Kernels = crate::isa::Kernels {
            level: LEVEL,
            is_available: || crate::isa::has!($($feature)*),
            lanes: <$isa>::LANES,
            mr: <$isa>::MR,
            nr: <$isa>::NV * <$isa>::LANES,
            gemm: crate::isa::GemmKernels {
                name: concat!("gemm_f32_", $gemm_tile, "_", $level),
                rows: &$rows,
                packed: &[$(instantiate!(@row $n, false, $rows)),*],
                direct: &[$(instantiate!(@row $n, true, $rows)),*],
            },
            few: [
                instantiate!(@few F16, "f16", $isa, $gemm_tile, $level, $rows),
                instantiate!(@few Bf16, "bf16", $isa, $gemm_tile, $level, $rows),
            ],
            dot: instantiate!(@dot $($dot)?),
            inputs: [
                instantiate!(@input F32, "f32", PLAIN, RELU, "relu_", $level, $window_tile, $pixels,
                    [$($strips,
                      [(5, 1, "8", [8 4 2 1]), (5, 2, "8", [8 4 2 1]), (7, 1, "4", [4 2 1])])?]),
                // One kernel, which bounds its input from below by 0 or −∞, does for both, and there are
                // fewer widths of tiles. These would make the crate build for half as long again.
                instantiate!(@input F16, "f16", BOUND, BOUND, "", $level, $window_tile, $pixels,
                    [$($half_strips,
                      [(5, 1, "8", [8 4 1]), (5, 2, "8", [8 4 1]), (7, 1, "4", [4 1])])?]),
                instantiate!(@input Bf16, "bf16", BOUND, BOUND, "", $level, $window_tile, $pixels,
                    [$($half_strips,
                      [(5, 1, "8", [8 4 1]), (5, 2, "8", [8 4 1]), (7, 1, "4", [4 1])])?]),
            ],
            widen: instances::widen,
            widen_names: [concat!("widen_f16_", $level), concat!("widen_bf16_", $level)],
            narrow: instances::narrow,
            narrow_names: [concat!("narrow_f16_", $level), concat!("narrow_bf16_", $level)],
            activate: instances::activate,
            fma_loop: instances::fma_loop,
        };
    };
    (@dot) => { None };
    (@dot $dot:expr) => { Some($dot) };
    (@row $n:literal, $direct:literal, [$($m:literal),*]) => {
        &[$(instances::gemm::<F32, $m, $n, $direct>),*]
    };
    (@few $type:ident, $name:literal, $isa:ty, $tile:literal, $level:literal, [$($m:literal),*]) => {
        crate::isa::FewKernels {
            name: concat!("gemm_", $name, "_", $tile, "_", $level),
            packed: &[$(instances::gemm::<$type, $m, { <$isa>::NV }, false>),*],
        }
    };
    (@input $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal,
     $window_tile:literal, $pixels:tt, $usual:tt) => {
        crate::isa::InputKernels {
            strips: instantiate!(@strips $type, $name, $plain, $relu, $relu_name, $level, $usual),
            pairs: instances::pairs::<$type>(),
            sliding: instantiate!(@sliding $type, $name, $plain, $relu, $relu_name, $level, $usual),
            depthwise: instantiate!(
                @window concat!("dw_", $name, "_", $window_tile, "_", $level),
                $type, DEPTHWISE, $plain, 0, 0, $pixels),
            depthwise_relu: instantiate!(
                @window concat!("dw_", $name, "_", $relu_name, $window_tile, "_", $level),
                $type, DEPTHWISE, $relu, 0, 0, $pixels),
            depthwise_any: instantiate!(
                @window concat!("dw_", $name, "_any_1_", $level), $type, DEPTHWISE, ANY, 0, 0, [1]),
            max: instantiate!(
                @window concat!("max_", $name, "_4_", $level), $type, MAX, $plain, 0, 0, [4 1]),
            max_any: instantiate!(
                @window concat!("max_", $name, "_any_1_", $level), $type, MAX, ANY, 0, 0, [1]),
            average: instantiate!(
                @window concat!("average_", $name, "_4_", $level),
                $type, AVERAGE, $plain, 0, 0, [4 1]),
            average_any: instantiate!(
                @window concat!("average_", $name, "_any_1_", $level),
                $type, AVERAGE, ANY, 0, 0, [1]),
            pack: instances::pack::<$type>,
        }
    };
    (@strips $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal, []) => {
        &[]
    };
    (@strips $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal,
     [[($tile:literal, $pixels:tt), ($tile_2:literal, $pixels_2:tt)], $sliding:tt]) => {
        &[
            instantiate!(@strip $type, $name, $plain, $relu, $relu_name, $level, 1, $tile, $pixels),
            instantiate!(@strip $type, $name, $plain, $relu, $relu_name, $level, 2, $tile_2, $pixels_2),
        ]
    };
    (@sliding $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal, []) => {
        &[]
    };
    (@sliding $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal,
     [$strips:tt, [$(($k:literal, $s:literal, $tile:literal, $pixels:tt)),*]]) => {
        &[$(
            instantiate!(@slide $type, $name, $plain, $relu, $relu_name, $level, $k, $s, $tile, $pixels)
        ),*]
    };
    (@slide $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal,
     $k:literal, $s:literal, $tile:literal, $pixels:tt) => {
        crate::isa::Sliding {
            kernel: $k,
            stride: $s,
            plain: instantiate!(
                @window concat!("dw_", $name, "_k", $k, "s", $s, "_", $tile, "_", $level),
                $type, DEPTHWISE, $plain, $k, $s, $pixels),
            relu: instantiate!(
                @window concat!("dw_", $name, "_", $relu_name, "k", $k, "s", $s, "_", $tile, "_", $level),
                $type, DEPTHWISE, $relu, $k, $s, $pixels),
        }
    };
    (@strip $type:ident, $name:literal, $plain:ident, $relu:ident, $relu_name:literal, $level:literal,
     $s:literal, $tile:literal, $pixels:tt) => {
        crate::isa::Strips {
            stride: $s,
            plain: instantiate!(
                @tiles concat!("dw_", $name, "_3x3s", $s, "_", $tile, "_", $level),
                $type, $plain, $s, $pixels),
            relu: instantiate!(
                @tiles concat!("dw_", $name, "_", $relu_name, "3x3s", $s, "_", $tile, "_", $level),
                $type, $relu, $s, $pixels),
        }
    };
    (@tiles $name:expr, $type:ident, $load:ident, $s:literal, [$($p:literal)*]) => {
        crate::isa::StripKernels {
            name: $name,
            tiles: &[$(($p, instances::strip::<$type, $p, $s, { $load }>)),*],
        }
    };
    (@window $name:expr, $type:ident, $combine:ident, $load:ident, $k:literal, $s:literal,
     [$($p:literal)*]) => {
        crate::isa::WindowKernels {
            name: $name,
            // One pixel slides nowhere: it has one instance for all strides.
            tiles: &[$((
                $p,
                instances::window::<$type, $p, { $combine }, { $load }, $k, { if $p < $s { 1 } else { $s } }>,
            )),*],
            border: instances::window::<$type, 1, { $combine }, { $load }, 0, 0>,
        }
    };
}
pub(crate) use instantiate;

/// `DOT`, a level's dot products of bf16 pairs: the GEMM's body under the features that they ask for beyond the level's,
/// and what makes pairs of an A panel's k.
#[allow(unused_macros, reason = "of levels with dot products")]
macro_rules! instantiate_dot {
    ($isa:ty, $name:literal, [$($feature:tt)*], rows: $rows:tt, vectors: [$($n:literal)*], pair: $pair:ident
     $(, pays: $pays:expr)?) => {
        $(#[target_feature(enable = $feature)])*
        unsafe fn gemm<const M: usize, const N: usize>(tile: &crate::gemm::kernel::GemmTile) {
            // SAFETY: the caller vouches for the tile and for the CPU.
            unsafe {
                crate::gemm::kernel::tile::<$isa, crate::isa::element::Pair, M, N, false>(tile);
            }
        }

        pub(super) const DOT: crate::isa::DotKernels = crate::isa::DotKernels {
            is_available: || crate::isa::has!($($feature)*) $(&& $pays)?,
            gemm: crate::isa::GemmKernels {
                name: $name,
                rows: &$rows,
                packed: &[$(crate::isa::instantiate_dot!(@row $n, $rows)),*],
                direct: &[],
            },
            pair: $pair,
        };
    };
    (@row $n:literal, [$($m:literal),*]) => { &[$(gemm::<$m, $n>),*] };
}
#[allow(unused_imports, reason = "of levels with dot products")]
pub(crate) use instantiate_dot;
