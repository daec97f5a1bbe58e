//! Storage for packed operands and tensors, and aligned views of the caller's scratch.

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::element::{Elements, ElementsMut};
use crate::error::{Error, Result};

/// A vector without elements and with room for so many.
pub(crate) fn reserved<T>(count: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let elements = count.saturating_mul(size_of::<T>().div_ceil(size_of::<f32>()));
    all.try_reserve_exact(count).map_err(|_| Error::Memory { elements })?;
    Ok(all)
}

/// f32 elements of a 64-byte cache line.
pub(crate) const LINE: usize = 16;
/// Its bytes.
pub(crate) const LINE_BYTES: usize = LINE * size_of::<f32>();

/// Bytes of a huge page on x86-64, and on AArch64 with base pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// A fixed number of `f32`s that begin on a cache line; 2 MiB and more of them in huge pages where
/// the operating system gives these on request (Linux).
///
/// Kernels take any slice. They are a little faster where no vector of theirs crosses a cache line,
/// and a GEMM tile walks hundreds of rows, most of them on a page of their own: with pages of 4 KiB
/// the TLB misses cost Xception 2 to 3 % on Zen 4 and nothing on Zen 5.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let tensor = Aligned::new(19 * 19 * 728, 1.0)?;
/// assert_eq!(tensor.as_ptr() as usize % 64, 0);
/// let view = NhwcView::new(&tensor, [1, 19, 19, 728])?; // as of any slice
/// assert_eq!(view.pixel_stride(), 728);
/// # Ok(())
/// # }
/// ```
pub struct Aligned {
    data: NonNull<f32>,
    len: usize,
}

// SAFETY: it owns its elements, which are plain numbers, as a Vec does.
unsafe impl Send for Aligned {}
// SAFETY: shared references only read its elements, which are plain numbers.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// Elements per cache line: an offset that is a multiple of it is aligned like the first
    /// element.
    pub const LINE: usize = LINE;

    /// `len` elements, all `value`.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let mut x = Aligned::new(3, 0.5)?;
    /// x[1] = 2.0;
    /// assert_eq!(x[..], [0.5, 2.0, 0.5]);
    /// let error = Aligned::new(usize::MAX, 0.0).unwrap_err();
    /// assert_eq!(error, Error::Memory { elements: usize::MAX });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Memory`]: they can't be allocated.
    pub fn new(len: usize, value: f32) -> Result<Self> {
        if len == 0 {
            return Ok(Self { data: NonNull::dangling(), len });
        }
        let refused = Error::Memory { elements: len };
        let layout = Self::layout(len).ok_or(refused.clone())?;
        // SAFETY: the layout has a size, as len isn't 0.
        let data = unsafe { alloc(layout) };
        let data = NonNull::new(data.cast::<f32>()).ok_or(refused)?;
        ask_for_huge_pages(data.as_ptr().cast(), layout.size());
        for i in 0..len {
            // SAFETY: element i of the allocation.
            unsafe { data.add(i).write(value) };
        }
        Ok(Self { data, len })
    }

    /// The same memory as twice as many 16-bit elements.
    pub(crate) fn as_bits_mut(&mut self) -> &mut [u16] {
        // SAFETY: len initialized elements that it owns, borrowed mutably as `self` is. An f32 is
        // as long as two u16, which need less alignment and may have any bits.
        unsafe { core::slice::from_raw_parts_mut(self.data.as_ptr().cast(), 2 * self.len) }
    }

    /// The same memory as four times as many 8-bit integers.
    pub(crate) fn as_i8_mut(&mut self) -> &mut [i8] {
        // SAFETY: len initialized elements that it owns, borrowed mutably as `self` is. An f32 is
        // as long as four i8, which need less alignment and may have any bits.
        unsafe { core::slice::from_raw_parts_mut(self.data.as_ptr().cast(), 4 * self.len) }
    }

    /// None if the size overflows.
    fn layout(len: usize) -> Option<Layout> {
        let layout = Layout::array::<f32>(len).ok()?;
        let align = if layout.size() >= HUGE_PAGE { HUGE_PAGE } else { LINE_BYTES };
        layout.align_to(align).ok()
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        if let (1.., Some(layout)) = (self.len, Self::layout(self.len)) {
            // SAFETY: allocated with this layout by `new`, which had one for this length.
            unsafe { dealloc(self.data.as_ptr().cast(), layout) };
        }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: len initialized elements that it owns, borrowed as `self` is; for none of them
        // the pointer dangles, aligned.
        unsafe { core::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: len initialized elements that it owns, borrowed mutably as `self` is; for none of
        // them the pointer dangles, aligned.
        unsafe { core::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<'a> From<&'a Aligned> for Elements<'a> {
    fn from(x: &'a Aligned) -> Self {
        Self::F32(x)
    }
}

impl<'a> From<&'a mut Aligned> for ElementsMut<'a> {
    fn from(x: &'a mut Aligned) -> Self {
        Self::F32(x)
    }
}

impl core::fmt::Debug for Aligned {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Aligned").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Advice, nothing depends on it: a refusal is ignored.
#[cfg(all(
    feature = "std",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    use core::ffi::{c_int, c_void};
    // From the C library that std links; <sys/mman.h> of these architectures.
    const MADV_HUGEPAGE: c_int = 14;
    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }
    let whole = bytes / HUGE_PAGE * HUGE_PAGE;
    if whole > 0 {
        // SAFETY: these bytes lie in an allocation of the caller's that begins on a huge page. The
        // advice changes how they are backed, not what they hold.
        unsafe { madvise(start.cast(), whole, MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(
    feature = "std",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn ask_for_huge_pages(_start: *mut u8, _bytes: usize) {}

/// The parts of `part` elements each that scratch of this length has room for.
pub(crate) fn parts(scratch: usize, part: usize) -> usize {
    (scratch + 1).saturating_sub(LINE) / part
}

/// The scratch elements of `parts` parts of `part` elements each, with room to align the first.
pub(crate) fn scratch_len(parts: usize, part: usize) -> usize {
    if part == 0 { 0 } else { parts.saturating_mul(part).saturating_add(LINE - 1) }
}

/// The scratch from its first cache line on.
pub(crate) fn align(scratch: &mut [MaybeUninit<f32>]) -> &mut [MaybeUninit<f32>] {
    let offset = scratch.as_ptr().align_offset(LINE_BYTES).min(scratch.len());
    &mut scratch[offset..]
}

/// Subnormal weights slow FMAs down a hundredfold on some CPUs and carry nothing: they become zeros
/// of their sign when packed. (Batch normalization folded into weights makes them.)
pub(crate) fn flush_subnormal(weight: f32) -> f32 {
    if weight.is_subnormal() { 0.0_f32.copysign(weight) } else { weight }
}

/// The same for the bits of a bf16. (Subnormal f16 are normal f32.)
pub(crate) fn flush_subnormal_16(bits: u16) -> u16 {
    if bits & 0x7f80 == 0 { bits & 0x8000 } else { bits }
}
