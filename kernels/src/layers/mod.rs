//! The public plans. Each checks, packs and chooses once; [`Plan::run`](plan::Plan::run) then only
//! computes.

pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
mod layer;
pub(crate) mod plan;
pub(crate) mod pool;
pub(crate) mod separable;
