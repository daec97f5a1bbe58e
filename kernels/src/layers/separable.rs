//! Depthwise and pointwise in one: a GEMM whose producer is the depthwise convolution.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::activation::Activation;
use crate::depthwise::plan::{DepthwisePlan, PackedDepthwise, channels_out as depthwise_channels};
use crate::error::Result;
use crate::gemm::blocking::Depth;
use crate::gemm::plan::{GemmPlan, Problem};
use crate::gemm::producer::{DepthwiseProducer, Producer};
use crate::gemm::products::Products;
use crate::gemm::weights::PackedWeights;
use crate::geometry::{check_input, product};
use crate::int8::depthwise::DepthwiseWeights;
use crate::int8::layer::Int8Layer;
use crate::int8::quantization::NO_INTEGERS;
use crate::int8::tensor::{Int8Depthwise, Int8Windows};
use crate::layers::conv::products;
use crate::layers::layer::{HasLayer, Layer, Machine, count};
use crate::layers::packed::{Common, Packed, Packing};
use crate::layers::plan::Plan;
use crate::layout::TensorLayout;
use crate::options::Options;
use crate::params::{DepthwiseParams, SeparableParams};
use crate::pixels::Region;
use crate::planes::patch::PatchCopy;
use crate::rows::plan::InputSpec;
use crate::unpacked::Unpacked;

/// Output columns of a band, roughly: a tile of 120 pixels is 10 rows high and a multiple of the
/// 3×3 tiles' widths wide. Measured against 18, 24, 36, 48 and all columns at 147², 74², 37².
const BAND: usize = 12;
/// Where input or output are made of planes: wider, as lines of a plane are shared by fewer bands
/// then. Measured against 12, 40 and 60: with stride 2 a tenth off the time of 12, half as much at
/// 56² and 74².
const PLANES_BAND: usize = 24;
/// Most bands: each is listed, and looked through for each tile. Pictures wider than 294 have wider
/// ones.
const MAX_BANDS: usize = 24;

/// Depthwise then pointwise as one: the tensor between them is made in the GEMM's A panel, tile by
/// tile, and never stored. Same bits as a [`Depthwise`](crate::Depthwise) and a
/// [`Pointwise`](crate::Pointwise) plan one after the other.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let window = Window::new([3, 3]).padding(Padding::Same);
/// let depthwise = DepthwiseParams::new(window, &[1.0; 9]); // the sum over 3×3 pixels
/// let params = SeparableParams::new(depthwise, 2, &[1.0, 10.0]); // 1 channel to 2
/// let plan = Separable::new([1, 3, 3, 1], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 18], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[1.0; 9], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y[..2], [4.0, 40.0]); // in the corner
/// assert_eq!(y[8..10], [9.0, 90.0]); // in the middle
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Separable(Layer);

impl Separable {
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let (dw, pw) = (vec![0.5; 9 * 32], vec![0.5; 32 * 64]);
    /// let depthwise = DepthwiseParams::new(Window::new([3, 3]), &dw);
    /// let params = SeparableParams::new(depthwise, 64, &pw);
    /// let packed = Separable::pack(32, &params, &Options::default())?;
    /// let plans = [packed.plan([1, 19, 19])?, packed.plan([8, 10, 7])?];
    /// assert_eq!(plans[0].output_shape(), [1, 17, 17, 64]);
    /// assert_eq!(plans[1].output_shape(), [8, 8, 5, 64]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Zero or overflowing dimensions, weights or bias of the wrong length, an activation that
    /// makes no sense, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &SeparableParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        match PackedInt8::new(channels_in, params, options)? {
            Some(packing) => Ok(Packed::new(packing, Self)),
            None => PackedSeparable::new(channels_in, params, options)
                .map(|packing| Packed::new(packing, Self)),
        }
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(input: [usize; 4], params: &SeparableParams<'_>, options: &Options) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Separable {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Separable {}

#[derive(Debug)]
struct PackedSeparable {
    common: Common,
    depthwise: PackedDepthwise,
    mid_activation: Activation,
    pointwise: Arc<PackedWeights>,
    products: Products,
}

impl PackedSeparable {
    fn new(channels_in: usize, params: &SeparableParams<'_>, options: &Options) -> Result<Self> {
        let SeparableParams { ref depthwise, channels_out, weights, layout, bias, .. } = *params;
        let common = Common::new(channels_in, channels_out, depthwise.window, options)?;
        let spec = InputSpec {
            element: options.window_type(),
            activation: options.window_activation(),
            general: false,
        };
        let kernels = common.kernels.depthwise(spec.element, options.arithmetic);
        let depthwise = PackedDepthwise::new(kernels, channels_in, depthwise, spec)?;
        let kernels = &common.kernels.gemm;
        let products = products(kernels, weights, true, options)?;
        let depth = Depth { kernel: [1, 1], channels: depthwise.channels_out() };
        let unpacked = Unpacked { weights, layout, bias };
        let pointwise = PackedWeights::new(kernels, depth, 1, channels_out, unpacked, products)?;
        let (mid_activation, pointwise) = (params.mid_activation.checked()?, pointwise.into());
        Ok(Self { common, depthwise, mid_activation, pointwise, products })
    }
}

impl Packing for PackedSeparable {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        self.depthwise.weights_bytes() + self.pointwise.bytes()
    }

    fn plan(&self, size: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_out, window, ref options, .. } = self.common;
        let depthwise = self.depthwise.plan(size)?;
        let (input, made) = (depthwise.rows.input, depthwise.rows.output());
        let [n, oh, ow, channels] = made;
        let output = [n, oh, ow, channels_out];
        let taps = product("kernel elements", &window.kernel)?;
        let multiply_adds = count(made, taps).saturating_add(count(output, channels));
        let planes = |layout| (layout == TensorLayout::Nchw).then_some(&kernels.planes);
        let copy = PatchCopy::new(kernels, options);
        let output_planes = planes(options.output_layout);
        let regions = bands(&depthwise, copy.is_some(), output_planes.is_some());
        let activation = self.mid_activation;
        let producer = Producer::Depthwise(DepthwiseProducer { plan: depthwise, activation, copy });
        let depth = Depth { kernel: [1, 1], channels };
        let products = self.products;
        let problem = Problem { groups: 1, output, regions, depth, output_planes, products };
        let weights = self.pointwise.clone();
        let gemm = GemmPlan::new(&kernels.gemm, producer, weights, problem, options)?;
        let machine = Machine::Gemm(gemm);
        Ok(Layer::new(kernels, input, options, multiply_adds, machine))
    }
}

/// The regions of the output. Padding is the depthwise step's affair: to the GEMM all pixels are
/// alike. Yet they are split in bands, so that a tile of pixels is some rows high.
fn bands(depthwise: &DepthwisePlan, copies: bool, output_planes: bool) -> Vec<Region> {
    let [_, oh, ow, _] = depthwise.rows.output();
    let most = if depthwise.shares_rows() || copies { MAX_BANDS } else { 1 };
    let width = if copies || output_planes { PLANES_BAND } else { BAND };
    let bands = ((ow + width / 2) / width).clamp(1, most);
    bands_of(oh, ow, bands)
}

/// So many bands of an output of `oh`×`ow`, as wide as each other.
fn bands_of(oh: usize, ow: usize, bands: usize) -> Vec<Region> {
    // ow·band / bands, whose product could overflow.
    let edge = |band: usize| ow / bands * band + ow % bands * band / bands;
    let region = |band| Region {
        rows: 0..oh,
        columns: edge(band)..edge(band + 1),
        taps_y: 0..1,
        taps_x: 0..1,
    };
    (0..bands).map(region).collect()
}

/// Pixels of a tile of 8-bit integers, roughly, and the least in whole rows that are worth it.
const INT8_TILE: [usize; 2] = [120, 96];

/// The bands of an output `ow` wide of 8-bit integers of which so many rows are computed at once:
/// the fewest, each of which begins with columns that its neighbour has, too, whose tiles have
/// about as many pixels as tiles of any.
fn int8_bands(ow: usize, rows: usize) -> usize {
    let [most, least] = INT8_TILE;
    if rows == 1 {
        return 1;
    }
    let pixels = |bands: &usize| {
        let width = ow.div_ceil(*bands);
        most / (width * rows) * (width * rows)
    };
    let enough = (1..=MAX_BANDS.min(ow)).find(|bands| pixels(bands) >= least);
    enough.unwrap_or_else(|| ow.div_ceil(most / rows).clamp(1, MAX_BANDS))
}

/// Of 8-bit integers.
#[derive(Debug)]
struct PackedInt8 {
    common: Common,
    depthwise: Int8Layer,
    multiplier: usize,
    weights: Arc<DepthwiseWeights>,
    pointwise: Int8Layer,
    pointwise_weights: Arc<PackedWeights>,
}

impl PackedInt8 {
    /// None if nothing is of integers.
    fn new(
        channels_in: usize,
        params: &SeparableParams<'_>,
        options: &Options,
    ) -> Result<Option<Self>> {
        let SeparableParams { ref depthwise, channels_out, weights, layout, bias, .. } = *params;
        let common = Common::new(channels_in, channels_out, depthwise.window, options)?;
        // The tensor between the two has the type of the input.
        let (mid, quantization) = (options.input_type, params.mid_quantization);
        let of_pointwise =
            options.input_quantization(quantization).input_activation(Activation::None);
        let kernels = common.kernels;
        let first =
            Int8Layer::with_weights(kernels, depthwise.weights, depthwise.quantized, options)?;
        let second = Int8Layer::with_weights(kernels, weights, params.quantized, &of_pointwise)?;
        let ((layer, quantized), (pointwise, of_weights)) = match (first, second) {
            (None, None) => return Ok(None),
            (Some(first), Some(second)) => (first, second),
            _ => return Err(NO_INTEGERS),
        };
        let layer = layer.to(mid, quantization, params.mid_activation)?;
        let pointwise = pointwise.by_tiles_if_asked(options)?;
        let DepthwiseParams { window, multiplier, weights: dw, layout: dw_layout, .. } = *depthwise;
        let channels = depthwise_channels(channels_in, multiplier)?;
        let unpacked = Unpacked { weights: dw, layout: dw_layout, bias: depthwise.bias };
        let packing = layer.weights(quantized);
        let lanes = layer.kernels.lanes;
        let dw = DepthwiseWeights::new(lanes, window.kernel, channels, unpacked, &packing)?;
        let depth = Depth { kernel: [1, 1], channels };
        let (unpacked, packing) =
            (Unpacked { weights, layout, bias }, pointwise.weights(of_weights));
        let pw = PackedWeights::int8(&kernels.gemm, depth, 1, channels_out, unpacked, &packing)?;
        let (weights, pointwise_weights) = (dw.into(), pw.into());
        let depthwise = layer;
        Ok(Some(Self { common, depthwise, multiplier, weights, pointwise, pointwise_weights }))
    }
}

impl Packing for PackedInt8 {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        self.weights.bytes() + self.pointwise_weights.bytes()
    }

    fn plan(&self, [n, h, w]: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_in, channels_out, ref window, ref options } = self.common;
        let input = [n, h, w, channels_in];
        check_input(input)?;
        let windows = Int8Windows::new(self.depthwise, input, window)?;
        let depthwise = Int8Depthwise::new(windows, self.multiplier, self.weights.clone())?;
        let made = depthwise.output();
        let [_, oh, ow, channels] = made;
        let output = [n, oh, ow, channels_out];
        let taps = product("kernel elements", &window.kernel)?;
        let multiply_adds = count(made, taps).saturating_add(count(output, channels));
        let bands = int8_bands(ow, depthwise.rows);
        let of_planes = self.common.planes(options.input_layout, input).is_some();
        let producer = Producer::Int8Depthwise(depthwise.of_planes(of_planes));
        let regions = bands_of(oh, ow, bands);
        let depth = Depth { kernel: [1, 1], channels };
        let products = Products::Int8(self.pointwise);
        let output_planes = self.common.planes(options.output_layout, output);
        let problem = Problem { groups: 1, output, regions, depth, output_planes, products };
        let weights = self.pointwise_weights.clone();
        let gemm = GemmPlan::new(&kernels.gemm, producer, weights, problem, options)?;
        let machine = Machine::Gemm(gemm);
        Ok(Layer::new(kernels, input, options, multiply_adds, machine))
    }
}
