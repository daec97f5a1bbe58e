//! Elements as the kernels load and store them: always as vectors of f32.

use crate::element::{self, ElementType};
use crate::simd::{Simd, read_vector, write_vector};

/// A type of elements, for bodies that are compiled for each.
pub(crate) trait Element {
    /// An element in memory.
    type Bits: Copy;

    const TYPE: ElementType;

    /// Elements of a cache line.
    const LINE: usize = 64 / size_of::<Self::Bits>();

    /// # Safety
    /// `p` must be valid for reading a vector's elements, and aligned for one.
    unsafe fn load<S: Simd>(simd: S, p: *const Self::Bits) -> S::Vector;

    /// Lanes outside the mask are arbitrary and their memory is not touched.
    ///
    /// # Safety
    /// `p` must be valid for reading the mask's elements, and aligned for one.
    unsafe fn mask_load<S: Simd>(simd: S, mask: S::MemMask, p: *const Self::Bits) -> S::Vector;

    /// Rounds and stores.
    ///
    /// # Safety
    /// `p` must be valid for writing a vector's elements, and aligned for one.
    unsafe fn store<S: Simd>(simd: S, p: *mut Self::Bits, v: S::Vector);

    /// Memory outside the mask is not touched.
    ///
    /// # Safety
    /// `p` must be valid for writing the mask's elements, and aligned for one.
    unsafe fn mask_store<S: Simd>(simd: S, mask: S::MemMask, p: *mut Self::Bits, v: S::Vector);

    /// As `store`, of sums of products of elements of this type and of weights that are no NaNs but
    /// [`f32::NAN`], for which there is a shorter way.
    ///
    /// # Safety
    /// `p` must be valid for writing a vector's elements, and aligned for one.
    #[inline(always)]
    unsafe fn store_sum<S: Simd>(simd: S, p: *mut Self::Bits, v: S::Vector) {
        // SAFETY: a vector's elements are valid for writing.
        unsafe { Self::store(simd, p, v) }
    }

    /// As `mask_store`, of such sums.
    ///
    /// # Safety
    /// `p` must be valid for writing the mask's elements, and aligned for one.
    #[inline(always)]
    unsafe fn mask_store_sum<S: Simd>(simd: S, mask: S::MemMask, p: *mut Self::Bits, v: S::Vector) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { Self::mask_store(simd, mask, p, v) }
    }

    /// One element.
    fn widen(bits: Self::Bits) -> f32;
}

/// IEEE binary32, loaded and stored as it is.
#[derive(Debug)]
pub(crate) struct F32;

impl Element for F32 {
    type Bits = f32;
    const TYPE: ElementType = ElementType::F32;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, p: *const f32) -> S::Vector {
        // SAFETY: a vector's elements are valid for reading.
        unsafe { simd.load(p) }
    }

    #[inline(always)]
    unsafe fn mask_load<S: Simd>(simd: S, mask: S::MemMask, p: *const f32) -> S::Vector {
        // SAFETY: the mask's elements are valid for reading.
        unsafe { simd.mask_load(mask, p) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, p: *mut f32, v: S::Vector) {
        // SAFETY: a vector's elements are valid for writing.
        unsafe { simd.store(p, v) }
    }

    #[inline(always)]
    unsafe fn mask_store<S: Simd>(simd: S, mask: S::MemMask, p: *mut f32, v: S::Vector) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { simd.mask_store(mask, p, v) }
    }

    #[inline(always)]
    fn widen(bits: f32) -> f32 {
        bits
    }
}

/// IEEE binary16.
#[derive(Debug)]
pub(crate) struct F16;

impl Element for F16 {
    type Bits = u16;
    const TYPE: ElementType = ElementType::F16;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, p: *const u16) -> S::Vector {
        // SAFETY: a vector's elements are valid for reading, and a `Vector16` is plain data of
        // these.
        simd.f16_to_f32(unsafe { read_vector(p) })
    }

    #[inline(always)]
    unsafe fn mask_load<S: Simd>(simd: S, mask: S::MemMask, p: *const u16) -> S::Vector {
        // SAFETY: the mask's elements are valid for reading.
        simd.f16_to_f32(unsafe { simd.mask_load_16(mask, p) })
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, p: *mut u16, v: S::Vector) {
        // SAFETY: a vector's elements are valid for writing, and a `Vector16` is plain data of
        // these.
        unsafe { write_vector(p, simd.f32_to_f16(v)) }
    }

    #[inline(always)]
    unsafe fn mask_store<S: Simd>(simd: S, mask: S::MemMask, p: *mut u16, v: S::Vector) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { simd.mask_store_16(mask, p, simd.f32_to_f16(v)) }
    }

    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        element::f16_to_f32(bits)
    }
}

/// The upper half of binary32.
#[derive(Debug)]
pub(crate) struct Bf16;

impl Element for Bf16 {
    type Bits = u16;
    const TYPE: ElementType = ElementType::Bf16;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, p: *const u16) -> S::Vector {
        // SAFETY: a vector's elements are valid for reading, and a `Vector16` is plain data of
        // these.
        simd.bf16_to_f32(unsafe { read_vector(p) })
    }

    #[inline(always)]
    unsafe fn mask_load<S: Simd>(simd: S, mask: S::MemMask, p: *const u16) -> S::Vector {
        // SAFETY: the mask's elements are valid for reading.
        simd.bf16_to_f32(unsafe { simd.mask_load_16(mask, p) })
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, p: *mut u16, v: S::Vector) {
        // SAFETY: a vector's elements are valid for writing, and a `Vector16` is plain data of
        // these.
        unsafe { write_vector(p, simd.f32_to_bf16(v)) }
    }

    #[inline(always)]
    unsafe fn mask_store<S: Simd>(simd: S, mask: S::MemMask, p: *mut u16, v: S::Vector) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { simd.mask_store_16(mask, p, simd.f32_to_bf16(v)) }
    }

    #[inline(always)]
    unsafe fn store_sum<S: Simd>(simd: S, p: *mut u16, v: S::Vector) {
        // SAFETY: a vector's elements are valid for writing, and a `Vector16` is plain data of
        // these.
        unsafe { write_vector(p, simd.sum_to_bf16(v)) }
    }

    #[inline(always)]
    unsafe fn mask_store_sum<S: Simd>(simd: S, mask: S::MemMask, p: *mut u16, v: S::Vector) {
        // SAFETY: the mask's elements are valid for writing.
        unsafe { simd.mask_store_16(mask, p, simd.sum_to_bf16(v)) }
    }

    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        element::bf16_to_f32(bits)
    }
}

/// What is done with elements whose type is known at run time only.
pub(crate) trait ForElement {
    /// With elements of type T.
    ///
    /// # Safety
    /// What the implementation asks for.
    unsafe fn run<T: Element>(self);
}

/// Runs `body` for elements of type `element`, which is looked at once.
///
/// # Safety
/// - As `body` asks.
/// - This build has kernels for the type.
#[inline(always)]
pub(crate) unsafe fn for_element<F: ForElement>(element: ElementType, body: F) {
    // SAFETY: the caller keeps the contract of `body`, whichever arm runs.
    unsafe {
        match element {
            ElementType::F16 if cfg!(feature = "f16-bf16") => body.run::<F16>(),
            ElementType::Bf16 if cfg!(feature = "f16-bf16") => body.run::<Bf16>(),
            _ => body.run::<F32>(),
        }
    }
}
