//! The vocabulary: what the kernels say, and what each level makes of it. Knows no kernel.
//!
//! A level is a zero-sized token, whose existence proves that the CPU has the level's instructions:
//! each operation takes it as the receiver, so that none can run where it would fault. The tokens
//! and the safe wrappers of instructions are pulp's; what pulp lacks are operations of ours on the
//! same tokens: bf16, prefetches, parts of vectors, a clamp that keeps NaN and −0 in one
//! instruction.
//!
//! A kernel is a type with one generic body ([`Kernel`]). [`Simd::entry`] is the one function of a
//! level that carries its `#[target_feature]`; the body and all that it calls is inlined there, for
//! which each helper is `#[inline(always)]` (one missing attribute and vectors go through memory).

#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
pub(crate) mod amx;
#[cfg(all(
    any(target_arch = "x86", target_arch = "x86_64"),
    target_feature = "sse2",
    any(feature = "std", target_feature = "avx2")
))]
pub(crate) mod avx2;
#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx512f")))]
pub(crate) mod avx512;
pub(crate) mod element;
pub(crate) mod int8;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
pub(crate) mod neon;
pub(crate) mod scalar;
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse2"))]
pub(crate) mod sse;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod wasm;

use crate::level::Level;

/// As many as the widest vector has.
pub(crate) const MAX_LANES: usize = 16;

/// The numbers of the lanes.
const LANE_NUMBERS: [f32; MAX_LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// A kernel: its arguments and its code, which is written once for all levels.
pub(crate) trait Kernel {
    type Args;
    type Output;

    /// # Safety
    /// `args` must satisfy what the kernel asks of them.
    unsafe fn run<S: Simd>(simd: S, args: &Self::Args) -> Self::Output;
}

/// A level: vectors of f32 and the operations on them.
///
/// Each operation but the unfused step of a chain is one rounding, and all are the same on all
/// levels, NaN and −0 included.
pub(crate) trait Simd: Copy {
    /// A vector of f32: plain data of exactly [`Simd::LANES`] elements.
    type Vector: Copy;
    /// As many 16-bit elements, plain data.
    type Vector16: Copy;
    /// A truth for each lane.
    type Mask: Copy;
    /// The first lanes of a vector, at least one: which of them are in memory.
    type MemMask: Copy;
    /// A lane's number for each lane.
    type Indices: Copy;
    /// The fused token of the level, for code whose bits don't depend on [`Simd::FUSED`].
    type Fused: Simd;

    const LEVEL: Level;

    /// f32 lanes of a vector.
    const LANES: usize;

    /// Vector registers.
    const REGISTERS: usize = 32;

    /// Whether the step of a chain rounds once, and not the product as well: of each level there
    /// are two tokens.
    const FUSED: bool;

    /// Whether a GEMM takes A by the lanes of its vectors, not by broadcasts from memory: where a
    /// multiply-add takes a lane as a factor in one instruction, or a broadcast takes two.
    const BY_LANES: bool = false;

    /// Steps of k per turn of a GEMM's inner loop, where it takes broadcasts: of four its own three
    /// instructions are few among 20 per k.
    const UNROLL: usize = 4;

    /// The token, if the CPU has the level: by what the compilation target guarantees or, with the
    /// feature `std`, by asking it.
    fn detect() -> Option<Self>;

    /// Runs a kernel, compiled for the level.
    ///
    /// # Safety
    /// - The CPU has the level.
    /// - `args` satisfy what the kernel asks of them.
    unsafe fn entry<K: Kernel>(args: &K::Args) -> K::Output;

    /// `x` in each lane.
    fn splat(self, x: f32) -> Self::Vector;
    /// a·b + c, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// −|x|
    fn neg_abs(self, x: Self::Vector) -> Self::Vector;
    /// 2ⁿ of an n in −126..=127 that was added to 1.5·2²³, whose low bits are then n.
    fn power_of_two(self, n: Self::Vector) -> Self::Vector;
    /// `bound > x ? bound : x`, so that NaN and −0 of `x` stay.
    fn clamp_min(self, bound: Self::Vector, x: Self::Vector) -> Self::Vector;
    /// `bound < x ? bound : x`, likewise.
    fn clamp_max(self, bound: Self::Vector, x: Self::Vector) -> Self::Vector;
    /// a < b; never for a NaN.
    fn less_than(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Whether x is no NaN.
    fn is_ordered(self, x: Self::Vector) -> Self::Mask;
    fn and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `mask ? a : b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Whether a lane is one of the first `n`.
    #[inline(always)]
    fn first_lanes(self, n: usize) -> Self::Mask {
        // SAFETY: there are as many numbers as lanes, or more.
        let numbers = unsafe { self.load(LANE_NUMBERS.as_ptr()) };
        self.less_than(numbers, self.splat(n as f32))
    }

    /// Of the first `LANES` numbers, each below `LANES`.
    fn indices(self, lanes: [u32; MAX_LANES]) -> Self::Indices;
    /// In each lane the one of `v` that has its number.
    fn permute(self, v: Self::Vector, indices: Self::Indices) -> Self::Vector;

    /// Transposes the first `LANES` vectors as a square; the others are left as they are.
    fn transpose(self, square: &mut [Self::Vector; MAX_LANES]);

    /// a·b + c, a step of a chain: rounded once if [`Simd::FUSED`], else the product is rounded,
    /// too.
    #[inline(always)]
    fn accumulate(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        if Self::FUSED { self.mul_add(a, b, c) } else { self.add(self.mul(a, b), c) }
    }

    /// [`Simd::mul_add`] in little code, for functions of many steps: by a call where it takes many
    /// instructions.
    #[inline(always)]
    fn short_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.mul_add(a, b, c)
    }

    /// One lane of `v` in each.
    #[inline(always)]
    fn splat_lane<const LANE: i32>(self, v: Self::Vector) -> Self::Vector {
        self.permute(v, self.indices([LANE as u32; MAX_LANES]))
    }

    /// [`Simd::accumulate`] of one lane of `a`.
    #[inline(always)]
    fn accumulate_lane<const LANE: i32>(
        self,
        a: Self::Vector,
        b: Self::Vector,
        c: Self::Vector,
    ) -> Self::Vector {
        self.accumulate(self.splat_lane::<LANE>(a), b, c)
    }

    /// `v` itself, through a barrier that costs no instruction: `v` is computed before it, memory
    /// that is read later is read after it. Where registers are scarce this keeps the compiler from
    /// beginning the next step before the current one has let go of its registers.
    #[inline(always)]
    fn barrier(self, v: Self::Vector) -> Self::Vector {
        v
    }

    /// `x` itself, of unknown origin: [`core::hint::black_box`], without memory if possible.
    #[inline(always)]
    fn black_box(self, x: usize) -> usize {
        x
    }

    /// Brings a cache line into L2 for reading. A hint: any address will do.
    fn prefetch_l2<T>(self, p: *const T);

    /// Brings a cache line into L1 for reading. A hint: any address will do.
    fn prefetch_l1<T>(self, p: *const T);

    /// Brings a cache line into L1 for writing. A hint: any address will do.
    fn prefetch_write<T>(self, p: *const T);

    /// Exact.
    fn f16_to_f32(self, v: Self::Vector16) -> Self::Vector;

    /// Rounds to nearest, ties to even. A NaN stays a NaN, of either sign.
    fn f32_to_f16(self, v: Self::Vector) -> Self::Vector16;

    /// Exact.
    fn bf16_to_f32(self, v: Self::Vector16) -> Self::Vector;

    /// As [`Simd::f32_to_f16`].
    fn f32_to_bf16(self, v: Self::Vector) -> Self::Vector16;

    /// The same for vectors whose NaNs all are NaNs of bf16, with zeros in their lower halves. Such
    /// are sums of products of bf16 and of weights with no NaN but [`f32::NAN`]: arithmetic gives
    /// that NaN, or an operand's.
    #[inline(always)]
    fn sum_to_bf16(self, v: Self::Vector) -> Self::Vector16 {
        self.f32_to_bf16(v)
    }

    /// # Safety
    /// `p` must be valid for reading `LANES` elements, and aligned for one.
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::Vector {
        // SAFETY: `LANES` elements are valid for reading, and a vector is plain data of exactly
        // these.
        unsafe { read_vector(p) }
    }

    /// # Safety
    /// `p` must be valid for writing `LANES` elements, and aligned for one.
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::Vector) {
        // SAFETY: `LANES` elements are valid for writing, and a vector is plain data of exactly
        // these.
        unsafe { write_vector(p, v) }
    }

    /// The first `n` lanes, 1 ≤ n ≤ `LANES`.
    fn mem_mask(self, n: usize) -> Self::MemMask;

    /// Lanes outside the mask are arbitrary and their memory is not touched.
    ///
    /// # Safety
    /// `p` must be valid for reading the mask's lanes, and aligned for one.
    unsafe fn mask_load(self, mask: Self::MemMask, p: *const f32) -> Self::Vector;

    /// Memory outside the mask is not touched.
    ///
    /// # Safety
    /// `p` must be valid for writing the mask's lanes, and aligned for one.
    unsafe fn mask_store(self, mask: Self::MemMask, p: *mut f32, v: Self::Vector);

    /// As [`Simd::mask_load`], of 16-bit elements.
    ///
    /// # Safety
    /// `p` must be valid for reading the mask's elements, and aligned for one.
    unsafe fn mask_load_16(self, mask: Self::MemMask, p: *const u16) -> Self::Vector16;

    /// As [`Simd::mask_store`], of 16-bit elements.
    ///
    /// # Safety
    /// `p` must be valid for writing the mask's elements, and aligned for one.
    unsafe fn mask_store_16(self, mask: Self::MemMask, p: *mut u16, v: Self::Vector16);
}

/// A vector of elements E. (One of a single element is read as aligned as it is: CPUs that need
/// alignment, as RISC-V may, else read each byte.)
///
/// # Safety
/// `p` must be valid for reading the elements that are a vector V, which is plain data, and aligned
/// for one.
#[inline(always)]
pub(crate) unsafe fn read_vector<E, V>(p: *const E) -> V {
    let p = p.cast::<V>();
    // SAFETY: the elements are valid for reading, and aligned for one.
    unsafe {
        if const { align_of::<V>() <= align_of::<E>() } { p.read() } else { p.read_unaligned() }
    }
}

/// Writes it.
///
/// # Safety
/// `p` must be valid for writing the elements that are a vector V, which is plain data, and aligned
/// for one.
#[inline(always)]
pub(crate) unsafe fn write_vector<E, V>(p: *mut E, v: V) {
    let p = p.cast::<V>();
    // SAFETY: the elements are valid for writing, and aligned for one.
    unsafe {
        if const { align_of::<V>() <= align_of::<E>() } { p.write(v) } else { p.write_unaligned(v) }
    }
}

/// A level whose CPU has dot products of bf16 pairs besides.
#[allow(dead_code, reason = "of levels with dot products")]
pub(crate) trait Bf16Dot: Copy {
    type Simd: Simd;

    /// As [`Simd::detect`].
    fn detect() -> Option<Self>;

    /// The level by itself.
    fn simd(self) -> Self::Simd;

    /// a₀·b₀ + a₁·b₁ + c of the pairs in each lane.
    fn dot(self, a: Vector<Self>, b: Vector<Self>, c: Vector<Self>) -> Vector<Self>;

    /// The same of the pair in one lane of `a` with those in each lane of `b`.
    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        self,
        a: Vector<Self>,
        b: Vector<Self>,
        c: Vector<Self>,
    ) -> Vector<Self> {
        self.dot(self.simd().splat_lane::<LANE>(a), b, c)
    }

    /// The pairs of 2·`LANES` elements, which are rounded as the CPU rounds.
    fn pairs(self, first: Vector<Self>, second: Vector<Self>) -> Vector<Self>;

    /// Runs a kernel, compiled for the level and its dot products.
    ///
    /// # Safety
    /// - The CPU has the level and its dot products.
    /// - `args` satisfy what the kernel asks of them.
    unsafe fn entry<K: Bf16Kernel>(args: &K::Args) -> K::Output;
}

/// A level whose CPU also multiplies bf16 and adds the product to f32 with one rounding: it gives
/// the bits of [`Simd::mul_add`] of the same numbers, subnormal ones and NaN included.
#[allow(dead_code, reason = "of levels with such multiply-adds")]
pub(crate) trait Bf16Fma: Copy {
    type Simd: Simd;

    /// As [`Simd::detect`].
    fn detect() -> Option<Self>;

    /// The level by itself.
    fn simd(self) -> Self::Simd;

    /// Element ELEMENT of the 2·`LANES` of `a` × each even element of `b` + `c`; × each odd one if
    /// ELEMENT is odd.
    fn mul_add_element<const ELEMENT: i32>(
        self,
        a: <Self::Simd as Simd>::Vector,
        b: <Self::Simd as Simd>::Vector,
        c: <Self::Simd as Simd>::Vector,
    ) -> <Self::Simd as Simd>::Vector;

    /// Runs a kernel, compiled for the level and these multiply-adds.
    ///
    /// # Safety
    /// - The CPU has the level and these multiply-adds.
    /// - `args` satisfy what the kernel asks of them.
    unsafe fn entry<K: Bf16FmaKernel>(args: &K::Args) -> K::Output;
}

/// A [`Kernel`] that takes multiply-adds of bf16.
#[allow(dead_code, reason = "of levels with such multiply-adds")]
pub(crate) trait Bf16FmaKernel {
    type Args;
    type Output;

    /// # Safety
    /// `args` must satisfy what the kernel asks of them.
    unsafe fn run<T: Bf16Fma>(token: T, args: &Self::Args) -> Self::Output;
}

/// A vector of the level.
pub(crate) type Vector<T> = <<T as Bf16Dot>::Simd as Simd>::Vector;

/// A [`Kernel`] that takes dot products.
#[allow(dead_code, reason = "of levels with dot products")]
pub(crate) trait Bf16Kernel {
    type Args;
    type Output;

    /// # Safety
    /// `args` must satisfy what the kernel asks of them.
    unsafe fn run<T: Bf16Dot>(token: T, args: &Self::Args) -> Self::Output;
}

/// `detect` and `entry` of a token by one list of target features: for what the kernels are
/// compiled is what the CPU is asked for.
#[allow(unused_macros, reason = "of levels with intrinsics")]
macro_rules! features {
    ($kernel:ident: $($feature:tt)*) => {
        fn detect() -> Option<Self> {
            // SAFETY: the CPU has been asked.
            $crate::simd::has!($($feature)*).then(|| unsafe { Self::new_unchecked() })
        }

        $(#[target_feature(enable = $feature)])*
        unsafe fn entry<K: $kernel>(args: &K::Args) -> K::Output {
            // SAFETY: the caller vouches for the CPU and keeps the kernel's contract.
            unsafe { K::run(Self::new_unchecked(), args) }
        }
    };
}
#[allow(unused_imports, reason = "of levels with intrinsics")]
use features;

/// Whether the CPU has all these features: by what the compilation target guarantees or, with
/// `std`, by asking it.
#[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
macro_rules! has {
    ($($feature:tt)+) => { ($(std::is_x86_feature_detected!($feature))&&+) };
}
#[cfg(all(feature = "std", target_arch = "aarch64"))]
macro_rules! has {
    ($($feature:tt)+) => { ($(std::arch::is_aarch64_feature_detected!($feature))&&+) };
}
#[cfg(not(all(
    feature = "std",
    any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")
)))]
#[allow(unused_macros, reason = "of levels with intrinsics")]
macro_rules! has {
    ($($feature:tt)+) => { cfg!(all($(target_feature = $feature),*)) };
}
#[allow(unused_imports, reason = "of levels with intrinsics")]
use has;

/// The first `n` of four elements at `p`, 1 ≤ n ≤ 4, and the last of these in place of the others:
/// a branch for each element would multiply into many copies of the loops around it.
///
/// # Safety
/// `p` must be valid for reading `n` elements.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline(always)]
unsafe fn read_first(p: *const f32, n: usize) -> [f32; 4] {
    // SAFETY: element n − 1 or one before it.
    let element = |i: usize| unsafe { *p.add(i.min(n - 1)) };
    [element(0), element(1), element(2), element(3)]
}

/// Writes the first `n` of four elements, 1 ≤ n ≤ 4, likewise without a branch for each.
///
/// # Safety
/// `p` must be valid for writing `n` elements.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline(always)]
unsafe fn write_first(p: *mut f32, n: usize, elements: [f32; 4]) {
    // Those beyond go to the place of the last one, backwards: the one that belongs there is the
    // last to be written.
    for (i, element) in elements.into_iter().enumerate().rev() {
        // SAFETY: element n − 1 or one before it.
        unsafe { *p.add(i.min(n - 1)) = element };
    }
}

/// The first `n` ≤ 8 elements at `p`, in the low bits; the others are 0.
///
/// # Safety
/// `p` must be valid for reading `n` elements.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline]
unsafe fn read_first_16(p: *const u16, n: usize) -> u128 {
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
unsafe fn write_first_16(p: *mut u16, n: usize, bits: u128) {
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
