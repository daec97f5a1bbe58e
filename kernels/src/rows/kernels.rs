//! The instances of a row kernel.

use crate::rows::kernel::RowArgs;

pub(crate) type RowFn = unsafe fn(&RowArgs);

/// The instances of one row kernel, by the number of pixels they hold.
#[derive(Debug)]
pub(crate) struct RowKernels {
    /// The kernel's name: operation, type, tile, level.
    pub(crate) name: &'static str,
    /// (pixels, instance), most pixels first; the last holds one pixel.
    pub(crate) tiles: &'static [(usize, RowFn)],
    /// The instance for one pixel whose kernel columns are not all inside the input.
    pub(crate) border: RowFn,
}
