//! The depthwise convolution.

use crate::depthwise::plan::DepthwisePlan;
use crate::error::Result;
use crate::geometry::product;
use crate::layers::layer::{HasLayer, Layer, choose, count};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::DepthwiseParams;
use crate::rows::plan::InputSpec;
use crate::tensor::Channelwise;

/// A k×k convolution of each channel by itself.
///
/// Each output is one chain of fused multiply-adds: bias, then taps (ky, kx) ascending.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let window = Window::new([1, 3]).padding(Padding::Same);
/// let params = DepthwiseParams::new(window, &[1.0, 10.0, 100.0]);
/// let plan = Depthwise::new([1, 1, 3, 1], &params, &Options::default())?;
/// let mut y = [0.0; 3];
/// let x = NhwcView::new(&[1.0, 2.0, 3.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [210.0, 321.0, 32.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Depthwise(Layer);

impl Depthwise {
    /// Checks the shape, packs the weights and chooses kernels. `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a kernel larger than the padded input, weights or bias of
    /// the wrong length, an unavailable level.
    pub fn new(input: [usize; 4], params: &DepthwiseParams<'_>, options: &Options) -> Result<Self> {
        let kernels = choose(options)?;
        let spec = InputSpec::of(options);
        let plan = DepthwisePlan::new(kernels.depthwise(options.input_type), input, params, spec)?;
        let taps = product("kernel elements", &params.window.kernel)?;
        let multiply_adds = count(plan.rows.output(), taps);
        let operation = Channelwise::Depthwise(plan);
        Layer::channelwise(kernels, input, operation, options, multiply_adds).map(Self)
    }
}

impl HasLayer for Depthwise {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Depthwise {}
