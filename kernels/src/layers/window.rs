//! The layers that treat each channel by itself.

use core::ops::Range;

use super::{DepthwiseParams, Options, Plan, PoolKind, check, choose, count, runs};
use crate::activation::{ActivateRun, Activation};
use crate::error::{Error, Result};
use crate::geometry::{check_input, product};
use crate::table::Kernels;
use crate::threads::{self, Shared, SharedMut};
use crate::window::{
    Ends, Finish, Pixel, Placement, Places, Rectangle, Residual, Sink, WindowPlan,
};
use crate::{ElementType, Elements, ElementsMut, Level, NhwcView, NhwcViewMut, Window};

/// Most output rows of a task, half as many with stride 2: about ten input rows, of which some share an
/// L1 set where a row's bytes are a multiple of 4 KiB. Of an input row that two tasks use, one reads it a
/// second time. Measured against 4 and 16 at 147², 74², 37².
const STRIP_ROWS: usize = 8;

/// A window plan that writes a tensor, and what [`Plan`] reports of it.
#[derive(Debug)]
struct Layer {
    kernels: &'static Kernels,
    window: WindowPlan,
    output: ElementType,
    activation: Activation,
    multiply_adds: u64,
}

impl Layer {
    fn new(
        kernels: &'static Kernels,
        window: WindowPlan,
        options: &Options,
        multiply_adds: u64,
    ) -> Result<Self> {
        let (output, activation) = (options.output_type, options.activation.checked()?);
        Ok(Self { kernels, window, output, activation, multiply_adds })
    }

    /// Computes the output rows `all` of each picture, one task per strip of them. x has the input rows from `top`
    /// on that are needed, y and the residual these output rows alone.
    fn run(
        &self,
        all: Range<usize>,
        (x, top): (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
    ) -> Result<()> {
        let window = &self.window;
        let kernels = self.kernels;
        let [n, _, ow, channels] = window.output();
        let height = all.len();
        let (x_data, x) = (Shared(x.pointer()), Placement::new(x.shape(), x.pixel_stride(), top));
        let of_output = |shape, stride| Placement::new(shape, stride, all.start);
        let (y_data, y) = (SharedMut(y.pointer()), of_output(y.shape(), y.pixel_stride()));
        let residual =
            residual.map(|r| (Shared(r.pointer()), of_output(r.shape(), r.pixel_stride())));
        let bounds = self.activation.bounds();
        let (inside, after) = match bounds {
            Some(_) => (Activation::None, Activation::None),
            None if self.output == ElementType::F32 => (Activation::None, self.activation),
            None => (self.activation, Activation::None),
        };
        let workers = threads::available();
        let strips = strips(n, height, STRIP_ROWS / window.vertical.stride.min(2), workers);
        let tasks = n * strips;
        let strip = |task: usize| {
            // Whole structs are captured, not their pointer fields: only they are Send.
            let (x_data, y_data, residual) = (&x_data, &y_data, &residual);
            let task = threads::adjacent(task, tasks, workers);
            let (picture, strip) = (task / strips, task % strips);
            let rows = height * strip / strips..height * (strip + 1) / strips;
            let rows = all.start + rows.start..all.start + rows.end;
            let at = Rectangle { picture, rows, columns: 0..ow };
            let sink = Sink {
                y: y_data.0.add(y.of(at.first())),
                places: Places::Grid { row: y.row(), pixel: y.pixel },
                block: kernels.gemm.lanes,
            };
            let finish = Finish {
                residual: residual.as_ref().map(|(data, r)| Residual {
                    data: data.0.add(r.of(at.first())),
                    pixel: r.pixel,
                    row: r.row(),
                }),
                bounds: bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
                activation: inside,
            };
            // The strip that this thread is likely to take next.
            let next = Some(Pixel { picture, row: at.rows.end, column: 0 });
            // SAFETY: the views have the plan's shapes, with the rows that are needed; each task writes its own
            // output rows.
            unsafe { window.run((x_data.0, x), &at, next, &sink, &finish) };
            if after != Activation::None {
                for pixel in 0..at.rows.len() * ow {
                    // SAFETY: the channels of an output pixel, of f32, that this task has just written.
                    unsafe {
                        let y = sink.y.add(pixel * y.pixel).at.cast();
                        (kernels.activate)(&ActivateRun {
                            x: y,
                            count: channels,
                            activation: after,
                        });
                    }
                }
            }
        };
        threads::for_each(tasks, workers, &mut [], 0, &|task, _| strip(task));
        Ok(())
    }
}

/// How many strips the rows of each of `n` pictures are divided into: of `rows` rows at most; for several workers at least
/// two for each, so that one that is held up can leave some to others, and as many for each where there are enough rows.
/// More strips read more rows twice: with four for each of two workers 10²·1536 takes 1.2 (AVX-512) and 1.35 (AVX2) of
/// the time, with four for one worker 1.1 and 1.05.
fn strips(n: usize, height: usize, rows: usize, workers: usize) -> usize {
    let wanted = if workers > 1 { (2 * workers).div_ceil(n) } else { 1 };
    let even = if n.is_multiple_of(workers) { 1 } else { workers };
    let most = if height < even { height } else { height - height % even };
    height.div_ceil(rows).max(wanted).next_multiple_of(even).min(most)
}

macro_rules! plan {
    ($name:ident) => {
        impl Plan for $name {
            fn input_shape(&self) -> [usize; 4] {
                self.0.window.input
            }

            fn output_shape(&self) -> [usize; 4] {
                self.0.window.output()
            }

            fn input_type(&self) -> ElementType {
                self.0.window.element
            }

            fn output_type(&self) -> ElementType {
                self.0.output
            }

            fn level(&self) -> Level {
                self.0.kernels.level
            }

            fn kernel_name(&self) -> &str {
                self.0.window.kernel_name()
            }

            fn weights_bytes(&self) -> usize {
                self.0.window.weights_bytes()
            }

            fn multiply_adds(&self) -> u64 {
                self.0.multiply_adds
            }

            /// None is needed, whatever the number of threads.
            fn scratch_len(&self, _threads: usize) -> usize {
                0
            }

            fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
                self.0.window.vertical.covered(&rows)
            }

            runs!(|plan: &Self, rows, x, residual, y, _| plan.0.run(rows, x, residual, y));
        }
    };
}

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
    /// Checks, packs, chooses. `input` is \[N, H, W, C\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let (window, weights) = (Window::new([3, 3]).padding(Padding::Same), vec![0.5; 9 * 16 * 2]);
    /// let params = DepthwiseParams { window, multiplier: 2, weights: (&weights).into(), bias: None };
    /// let plan = Depthwise::new([1, 19, 19, 16], &params, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 19, 19, 32]);
    /// let error = Depthwise::new([1, 19, 0, 16], &params, &Options::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "input width is 0, must be at least 1");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a kernel larger than the padded input, weights or bias of the
    /// wrong length, an unavailable level.
    pub fn new(input: [usize; 4], params: &DepthwiseParams<'_>, options: &Options) -> Result<Self> {
        let kernels = choose(options)?;
        let from = kernels.input(options.input_type);
        let window = WindowPlan::depthwise(from, input, params, Ends::of(options))?;
        let taps = product("kernel elements", &params.window.kernel)?;
        let multiply_adds = count(window.output(), taps);
        Layer::new(kernels, window, options, multiply_adds).map(Self)
    }
}

plan!(Depthwise);

/// A max or average pool; padding takes part in neither.
///
/// The average is the sum of the taps in order (ky, kx), rounded after each addition, divided by their
/// number.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
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
    /// Checks and chooses. `input` is \[N, H, W, C\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
    /// let plan = Pool::new([1, 147, 147, 128], PoolKind::Max, window, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 74, 74, 128]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Zero or overflowing dimensions, a window larger than the padded input, an unavailable level.
    pub fn new(
        input: [usize; 4],
        kind: PoolKind,
        window: Window,
        options: &Options,
    ) -> Result<Self> {
        let kernels = choose(options)?;
        let from = kernels.input(options.input_type);
        let window = WindowPlan::pool(from, kind, input, &window, Ends::of(options))?;
        Layer::new(kernels, window, options, 0).map(Self)
    }
}

plan!(Pool);

/// The mean over height and width: \[N, H, W, C\] to \[N, 1, 1, C\].
///
/// An average pool whose window is the picture: summed row by row, rounded after each addition.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
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
    /// Checks and chooses. `input` is \[N, H, W, C\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let plan = GlobalAveragePool::new([8, 10, 10, 2048], &Options::default())?;
    /// assert_eq!(plan.output_shape(), [8, 1, 1, 2048]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Zero or overflowing dimensions, an unavailable level.
    pub fn new(input: [usize; 4], options: &Options) -> Result<Self> {
        check_input(input)?;
        let window = Window::new([input[1], input[2]]);
        Pool::new(input, PoolKind::Average, window, options).map(|pool| Self(pool.0))
    }
}

plan!(GlobalAveragePool);

/// x itself: with a residual an addition, with an activation that activation, without either a copy
/// between views.
///
/// A max pool over single elements, which leaves every value as it is.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
/// let options = Options { activation: Activation::Relu, ..Options::default() };
/// let plan = Elementwise::new([1, 1, 1, 3], &options)?;
/// let mut y = [0.0; 3];
/// let x = NhwcView::new(&[1.0, 2.0, 3.0], plan.input_shape())?;
/// let residual = NhwcView::new(&[0.5, -2.5, -3.0], plan.output_shape())?;
/// plan.run(x, Some(residual), NhwcViewMut::new(&mut y, plan.output_shape())?, &mut [])?;
/// assert_eq!(y, [1.5, 0.0, 0.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Elementwise(Layer);

impl Elementwise {
    /// Checks and chooses. `shape` is \[N, H, W, C\] of input and output.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let plan = Elementwise::new([1, 19, 19, 728], &Options::default())?;
    /// assert_eq!((plan.input_shape(), plan.output_shape()), ([1, 19, 19, 728], [1, 19, 19, 728]));
    /// assert_eq!(plan.multiply_adds(), 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Zero or overflowing dimensions, an unavailable level.
    pub fn new(shape: [usize; 4], options: &Options) -> Result<Self> {
        Pool::new(shape, PoolKind::Max, Window::new([1, 1]), options).map(|pool| Self(pool.0))
    }
}

plan!(Elementwise);

/// `y[i] = x[i]`, rounded to `y`'s type as the outputs of plans are; on the level, [`Level::from_env`] when
/// none. For weights and tensors outside of plans, which convert by themselves.
///
/// ```
/// use sepconv_kernels::{Elements, ElementsMut, convert};
///
/// let mut bits = [0; 3];
/// convert(Elements::F32(&[1.0, -0.1, 65_520.0]), ElementsMut::F16(&mut bits), None)?;
/// assert_eq!(bits, [0x3c00, 0xae66, 0x7c00]);
/// # Ok::<(), sepconv_kernels::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`]: they have different lengths. An unavailable level.
pub fn convert(x: Elements<'_>, y: ElementsMut<'_>, level: Option<Level>) -> Result<()> {
    let (expected, actual) = (x.len(), y.len());
    if expected != actual {
        return Err(Error::Length { what: "output", expected, actual });
    }
    if expected == 0 {
        return Ok(());
    }
    let (input_type, output_type) = (x.element_type(), y.element_type());
    let options = Options { level, input_type, output_type, ..Options::default() };
    let plan = Elementwise::new([1, 1, 1, expected], &options)?;
    let shape = plan.output_shape();
    plan.run(NhwcView::new(x, shape)?, None, NhwcViewMut::new(y, shape)?, &mut [])
}

#[cfg(test)]
mod tests {
    use super::strips;

    #[test]
    fn strips_are_a_few_for_each_worker() {
        // n, height, workers: strips of at most 8 rows.
        for (case, expected) in [
            ((1, 10, 1), 2),
            ((1, 7, 1), 1),
            ((1, 10, 2), 4),
            ((1, 37, 2), 6),
            ((1, 147, 2), 20),
            // Too few rows for two each: one each, as a second for some would be waited for by all.
            ((1, 19, 16), 16),
            ((1, 7, 16), 7),
            ((1, 1, 2), 1),
            ((2, 19, 2), 3),
            ((3, 19, 2), 4),
            ((64, 7, 16), 1),
        ] {
            let (n, height, workers) = case;
            assert_eq!(strips(n, height, 8, workers), expected, "{case:?}");
        }
    }
}
