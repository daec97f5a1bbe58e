//! The layers that are a GEMM: they differ in their producer and nothing else.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use super::{
    Arithmetic, ConvParams, DenseParams, Options, Plan, PointwiseParams, SeparableParams, check,
    choose, count, runs,
};
use crate::error::{Error, Result};
use crate::gemm::kernels::{DotKernels, GemmKernels};
use crate::gemm::{Depth, GemmPlan, Problem};
use crate::geometry::{check_input, product};
use crate::panel::{PackedWeights, Region, Source, Taps};
use crate::table::Kernels;
use crate::window::{Ends, WindowPlan};
use crate::{ElementType, Elements, Level, NhwcView, NhwcViewMut, Window};

/// Output columns of a band, roughly: a tile of 120 pixels is 10 rows high and a multiple of the strips'
/// widths wide. Measured against 18, 24, 36, 48 and all columns at 147², 74², 37².
const BAND: usize = 12;
/// Most bands: each is listed, and looked through for each tile. Pictures wider than 294 have wider ones.
const MAX_BANDS: usize = 24;

/// A GEMM plan and what [`Plan`] reports of it.
#[derive(Debug)]
struct Layer {
    kernels: &'static Kernels,
    gemm: GemmPlan,
    input: [usize; 4],
    name: String,
    multiply_adds: u64,
}

/// The kernels for dot products of bf16 if they are asked for, the weights are bf16, and the CPU has them.
fn dot(
    kernels: &'static GemmKernels,
    weights: Elements<'_>,
    options: &Options,
) -> Option<&'static DotKernels> {
    let asked = options.arithmetic == Arithmetic::Fast;
    let fitting = asked && weights.element_type() == ElementType::Bf16;
    kernels.dot.as_ref().filter(|dot| fitting && (dot.is_available)())
}

/// Convolution of groups of channels by copied taps: the common form of [`Conv`], [`Pointwise`], [`Dense`].
fn convolution(input: [usize; 4], params: &ConvParams<'_>, options: &Options) -> Result<Layer> {
    let kernels = choose(options)?;
    check_input(input)?;
    let ConvParams { window, groups, channels_out, weights, bias } = *params;
    for (what, value) in [("groups", groups), ("output channels", channels_out)] {
        if value == 0 {
            return Err(Error::ZeroDimension { what });
        }
    }
    if !input[3].is_multiple_of(groups) || !channels_out.is_multiple_of(groups) {
        return Err(Error::Groups { groups, channels_in: input[3], channels_out });
    }
    let vertical = window.axis(0, input[1])?;
    let horizontal = window.axis(1, input[2])?;
    let output = [input[0], vertical.output, horizontal.output, channels_out];
    let group = input[3] / groups;
    let depth = Depth { kernel: window.kernel, channels: group };
    let single = window.kernel == [1, 1] && groups == 1;
    let dot = dot(&kernels.gemm, weights, options).filter(|_| single);
    let packed = PackedWeights::new(
        &kernels.gemm,
        depth.product()?,
        groups,
        channels_out / groups,
        weights,
        bias,
        dot.is_some(),
    )?;
    let source = Source::Taps(Taps {
        input,
        vertical,
        horizontal,
        group,
        element: options.input_type,
        input_activation: options.input_activation.checked()?,
    });
    // After the weights: their length bounds the kernel, and that bounds the number of regions.
    let regions = Region::all(&vertical, &horizontal);
    let multiply_adds = count(output, depth.product()?);
    let problem = Problem { groups, output, regions, depth, dot };
    let gemm = GemmPlan::new(&kernels.gemm, source, packed, problem, options)?;
    Ok(Layer { kernels, name: gemm.name(), gemm, input, multiply_adds })
}

fn separable(input: [usize; 4], params: &SeparableParams<'_>, options: &Options) -> Result<Layer> {
    let kernels = choose(options)?;
    let ends =
        Ends { input: options.input_type, input_activation: options.input_activation, any: false };
    let depthwise =
        WindowPlan::depthwise(kernels.input(options.input_type), input, &params.depthwise, ends)?;
    if params.channels_out == 0 {
        return Err(Error::ZeroDimension { what: "output channels" });
    }
    let [n, oh, ow, channels] = depthwise.output();
    let output = [n, oh, ow, params.channels_out];
    let SeparableParams { channels_out, weights, bias, .. } = *params;
    let dot = dot(&kernels.gemm, weights, options);
    let packed =
        PackedWeights::new(&kernels.gemm, channels, 1, channels_out, weights, bias, dot.is_some())?;
    let taps = product("kernel elements", &params.depthwise.window.kernel)?;
    let multiply_adds = count([n, oh, ow, channels], taps).saturating_add(count(output, channels));
    let depthwise_name = depthwise.kernel_name();
    // Padding is the depthwise step's affair: to the GEMM all pixels are alike. Yet they are split in
    // bands, so that a tile of pixels is some rows high.
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
    let source = Source::Depthwise(depthwise, params.mid_activation.checked()?);
    let depth = Depth { kernel: [1, 1], channels };
    let problem = Problem { groups: 1, output, regions, depth, dot };
    let gemm = GemmPlan::new(&kernels.gemm, source, packed, problem, options)?;
    let name = format!("{depthwise_name}+{}", gemm.name());
    Ok(Layer { kernels, gemm, input, name, multiply_adds })
}

macro_rules! layer {
    (
        $(#[$doc:meta])* $name:ident, new: { $(#[$new:meta])* }
        $params:ty, |$input:ident, $p:ident, $options:ident| $body:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Layer);

        impl $name {
            /// Checks, packs, chooses. `input` is \[N, H, W, C\].
            ///
            $(#[$new])*
            ///
            /// # Errors
            /// Zero or overflowing dimensions, a kernel larger than the padded input, weights or bias
            /// of the wrong length, an unavailable level.
            pub fn new($input: [usize; 4], $p: &$params, $options: &Options) -> Result<Self> {
                $body.map(Self)
            }
        }

        impl Plan for $name {
            fn input_shape(&self) -> [usize; 4] {
                self.0.input
            }

            fn output_shape(&self) -> [usize; 4] {
                self.0.gemm.output()
            }

            fn input_type(&self) -> ElementType {
                self.0.gemm.input_type()
            }

            fn output_type(&self) -> ElementType {
                self.0.gemm.output_type()
            }

            fn level(&self) -> Level {
                self.0.kernels.level
            }

            fn kernel_name(&self) -> &str {
                &self.0.name
            }

            fn weights_bytes(&self) -> usize {
                self.0.gemm.weights_bytes()
            }

            fn multiply_adds(&self) -> u64 {
                self.0.multiply_adds
            }

            fn scratch_len(&self, threads: usize) -> usize {
                self.0.gemm.scratch_len(threads)
            }

            fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
                self.0.gemm.input_rows(&rows)
            }

            runs!(|plan: &Self, rows, x, residual, y, scratch| {
                plan.0.gemm.run(rows, x, residual, y, scratch)
            });
        }
    };
}

layer! {
    /// A standard k×k convolution, optionally in groups: an im2row made tile by tile, then the GEMM.
    ///
    /// Each output is one chain of fused multiply-adds: bias, then taps (ky, kx) and channels ascending.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let (window, weights) = (Window::new([2, 2]), [1.0, 2.0, 3.0, 4.0]);
    /// let params = ConvParams { window, groups: 1, channels_out: 1, weights: (&weights).into(), bias: None };
    /// let plan = Conv::new([1, 2, 2, 1], &params, &Options::default())?;
    /// let (mut y, mut scratch) = ([0.0; 1], vec![0.0; plan.scratch_len(1)]);
    /// let x = NhwcView::new(&[5.0, 6.0, 7.0, 8.0], plan.input_shape())?;
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [70.0]); // 1·5 + 2·6 + 3·7 + 4·8
    /// # Ok(())
    /// # }
    /// ```
    Conv,
    new: {
        /// ```
        /// # use sepconv_kernels::*;
        /// # fn main() -> Result<()> {
        /// let (window, weights) = (Window::new([3, 3]).stride([2, 2]), vec![0.5; 9 * 3 * 32]);
        /// let mut params =
        ///     ConvParams { window, groups: 1, channels_out: 32, weights: (&weights).into(), bias: None };
        /// let plan = Conv::new([1, 299, 299, 3], &params, &Options::default())?;
        /// assert_eq!(plan.output_shape(), [1, 149, 149, 32]);
        /// params.groups = 2;
        /// let error = Conv::new([1, 299, 299, 3], &params, &Options::default()).unwrap_err();
        /// assert_eq!(error, Error::Groups { groups: 2, channels_in: 3, channels_out: 32 });
        /// # Ok(())
        /// # }
        /// ```
    }
    ConvParams<'_>, |input, params, options| convolution(input, params, options)
}

layer! {
    /// A 1×1 convolution across channels, with any stride.
    ///
    /// Each output is one chain of fused multiply-adds: bias, then channels ascending.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let weights = [1.0, 10.0]; // 2 channels to 1
    /// let params =
    ///     PointwiseParams { stride: [1, 1], channels_out: 1, weights: (&weights).into(), bias: None };
    /// let plan = Pointwise::new([1, 1, 3, 2], &params, &Options::default())?;
    /// let (mut y, mut scratch) = ([0.0; 3], vec![0.0; plan.scratch_len(1)]);
    /// let x = NhwcView::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], plan.input_shape())?;
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [21.0, 43.0, 65.0]);
    /// # Ok(())
    /// # }
    /// ```
    Pointwise,
    new: {
        /// ```
        /// # use sepconv_kernels::*;
        /// # fn main() -> Result<()> {
        /// let weights = vec![0.5; 64 * 128];
        /// let params =
        ///     PointwiseParams { stride: [2, 2], channels_out: 128, weights: (&weights).into(), bias: None };
        /// let plan = Pointwise::new([1, 147, 147, 64], &params, &Options::default())?;
        /// assert_eq!(plan.output_shape(), [1, 74, 74, 128]);
        /// # Ok(())
        /// # }
        /// ```
    }
    PointwiseParams<'_>, |input, params, options| {
        let PointwiseParams { stride, channels_out, weights, bias } = *params;
        let window = Window::new([1, 1]).stride(stride);
        convolution(input, &ConvParams { window, groups: 1, channels_out, weights, bias }, options)
    }
}

layer! {
    /// Depthwise then pointwise as one: the tensor between them is made in the GEMM's A panel, tile by
    /// tile, and never stored. Same bits as a [`Depthwise`](super::Depthwise) and a [`Pointwise`] plan
    /// one after the other.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let depthwise =
    /// #     DepthwiseParams { window, multiplier: 1, weights: (&[1.0; 9]).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// let weights = (&[1.0, 10.0]).into(); // after a sum over 3×3 pixels (SAME): 1 channel to 2
    /// let params = SeparableParams { depthwise, mid_activation, channels_out: 2, weights, bias: None };
    /// let plan = Separable::new([1, 3, 3, 1], &params, &Options::default())?;
    /// let (mut y, mut scratch) = ([0.0; 18], vec![0.0; plan.scratch_len(1)]);
    /// let x = NhwcView::new(&[1.0; 9], plan.input_shape())?;
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y[..2], [4.0, 40.0]); // in the corner
    /// assert_eq!(y[8..10], [9.0, 90.0]); // in the middle
    /// # Ok(())
    /// # }
    /// ```
    Separable,
    new: {
        /// ```
        /// # use sepconv_kernels::*;
        /// # let window = Window::new([3, 3]).padding(Padding::Same);
        /// let (dw, pw) = (vec![0.5; 9 * 32], vec![0.5; 32 * 64]);
        /// let depthwise = DepthwiseParams { window, multiplier: 2, weights: (&dw).into(), bias: None };
        /// # let mid_activation = Activation::None;
        /// # let weights = (&pw).into();
        /// let params = SeparableParams { depthwise, mid_activation, channels_out: 64, weights, bias: None };
        /// let error = Separable::new([1, 19, 19, 16], &params, &Options::default()).err();
        /// assert_eq!(error, None);
        /// let error = Separable::new([1, 19, 19, 32], &params, &Options::default()).unwrap_err();
        /// assert_eq!(error.to_string(), "depthwise weights has 288 elements, needs 576");
        /// ```
    }
    SeparableParams<'_>, |input, params, options| separable(input, params, options)
}

layer! {
    /// A fully connected layer: input \[N, 1, 1, C\], output \[N, 1, 1, O\].
    ///
    /// An input with H or W above 1 is treated pixel by pixel, as Keras does.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let weights = [1.0, 2.0, 10.0, 20.0]; // [C, O]
    /// let params = DenseParams { channels_out: 2, weights: (&weights).into(), bias: Some(&[0.0, 0.5]) };
    /// let plan = Dense::new([1, 1, 1, 2], &params, &Options::default())?;
    /// let (mut y, mut scratch) = ([0.0; 2], vec![0.0; plan.scratch_len(1)]);
    /// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [43.0, 86.5]);
    /// # Ok(())
    /// # }
    /// ```
    Dense,
    new: {
        /// ```
        /// # use sepconv_kernels::*;
        /// # fn main() -> Result<()> {
        /// let weights = vec![0.5; 2048 * 10];
        /// let params = DenseParams { channels_out: 10, weights: (&weights).into(), bias: None };
        /// let plan = Dense::new([8, 1, 1, 2048], &params, &Options::default())?; // 8 pictures
        /// assert_eq!(plan.output_shape(), [8, 1, 1, 10]);
        /// let error = Dense::new([8, 1, 1, 1024], &params, &Options::default()).unwrap_err();
        /// assert_eq!(error.to_string(), "weights has 20480 elements, needs 10240");
        /// # Ok(())
        /// # }
        /// ```
    }
    DenseParams<'_>, |input, params, options| {
        let DenseParams { channels_out, weights, bias } = *params;
        let window = Window::new([1, 1]);
        convolution(input, &ConvParams { window, groups: 1, channels_out, weights, bias }, options)
    }
}
