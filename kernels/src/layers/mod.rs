//! The public layers. Weights are packed once, a [`Packed`](packed::Packed); a plan for a shape is
//! made from them; [`Plan::run`](plan::Plan::run) then only computes.

pub(crate) mod binary;
pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
mod layer;
pub(crate) mod normalization;
pub(crate) mod packed;
pub(crate) mod pixelwise;
pub(crate) mod plan;
pub(crate) mod pool;
pub(crate) mod separable;
pub(crate) mod transposed;
