//! Depthwise and pointwise in one: a GEMM whose producer is the depthwise convolution.

use alloc::format;

use crate::depthwise::plan::DepthwisePlan;
use crate::error::{Error, Result};
use crate::gemm::blocking::Depth;
use crate::gemm::plan::{GemmPlan, Problem};
use crate::gemm::producer::Producer;
use crate::gemm::weights::PackedWeights;
use crate::geometry::product;
use crate::layers::conv::dot;
use crate::layers::layer::{HasLayer, Layer, Machine, choose, count};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::SeparableParams;
use crate::pixels::Region;
use crate::rows::plan::InputSpec;

/// Output columns of a band, roughly: a tile of 120 pixels is 10 rows high and a multiple of the
/// 3×3 tiles' widths wide. Measured against 18, 24, 36, 48 and all columns at 147², 74², 37².
const BAND: usize = 12;
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
    /// Checks the shape, packs the weights and chooses kernels. `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a kernel larger than the padded input, weights or bias of
    /// the wrong length, an unavailable level.
    pub fn new(input: [usize; 4], params: &SeparableParams<'_>, options: &Options) -> Result<Self> {
        let kernels = choose(options)?;
        let spec = InputSpec {
            element: options.input_type,
            activation: options.input_activation,
            general: false,
        };
        let depthwise = DepthwisePlan::new(
            kernels.depthwise(options.input_type),
            input,
            &params.depthwise,
            spec,
        )?;
        if params.channels_out == 0 {
            return Err(Error::ZeroDimension { what: "output channels" });
        }
        let [n, oh, ow, channels] = depthwise.rows.output();
        let output = [n, oh, ow, params.channels_out];
        let SeparableParams { channels_out, weights, bias, .. } = *params;
        let dot = dot(&kernels.gemm, weights, options);
        let packed = PackedWeights::new(
            &kernels.gemm,
            channels,
            1,
            channels_out,
            weights,
            bias,
            dot.is_some(),
        )?;
        let taps = product("kernel elements", &params.depthwise.window.kernel)?;
        let multiply_adds =
            count([n, oh, ow, channels], taps).saturating_add(count(output, channels));
        let depthwise_name = depthwise.kernel_name();
        // Padding is the depthwise step's affair: to the GEMM all pixels are alike. Yet they are
        // split in bands, so that a tile of pixels is some rows high.
        let most = if depthwise.shares_rows() { MAX_BANDS } else { 1 };
        let bands = ((ow + BAND / 2) / BAND).clamp(1, most);
        // ow·band / bands, whose product could overflow.
        let edge = |band: usize| ow / bands * band + ow % bands * band / bands;
        let regions = (0..bands)
            .map(|band| Region {
                rows: 0..oh,
                columns: edge(band)..edge(band + 1),
                taps_y: 0..1,
                taps_x: 0..1,
            })
            .collect();
        let producer = Producer::Depthwise(depthwise, params.mid_activation.checked()?);
        let depth = Depth { kernel: [1, 1], channels };
        let problem = Problem { groups: 1, output, regions, depth, dot };
        let gemm = GemmPlan::new(&kernels.gemm, producer, packed, problem, options)?;
        let name = format!("{depthwise_name}+{}", gemm.name());
        Ok(Self(Layer {
            level: kernels.level,
            input,
            output,
            input_type: options.input_type,
            output_type: options.output_type,
            name,
            multiply_adds,
            machine: Machine::Gemm(gemm),
        }))
    }
}

impl HasLayer for Separable {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Separable {}
