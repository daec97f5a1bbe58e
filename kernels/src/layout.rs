//! The order of a tensor's elements in memory.

use core::fmt;

/// The order of a tensor's elements in memory. Shapes are \[N, H, W, C\] in either.
///
/// Results have the same bits. NCHW costs time: pixels are transposed on their way into a layer and
/// out of it, and need scratch.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let nchw = TensorLayout::Nchw;
/// let options = Options::new().input_layout(nchw).output_layout(nchw);
/// let weights = [1.0, 10.0, 0.0, 1.0]; // [C, O]
/// let plan = Pointwise::new([1, 1, 3, 2], &PointwiseParams::new(2, &weights), &options)?;
/// let (mut y, mut scratch) = ([0.0; 6], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::nchw(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 2, 1, 3])?;
/// plan.run(x, None, NhwcViewMut::nchw(&mut y, [1, 2, 1, 3])?, &mut scratch)?;
/// assert_eq!(y, [1.0, 2.0, 3.0, 14.0, 25.0, 36.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TensorLayout {
    /// The channels of a pixel lie side by side.
    #[default]
    Nhwc,
    /// Each channel is a plane of H·W elements; the planes of a picture lie one after the other.
    Nchw,
}

impl fmt::Display for TensorLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nhwc => "NHWC",
            Self::Nchw => "NCHW",
        })
    }
}

/// The order of a weight tensor's dimensions, the last one innermost: kernel height and width (HW),
/// input channels of a group (I), output channels of all groups (O).
///
/// Packing reads any of them; the results have the same bits. A depthwise convolution is one in
/// groups of one channel: I is 1, O is C·M, output channel c·M + m being made of input channel c.
/// Of pointwise and dense layers kernel height and width are 1.
///
/// | | convolution | depthwise | pointwise, dense |
/// |---|---|---|---|
/// | Keras, TensorFlow | `Hwio` | `Hwio` (\[kh, kw, C, M\]) | `Hwio` (\[C, O\]) |
/// | PyTorch, ONNX | `Oihw` | `Oihw` (\[C·M, 1, kh, kw\]) | `Oihw` (\[O, C\]) |
/// | TensorFlow Lite | `Ohwi` | `Hwio` (\[1, kh, kw, C·M\]) | `Ohwi` (\[O, C\]) |
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let torch = [1.0, 2.0, 10.0, 20.0]; // a Linear from 2 to 2: [O, C]
/// let params = DenseParams::new(2, &torch).layout(WeightLayout::Oihw);
/// let plan = Dense::new([1, 1, 1, 2], &params, &Options::default())?;
/// let (mut y, mut scratch) = ([0.0; 2], vec![0.0; plan.scratch_len(1)]);
/// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
/// assert_eq!(y, [11.0, 110.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WeightLayout {
    /// \[kh, kw, I, O\]: Keras and TensorFlow.
    #[default]
    Hwio,
    /// \[O, I, kh, kw\]: PyTorch and ONNX.
    Oihw,
    /// \[I, O, kh, kw\].
    Iohw,
    /// \[O, kh, kw, I\]: TensorFlow Lite.
    Ohwi,
    /// \[kh, kw, O, I\]: transposed convolutions of Keras and TensorFlow.
    Hwoi,
}

/// Elements from one tap, input or output channel to the next. (Taps lie evenly in all layouts.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strides {
    pub(crate) tap: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl WeightLayout {
    /// For weights of so many taps, inputs of a group and outputs, whose product doesn't overflow.
    pub(crate) fn strides(self, taps: usize, inputs: usize, outputs: usize) -> Strides {
        match self {
            Self::Hwio => Strides { tap: inputs * outputs, input: outputs, output: 1 },
            Self::Oihw => Strides { tap: 1, input: taps, output: taps * inputs },
            Self::Iohw => Strides { tap: 1, input: taps * outputs, output: taps },
            Self::Hwoi => Strides { tap: inputs * outputs, input: 1, output: inputs },
            Self::Ohwi => Strides { tap: inputs, input: 1, output: taps * inputs },
        }
    }
}
