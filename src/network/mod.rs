//! A network as data → checked graph → plan with fused nodes and an arena → session.

mod graph;

pub use graph::{Network, Node, NodeId, Op};
