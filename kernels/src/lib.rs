//! Depthwise, pointwise and fused separable convolution on CPUs, for NHWC `f32` tensors.
//!
//! ```text
//! NhwcView (slice + shape + pixel stride: bounds proven once)
//!    │
//! Separable::new(shape, params, options)    once: geometry checked, weights packed, kernels chosen
//!    │
//! plan.run(x, residual, y, scratch)         many: allocates nothing, the same bits every time
//!    │   output pixels split into tiles ──► threads (rayon's current pool, or the caller alone)
//!    ▼   for each tile
//! panel producer ──► A panels, in L2        copied rows · gathered taps · a depthwise convolution
//!    ▼
//! GEMM micro-kernel                         one body, one instance per level
//!    ▼
//! epilogue on the accumulators              residual, activation
//! ```
//!
//! # Numerics
//! Every output element is one chain of fused multiply-adds in a fixed order (bias, then taps and
//! channels ascending), so that all levels, any number of threads, fused and unfused give the same
//! bits; only NaNs may differ from each other. Padding is left out of sums, never multiplied by zero.
//! Subnormal weights and biases become zeros of their sign when packed; the floating-point environment
//! is never touched. ReLU and clamps let NaN and −0 through.
//!
//! # Levels
//! [`Level`] lists them. A plan runs on the best one available unless [`Options::level`] or the
//! variable `SEPCONV_LEVEL` asks for another.
//!
//! # Features
//! `rayon` (default): plans split their work over rayon's current pool. `std` (default): run-time
//! detection of CPU features. Without both the crate is `no_std` + `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod activation;
mod epilogue;
mod error;
mod gemm;
mod geometry;
mod isa;
mod layers;
mod level;
mod memory;
pub mod naive;
mod panel;
mod peak;
mod table;
mod threads;
mod view;
mod window;

pub use epilogue::Activation;
pub use error::{Error, Result};
pub use geometry::{Padding, Window};
pub use layers::{
    Conv, ConvParams, Dense, DenseParams, Depthwise, DepthwiseParams, Elementwise,
    GlobalAveragePool, Options, Plan, Pointwise, PointwiseParams, Pool, PoolKind, Separable,
    SeparableParams,
};
pub use level::Level;
pub use peak::burn_fma;
pub use table::{Kernel, kernels};
pub use view::{NhwcView, NhwcViewMut};
