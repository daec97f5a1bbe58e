//! Pools.

use crate::error::{Error, Result};
use crate::geometry::{Window, check_input};
use crate::int8::layer::Int8Layer;
use crate::int8::tensor::{Int8Windows, Operation};
use crate::layers::layer::{HasLayer, Layer, choose};
use crate::layers::plan::Plan;
use crate::options::Options;
use crate::params::PoolKind;
use crate::pool::plan::pool_plan;
use crate::rows::plan::InputSpec;
use crate::tensor::Channelwise;

/// A max or average pool. Padding is ignored by both.
///
/// The average is the sum of the taps inside the input, divided by their number, or if asked for by
/// that of all taps ([`PoolKind`]). Taps are added in the order (ky, kx), and each addition is
/// rounded.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let window = Window::new([1, 3]).padding(Padding::Same);
/// let plan = Pool::new([1, 1, 3, 1], PoolKind::Average, window, &Options::default())?;
/// let mut y = [0.0; 3];
/// let x = NhwcView::new(&[1.0, 2.0, 6.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [1.5, 3.0, 4.0]); // (1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6) / 2
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool(Layer);

impl Pool {
    /// Checks the shape and chooses kernels. `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a window larger than the padded input, an unavailable level.
    pub fn new(
        input: [usize; 4],
        kind: PoolKind,
        window: Window,
        options: &Options,
    ) -> Result<Self> {
        pool(input, kind, window, options).map(Self)
    }
}

impl HasLayer for Pool {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for Pool {}

/// The mean over height and width: \[N, H, W, C\] to \[N, 1, 1, C\].
///
/// It is an average pool whose window is the picture. Pixels are added row by row, and each
/// addition is rounded.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let plan = GlobalAveragePool::new([1, 2, 2, 2], &Options::default())?;
/// let mut y = [0.0; 2];
/// let x = NhwcView::new(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 6.0, 60.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [3.0, 30.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GlobalAveragePool(Layer);

impl GlobalAveragePool {
    /// Checks the shape and chooses kernels. `input` is \[N, H, W, C\].
    ///
    /// # Errors
    /// Zero or overflowing dimensions, an unavailable level.
    pub fn new(input: [usize; 4], options: &Options) -> Result<Self> {
        check_input(input)?;
        let window = Window::new([input[1], input[2]]);
        pool(input, PoolKind::Average, window, options).map(Self)
    }
}

impl HasLayer for GlobalAveragePool {
    fn layer(&self) -> &Layer {
        &self.0
    }
}

impl Plan for GlobalAveragePool {}

/// The pool that all of these are, and what is done element by element.
pub(super) fn pool(
    input: [usize; 4],
    kind: PoolKind,
    window: Window,
    options: &Options,
) -> Result<Layer> {
    let kernels = choose(options)?;
    if options.input_type.is_quantized() || options.output_type.is_quantized() {
        check_input(input)?;
        let layer = Int8Layer::new(kernels, options)?;
        if kind == PoolKind::AverageOfPadded {
            return Err(Error::Unsupported {
                what: "an average pool of integers can't count padding",
            });
        }
        let single = window.kernel == [1, 1] && kind == PoolKind::Max;
        if !options.input_type.is_quantized() && !single {
            return Err(Error::Unsupported { what: "a pool of numbers to integers" });
        }
        let windows = Int8Windows::new(layer, input, &window)?;
        let operation = Operation::Pool(windows, kind, options.input_type);
        return Layer::int8(kernels, input, operation, options, 0);
    }
    let spec = InputSpec::of(options);
    let plan = pool_plan(kernels.pool(spec.element), kind, input, &window, spec)?;
    Layer::channelwise(kernels, input, Channelwise::Pool(plan), options, 0)
}
