//! Depthwise convolutions.

pub(crate) mod k3x3;
pub(crate) mod kernels;
pub(crate) mod plan;
pub(crate) mod row;
