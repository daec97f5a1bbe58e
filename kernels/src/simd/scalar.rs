//! Scalar: one lane, plain Rust. The fused multiply-add is correctly rounded, by a call of a
//! function where the compilation target has no instruction, hence slow there but the same bits.

use crate::element;
use crate::level::Level;
use crate::simd::int8::{Bytes, Int8, Int8Kernel, SUMS};
use crate::simd::{Kernel, MAX_LANES, Simd};

/// Whether this is all that the compilation target has, with 32 registers of f32: its tiles fill
/// them then. Elsewhere it is there for comparison, in kernels that compile in little time.
pub(crate) const IS_ALONE: bool = cfg!(any(
    target_arch = "arm",
    target_arch = "loongarch64",
    target_arch = "powerpc64",
    target_arch = "riscv32",
    target_arch = "riscv64"
));

/// Whether the C library has a function that rounds once and, if the CPU turns out to have the
/// instruction, is that: glibc's. Those of musl and of the crate `libm` round subnormal sums twice,
/// WASI's all sums.
#[cfg(feature = "std")]
const IN_LIBRARY: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// One f32 at a time, which all CPUs have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar<const FUSED: bool = true>;

impl<const FUSED: bool> Simd for Scalar<FUSED> {
    type Vector = f32;
    type Vector16 = u16;
    type Mask = bool;
    // The first lanes of a vector of one lane are all of it.
    type MemMask = ();
    // As is the only order of one lane.
    type Indices = ();
    type Fused = Scalar;

    const LEVEL: Level = Level::Scalar;
    const LANES: usize = 1;
    const FUSED: bool = FUSED;

    fn detect() -> Option<Self> {
        Some(Self)
    }

    unsafe fn entry<K: Kernel>(args: &K::Args) -> K::Output {
        // SAFETY: the caller keeps the kernel's contract; every CPU has the level.
        unsafe { K::run(Self, args) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        #[cfg(feature = "std")]
        if Level::Scalar.has_fma() || IN_LIBRARY {
            return a.mul_add(b, c);
        }
        mul_add(a, b, c)
    }

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }

    #[inline(always)]
    fn neg_abs(self, x: f32) -> f32 {
        -x.abs()
    }

    #[inline(always)]
    fn power_of_two(self, n: f32) -> f32 {
        f32::from_bits((n.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
    }

    #[inline(always)]
    fn clamp_min(self, bound: f32, x: f32) -> f32 {
        if self.less_than(x, bound) { bound } else { x }
    }

    #[inline(always)]
    fn clamp_max(self, bound: f32, x: f32) -> f32 {
        if self.less_than(bound, x) { bound } else { x }
    }

    #[inline(always)]
    fn less_than(self, a: f32, b: f32) -> bool {
        // Of several the compiler makes WebAssembly's pmin and pmax: see `wasm.rs`.
        if cfg!(all(target_family = "wasm", target_feature = "simd128")) {
            core::hint::black_box(a < b)
        } else {
            a < b
        }
    }

    #[inline(always)]
    fn is_ordered(self, x: f32) -> bool {
        !x.is_nan()
    }

    #[inline(always)]
    fn and(self, a: bool, b: bool) -> bool {
        a & b
    }

    #[inline(always)]
    fn select(self, mask: bool, a: f32, b: f32) -> f32 {
        if mask { a } else { b }
    }

    #[inline(always)]
    fn indices(self, _: [u32; MAX_LANES]) {}

    #[inline(always)]
    fn permute(self, v: f32, (): ()) -> f32 {
        v
    }

    // A square of one.
    #[inline(always)]
    fn transpose(self, _: &mut [f32; MAX_LANES]) {}

    #[inline(always)]
    fn prefetch_l2<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_l1<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_write<T>(self, _: *const T) {}

    #[inline(always)]
    fn f16_to_f32(self, v: u16) -> f32 {
        element::f16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_f16(self, v: f32) -> u16 {
        element::f32_to_f16(v)
    }

    #[inline(always)]
    fn bf16_to_f32(self, v: u16) -> f32 {
        element::bf16_to_f32(v)
    }

    #[inline(always)]
    fn f32_to_bf16(self, v: f32) -> u16 {
        element::f32_to_bf16(v)
    }

    #[inline(always)]
    fn mem_mask(self, _: usize) {}

    #[inline(always)]
    unsafe fn mask_load(self, (): (), p: *const f32) -> f32 {
        // SAFETY: the mask's lane is valid for reading, and aligned.
        unsafe { p.read() }
    }

    #[inline(always)]
    unsafe fn mask_store(self, (): (), p: *mut f32, v: f32) {
        // SAFETY: the mask's lane is valid for writing, and aligned.
        unsafe { p.write(v) }
    }

    #[inline(always)]
    unsafe fn mask_load_16(self, (): (), p: *const u16) -> u16 {
        // SAFETY: the mask's element is valid for reading, and aligned.
        unsafe { p.read() }
    }

    #[inline(always)]
    unsafe fn mask_store_16(self, (): (), p: *mut u16, v: u16) {
        // SAFETY: the mask's element is valid for writing, and aligned.
        unsafe { p.write(v) }
    }
}

/// a·b + c, rounded once: by way of an f64 that is rounded to odd, as in `sse.rs`, where it is
/// explained. (Not inlined: each kernel would have it many times.)
#[inline(never)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let of_c = sum - product;
    let of_product = sum - of_c;
    let error = (product - of_product) + (c - of_c);
    // Infinities and NaNs have an error that is NaN.
    if error == 0.0 || error.is_nan() {
        return sum as f32;
    }
    // Too large in magnitude: the next one towards zero is the integer below.
    let is_beyond = (error < 0.0) != (sum < 0.0);
    f64::from_bits((sum.to_bits() - u64::from(is_beyond)) | 1) as f32
}

impl Bytes for Scalar {
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, n: usize) -> f32 {
        // SAFETY: byte i < n is valid for reading.
        let byte = |i: usize| if i < n { unsafe { *p.add(i) } } else { 0 };
        of_bytes([0, 1, 2, 3].map(byte))
    }

    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8, v: f32, n: usize) {
        for (i, byte) in bytes(v).into_iter().enumerate().take(n) {
            // SAFETY: byte i < n is valid for writing.
            unsafe { *p.add(i) = byte };
        }
    }

    #[inline(always)]
    unsafe fn load_lowest(self, p: *const u8, _: usize) -> f32 {
        // SAFETY: one byte is valid for reading.
        f32::from_bits(unsafe { *p }.into())
    }

    #[inline(always)]
    unsafe fn store_lowest(self, p: *mut u8, v: f32, _: usize) {
        // SAFETY: one byte is valid for writing.
        unsafe { *p = v.to_bits() as u8 };
    }

    #[inline(always)]
    fn splat_byte(self, x: u8) -> f32 {
        of_bytes([x; 4])
    }

    #[inline(always)]
    fn xor(self, a: f32, b: f32) -> f32 {
        f32::from_bits(a.to_bits() ^ b.to_bits())
    }

    #[inline(always)]
    fn max_bytes<const SIGNED: bool>(self, a: f32, b: f32) -> f32 {
        let (a, b) = (bytes(a), bytes(b));
        let larger = |i: usize| {
            if SIGNED { (a[i] as i8).max(b[i] as i8) as u8 } else { a[i].max(b[i]) }
        };
        of_bytes([0, 1, 2, 3].map(larger))
    }

    #[inline(always)]
    fn min_bytes<const SIGNED: bool>(self, a: f32, b: f32) -> f32 {
        let (a, b) = (bytes(a), bytes(b));
        let smaller = |i: usize| {
            if SIGNED { (a[i] as i8).min(b[i] as i8) as u8 } else { a[i].min(b[i]) }
        };
        of_bytes([0, 1, 2, 3].map(smaller))
    }

    #[inline(always)]
    fn zip_bytes(self, a: f32, b: f32) -> [f32; 2] {
        let (a, b) = (bytes(a), bytes(b));
        [of_bytes([a[0], b[0], a[1], b[1]]), of_bytes([a[2], b[2], a[3], b[3]])]
    }

    #[inline(always)]
    fn zip_words(self, a: f32, b: f32) -> [f32; 2] {
        let (a, b) = (bytes(a), bytes(b));
        [of_bytes([a[0], a[1], b[0], b[1]]), of_bytes([a[2], a[3], b[2], b[3]])]
    }

    #[inline(always)]
    fn widen_bytes(self, v: f32) -> [f32; 2] {
        let v = bytes(v);
        [of_bytes([v[0], 0, v[1], 0]), of_bytes([v[2], 0, v[3], 0])]
    }

    #[inline(always)]
    fn narrow(self, lanes: [f32; SUMS], zero_point: f32) -> f32 {
        let zero_point = i32::from(zero_point.to_bits() as i16);
        of_bytes(lanes.map(|lane| {
            let rounded = self.to_i32(lane.clamp(-512.0, 512.0)).to_bits() as i32;
            (rounded + zero_point).clamp(0, 255) as u8
        }))
    }

    #[inline(always)]
    fn join_halves(self, a: f32, b: f32) -> f32 {
        let (a, b) = (bytes(a), bytes(b));
        of_bytes([a[0], a[1], b[0], b[1]])
    }

    #[inline(always)]
    fn upper_half(self, v: f32) -> f32 {
        let v = bytes(v);
        of_bytes([v[2], v[3], 0, 0])
    }

    #[inline(always)]
    fn add_i32(self, a: f32, b: f32) -> f32 {
        f32::from_bits(a.to_bits().wrapping_add(b.to_bits()))
    }

    #[inline(always)]
    fn to_f32(self, v: f32) -> f32 {
        v.to_bits() as i32 as f32
    }

    // Adding 1.5·2²³ rounds to an integer, of up to 2²², and leaves it in the low bits of the sum.
    #[inline(always)]
    fn to_i32(self, v: f32) -> f32 {
        const MAGIC: f32 = 12_582_912.0;
        f32::from_bits((v + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()))
    }
}

/// As they lie in memory.
#[inline(always)]
fn bytes(v: f32) -> [u8; 4] {
    v.to_bits().to_ne_bytes()
}

#[inline(always)]
fn of_bytes(bytes: [u8; 4]) -> f32 {
    f32::from_bits(u32::from_ne_bytes(bytes))
}

/// Products of 8-bit integers, one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScalarInt8;

impl Int8 for ScalarInt8 {
    type Simd = Scalar;
    type Weights = [i8; 4];
    const SIGNED: bool = false;

    fn detect() -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn simd(self) -> Scalar {
        Scalar
    }

    #[inline(always)]
    fn dot(self, a: f32, b: f32, c: f32) -> f32 {
        let (a, b) = (bytes(a), bytes(b));
        let sum = (0..4).map(|i| i32::from(a[i]) * i32::from(b[i] as i8)).sum::<i32>();
        f32::from_bits(c.to_bits().wrapping_add(sum as u32))
    }

    #[inline(always)]
    unsafe fn load_weights(self, p: *const [i8; 4]) -> f32 {
        // SAFETY: a group is valid for reading.
        of_bytes(unsafe { p.read() }.map(|weight| weight as u8))
    }

    unsafe fn entry<K: Int8Kernel>(args: &K::Args) -> K::Output {
        // SAFETY: the caller keeps the kernel's contract.
        unsafe { K::run(Self, args) }
    }
}
