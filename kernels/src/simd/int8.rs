//! The vocabulary of 8-bit integers: their vectors, and dot products of them.
//!
//! All vectors are those of the level, taken as bits: of f32, of i32, or of four bytes in each
//! lane. A group is the k whose products one lane adds up: four bytes, or two integers of 16 bits
//! where only these are multiplied exactly.

use crate::simd::{MAX_LANES, Simd};

/// Vectors of lanes that the bytes of one vector become.
pub(crate) const SUMS: usize = 4;

/// Bytes of the widest vector.
pub(crate) const MAX_BYTES: usize = SUMS * MAX_LANES;

/// A level's vectors of 8-bit integers and of their sums.
pub(crate) trait Bytes: Simd {
    /// The first `n` bytes at `p`, 1 ≤ n ≤ 4·`LANES`; the others are arbitrary.
    ///
    /// # Safety
    /// `p` is valid for reading `n` bytes.
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> Self::Vector;

    /// Writes the first `n` bytes, 1 ≤ n ≤ 4·`LANES`.
    ///
    /// # Safety
    /// `p` is valid for writing `n` bytes.
    unsafe fn store_bytes(self, p: *mut u8, v: Self::Vector, n: usize);

    /// A byte for each of the first `n` lanes, 1 ≤ n ≤ `LANES`, widened by zeros; the other lanes
    /// are arbitrary.
    ///
    /// # Safety
    /// `p` is valid for reading `n` bytes.
    unsafe fn load_lowest(self, p: *const u8, n: usize) -> Self::Vector;

    /// Writes the lowest bytes of the first `n` lanes, 1 ≤ n ≤ `LANES`.
    ///
    /// # Safety
    /// `p` is valid for writing `n` bytes.
    unsafe fn store_lowest(self, p: *mut u8, v: Self::Vector, n: usize);

    /// `x` in each byte.
    fn splat_byte(self, x: u8) -> Self::Vector;

    /// `x` in each lane.
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::Vector {
        self.splat(f32::from_bits(x as u32))
    }

    /// `v` itself, computed before what comes after this: not where it is used, if that depends on
    /// a condition.
    #[inline(always)]
    fn computed(self, v: Self::Vector) -> Self::Vector {
        self.barrier(v)
    }

    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of the bytes.
    fn max_bytes<const SIGNED: bool>(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller of the bytes.
    fn min_bytes<const SIGNED: bool>(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Bytes of `a` and `b` in turns: those of the first halves of each 128 bits, of the second.
    fn zip_bytes(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// 16 bits of `a` and `b` in turns, likewise.
    fn zip_words(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// 16 bits of each byte, in their order.
    fn widen_bytes(self, bytes: Self::Vector) -> [Self::Vector; 2];
    /// Unsigned bytes in the order of the channels, of lanes in that of [`channel`]: the nearest
    /// integers, ties to even, plus `zero_point`, which each 16 bits of that vector hold. What is
    /// beyond a byte becomes the least or the largest one, as far as i32 holds it.
    fn narrow(self, lanes: [Self::Vector; SUMS], zero_point: Self::Vector) -> Self::Vector;
    /// The bytes that [`narrow`](Self::narrow) makes, in the order of its lanes, vector after
    /// vector.
    #[inline(always)]
    fn in_order(self, bytes: Self::Vector) -> Self::Vector {
        // So they are where a vector has 128 bits or fewer.
        bytes
    }
    /// The lower half of the bytes of `a`, then that of `b`.
    fn join_halves(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The upper half of the bytes in the place of the lower one; the upper one is arbitrary.
    fn upper_half(self, bytes: Self::Vector) -> Self::Vector;

    /// Modulo 2³².
    fn add_i32(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// To nearest, ties to even.
    fn to_f32(self, v: Self::Vector) -> Self::Vector;
    /// To nearest, ties to even; of numbers that i32 holds.
    fn to_i32(self, v: Self::Vector) -> Self::Vector;
}

/// A vector of the level.
pub(crate) type Vector<T> = <<T as Int8>::Simd as Simd>::Vector;

/// A level with one way to multiply 8-bit integers and to add the products up, exactly modulo 2³².
pub(crate) trait Int8: Copy {
    type Simd: Bytes;

    /// A group of weights: four or two.
    type Weights: Copy;

    /// The k of a group.
    const GROUP: usize = size_of::<Self::Weights>();

    /// Whether the bytes of A are signed. Those of the other kind are, with 0x80 added.
    const SIGNED: bool;

    /// As [`Simd::detect`].
    fn detect() -> Option<Self>;

    /// The level by itself.
    fn simd(self) -> Self::Simd;

    /// The group of products of each lane, and `c`.
    fn dot(self, a: Vector<Self>, b: Vector<Self>, c: Vector<Self>) -> Vector<Self>;

    /// The same where sums take nearly all registers: in order, with one for products.
    #[inline(always)]
    fn dot_in_order(self, a: Vector<Self>, b: Vector<Self>, c: Vector<Self>) -> Vector<Self> {
        self.dot(a, b, c)
    }

    /// The same of one lane of `a` with each lane of `b`. One instruction where there is one.
    #[inline(always)]
    fn dot_lane<const LANE: i32>(
        self,
        a: Vector<Self>,
        b: Vector<Self>,
        c: Vector<Self>,
    ) -> Vector<Self> {
        self.dot(self.simd().splat_lane::<LANE>(a), b, c)
    }

    /// A group of weights in each lane.
    ///
    /// # Safety
    /// `p` is valid for reading a group for each lane.
    unsafe fn load_weights(self, p: *const Self::Weights) -> Vector<Self>;

    /// Groups of which vector i has number i, in the order of [`channel`]. Vectors beyond those of
    /// a group are not looked at.
    #[inline(always)]
    fn interleave(self, [a, b, c, d]: [Vector<Self>; 4]) -> [Vector<Self>; SUMS] {
        let simd = self.simd();
        let [ab_low, ab_high] = simd.zip_bytes(a, b);
        let ([first, second], [third, fourth]) = if Self::GROUP == 4 {
            let [cd_low, cd_high] = simd.zip_bytes(c, d);
            (simd.zip_words(ab_low, cd_low), simd.zip_words(ab_high, cd_high))
        } else {
            let zero = simd.splat(0.0);
            (simd.zip_bytes(ab_low, zero), simd.zip_bytes(ab_high, zero))
        };
        [first, second, third, fourth]
    }

    /// Runs a kernel, compiled for the level and its dot products.
    ///
    /// # Safety
    /// - The CPU has the level and its dot products.
    /// - `args` satisfy what the kernel asks of them.
    unsafe fn entry<K: Int8Kernel>(args: &K::Args) -> K::Output;
}

/// A [`Kernel`](crate::simd::Kernel) of 8-bit integers.
pub(crate) trait Int8Kernel {
    type Args;
    type Output;

    /// # Safety
    /// `args` must satisfy what the kernel asks of them.
    unsafe fn run<T: Int8>(token: T, args: &Self::Args) -> Self::Output;
}

/// A level of vectors of 128 bits with products of matrices of signed bytes, exactly modulo 2³².
#[allow(dead_code, reason = "of levels with products of matrices")]
pub(crate) trait Int8Matrix: Copy {
    type Simd: Bytes;

    /// As [`Simd::detect`].
    fn detect() -> Option<Self>;

    /// The level by itself.
    fn simd(self) -> Self::Simd;

    /// Two rows of eight k, `a`, × two columns, `b`, + `c`, whose lane 2·i + j is of row i and
    /// column j.
    fn multiply(
        self,
        a: <Self::Simd as Simd>::Vector,
        b: <Self::Simd as Simd>::Vector,
        c: <Self::Simd as Simd>::Vector,
    ) -> <Self::Simd as Simd>::Vector;

    /// The first halves of `a` and `b`, and the second ones.
    fn zip_halves(
        self,
        a: <Self::Simd as Simd>::Vector,
        b: <Self::Simd as Simd>::Vector,
    ) -> [<Self::Simd as Simd>::Vector; 2];

    /// Runs a kernel, compiled for the level and its products of matrices.
    ///
    /// # Safety
    /// - The CPU has the level and its products of matrices.
    /// - `args` satisfy what the kernel asks of them.
    unsafe fn entry<K: Int8MatrixKernel>(args: &K::Args) -> K::Output;
}

/// A [`Kernel`](crate::simd::Kernel) that takes products of matrices.
#[allow(dead_code, reason = "of levels with products of matrices")]
pub(crate) trait Int8MatrixKernel {
    type Args;
    type Output;

    /// # Safety
    /// `args` must satisfy what the kernel asks of them.
    unsafe fn run<T: Int8Matrix>(token: T, args: &Self::Args) -> Self::Output;
}

/// Of the bytes of a vector, the one that lane `lane` of vector `vector` of [`SUMS`] is for: the
/// order that zipping twice within 128 bits makes.
pub(crate) const fn channel(lanes: usize, vector: usize, lane: usize) -> usize {
    if lanes < 4 { vector } else { 16 * (lane / 4) + 4 * vector + lane % 4 }
}

/// The first `n` ≤ 16 bytes at `p`, in the low bits; the others are 0.
///
/// # Safety
/// `p` is valid for reading `n` bytes.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline]
pub(crate) unsafe fn read_first_bytes(p: *const u8, n: usize) -> u128 {
    // SAFETY: 16 bytes, or parts of 8, 4, 2 and 1 that are of the n.
    unsafe {
        if n == 16 {
            return p.cast::<u128>().read_unaligned();
        }
        let (mut bits, mut at) = (0, 0);
        if n & 8 != 0 {
            bits = u128::from(p.cast::<u64>().read_unaligned());
            at = 8;
        }
        if n & 4 != 0 {
            bits |= u128::from(p.add(at).cast::<u32>().read_unaligned()) << (8 * at);
            at += 4;
        }
        if n & 2 != 0 {
            bits |= u128::from(p.add(at).cast::<u16>().read_unaligned()) << (8 * at);
            at += 2;
        }
        if n & 1 != 0 {
            bits |= u128::from(*p.add(at)) << (8 * at);
        }
        bits
    }
}

/// Writes the low `n` ≤ 16 bytes of `bits`.
///
/// # Safety
/// `p` is valid for writing `n` bytes.
#[allow(dead_code, reason = "of the levels that have no masks")]
#[inline]
pub(crate) unsafe fn write_first_bytes(p: *mut u8, n: usize, bits: u128) {
    // SAFETY: 16 bytes, or parts of 8, 4, 2 and 1 that are of the n.
    unsafe {
        if n == 16 {
            return p.cast::<u128>().write_unaligned(bits);
        }
        let mut at = 0;
        if n & 8 != 0 {
            p.cast::<u64>().write_unaligned(bits as u64);
            at = 8;
        }
        if n & 4 != 0 {
            p.add(at).cast::<u32>().write_unaligned((bits >> (8 * at)) as u32);
            at += 4;
        }
        if n & 2 != 0 {
            p.add(at).cast::<u16>().write_unaligned((bits >> (8 * at)) as u16);
            at += 2;
        }
        if n & 1 != 0 {
            *p.add(at) = (bits >> (8 * at)) as u8;
        }
    }
}
