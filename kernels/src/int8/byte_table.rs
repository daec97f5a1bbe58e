//! Bytes of an input as an activation makes them that is no clamp: by a table of all 256.
//!
//! ```text
//! for i in 0..n
//!   to[i] = table[x[i]]
//! ```
//!
//! There is no departure: bytes are looked up on their way to a vector, one after the other. A
//! network has such an activation in the epilogue of the step before, or as a step of its own,
//! whose quantization is that of its values.

use core::mem::MaybeUninit;
use core::ptr;

use crate::simd::int8::MAX_BYTES;

/// What each byte of an input becomes as it is loaded: itself, or what a table of the plan has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteTable(*const [u8; 256]);

/// Room for the bytes of a vector, looked up.
pub(crate) type Room = MaybeUninit<[u8; MAX_BYTES]>;

impl ByteTable {
    /// Bytes stay as they are.
    pub(crate) const NONE: Self = Self(ptr::null());

    /// That of a layer, which has to be there when bytes are looked up.
    pub(crate) fn new(table: Option<&[u8; 256]>) -> Self {
        Self(table.map_or(ptr::null(), ptr::from_ref))
    }

    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// What a byte becomes.
    ///
    /// # Safety
    /// The table is there.
    #[inline(always)]
    pub(crate) unsafe fn of(self, byte: u8) -> u8 {
        // SAFETY: the caller's contract; every byte has an entry.
        if self.is_none() { byte } else { unsafe { (*self.0)[usize::from(byte)] } }
    }

    /// Where the `n` bytes at `x` are, looked up: there, or in `room`.
    ///
    /// # Safety
    /// - The table is there.
    /// - `x` is valid for reading `n` ≤ [`MAX_BYTES`] bytes.
    #[inline(always)]
    pub(crate) unsafe fn bytes(self, x: *const u8, n: usize, room: &mut Room) -> *const u8 {
        if self.is_none() {
            return x;
        }
        let to: *mut u8 = room.as_mut_ptr().cast();
        // Not a function of its own: calls would make the loops beside them save their vectors.
        for i in 0..n {
            // SAFETY: byte i of the n, for which there is room; every byte has an entry.
            unsafe { *to.add(i) = (*self.0)[usize::from(*x.add(i))] };
        }
        to
    }
}
