//! The kernels that treat channels by themselves, as one level has them for one type of the input.

use crate::window::kernel::WindowTile;
use crate::window::strip::StripTile;

pub(crate) type WindowFn = unsafe fn(&WindowTile);
pub(crate) type StripFn = unsafe fn(&StripTile);

/// All of them.
#[derive(Debug)]
pub(crate) struct InputKernels {
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    /// Depthwise 3×3, multiplier 1, no dilation.
    pub(crate) strips: &'static [Strips],
    /// Whether strips of [`PAIR`](crate::window::strip::PAIR) pixels take two vectors of channels at a time.
    pub(crate) pairs: bool,
    /// Depthwise, multiplier 1, no dilation along the width, for the usual kernels.
    pub(crate) sliding: &'static [Sliding],
    /// Depthwise, multiplier 1, input activation none.
    pub(crate) depthwise: WindowKernels,
    /// Depthwise, multiplier 1, ReLU of the input.
    pub(crate) depthwise_relu: WindowKernels,
    /// Depthwise, any multiplier, any activation of input and output.
    pub(crate) depthwise_any: WindowKernels,
    /// Max over the window, input activation none.
    pub(crate) max: WindowKernels,
    /// Max over the window, any activation of input and output.
    pub(crate) max_any: WindowKernels,
    /// Mean over the window, input activation none.
    pub(crate) average: WindowKernels,
    /// Mean over the window, any activation of input and output.
    pub(crate) average_any: WindowKernels,
}

/// The instances of one kernel by the number of pixels they hold.
#[derive(Debug)]
pub(crate) struct WindowKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, WindowFn)],
    /// The instance for one pixel whose kernel columns are not all inside the input.
    pub(crate) border: WindowFn,
}

/// The instances of the strip kernel.
#[derive(Debug)]
pub(crate) struct StripKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, StripFn)],
}

/// The strip kernels for one stride.
#[derive(Debug)]
pub(crate) struct Strips {
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) plain: StripKernels,
    /// ReLU of the input.
    pub(crate) relu: StripKernels,
}

/// The sliding depthwise kernels for one kernel width and stride along the width.
#[derive(Debug)]
pub(crate) struct Sliding {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// The input as it is.
    pub(crate) plain: WindowKernels,
    /// ReLU of the input.
    pub(crate) relu: WindowKernels,
}
