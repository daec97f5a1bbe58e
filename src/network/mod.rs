//! Networks as data, plans for them, and sessions that run the plans.
//!
//! A [`Network`] lists named nodes. A [`NetworkPlan`] is a network prepared for one input shape:
//! shapes are checked, operations fused, weights packed. [`NetworkPlan::resized`] makes plans for
//! more shapes that share the packed weights. A [`Session`] has the memory of a run.
//! Each file takes one step on the way from a network to numbers:
//!
//! | file | contents |
//! |---|---|
//! | `graph` | [`Network`]: named nodes, as Keras lists layers |
//! | `shape` | the shape of every node's value, by checked arithmetic |
//! | `flow` | the values to compute: live nodes, no identities, sums of two |
//! | `fuse` | steps: a kernel with its batch norm, residual and activations |
//! | `layout` | the buffer of each stored value |
//! | `arena` | the place of each buffer in one slice; buffers of different lifetimes share it |
//! | `depth_first` | groups of steps that take turns, some rows each |
//! | `turns` | the list of these turns |
//! | `affine` | weights as looked up, with batch norm folded into them |
//! | `integers` | what 8-bit integers stand for, in a step's values and weights |
//! | `tensors` | the names and shapes of each operation's weights |
//! | `pack` | a step's weights for inputs of any size, packed |
//! | `compile` | a step's kernel for one size |
//! | `plain` | loops for what has no kernel |
//! | `step` | the kernel with its operands: the unit of running |
//! | `plan` | [`NetworkPlan`]: all of the above, immutable and shareable |
//! | `schedule` | the turns and the arena for a number of threads |
//! | `session` | [`Session`]: a plan's memory; runs without allocating |
//! | `classes` | [`Classes`]: what a classifier's output means |
//! | `verify` | [`spot_check`]: sampled outputs against naive loops |
//!
//! And to a network of 8-bit integers from one of f32:
//!
//! | file | contents |
//! |---|---|
//! | `fold` | the network without batch norms behind layers |
//! | `assign` | which values are rounded, and by whose range |
//! | `observe` | how the numbers of a value are distributed, and the range that follows |
//! | `noise` | errors of layers by themselves, signal to noise |
//! | `sensitivity` | which layers to keep in f32 |
//! | `calibrate` | [`Calibration`]: all of these |

mod affine;
mod arena;
mod assign;
mod calibrate;
mod classes;
mod compile;
mod depth_first;
mod flow;
mod fold;
mod fuse;
mod graph;
mod integers;
mod layout;
mod noise;
mod observe;
mod pack;
mod plain;
mod plan;
mod recorder;
mod schedule;
mod sensitivity;
mod session;
mod shape;
mod step;
mod tensors;
mod turns;
mod verify;

pub use crate::resample::Interpolation;
#[cfg(feature = "keras")]
pub(crate) use affine::standardization;
pub use calibrate::{Calibration, QuantizeOptions, Quantized, QuantizedLayer};
pub use classes::Classes;
pub use depth_first::DepthFirst;
pub use graph::{Border, Network, Node, NodeId, Op, Output, OutputKind};
pub use observe::RangeRule;
pub use plan::{NetworkPlan, PlanOptions};
pub use recorder::ThreadTime;
pub use session::{Session, StepTime};
#[cfg(any(feature = "keras", feature = "tflite"))]
pub(crate) use shape::{Picture, infer_picture};
pub use step::StepInfo;
pub(crate) use tensors::{output_channels, tensors};
pub use verify::{SpotCheck, spot_check};
