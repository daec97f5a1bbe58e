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
/// # fn main() -> Result<()> {
/// let window = Window::new([1, 3]).padding(Padding::Same);
/// let weights = (&[1.0, 10.0, 100.0]).into();
/// let params = DepthwiseParams { window, multiplier: 1, weights, bias: None };
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
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let (window, weights) = (Window::new([3, 3]).padding(Padding::Same), vec![0.5; 9 * 16 * 2]);
    /// let params = DepthwiseParams { window, multiplier: 2, weights: (&weights).into(), bias: None };
    /// let plan = Depthwise::new([1, 19, 19, 16], &params, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 19, 19, 32]);
    /// let error = Depthwise::new([1, 19, 0, 16], &params, &Options::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "input width is 0; it must be at least 1");
    /// # Ok(())
    /// # }
    /// ```
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
