//! Architectures as short tables of blocks.

mod xception;

pub use xception::{Flavour, Head, XceptionConfig, xception};
