#![doc = include_str!("../README.md")]
//! # How it works
//! ```text
//! NhwcView (slice + shape + pixel stride: bounds proven once)
//!    │
//! Separable::new(shape, params, options)    once: geometry checked, weights packed, kernels chosen
//!    │
//! plan.run(x, residual, y, scratch)         many: allocates nothing, the same bits every time
//!    │   output pixels split into tiles ──► threads (rayon's current pool, or the caller alone)
//!    ▼   for each tile
//! producer ──► A panels, in L2              copied rows · gathered taps · a depthwise convolution
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
//! # Element types
//! Input, output and weights are each of f32, f16 or bf16 ([`ElementType`]), in any combination;
//! [`Options`] says which, and the views and weights carry their type. The arithmetic is f32 throughout:
//! 16-bit elements become f32 as they are loaded, exactly, and an output is rounded once, when it is stored,
//! to the nearest, of two the even one. A 16-bit plan therefore gives the bits of the f32 plan of the same
//! numbers, rounded. Biases are of f32. Subnormal f16 are numbers like all others; a subnormal bf16 is a
//! subnormal f32.
//!
//! # Levels
//! [`Level`] lists them. A plan runs on the best one available unless [`Options::level`] or the
//! variable `SEPCONV_LEVEL` asks for another.
//!
//! # Features
//! `rayon` (default): plans split their work over rayon's current pool. `std` (default): run-time
//! detection of CPU features. `half`: 16-bit operands as slices of `half::f16` and `half::bf16`; without it
//! they are given by their bits. `ndarray`: [`NhwcView`] and [`NhwcViewMut`] by `try_from` of that crate's
//! views. Without `std` the crate is `no_std` + `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod activation;
mod depthwise;
mod detect;
mod element;
mod epilogue;
mod error;
mod fma_loop;
mod gemm;
mod geometry;
#[cfg(feature = "half")]
mod half;
mod layers;
mod level;
mod memory;
pub mod naive;
#[cfg(feature = "ndarray")]
mod ndarray;
mod options;
mod params;
mod peak;
mod pixels;
mod pool;
mod rows;
mod simd;
mod table;
mod tensor;
mod threads;
mod view;

pub use activation::Activation;
pub use element::{ElementType, Elements, ElementsMut};
pub use error::{Error, Result};
pub use geometry::{Padding, Window};
pub use layers::conv::{Conv, Dense, Pointwise};
pub use layers::depthwise::Depthwise;
pub use layers::elementwise::{Elementwise, convert};
pub use layers::plan::Plan;
pub use layers::pool::{GlobalAveragePool, Pool};
pub use layers::separable::Separable;
pub use level::Level;
pub use memory::Aligned;
pub use options::{Arithmetic, Options};
pub use params::{
    ConvParams, DenseParams, DepthwiseParams, PointwiseParams, PoolKind, SeparableParams,
};
pub use peak::burn_fma;
pub use table::{Kernel, kernels};
pub use threads::{available_threads, on_this_thread};
pub use view::{NhwcView, NhwcViewMut};
