//! Convolutions over all channels: a GEMM whose producer copies taps of the input.

use alloc::sync::Arc;
use alloc::vec;

use crate::amx::Amx;
use crate::arithmetic::Arithmetic;
use crate::element::{ElementType, Elements};
use crate::error::{Error, Result};
use crate::gemm::blocking::Depth;
use crate::gemm::im2row::Im2row;
use crate::gemm::kernels::GemmKernels;
use crate::gemm::plan::{GemmPlan, Problem};
use crate::gemm::producer::Producer;
use crate::gemm::products::Products;
use crate::gemm::weights::PackedWeights;
use crate::geometry::{Axis, Window};
use crate::int8::im2row::Int8Im2row;
use crate::int8::layer::Int8Layer;
use crate::layers::layer::{HasLayer, Layer, Machine, count};
use crate::layers::packed::{Common, Packed, Packing};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::{ConvParams, DenseParams, PointwiseParams};
use crate::pixels::Region;
use crate::unpacked::Unpacked;

/// A standard k×k convolution, optionally in groups: an im2row made tile by tile, then the GEMM;
/// or the GEMM alone, which reads the taps of f32 in the input where its rows are long.
///
/// Each output is one chain of fused multiply-adds: bias, then taps (ky, kx) and channels
/// ascending.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let (window, weights) = (Window::new([2, 2]), [1.0, 2.0, 3.0, 4.0]);
/// let params = ConvParams::new(window, 1, &weights);
/// let plan = Conv::new([1, 2, 2, 1], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[5.0, 6.0, 7.0, 8.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [70.0]); // 1·5 + 2·6 + 3·7 + 4·8
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Conv(Layer);

impl Conv {
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, groups that don't divide the channels, weights
    /// or bias of the wrong length, an activation that makes no sense, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &ConvParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        PackedConv::new(channels_in, params, options).map(|packing| Packed::new(packing, Self))
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(input: [usize; 4], params: &ConvParams<'_>, options: &Options) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Conv {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Conv {}

/// A 1×1 convolution across channels, with any stride.
///
/// Each output is one chain of fused multiply-adds: bias, then channels ascending.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 10.0]; // 2 channels to 1
/// let params = PointwiseParams::new(1, &weights);
/// let plan = Pointwise::new([1, 1, 3, 2], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 3], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [21.0, 43.0, 65.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pointwise(Layer);

impl Pointwise {
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, weights or bias of the wrong length, an activation that
    /// makes no sense, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &PointwiseParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        let PointwiseParams { stride, channels_out, weights, layout, bias, quantized } = *params;
        let window = Window::new([1, 1]).stride(stride);
        let groups = 1;
        let params = ConvParams { window, groups, channels_out, weights, layout, bias, quantized };
        PackedConv::new(channels_in, &params, options).map(|packing| Packed::new(packing, Self))
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(input: [usize; 4], params: &PointwiseParams<'_>, options: &Options) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Pointwise {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Pointwise {}

/// A fully connected layer: input \[N, 1, 1, C\], output \[N, 1, 1, O\].
///
/// An input with H or W above 1 is treated pixel by pixel, as Keras does.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let weights = [1.0, 2.0, 10.0, 20.0]; // [C, O]
/// let params = DenseParams::new(2, &weights).bias(&[0.0, 0.5]);
/// let plan = Dense::new([1, 1, 1, 2], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 2], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [43.0, 86.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dense(Layer);

impl Dense {
    /// Packs the weights for inputs of C channels and any size: see [`Packed`].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, weights or bias of the wrong length, an activation that
    /// makes no sense, an unavailable level.
    pub fn pack(
        channels_in: usize,
        params: &DenseParams<'_>,
        options: &Options,
    ) -> Result<Packed<Self>> {
        let DenseParams { channels_out, weights, layout, bias, quantized } = *params;
        let window = Window::new([1, 1]);
        let groups = 1;
        let params = ConvParams { window, groups, channels_out, weights, layout, bias, quantized };
        PackedConv::new(channels_in, &params, options).map(|packing| Packed::new(packing, Self))
    }

    /// [`pack`](Self::pack), then [`plan`](Packed::plan). `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Those of both.
    pub fn new(input: [usize; 4], params: &DenseParams<'_>, options: &Options) -> Result<Self> {
        let [n, h, w, channels_in] = input;
        Self::pack(channels_in, params, options)?.plan([n, h, w])
    }
}

impl HasLayer for Dense {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Dense {}

/// How a GEMM of these weights multiplies. In the arithmetic bf16: by tile registers if they are
/// asked for and the process may use them, else by multiply-adds of bf16 if the CPU has them. In
/// `Fast`: by dot products of bf16 if the weights are bf16 of a `single` tap and the CPU has them.
pub(super) fn products(
    kernels: &'static GemmKernels,
    weights: Elements<'_>,
    single: bool,
    options: &Options,
) -> Result<Products> {
    let amx = options.asks_for_amx()?;
    let fitting = single && weights.element_type() == ElementType::Bf16;
    let dot = kernels.dot().filter(|dot| fitting && (dot.is_available)());
    let pairs = kernels.bf16_pairs.as_ref();
    let pairs = pairs.filter(|pairs| options.armv8_6 && (pairs.is_available)());
    Ok(match (options.arithmetic, dot, &kernels.tiles, &kernels.bf16) {
        (Arithmetic::Bf16, _, Some(tiles), _) if amx && Amx::request() == Amx::Granted => {
            Products::Tiles(tiles)
        }
        (Arithmetic::Bf16, _, _, Some(bf16)) => {
            pairs.map_or(Products::Bf16(bf16), Products::Bf16Pairs)
        }
        (Arithmetic::Fast, Some(dot), ..) => Products::Dot(dot),
        (arithmetic, ..) => Products::Chain(kernels.chain(arithmetic)),
    })
}

/// Convolution of groups of channels by copied taps, packed: the common form of [`Conv`],
/// [`Pointwise`], [`Dense`].
#[derive(Debug)]
pub(super) struct PackedConv {
    common: Common,
    groups: usize,
    depth: Depth,
    weights: Arc<PackedWeights>,
    products: Products,
}

impl PackedConv {
    pub(super) fn new(
        channels_in: usize,
        params: &ConvParams<'_>,
        options: &Options,
    ) -> Result<Self> {
        let ConvParams { window, groups, channels_out, weights, layout, bias, quantized } = *params;
        if groups == 0 {
            return Err(Error::ZeroDimension { what: "groups" });
        }
        let common = Common::new(channels_in, channels_out, window, options)?;
        if !channels_in.is_multiple_of(groups) || !channels_out.is_multiple_of(groups) {
            return Err(Error::Groups { groups, channels_in, channels_out });
        }
        let kernels = &common.kernels.gemm;
        let depth = Depth { kernel: window.kernel, channels: channels_in / groups };
        let single = window.kernel == [1, 1] && groups == 1;
        let unpacked = Unpacked { weights, layout, bias };
        let columns = channels_out / groups;
        let int8 = Int8Layer::with_weights(common.kernels, weights, quantized, options)?;
        let (weights, products) = match int8 {
            Some((layer, quantized)) => {
                let layer = layer.by_tiles_if_asked(options)?;
                let int8 = layer.weights(quantized);
                let weights =
                    PackedWeights::int8(kernels, depth, groups, columns, unpacked, &int8)?;
                (weights, Products::Int8(layer))
            }
            None => {
                let products = products(kernels, weights, single, options)?;
                let weights =
                    PackedWeights::new(kernels, depth, groups, columns, unpacked, products)?;
                (weights, products)
            }
        };
        Ok(Self { common, groups, depth, weights: weights.into(), products })
    }

    /// For an input \[N, H, W, C\] that was checked, and axes of the window's kernel, stride and
    /// dilation; for a phase of a transposed convolution over a part of it.
    pub(super) fn gemm(
        &self,
        input: [usize; 4],
        axes: [Axis; 2],
        is_phase: bool,
    ) -> Result<GemmPlan> {
        let Self { groups, depth, products, .. } = *self;
        let Common { kernels, channels_out, options, .. } = self.common;
        let [vertical, horizontal] = axes;
        let output = [input[0], vertical.output, horizontal.output, channels_out];
        let group = depth.channels;
        let producer = match &products {
            Products::Int8(layer) => {
                let planes = self.common.planes(options.input_layout, input).is_some();
                let axes = [vertical, horizontal];
                Producer::Int8Im2row(Int8Im2row::new(*layer, input, axes, group, planes))
            }
            _ => Producer::Im2row(Im2row {
                input,
                vertical,
                horizontal,
                is_phase,
                group,
                element: options.input_type,
                input_activation: options.input_activation,
                scaled: options.input_scale,
                input_planes: self.common.planes(options.input_layout, input),
            }),
        };
        let regions = match products {
            Products::Int8(_) => vec![Region::padded(&vertical, &horizontal)],
            // Not too many: the length of the weights bounds the kernel, and that the regions.
            _ => Region::all(&vertical, &horizontal),
        };
        let output_planes = self.common.planes(options.output_layout, output);
        let problem = Problem { groups, output, regions, depth, output_planes, products };
        GemmPlan::new(&kernels.gemm, producer, self.weights.clone(), problem, &options)
    }
}

impl Packing for PackedConv {
    fn common(&self) -> &Common {
        &self.common
    }

    fn weights_bytes(&self) -> usize {
        self.weights.bytes()
    }

    fn plan(&self, [n, h, w]: [usize; 3]) -> Result<Layer> {
        let Common { kernels, channels_in, window, ref options, .. } = self.common;
        let input = [n, h, w, channels_in];
        let gemm = self.gemm(input, window.axes(input)?, false)?;
        let multiply_adds = count(gemm.output(), self.depth.product()?);
        Ok(Layer::new(kernels, input, options, multiply_adds, Machine::Gemm(gemm)))
    }
}
