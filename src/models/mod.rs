//! Architectures as short tables of blocks.

mod xception;

pub use xception::{Head, XceptionConfig, xception};
