//! 8-bit integers: quantized inputs, outputs and weights, i32 sums, the same bits on every level.
//!
//! Sums are exact, so that any order of the products gives the same. What is rounded is written
//! once more in [`naive::requantize`](crate::naive::requantize).
//!
//! The GEMM is that of f32 ([`crate::gemm`]): what its micro-kernels take for an f32 of A and of B
//! is a group of two or four integers along k, and what they leave in scratch are sums of i32. The
//! producers are others. Padding is the input's zero point, not left out, so that all output pixels
//! are alike. The zero point's share of a sum is the same for all pixels: it is in the bias.

pub(crate) mod depthwise;
pub(crate) mod im2row;
pub(crate) mod kernels;
pub(crate) mod layer;
pub(crate) mod pack;
pub(crate) mod pool;
pub(crate) mod quantization;
pub(crate) mod requantize;
pub(crate) mod tensor;
