//! Shapes, strides, dilation, padding. The only file that multiplies dimensions; all of it checked.

use alloc::vec::Vec;
use core::iter::StepBy;
use core::ops::Range;

use crate::error::{Error, Result};

/// Padding of the two spatial axes.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = Window::new([3, 3]).stride([2, 2]);
/// let explicit = Padding::Explicit { top: 0, bottom: 1, left: 0, right: 1 };
/// let sizes = [Padding::Valid, Padding::Same, explicit]
///     .map(|padding| window.padding(padding).output_size([6, 7]));
/// assert_eq!(sizes, [Ok([2, 3]), Ok([3, 4]), Ok([3, 3])]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Padding {
    /// No padding: out = floor((in − k_dilated) / stride) + 1.
    #[default]
    Valid,
    /// TensorFlow's rule: out = ceil(in / stride), total = max((out − 1)·stride + k_dilated − in,
    /// 0), of which floor(total / 2) lies before and the rest after.
    Same,
    /// The given numbers of rows and columns on each side.
    Explicit {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
}

/// A sliding window: \[height, width\] of kernel, stride and dilation, and the padding.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
/// assert_eq!(window.output_size([299, 299]), Ok([150, 150]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// Kernel \[kh, kw\].
    pub kernel: [usize; 2],
    /// Stride \[sy, sx\].
    pub stride: [usize; 2],
    /// Dilation \[dy, dx\]. 1 means a dense kernel.
    pub dilation: [usize; 2],
    /// Padding. Padded taps are left out of sums, maxima and counts: they are not zeros.
    pub padding: Padding,
}

impl Window {
    /// A window of kernel \[kh, kw\] with stride 1, dilation 1, no padding.
    #[must_use]
    pub const fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], dilation: [1, 1], padding: Padding::Valid }
    }

    /// Sets the stride \[sy, sx\].
    #[must_use]
    pub const fn stride(self, stride: [usize; 2]) -> Self {
        Self { stride, ..self }
    }

    /// Sets the dilation \[dy, dx\].
    #[must_use]
    pub const fn dilation(self, dilation: [usize; 2]) -> Self {
        Self { dilation, ..self }
    }

    /// Sets the padding.
    #[must_use]
    pub const fn padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Output height and width over an input of `size` \[H, W\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let window = Window::new([3, 3]).stride([2, 2]);
    /// assert_eq!(window.output_size([299, 299]), Ok([149, 149]));
    /// let error = window.output_size([299, 2]).unwrap_err();
    /// assert_eq!(error.to_string(), "kernel width 3 (dilated) exceeds the padded input width 2");
    /// ```
    ///
    /// # Errors
    /// Those of a plan with this window.
    pub fn output_size(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        Ok([self.axis(0, size[0])?.output, self.axis(1, size[1])?.output])
    }

    /// The input rows that the windows of output rows `rows` cover, without padding, for an input
    /// of that height. Rows beyond the output are ignored.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// let window = Window::new([3, 3]).stride([2, 2]).padding(Padding::Same);
    /// assert_eq!(window.output_size([9, 9])?, [5, 5]);
    /// assert_eq!((window.input_rows(9, 0..2)?, window.input_rows(9, 2..5)?), (0..4, 3..9));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Window::output_size`].
    pub fn input_rows(&self, height: usize, rows: Range<usize>) -> Result<Range<usize>> {
        Ok(self.axis(0, height)?.covered(&rows))
    }

    /// Both axes for an input \[N, H, W, C\], which is checked, too.
    pub(crate) fn axes(&self, input: [usize; 4]) -> Result<[Axis; 2]> {
        check_input(input)?;
        Ok([self.axis(0, input[1])?, self.axis(1, input[2])?])
    }

    /// The checked geometry of axis 0 (height) or 1 (width).
    pub(crate) fn axis(&self, axis: usize, input: usize) -> Result<Axis> {
        let name = ["height", "width"][axis];
        if input == 0 {
            return Err(Error::ZeroDimension { what: ["input height", "input width"][axis] });
        }
        let extent = self.extent(axis)?;
        let (kernel, stride, dilation) =
            (self.kernel[axis], self.stride[axis], self.dilation[axis]);
        let (before, after) = match self.padding {
            Padding::Valid => (0, 0),
            Padding::Same => {
                let output = input.div_ceil(stride);
                // (output − 1)·stride < input, so only the sum can overflow.
                let needed = ((output - 1) * stride).checked_add(extent).ok_or(EXTENTS_OVERFLOW)?;
                let total = needed.saturating_sub(input);
                (total / 2, total - total / 2)
            }
            Padding::Explicit { top, bottom, left, right } => {
                if axis == 0 {
                    (top, bottom)
                } else {
                    (left, right)
                }
            }
        };
        let padded = input
            .checked_add(before)
            .and_then(|p| p.checked_add(after))
            .filter(|&p| p <= isize::MAX as usize)
            .ok_or(EXTENTS_OVERFLOW)?;
        if extent > padded {
            return Err(Error::KernelLargerThanInput { axis: name, kernel: extent, input: padded });
        }
        let output = (padded - extent) / stride + 1;
        Ok(Axis { input, output, kernel, stride, dilation, before })
    }

    /// The window itself if its numbers make sense, whatever the input.
    pub(crate) fn checked(self) -> Result<Self> {
        self.extent(0).and(self.extent(1)).map(|_| self)
    }

    /// Rows (axis 0) or columns (1) that the dilated kernel extends over.
    fn extent(&self, axis: usize) -> Result<usize> {
        for (what, value) in [
            (["kernel height", "kernel width"][axis], self.kernel[axis]),
            (["stride along the height", "stride along the width"][axis], self.stride[axis]),
            (["dilation along the height", "dilation along the width"][axis], self.dilation[axis]),
        ] {
            if value == 0 {
                return Err(Error::ZeroDimension { what });
            }
        }
        (self.kernel[axis] - 1)
            .checked_mul(self.dilation[axis])
            .and_then(|e| e.checked_add(1))
            .filter(|&e| e <= isize::MAX as usize)
            .ok_or(EXTENTS_OVERFLOW)
    }
}

/// Padding of a transposed convolution: the outputs that are left out at the edges.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = TransposedWindow::new([3, 3]).stride([2, 2]);
/// let torch = TransposedPadding::Explicit { padding: [1, 1], output_padding: [1, 0] };
/// let sizes = [TransposedPadding::Valid, TransposedPadding::Same, torch]
///     .map(|padding| window.padding(padding).output_size([4, 5]));
/// assert_eq!(sizes, [Ok([9, 11]), Ok([8, 10]), Ok([8, 9])]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TransposedPadding {
    /// Keras's: out = in · stride + max(k − stride, 0).
    #[default]
    Valid,
    /// Keras's: out = in · stride. Of the max(k − stride, 0) outputs that are left out, half
    /// (rounded down) lie before and the rest after.
    Same,
    /// PyTorch's: out = (in − 1) · stride − 2 · padding + k + output padding, of height and width.
    Explicit {
        /// Outputs that are left out before; as many after.
        padding: [usize; 2],
        /// Outputs that are added after.
        output_padding: [usize; 2],
    },
}

/// The window of a transposed convolution: \[height, width\] of kernel, stride and dilation, and
/// the padding. In the formulas of [`TransposedPadding`] k is the extent of the dilated kernel,
/// (kernel − 1) · dilation + 1.
///
/// ```
/// # use sepconv_kernels::*;
/// let window = TransposedWindow::new([2, 2]).stride([2, 2]).padding(TransposedPadding::Same);
/// assert_eq!(window.output_size([7, 9]), Ok([14, 18]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransposedWindow {
    /// Kernel \[kh, kw\].
    pub kernel: [usize; 2],
    /// Stride \[sy, sx\]: how many outputs further on the next input adds to.
    pub stride: [usize; 2],
    /// Dilation \[dy, dx\]: distance between the outputs that neighbouring taps add to.
    pub dilation: [usize; 2],
    /// Padding.
    pub padding: TransposedPadding,
}

impl TransposedWindow {
    /// A window of kernel \[kh, kw\] with stride 1, no padding.
    #[must_use]
    pub const fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], dilation: [1, 1], padding: TransposedPadding::Valid }
    }

    /// Sets the stride \[sy, sx\].
    #[must_use]
    pub const fn stride(self, stride: [usize; 2]) -> Self {
        Self { stride, ..self }
    }

    /// Sets the dilation \[dy, dx\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let window = TransposedWindow::new([3, 3]).dilation([1, 4]);
    /// assert_eq!(window.output_size([10, 10]), Ok([12, 18]));
    /// ```
    #[must_use]
    pub const fn dilation(self, dilation: [usize; 2]) -> Self {
        Self { dilation, ..self }
    }

    /// Sets the padding.
    #[must_use]
    pub const fn padding(self, padding: TransposedPadding) -> Self {
        Self { padding, ..self }
    }

    /// Output height and width over an input of `size` \[H, W\].
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// let padding = TransposedPadding::Explicit { padding: [2, 2], output_padding: [0, 0] };
    /// let window = TransposedWindow::new([3, 3]).padding(padding);
    /// assert_eq!(window.output_size([4, 2]).unwrap_err().to_string(),
    ///     "padding 2 on both sides leaves nothing of a transposed width of 4");
    /// ```
    ///
    /// # Errors
    /// Those of a plan with this window.
    pub fn output_size(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        Ok([self.axis(0, size[0])?.output, self.axis(1, size[1])?.output])
    }

    /// Kernel, stride and dilation as those of a convolution.
    pub(crate) fn as_window(&self) -> Window {
        Window::new(self.kernel).stride(self.stride).dilation(self.dilation)
    }

    /// Outputs before the first that are left out.
    fn before(&self, axis: usize) -> usize {
        match self.padding {
            TransposedPadding::Valid => 0,
            TransposedPadding::Same => {
                let taps = self.kernel[axis].saturating_sub(1);
                let extent = taps.saturating_mul(self.dilation[axis]).saturating_add(1);
                extent.saturating_sub(self.stride[axis]) / 2
            }
            TransposedPadding::Explicit { padding, .. } => padding[axis],
        }
    }

    /// The kernel's taps that the outputs of a phase (every stride-th, from output `phase` on) see,
    /// ascending.
    pub(crate) fn taps(&self, axis: usize, phase: usize) -> StepBy<Range<usize>> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        // As phase + before modulo the stride, whose sum could overflow.
        let place = (phase + self.before(axis) % stride) % stride;
        let PhaseTaps { first, step, .. } = PhaseTaps::new(stride, self.dilation[axis], place);
        let first = first.unwrap_or(kernel);
        (first..kernel.max(first)).step_by(step)
    }

    /// How far apart the inputs of neighbouring taps of a phase lie.
    pub(crate) fn phase_dilation(&self) -> [usize; 2] {
        [0, 1].map(|axis| PhaseTaps::new(self.stride[axis], self.dilation[axis], 0).dilation)
    }

    /// The checked geometry of axis 0 (height) or 1 (width).
    pub(crate) fn axis(&self, axis: usize, input: usize) -> Result<TransposedAxis> {
        let window = self.as_window().checked()?;
        let (kernel, stride, dilation) =
            (window.kernel[axis], window.stride[axis], window.dilation[axis]);
        if input == 0 {
            return Err(Error::ZeroDimension { what: ["input height", "input width"][axis] });
        }
        let overflow = || Error::Overflow { what: "extents of a transposed convolution" };
        // What `checked` has checked does not overflow.
        let kernel_extent = (kernel - 1) * dilation + 1;
        let extent = (input - 1).checked_mul(stride).and_then(|e| e.checked_add(kernel_extent));
        let extent = extent.ok_or_else(overflow)?;
        let (before, output) = match self.padding {
            TransposedPadding::Valid => (0, extent.max(input.saturating_mul(stride))),
            TransposedPadding::Same => (self.before(axis), input.saturating_mul(stride)),
            TransposedPadding::Explicit { padding, output_padding } => {
                let (padding, more) = (padding[axis], output_padding[axis]);
                let all = extent.checked_add(more).ok_or_else(overflow)?;
                let left = padding.checked_mul(2).and_then(|both| all.checked_sub(both));
                let name = ["height", "width"][axis];
                let cropped = Error::TransposedPadding { axis: name, padding, extent: all };
                (padding, left.filter(|&left| left > 0).ok_or(cropped)?)
            }
        };
        // Then no sum of a position, a kernel and a padding overflows.
        if output > isize::MAX as usize / 4 || before > isize::MAX as usize / 4 {
            return Err(overflow());
        }
        Ok(TransposedAxis { input, output, kernel, stride, dilation, before })
    }
}

/// One spatial axis of a transposed convolution, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransposedAxis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Outputs before the first.
    pub(crate) before: usize,
}

/// The taps k with k·dilation ≡ `place` modulo the stride: `first` + `step`·t.
struct PhaseTaps {
    /// None if there is none.
    first: Option<usize>,
    step: usize,
    /// How many inputs the next tap lies further on.
    dilation: usize,
}

impl PhaseTaps {
    /// With g the greatest common divisor of stride and dilation, `step` taps, stride / g of them,
    /// span `step`·dilation = stride·(dilation / g) outputs.
    fn new(stride: usize, dilation: usize, place: usize) -> Self {
        let (mut divisor, mut rest) = (stride, dilation);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let step = stride / divisor;
        // Remainders below the stride, whose sums don't overflow.
        let mut at = 0;
        let first = (0..step).find(|_| {
            let found = at == place;
            at = (at + dilation % stride) % stride;
            found
        });
        Self { first, step, dilation: dilation / divisor }
    }
}

/// Every stride-th output of an axis, as those of a convolution of stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AxisPhase {
    /// The first output.
    pub(crate) first: usize,
    /// The input that is the first of `axis`.
    pub(crate) first_input: usize,
    pub(crate) axis: Axis,
}

impl TransposedAxis {
    /// The inputs from the first to the last that reach these outputs.
    pub(crate) fn covered(&self, outputs: &Range<usize>) -> Range<usize> {
        let outputs = outputs.start..outputs.end.min(self.output);
        if outputs.is_empty() {
            return 0..0;
        }
        let last_tap = (self.kernel - 1) * self.dilation;
        let first = (outputs.start + self.before).saturating_sub(last_tap);
        let start = first.div_ceil(self.stride).min(self.input);
        let end = (outputs.end - 1 + self.before) / self.stride + 1;
        start..end.clamp(start, self.input)
    }

    /// How many phases have outputs.
    pub(crate) fn phases(&self) -> usize {
        self.stride.min(self.output)
    }

    /// The outputs `first`, `first` + stride, …
    pub(crate) fn phase(&self, first: usize) -> AxisPhase {
        let position = first + self.before;
        let of_phase = PhaseTaps::new(self.stride, self.dilation, position % self.stride);
        let PhaseTaps { first: tap, step, dilation } = of_phase;
        let taps = tap.map_or(0, |tap| self.kernel.saturating_sub(tap).div_ceil(step));
        let output = (self.output - first).div_ceil(self.stride);
        let last_tap = taps.saturating_sub(1) * dilation;
        // Input j + quotient − ahead − t·dilation reaches output j by tap t of the phase.
        let (quotient, ahead) = match tap.filter(|_| taps > 0).map(|tap| tap * self.dilation) {
            Some(tap) if tap <= position => ((position - tap) / self.stride, 0),
            Some(tap) => (0, (tap - position) / self.stride),
            None => (0, 0),
        };
        let skipped = quotient.saturating_sub(last_tap);
        if taps == 0 || skipped >= self.input {
            // Nothing but padding.
            let (kernel, before) = (taps.max(1), output + last_tap + 1);
            let axis = Axis { input: 1, output, kernel, stride: 1, dilation, before };
            return AxisPhase { first, first_input: 0, axis };
        }
        let axis = Axis {
            input: self.input - skipped,
            output,
            kernel: taps,
            stride: 1,
            dilation,
            before: (last_tap + ahead).saturating_sub(quotient),
        };
        AxisPhase { first, first_input: skipped, axis }
    }
}

impl AxisPhase {
    /// Those of its outputs that lie among these of the whole axis.
    pub(crate) fn outputs_in(&self, all: &Range<usize>, stride: usize) -> Range<usize> {
        let of = |end: usize| end.saturating_sub(self.first).div_ceil(stride);
        of(all.start)..of(all.end).min(self.axis.output)
    }
}

const EXTENTS_OVERFLOW: Error = Error::Overflow { what: "kernel and padding extents" };

/// One spatial axis of a window over an input, checked: no arithmetic below can overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) before: usize,
}

impl Axis {
    /// The taps t of output `o` that lie inside the input: 0 ≤ o·stride + t·dilation − before <
    /// input.
    pub(crate) fn taps(&self, o: usize) -> Range<usize> {
        let origin = o * self.stride;
        let first = self.before.saturating_sub(origin).div_ceil(self.dilation);
        let end = (self.input + self.before).saturating_sub(origin).div_ceil(self.dilation);
        let end = end.min(self.kernel);
        first.min(end)..end
    }

    /// The input position of tap `t` of output `o`; `t` must be one of [`Axis::taps`].
    pub(crate) fn position(&self, o: usize, t: usize) -> usize {
        o * self.stride + t * self.dilation - self.before
    }

    /// The inputs from the first to the last that the windows of these outputs cover, as far as
    /// there are such.
    pub(crate) fn covered(&self, outputs: &Range<usize>) -> Range<usize> {
        let outputs = outputs.start..outputs.end.min(self.output);
        if outputs.is_empty() {
            return 0..0;
        }
        let start = (outputs.start * self.stride).saturating_sub(self.before).min(self.input);
        let extent = (self.kernel - 1) * self.dilation + 1;
        // No more than the padded input: an axis whose windows are longer is not made.
        let end = ((outputs.end - 1) * self.stride + extent).saturating_sub(self.before);
        start..end.clamp(start, self.input)
    }

    /// Most inputs that the windows of so many neighbouring outputs cover.
    pub(crate) fn extent(&self, outputs: usize) -> usize {
        let Some(steps) = outputs.checked_sub(1) else {
            return 0;
        };
        let kernel = (self.kernel - 1) * self.dilation + 1;
        steps.saturating_mul(self.stride).saturating_add(kernel).min(self.input)
    }

    /// The outputs all of whose taps lie inside the input.
    pub(crate) fn interior(&self) -> Range<usize> {
        let extent = (self.kernel - 1) * self.dilation + 1;
        let first = self.before.div_ceil(self.stride);
        let end = match (self.input + self.before).checked_sub(extent) {
            Some(last) => last / self.stride + 1,
            None => 0,
        };
        let end = end.min(self.output);
        first.min(end)..end
    }
}

impl Axis {
    /// Runs of outputs with equal tap ranges, in order: (outputs, taps).
    ///
    /// Neither end of the range ever grows with the output, so there are at most 2·kernel + 1 runs
    /// and each is found by bisection, whatever the extent.
    pub(crate) fn groups(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut groups = Vec::new();
        let mut start = 0;
        while start < self.output {
            let taps = self.taps(start);
            let (mut same, mut other) = (start, self.output);
            while other - same > 1 {
                let middle = same + (other - same) / 2;
                if self.taps(middle) == taps { same = middle } else { other = middle }
            }
            groups.push((start..other, taps));
            start = other;
        }
        groups
    }
}

/// The product of dimensions, or an overflow naming `what`. Capped at what a slice can hold.
pub(crate) fn product(what: &'static str, dimensions: &[usize]) -> Result<usize> {
    let limit = isize::MAX as usize / size_of::<f32>();
    dimensions
        .iter()
        .try_fold(1_usize, |p, &d| p.checked_mul(d))
        .filter(|&p| p <= limit)
        .ok_or(Error::Overflow { what })
}

/// The batch, height, width and channels of an input, none of them 0, and their product in bounds.
pub(crate) fn check_input(shape: [usize; 4]) -> Result<()> {
    let names = ["batch", "input height", "input width", "channels"];
    for (what, extent) in names.into_iter().zip(shape) {
        if extent == 0 {
            return Err(Error::ZeroDimension { what });
        }
    }
    product("input elements", &shape).map(drop)
}
