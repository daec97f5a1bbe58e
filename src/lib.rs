//! Xception on the CPU: networks as data, planned over the `sepconv-kernels` operations.
#![forbid(unsafe_code)]

mod error;
#[cfg(feature = "image")]
pub mod image;
pub mod models;
pub mod network;
pub mod npy;
mod resample;
pub mod weights;

pub use error::{Error, Result};
pub use sepconv_kernels as kernels;
