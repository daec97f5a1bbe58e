//! What every layer can do: [`Plan`], in terms of what all of them are, a
//! [`Layer`](super::layer::Layer).

use core::ops::Range;

use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::layers::layer::{HasLayer, Rows};
use crate::layout::TensorLayout;
use crate::level::Level;
use crate::threads::{self, Scratch, Threads};
use crate::view::{NhwcView, NhwcViewMut};

/// A prepared operation: shape checked, weights packed, kernels chosen.
///
/// A plan owns packed weights, or shares those of a [`Packed`](crate::Packed): the original ones
/// can be dropped. It is immutable and `Send + Sync`: several
/// threads can run one plan at the same time, each with its own scratch. The same operands give the
/// same bits on every call, on any level and any number of threads.
///
/// A level without fused multiply-adds ([`Level::has_fma`]) emulates them in convolutions and dense
/// layers, and takes many times as long as in [`Arithmetic::Unfused`](crate::Arithmetic::Unfused),
/// for which [`Options::arithmetic`](crate::Options::arithmetic) asks.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default();
/// let layers: [Box<dyn Plan>; 2] = [
///     Box::new(Elementwise::new([1, 7, 7, 8], &options)?),
///     Box::new(GlobalAveragePool::new([1, 7, 7, 8], &options)?),
/// ];
/// assert_eq!(layers[0].output_shape(), layers[1].input_shape());
/// let scratch_len = layers.iter().map(|layer| layer.scratch_len(4)).max();
/// assert_eq!(scratch_len, Some(0)); // neither needs any
/// # Ok(())
/// # }
/// ```
pub trait Plan: HasLayer + Send + Sync + core::fmt::Debug {
    /// \[N, H, W, C\] of the input.
    #[must_use]
    fn input_shape(&self) -> [usize; 4] {
        self.layer().input
    }

    /// \[N, H, W, C\] of the output.
    #[must_use]
    fn output_shape(&self) -> [usize; 4] {
        self.layer().output
    }

    /// Element type of the input.
    #[must_use]
    fn input_type(&self) -> ElementType {
        self.layer().input_type
    }

    /// Element type of the output and the residual.
    #[must_use]
    fn output_type(&self) -> ElementType {
        self.layer().output_type
    }

    /// Whether the input comes with a factor for each picture and channel:
    /// [`NhwcView::scaled`].
    #[must_use]
    fn input_scale(&self) -> bool {
        self.layer().input_scale
    }

    /// Layout of the input's memory.
    #[must_use]
    fn input_layout(&self) -> TensorLayout {
        self.layer().input_layout
    }

    /// Layout of the output's memory, and the residual's.
    #[must_use]
    fn output_layout(&self) -> TensorLayout {
        self.layer().output_layout
    }

    /// The level whose kernels run.
    #[must_use]
    fn level(&self) -> Level {
        self.layer().level
    }

    /// The kernels that run, e.g. `"dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2"`.
    #[must_use]
    fn kernel_name(&self) -> &str {
        &self.layer().name
    }

    /// Bytes of the packed weights and biases.
    #[must_use]
    fn weights_bytes(&self) -> usize {
        self.layer().weights_bytes()
    }

    /// Multiply-adds of one run. Padding counts too, as in the literature.
    #[must_use]
    fn multiply_adds(&self) -> u64 {
        self.layer().multiply_adds
    }

    /// Elements of scratch that `run` needs in order to use up to `threads` threads; 0 if it needs
    /// none.
    #[must_use]
    fn scratch_len(&self, threads: usize) -> usize {
        self.layer().scratch_len(threads)
    }

    /// y = activation(operation(input_activation(x) · scale) + residual), where the scale is there
    /// if the plan takes one.
    ///
    /// With the feature `rayon` the work is split over the threads of rayon's current pool, as many
    /// as `scratch` has room for. Otherwise it runs on the calling thread. `scratch` may hold
    /// anything before, and its contents are unspecified after. Nothing is allocated.
    ///
    /// While a run waits for the pool, rayon may begin another task of the pool on the waiting
    /// thread. A task that runs a plan while it holds a lock or a `RefCell` borrow does so inside
    /// [`on_this_thread`](crate::on_this_thread).
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let plan = Elementwise::new([1, 1, 1, 2], &Options::default())?;
    /// let (x, residual, mut y) = ([1.0, 2.0], [10.0, 20.0], [0.0; 2]);
    /// plan.run(
    ///     NhwcView::new(&x, plan.input_shape())?,
    ///     Some(NhwcView::new(&residual, plan.output_shape())?),
    ///     NhwcViewMut::new(&mut y, plan.output_shape())?,
    ///     &mut vec![0.0; plan.scratch_len(1)],
    /// )?;
    /// assert_eq!(y, [11.0, 22.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A view has another shape or type than the plan's, or `scratch` is shorter than
    /// `scratch_len(1)`. Nothing is written then.
    fn run(
        &self,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let layer = self.layer();
        let (rows, x) = (0..layer.output[1], Rows { view: x, first: 0 });
        let scratch = Scratch::from(scratch);
        layer.check([layer.input[1], rows.len()], &x.view, residual.as_ref(), &y, &scratch)?;
        layer.compute(threads::current_threads(), rows, x, residual, y, scratch)
    }

    /// The input rows that [`Plan::run_rows`] needs for these output rows: all that their windows
    /// cover, without padding. Rows beyond the output are ignored.
    #[must_use]
    fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
        self.layer().covered(&rows)
    }

    /// [`Plan::run`] for some output rows of each picture. `x` holds only the input rows that
    /// [`Plan::input_rows`] names; `residual` and `y` hold only the output rows `rows`. The bits
    /// are the same.
    ///
    /// This runs layers depth first, a few rows of each in turn, so that the values between them
    /// stay small and in cache.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// // the sum of each pixel, the one above and the one below; the last two of four rows
    /// let window = Window::new([3, 1]).padding(Padding::Same);
    /// let params = DepthwiseParams::new(window, &[1.0; 3]);
    /// let plan = Depthwise::new([1, 4, 1, 1], &params, &Options::default())?;
    /// let (x, mut y) = ([1.0, 10.0, 100.0, 1000.0], [0.0; 2]);
    /// let needed = plan.input_rows(2..4);
    /// assert_eq!(needed, 1..4);
    /// plan.run_rows(
    ///     2..4,
    ///     NhwcView::new(&x[needed], [1, 3, 1, 1])?,
    ///     None,
    ///     NhwcViewMut::new(&mut y, [1, 2, 1, 1])?,
    ///     &mut [],
    /// )?;
    /// assert_eq!(y, [1110.0, 1100.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Plan::run`], for views of these rows; [`Error::Rows`].
    fn run_rows(
        &self,
        rows: Range<usize>,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        self.run_on(threads::current_threads(), rows, x, residual, y, scratch.into())
    }

    /// [`Plan::run_rows`] on other threads than rayon's: an engine's own pool, an operating
    /// system's tasks, or the calling thread alone. The bits are the same. For all rows, `x` may be
    /// the whole input, as for [`Plan::run`]. Scratch may be uninitialized memory, and so may the
    /// output: a run that ends well has written each of its elements, and nothing in the gaps
    /// between pixels.
    ///
    /// # Errors
    /// Those of [`Plan::run_rows`].
    fn run_on(
        &self,
        threads: &dyn Threads,
        rows: Range<usize>,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let layer = self.layer();
        let (Range { start, end }, height) = (rows, layer.output[1]);
        if start > end || end > height {
            return Err(Error::Rows { start, end, height });
        }
        let whole = (start, end) == (0, height) && x.shape()[1] == layer.input[1];
        let needed = if whole { 0..layer.input[1] } else { self.input_rows(start..end) };
        layer.check([needed.len(), end - start], &x, residual.as_ref(), &y, &scratch)?;
        let x = Rows { view: x, first: needed.start };
        layer.compute(threads, start..end, x, residual, y, scratch)
    }
}
