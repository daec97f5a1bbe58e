//! A network as data → checked graph → plan with fused nodes and an arena → session.
//!
//! The way from a [`Network`] to numbers, one file each:
//!
//! | file | makes of it |
//! |---|---|
//! | `graph` | the network: named nodes, as Keras would list its layers |
//! | `shape` | the shape of every node's output, all arithmetic checked |
//! | `flow` | the values worth computing: live nodes, no identities, sums of two |
//! | `fuse` | steps of one kernel each: batch norm, residual and activations joined to it |
//! | `layout` | the buffer of each stored value |
//! | `arena` | the place of each buffer in one slice; buffers of different lifetimes share it |
//! | `depth_first` | groups of steps that take turns, some rows each |
//! | `turns` | the list of these turns |
//! | `tensors` | the names and shapes of each operation's weights |
//! | `compile` | a step's kernel: weights looked up, batch norm folded, packed |
//! | `functions` | softmax, sigmoid and others that no kernel computes, one definition each |
//! | `plain` | those and what moves pixels, as loops over values |
//! | `step` | the kernel with its operands: the unit of running |
//! | `plan` | [`NetworkPlan`]: all of the above, immutable and shareable |
//! | `schedule` | the turns and the arena for a number of threads |
//! | `session` | [`Session`]: a plan's memory; runs without allocating |
//! | `verify` | [`spot_check`]: sampled outputs against the naive loops |

mod arena;
mod compile;
mod depth_first;
mod flow;
mod functions;
mod fuse;
mod graph;
mod layout;
mod plain;
mod plan;
mod schedule;
mod session;
mod shape;
mod step;
mod tensors;
mod turns;
mod verify;

pub use crate::resample::Interpolation;
pub use depth_first::DepthFirst;
pub use functions::Function;
pub use graph::{Border, Network, Node, NodeId, Op, Output, OutputKind};
pub use plan::{NetworkPlan, PlanOptions};
pub use session::Session;
#[cfg(feature = "keras")]
pub(crate) use shape::infer;
pub use step::StepInfo;
pub(crate) use tensors::tensors;
pub use verify::{SpotCheck, spot_check};
