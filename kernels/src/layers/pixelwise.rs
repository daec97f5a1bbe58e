//! Up-sampling, depth to space, softmax: what makes each pixel of a few whole ones.

use crate::error::{Error, Result};
use crate::geometry::{check_input, product};
use crate::layers::layer::{HasLayer, Layer, Machine, choose};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::{Coordinates, DepthOrder, Interpolation};
use crate::pixelwise::axis::{blocks, resized};
use crate::pixelwise::plan::{PixelOperation, PixelwisePlan};

/// A picture of another size: nearest or bilinear, of any ratio.
///
/// Each output is one chain: the first input pixel times its weight, then fused multiply-adds of
/// the others, row by row. The weight of a pixel is that of its row times that of its column,
/// rounded. An input pixel that an output lies on is copied; one of weight 0 is left out.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default();
/// let resized = |interpolation, coordinates| -> Result<[f32; 4], Error> {
///     let plan = Resize::new([1, 1, 2, 1], [1, 4], interpolation, coordinates, &options)?;
///     let mut y = [0.0; 4];
///     let x = NhwcView::new(&[1.0, 5.0], plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
///     Ok(y)
/// };
/// assert_eq!(resized(Interpolation::Nearest, Coordinates::HalfPixel)?, [1.0, 1.0, 5.0, 5.0]);
/// assert_eq!(resized(Interpolation::Bilinear, Coordinates::HalfPixel)?, [1.0, 2.0, 4.0, 5.0]);
/// assert_eq!(resized(Interpolation::Bilinear, Coordinates::Asymmetric)?, [1.0, 3.0, 5.0, 5.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resize(Layer);

impl Resize {
    /// Checks the shape and chooses kernels. `input` is \[N, H, W, C\], `size` the output's \[H,
    /// W\].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, integers, NCHW, an activation or a scale of the input, an
    /// unavailable level.
    pub fn new(
        input: [usize; 4],
        size: [usize; 2],
        interpolation: Interpolation,
        coordinates: Coordinates,
        options: &Options,
    ) -> Result<Self> {
        check_input(input)?;
        for (what, extent) in ["output height", "output width"].into_iter().zip(size) {
            if extent == 0 {
                return Err(Error::ZeroDimension { what });
            }
        }
        let [n, h, w, c] = input;
        let output = [n, size[0], size[1], c];
        product("output elements", &output)?;
        let of = |input, output| resized(input, output, interpolation, coordinates);
        let (rows, columns) = (of(h, size[0])?, of(w, size[1])?);
        resampled(
            input,
            output,
            PixelOperation::Resample { rows, columns, channel_step: 1 },
            options,
        )
        .map(Self)
    }
}

impl HasLayer for Resize {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Resize {}

/// Channels to pixels: \[N, H, W, B·B·C\] to \[N, H·B, W·B, C\].
///
/// Output pixel (y·B + i, x·B + j) is made of channels of input pixel (y, x): see [`DepthOrder`].
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default();
/// let shuffled = |order| -> Result<[f32; 8], Error> {
///     let plan = DepthToSpace::new([1, 1, 1, 8], 2, order, &options)?;
///     let (x, mut y) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0; 8]);
///     let x = NhwcView::new(&x, plan.input_shape())?;
///     plan.run(x, None, NhwcViewMut::new(&mut y, [1, 2, 2, 2])?, &mut [])?;
///     Ok(y)
/// };
/// assert_eq!(shuffled(DepthOrder::BlockFirst)?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
/// assert_eq!(shuffled(DepthOrder::ChannelFirst)?, [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DepthToSpace(Layer);

impl DepthToSpace {
    /// Checks the shape and chooses kernels. `input` is \[N, H, W, C\], of which B² divides C.
    ///
    /// # Errors
    /// Zero or overflowing dimensions, channels that B² does not divide, integers, NCHW, an
    /// activation or a scale of the input, an unavailable level.
    pub fn new(
        input: [usize; 4],
        block: usize,
        order: DepthOrder,
        options: &Options,
    ) -> Result<Self> {
        check_input(input)?;
        if block == 0 {
            return Err(Error::ZeroDimension { what: "block" });
        }
        let [n, h, w, channels] = input;
        let pixels = product("pixels of a block", &[block, block])?;
        if !channels.is_multiple_of(pixels) {
            return Err(Error::Block { block, channels });
        }
        let c = channels / pixels;
        // There are as many elements as in the input.
        let output = [n, h * block, w * block, c];
        let (row_step, column_step, channel_step) = match order {
            DepthOrder::BlockFirst => (block * c, c, 1),
            DepthOrder::ChannelFirst => (block, 1, pixels),
        };
        let (rows, columns) = (blocks(h, block, row_step)?, blocks(w, block, column_step)?);
        resampled(input, output, PixelOperation::Resample { rows, columns, channel_step }, options)
            .map(Self)
    }
}

impl HasLayer for DepthToSpace {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for DepthToSpace {}

/// The softmax of each pixel over its channels: exp(x − max) / Σ exp(x − max).
///
/// Exponentials, those of [`Activation::Exponential`](crate::Activation::Exponential), are added up
/// in 16 partial sums, channel c to number c mod 16, and these in ascending order. A pixel with a
/// NaN or +∞ is all NaN.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let plan = Softmax::new([1, 1, 2, 2], &Options::default())?;
/// let mut y = [0.0; 4];
/// let x = NhwcView::new(&[3.0, 3.0, 0.0, -200.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [0.5, 0.5, 1.0, 0.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Softmax(Layer);

impl Softmax {
    /// Checks the shape and chooses kernels. `shape` is \[N, H, W, C\] of input and output.
    ///
    /// # Errors
    /// Zero or overflowing dimensions, integers, NCHW, an activation or a scale of the input, an
    /// unavailable level.
    pub fn new(shape: [usize; 4], options: &Options) -> Result<Self> {
        check_input(shape)?;
        resampled(shape, shape, PixelOperation::Softmax, options).map(Self)
    }
}

impl HasLayer for Softmax {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Softmax {}

/// The pixelwise layer that all of these are.
fn resampled(
    input: [usize; 4],
    output: [usize; 4],
    operation: PixelOperation,
    options: &Options,
) -> Result<Layer> {
    let kernels = choose(options)?;
    let plan = PixelwisePlan::new(&kernels.pixelwise, output, operation, options)?;
    Ok(Layer::new(kernels, input, options, 0, Machine::Pixelwise(plan)))
}
