//! Architectures as short tables of blocks.

mod builder;
mod inception_v3;
mod mobilenet;
mod spectrum;
mod xception;

pub use inception_v3::{InceptionV3Config, inception_v3};
pub use mobilenet::{MobileNetConfig, mobilenet};
pub use spectrum::{InceptionModuleConfig, Order, SpectrumConfig, inception_module, spectrum};
pub use xception::{Head, XceptionConfig, xception};
