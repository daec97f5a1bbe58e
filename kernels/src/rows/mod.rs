//! What treats channels by themselves, row by row: what depthwise convolutions and pools have in
//! common.

pub(crate) mod kernel;
pub(crate) mod kernels;
pub(crate) mod plan;
pub(crate) mod weights;
