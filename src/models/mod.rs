//! Architectures as short tables of blocks.

mod aligned_xception;
mod xception;

pub use aligned_xception::{AlignedXceptionConfig, EntryBlock, aligned_xception};
pub use xception::{Flavour, Head, XceptionConfig, xception};
