//! The kernels of depthwise convolutions, as one level has them for one type of the input.

use crate::depthwise::k3x3::Args3x3;
use crate::rows::kernels::{RowKernels, Tiles};

pub(crate) type Fn3x3 = unsafe fn(&Args3x3);

/// All of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DepthwiseKernels {
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    /// Of 3×3, multiplier 1, no dilation.
    pub(crate) k3x3: &'static [Stride3x3],
    /// Whether 3×3 tiles of [`PAIR`](crate::depthwise::k3x3::PAIR) columns take two vectors of
    /// channels at a time.
    pub(crate) pairs: bool,
    /// Of the usual kernel widths, multiplier 1. A kernel of single columns is as wide as it is
    /// high: its tiles lie along columns of the picture.
    pub(crate) dense: &'static [Dense],
    /// Of other kernel widths, from its own on.
    pub(crate) long: Option<Dense>,
    /// Of multiplier 1, the input as it is.
    pub(crate) as_is: RowKernels,
    /// Of multiplier 1, ReLU of the input.
    pub(crate) relu: RowKernels,
    /// Of any multiplier, any activation of input and output.
    pub(crate) general: RowKernels,
}

/// The 3×3 kernels for one stride.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stride3x3 {
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) as_is: Kernels3x3,
    /// ReLU of the input.
    pub(crate) relu: Kernels3x3,
}

/// The instances of a 3×3 kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels3x3 {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// For channels that fill vectors, by their columns of pixels.
    pub(crate) tiles: Tiles<Fn3x3>,
    /// For the channels that are left, fewer than a vector has lanes.
    pub(crate) tail: Tiles<Fn3x3>,
}

/// The kernels for one kernel width and stride along the width; with stride 1 for any dilation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) as_is: RowKernels,
    /// ReLU of the input.
    pub(crate) relu: RowKernels,
}
