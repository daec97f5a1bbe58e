//! What makes each output pixel of a few whole input pixels: resampling, softmax over channels.

pub(crate) mod axis;
pub(crate) mod plan;
pub(crate) mod resample;
pub(crate) mod softmax;

use crate::pixelwise::resample::ResampleRun;
use crate::pixelwise::softmax::SoftmaxRun;

/// The kernels of a level, for elements of any type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PixelwiseKernels {
    pub(crate) resample_name: &'static str,
    pub(crate) resample: unsafe fn(&ResampleRun),
    pub(crate) softmax_name: &'static str,
    pub(crate) softmax: unsafe fn(&SoftmaxRun),
}
