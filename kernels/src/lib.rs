#![doc = include_str!("../README.md")]
//! # How it works
//! ```text
//! NhwcView (slice + shape + pixel stride: bounds proven once)
//!    │
//! Separable::pack(channels, params, options)   once: parameters checked, weights packed
//!    │
//! packed.plan([n, h, w])                       for each shape: geometry checked, kernels chosen
//!    │
//! plan.run(x, residual, y, scratch)            many times: allocates nothing, the same bits every time
//!    │   output pixels split into tiles ──► threads (rayon's current pool, or the caller alone)
//!    ▼   for each tile
//! producer ──► A panels, in L2              copied rows · gathered taps · a depthwise convolution
//!    ▼
//! GEMM micro-kernel                         one body, one instance per level
//!    ▼
//! epilogue on the accumulators              residual, activation
//! ```
//! NCHW inputs are transposed on their way into the panels, NCHW outputs on their way out of them.
//!
//! [`linking`] is for authors of engines: what planning costs, what may be dropped, how scratch
//! grows.
//!
//! # Numerics
//! Every output element is one chain of fused multiply-adds in a fixed order (bias, then taps and
//! channels ascending), so that all levels, any number of threads, fused or apart give the same
//! bits; only NaNs may differ from each other. Padding is left out of sums, never multiplied by
//! zero. Subnormal weights and biases become zeros of their sign when packed. ReLU and clamps let
//! NaN and −0 through.
//!
//! This is [`Arithmetic::Exact`], the default. [`Arithmetic::Unfused`], which rounds products
//! before it adds them, for CPUs without fused multiply-adds, and [`Arithmetic::Bf16`] are other
//! functions, likewise with the same bits on all levels. [`Arithmetic::Fast`] depends on the CPU.
//!
//! The floating-point environment is never touched, and the bits are promised for the default one:
//! round to nearest, subnormal numbers kept. It belongs to a thread. If something has set the
//! calling thread to flush subnormals to zero (FTZ, DAZ; loading a C library built with
//! `-ffast-math` does), then a run there has zeros where other threads have subnormal numbers.
//!
//! # Threads, locks and processes
//! With the feature `rayon` a run shares out its work over rayon's current pool and waits for it.
//! Meanwhile rayon may have the waiting thread run any other task of the pool. If that task wants a
//! lock that the run is inside of, such as a `Mutex` around the scratch, it hangs; a thread-local
//! `RefCell` is borrowed twice. A task of the pool therefore runs plans inside
//! [`on_this_thread`] while it has a lock or a borrow, or has a scratch of its own and needs
//! neither: the plan itself can be shared.
//!
//! ```
//! # use std::sync::Mutex;
//! # use rayon::prelude::*;
//! # use sepconv_kernels::*;
//! # fn main() -> Result<(), Error> {
//! # let plan = Pointwise::new([1, 1, 1, 1], &PointwiseParams::new(1, &[2.0]), &Options::default())?;
//! let scratch = Mutex::new(vec![0.0; plan.scratch_len(1)]);
//! let mut outputs = [[0.0]; 100];
//! outputs.par_iter_mut().try_for_each(|y| {
//!     let x = NhwcView::new(&[3.0], plan.input_shape())?;
//!     let y = NhwcViewMut::new(y, plan.output_shape())?;
//!     let mut scratch = scratch.lock().unwrap();
//!     on_this_thread(|| plan.run(x, None, y, &mut scratch)) // not plan.run(…) alone
//! })?;
//! assert_eq!(outputs, [[6.0]; 100]);
//! # Ok(())
//! # }
//! ```
//!
//! A child of `fork` has none of its parent's threads, so that a run in a pool of the parent's,
//! rayon's global one included, hangs there. The child runs plans inside [`on_this_thread`], or in
//! a pool that it builds.
//!
//! # Element types
//! Input, output and weights are each of f32, f16 or bf16 ([`ElementType`]), in any combination;
//! [`Options`] says which, and the views and weights carry their type. All arithmetic is f32.
//! 16-bit elements are converted to f32 exactly as they are loaded. An output is rounded once, when
//! it is stored: to nearest, ties to even. A 16-bit plan therefore gives the bits of the f32 plan
//! on the same numbers, rounded. Biases are f32. Subnormal f16 values are ordinary numbers; a
//! subnormal bf16 is a subnormal f32.
//!
//! With weights of i8, inputs are of u8 or i8, and outputs of u8, i8 or f32. An integer q stands
//! for scale · (q − zero point) ([`Quantization`]); the weights of each output channel have a scale
//! of their own ([`QuantizedWeights`]). Products and sums are exact, in i32: a plan whose sums i32
//! might not hold is refused with [`Error::Sums`]. An output is rounded once, as
//! [`naive::requantize`] defines it; the tensor between the halves of a separable layer is one,
//! too. Padding stands for 0. [`Elementwise`] turns f32 into integers and back.
//!
//! # Levels
//! [`Level`] lists the instruction-set levels. A plan uses the best one available unless
//! [`Options::level`] or the environment variable `SEPCONV_LEVEL` selects another. Tile registers
//! (AMX) are no level: see [`Amx`].
//!
//! # Features
//! - `rayon` (default): plans split their work over rayon's current pool.
//! - `std` (default): CPU features are detected at run time. Without it the crate is `no_std` +
//!   `alloc`.
//! - `f16-bf16` (default): inputs, outputs and weights of f16 and bf16. Without it they are refused
//!   with [`Error::ElementTypeUnavailable`], and the crate compiles in 0.6 of the time.
//! - `bf16` (default): [`Arithmetic::Bf16`], implies `f16-bf16`. Without it a plan that asks for it
//!   is refused with [`Error::ArithmeticUnavailable`].
//! - `unfused` (default): [`Arithmetic::Unfused`]. Without it a plan that asks for it is refused
//!   likewise.
//! - `int8` (default): inputs, outputs and weights of 8-bit integers. Without it they are refused
//!   likewise.
//! - `half`: implies `f16-bf16`; 16-bit operands are slices of `half::f16` and `half::bf16`.
//!   Without it they are slices of bits.
//! - `ndarray`: [`NhwcView`] and [`NhwcViewMut`] convert from that crate's views by `try_from`.
#![cfg_attr(not(feature = "std"), no_std)]
// docs.rs shows which items need which feature.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod activation;
mod amx;
mod arithmetic;
mod depthwise;
mod detect;
mod element;
mod epilogue;
mod error;
mod fma_loop;
mod functions;
mod gemm;
mod geometry;
#[cfg(feature = "half")]
mod half;
mod int8;
mod layers;
mod layout;
mod level;
mod lines;
mod memory;
pub mod linking {
    #![doc = include_str!("../docs/linking.md")]
}
pub mod naive;
mod names;
#[cfg(feature = "ndarray")]
mod ndarray;
mod options;
mod params;
mod peak;
mod pixels;
mod pixelwise;
mod planes;
mod pool;
mod rows;
mod simd;
mod table;
mod tensor;
mod threads;
mod transposed;
mod unpacked;
mod view;

pub use activation::Activation;
pub use amx::{Amx, assume_amx};
pub use arithmetic::Arithmetic;
pub use element::{ElementType, Elements, ElementsMut};
pub use error::Error;
pub use geometry::{Padding, TransposedPadding, TransposedWindow, Window};
pub use int8::quantization::{Quantization, QuantizedWeights};
pub use layers::binary::Binary;
pub use layers::conv::{Conv, Dense, Pointwise};
pub use layers::depthwise::Depthwise;
pub use layers::elementwise::{Elementwise, convert};
pub use layers::normalization::Normalization;
pub use layers::packed::Packed;
pub use layers::pixelwise::{DepthToSpace, Resize, Softmax};
pub use layers::plan::Plan;
pub use layers::pool::{GlobalAveragePool, Pool};
pub use layers::separable::Separable;
pub use layers::transposed::TransposedConv;
pub use layout::{TensorLayout, WeightLayout};
pub use level::Level;
pub use memory::Aligned;
pub use options::Options;
pub use params::{
    BinaryOp, ConvParams, Coordinates, DenseParams, DepthOrder, DepthwiseParams, Interpolation,
    NormalizationKind, NormalizationParams, PointwiseParams, PoolKind, SeparableParams,
    TransposedParams,
};
pub use peak::burn_multiply_adds;
pub use table::{Kernel, kernels};
pub use threads::{
    CallingThread, Scratch, Threads, available_threads, current_threads, on_this_thread,
};
pub use view::{NhwcView, NhwcViewMut};
