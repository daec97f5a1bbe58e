//! Cache-line aligned storage for packed operands, and aligned views of the caller's scratch.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// f32 elements of a 64-byte cache line.
pub(crate) const LINE: usize = 16;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Elements that begin on a cache line.
#[derive(Debug)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Result<Self> {
        let mut lines = Vec::new();
        lines
            .try_reserve_exact(len.div_ceil(LINE))
            .map_err(|_| Error::Overflow { what: "packed weights" })?;
        lines.resize(len.div_ceil(LINE), Line([0.0; LINE]));
        Ok(Self { lines })
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        let len = self.lines.len() * LINE;
        // SAFETY: a Line is exactly LINE f32 (repr C, 64 bytes), so the lines are `len` of them.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }
}

/// The scratch elements of `parts` parts of `part` elements each, with room to align the first.
pub(crate) fn scratch_len(parts: usize, part: usize) -> usize {
    if part == 0 { 0 } else { parts.saturating_mul(part).saturating_add(LINE - 1) }
}

/// The scratch from its first cache line on.
pub(crate) fn align(scratch: &mut [f32]) -> &mut [f32] {
    let offset = scratch.as_ptr().align_offset(align_of::<Line>()).min(scratch.len());
    &mut scratch[offset..]
}

/// Subnormal weights slow FMAs down a hundredfold on some CPUs and carry nothing: they become zeros of
/// their sign when packed. (Batch normalization folded into weights makes them.)
pub(crate) fn flush_subnormal(weight: f32) -> f32 {
    if weight.is_subnormal() { 0.0_f32.copysign(weight) } else { weight }
}
