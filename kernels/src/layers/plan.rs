//! What every layer can do: [`Plan`], in terms of what all of them are, a
//! [`Layer`](super::layer::Layer).

use core::ops::Range;

use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::layers::layer::{HasLayer, Rows};
use crate::layout::Layout;
use crate::level::Level;
use crate::view::{NhwcView, NhwcViewMut};

/// A prepared operation: shape checked, weights packed, kernel chosen.
///
/// A plan packs its weights for its level and owns them. It is immutable and `Send + Sync`: several
/// threads can run one plan at the same time, each with its own scratch. The same operands give the
/// same bits on every call, on any level and any number of threads.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<()> {
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
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([2, 2]).stride([2, 2]);
    /// let plan = Pool::new([1, 6, 6, 8], PoolKind::Max, window, &Options::default())?;
    /// let x = vec![0.0; plan.input_shape().iter().product()];
    /// assert_eq!(x.len(), 6 * 6 * 8);
    /// # Ok(())
    /// # }
    /// ```
    fn input_shape(&self) -> [usize; 4] {
        self.layer().input
    }

    /// \[N, H, W, C\] of the output.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([2, 2]).stride([2, 2]);
    /// let plan = Pool::new([1, 6, 6, 8], PoolKind::Max, window, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 3, 3, 8]);
    /// # Ok(())
    /// # }
    /// ```
    fn output_shape(&self) -> [usize; 4] {
        self.layer().output
    }

    /// Element type of the input.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let options = Options { input_type: ElementType::F16, ..Options::default() };
    /// let plan = Elementwise::new([1, 1, 1, 8], &options)?;
    /// assert_eq!((plan.input_type(), plan.output_type()), (ElementType::F16, ElementType::F32));
    /// # Ok(())
    /// # }
    /// ```
    fn input_type(&self) -> ElementType {
        self.layer().input_type
    }

    /// Element type of the output and the residual.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let options = Options { output_type: ElementType::Bf16, ..Options::default() };
    /// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
    /// assert_eq!(plan.output_type().size(), 2); // bytes of an element
    /// # Ok(())
    /// # }
    /// ```
    fn output_type(&self) -> ElementType {
        self.layer().output_type
    }

    /// Layout of the input's memory.
    fn input_layout(&self) -> Layout {
        self.layer().input_layout
    }

    /// Layout of the output's memory, and the residual's.
    fn output_layout(&self) -> Layout {
        self.layer().output_layout
    }

    /// The level whose kernels run.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let plan = Elementwise::new([1, 1, 1, 8], &Options::default())?;
    /// assert_eq!(plan.level(), Level::from_env()?);
    /// # Ok(())
    /// # }
    /// ```
    fn level(&self) -> Level {
        self.layer().level
    }

    /// The kernels that run, e.g. `"dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2"`.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// let options = Options { level: Some(Level::Scalar), ..Options::default() };
    /// let plan = Separable::new([1, 4, 4, 8], &params, &options)?;
    /// let names: Vec<_> = plan.kernel_name().split('+').collect();
    /// assert!(names.len() == 2 && names[0].starts_with("dw_") && names[1].starts_with("gemm_"));
    /// # Ok(())
    /// # }
    /// ```
    fn kernel_name(&self) -> &str {
        &self.layer().name
    }

    /// Bytes of the packed weights and biases.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let weights = vec![0.5; 100 * 10];
    /// let params = DenseParams { channels_out: 10, weights: (&weights).into(), bias: None };
    /// let plan = Dense::new([1, 1, 1, 100], &params, &Options::default())?;
    /// assert!(plan.weights_bytes() >= 100 * 10 * size_of::<f32>()); // more where columns are padded
    /// # Ok(())
    /// # }
    /// ```
    fn weights_bytes(&self) -> usize {
        self.layer().weights_bytes()
    }

    /// Multiply-adds of one run. Padding counts too, as in the literature.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// // 3×3 depthwise of 8 channels, then 8 to 16, on 4×4 pixels
    /// let plan = Separable::new([1, 4, 4, 8], &params, &Options::default())?;
    /// assert_eq!(plan.multiply_adds(), 4 * 4 * (9 * 8 + 8 * 16));
    /// # Ok(())
    /// # }
    /// ```
    fn multiply_adds(&self) -> u64 {
        self.layer().multiply_adds
    }

    /// Elements of scratch that `run` needs in order to use up to `threads` threads; 0 if it needs
    /// none.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// # let window = Window::new([3, 3]).padding(Padding::Same);
    /// # let (dw, pw) = ([0.5; 9 * 8], [0.5; 8 * 16]);
    /// # let depthwise = DepthwiseParams { window, multiplier: 1, weights: (&dw).into(), bias: None };
    /// # let mid_activation = Activation::None;
    /// # let weights = (&pw).into();
    /// # let params = SeparableParams { depthwise, mid_activation, channels_out: 16, weights, bias: None };
    /// let plan = Separable::new([1, 4, 4, 8], &params, &Options::default())?;
    /// let mut scratch = vec![0.0; plan.scratch_len(2)]; // for two threads
    /// assert!(plan.scratch_len(1) <= scratch.len());
    /// # Ok(())
    /// # }
    /// ```
    fn scratch_len(&self, threads: usize) -> usize {
        self.layer().scratch_len(threads)
    }

    /// y = activation(operation(input_activation(x)) + residual).
    ///
    /// With the feature `rayon` the work is split over the threads of rayon's current pool, as many
    /// as `scratch` has room for. Otherwise it runs on the calling thread. `scratch` may hold
    /// anything before, and its contents are unspecified after. Nothing is allocated.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
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
        layer.check([layer.input[1], rows.len()], &x.view, residual.as_ref(), &y, scratch)?;
        layer.compute(rows, x, residual, y, scratch)
    }

    /// The input rows that [`Plan::run_rows`] needs for these output rows: all that their windows
    /// cover, without padding. Rows beyond the output are ignored.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<()> {
    /// let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
    /// let plan = Pool::new([1, 9, 9, 8], PoolKind::Max, window, &Options::default())?;
    /// assert_eq!(plan.output_shape(), [1, 5, 5, 8]);
    /// assert_eq!((plan.input_rows(0..2), plan.input_rows(2..5)), (0..4, 3..9));
    /// # Ok(())
    /// # }
    /// ```
    fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
        self.layer().vertical().covered(&rows)
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
    /// # fn main() -> Result<()> {
    /// // the sum of each pixel, the one above and the one below; the last two of four rows
    /// let window = Window::new([3, 1]).padding(Padding::Same);
    /// let params = DepthwiseParams { window, multiplier: 1, weights: (&[1.0; 3]).into(), bias: None };
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
        let layer = self.layer();
        let (Range { start, end }, height) = (rows, layer.output[1]);
        if start > end || end > height {
            return Err(Error::Rows { start, end, height });
        }
        let needed = self.input_rows(start..end);
        layer.check([needed.len(), end - start], &x, residual.as_ref(), &y, scratch)?;
        layer.compute(start..end, Rows { view: x, first: needed.start }, residual, y, scratch)
    }
}
