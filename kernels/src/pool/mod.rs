//! Pools, and what is done element by element: the maximum over single elements.

pub(crate) mod kernels;
pub(crate) mod plan;
pub(crate) mod row;
