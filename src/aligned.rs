//! Buffers for tensors.

use crate::{Error, Result};

/// f32s that begin at a cache line, as many as asked for.
///
/// What a [`crate::network::Session`] keeps its values in. Kernels take any slice, but are faster where
/// no vector of theirs crosses a cache line.
#[derive(Debug)]
pub struct Aligned {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Elements of a cache line, which is also an AVX-512 register.
    pub(crate) const LINE: usize = 16;

    /// Filled with NaN: what is read before it was written shows.
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn new(len: usize) -> Result<Self> {
        let spare = Self::LINE - 1;
        let too_much =
            || Error::Argument { message: format!("{len} f32 of memory can't be allocated") };
        let room = len.checked_add(spare).ok_or_else(too_much)?;
        let mut storage = Vec::new();
        storage.try_reserve_exact(room).map_err(|_| too_much())?;
        storage.resize(room, f32::NAN);
        let start = storage.as_ptr().align_offset(Self::LINE * size_of::<f32>());
        // It may decline to answer, and alignment is only a matter of speed.
        let start = if start <= spare { start } else { 0 };
        Ok(Self { storage, start, len })
    }

    /// The elements.
    pub fn as_slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }

    /// The elements.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}
