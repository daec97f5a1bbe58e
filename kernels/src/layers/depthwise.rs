//! The depthwise convolution.

use alloc::sync::Arc;

use crate::depthwise::plan::{PackedDepthwise, channels_out};
use crate::error::Result;
use crate::geometry::{check_input, product};
use crate::int8::depthwise::DepthwiseWeights;
use crate::int8::layer::Int8Layer;
use crate::int8::tensor::{Int8Depthwise, Int8Windows, Operation};
use crate::layers::layer::{HasLayer, Layer, count};
use crate::layers::packed::{Common, Packed, Packing};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::DepthwiseParams;
use crate::rows::plan::InputSpec;
use crate::tensor::Channelwise;
use crate::unpacked::Unpacked;

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
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, weights or bias of the wrong length, an activation that
    /// makes no sense, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &DepthwiseParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        let channels_out = channels_out(channels_in, params.multiplier)?;
        let common = Common::new(channels_in, channels_out, params.window, options)?;
        let DepthwiseParams { window, multiplier, weights, layout, bias, quantized } = *params;
        let int8 = Int8Layer::with_weights(common.kernels, weights, quantized, options)?;
        if let Some((layer, quantized)) = int8 {
            let unpacked = Unpacked { weights, layout, bias };
            let packing = layer.weights(quantized);
            let (lanes, kernel) = (layer.kernels.lanes, window.kernel);
            let weights =
                DepthwiseWeights::new(lanes, kernel, channels_out, unpacked, &packing)?.into();
            let packed = PackedInt8 { common, layer, multiplier, weights };
            return Ok(Packed::new(packed, Self));
        }
        let spec = InputSpec::of(options);
        let kernels = common.kernels.depthwise(spec.element, options.arithmetic);
        let weights = PackedDepthwise::new(kernels, channels_in, params, spec)?;
        Ok(Packed::new(PackedTensor { common, weights }, Self))
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(input: [usize; 4], params: &DepthwiseParams<'_>, options: &Options) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Depthwise {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Depthwise {}

#[derive(Debug)]
struct PackedTensor {
    common: Common,
    weights: PackedDepthwise,
}

impl Packing for PackedTensor {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        self.weights.weights_bytes()
    }

    fn plan(&self, size: [usize; 3]) -> Result<Layer> {
        let Common { kernels, window, options, .. } = &self.common;
        let plan = self.weights.plan(size)?;
        let taps = product("kernel elements", &window.kernel)?;
        let (input, multiply_adds) = (plan.rows.input, count(plan.rows.output(), taps));
        let operation = Channelwise::Depthwise(plan);
        Layer::channelwise(kernels, input, operation, options, multiply_adds)
    }
}

/// Of 8-bit integers.
#[derive(Debug)]
struct PackedInt8 {
    common: Common,
    layer: Int8Layer,
    multiplier: usize,
    weights: Arc<DepthwiseWeights>,
}

impl Packing for PackedInt8 {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn plan(&self, [n, h, w]: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_in, ref window, ref options, .. } = self.common;
        let input = [n, h, w, channels_in];
        check_input(input)?;
        let windows = Int8Windows::new(self.layer, input, window)?;
        let plan = Int8Depthwise::new(windows, self.multiplier, self.weights.clone())?;
        let taps = product("kernel elements", &window.kernel)?;
        let multiply_adds = count(plan.output(), taps);
        let operation = Operation::Depthwise(plan);
        Layer::int8(kernels, input, operation, options, multiply_adds)
    }
}
