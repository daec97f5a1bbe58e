//! Why a plan or a run is refused, with the offending numbers.

use alloc::string::String;
use core::fmt;

use crate::arithmetic::Arithmetic;
use crate::element::ElementType;
use crate::layout::TensorLayout;
use crate::level::Level;

pub(crate) type Result<T> = core::result::Result<T, Error>;

/// Why a view, a plan or a run was refused. Nothing was written when one is returned.
///
/// ```
/// # use sepconv_kernels::*;
/// let error = NhwcView::new(&[0.0; 11], [1, 2, 2, 3]).unwrap_err();
/// assert_eq!(error, Error::Length { what: "view", expected: 12, actual: 11 });
/// assert_eq!(error.to_string(), "view: expected 12 elements, got 11");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A dimension, stride, dilation or kernel size that must be at least 1 is 0.
    ZeroDimension {
        /// Which one, e.g. `"input height"`.
        what: &'static str,
    },
    /// A product or sum of dimensions does not fit the address space.
    Overflow {
        /// What was being computed, e.g. `"input elements"`.
        what: &'static str,
    },
    /// The allocator is out of memory.
    Memory {
        /// `f32` elements asked for.
        elements: usize,
    },
    /// A slice has the wrong number of elements.
    Length {
        /// Which operand.
        what: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        actual: usize,
    },
    /// The pixel stride of a view is smaller than its channel count.
    PixelStride {
        /// Channels of the view.
        channels: usize,
        /// Its pixel stride, in elements.
        pixel_stride: usize,
    },
    /// The picture stride of an NCHW view is smaller than a picture.
    PictureStride {
        /// Elements of a picture, C·H·W.
        elements: usize,
        /// The view's picture stride, in elements.
        picture_stride: usize,
    },
    /// An `ndarray` that is not in standard layout without gaps.
    Strides {
        /// Its strides, in elements.
        strides: [isize; 4],
    },
    /// A view's shape (N, H, W, C) is not the one the plan was made for.
    Shape {
        /// Which operand.
        what: &'static str,
        /// The plan's shape.
        expected: [usize; 4],
        /// The view's shape.
        actual: [usize; 4],
    },
    /// Output rows outside the output.
    Rows {
        /// The first of them.
        start: usize,
        /// One past the last of them.
        end: usize,
        /// The output's height.
        height: usize,
    },
    /// Padding that leaves no output of a transposed convolution.
    TransposedPadding {
        /// `"height"` or `"width"`.
        axis: &'static str,
        /// Padding on either side.
        padding: usize,
        /// Outputs without the padding.
        extent: usize,
    },
    /// The stride of a transposed convolution is too long.
    Stride {
        /// The stride asked for.
        stride: usize,
        /// The longest stride that is supported.
        most: usize,
    },
    /// A number of channels that is no multiple of the pixels of a block.
    Block {
        /// Height and width of the block.
        block: usize,
        /// Channels of the input.
        channels: usize,
    },
    /// Two operands whose dimensions are neither equal nor 1.
    Broadcast {
        /// \[N, H, W, C\] of the first.
        a: [usize; 4],
        /// \[N, H, W, C\] of the second.
        b: [usize; 4],
    },
    /// A view's elements are not of the type that the plan was made for.
    ElementType {
        /// Which operand.
        what: &'static str,
        /// The plan's type.
        expected: ElementType,
        /// The view's type.
        actual: ElementType,
    },
    /// A view has a scale (a factor for each picture and channel) and the plan takes none, or the
    /// reverse.
    Scale {
        /// Which operand.
        what: &'static str,
        /// Whether the plan takes a scale.
        expected: bool,
    },
    /// A view's layout is not the one that the plan was made for.
    Layout {
        /// Which operand.
        what: &'static str,
        /// The plan's layout.
        expected: TensorLayout,
        /// The view's layout.
        actual: TensorLayout,
    },
    /// A scale that is not a positive normal number, or a zero point outside its type.
    Quantization {
        /// Which operand's.
        what: &'static str,
        /// The scale.
        scale: f32,
        /// The zero point.
        zero_point: i32,
    },
    /// A ratio of scales is no finite number.
    Rescale {
        /// Of which operand to the output.
        what: &'static str,
        /// It.
        ratio: f32,
    },
    /// A weight of i8 that is −128: weights must lie in −127..=127.
    Weight {
        /// Its place in the weights.
        index: usize,
    },
    /// The sums of an output channel can leave the range of i32.
    Sums {
        /// The output channel.
        channel: usize,
        /// The largest magnitude that its sums can have.
        magnitude: u64,
    },
    /// Types, layouts or parameters that have no meaning together, or no kernel.
    Unsupported {
        /// Which.
        what: &'static str,
    },
    /// This build has no kernels for elements of that type: see the features `f16-bf16` and `int8`.
    ElementTypeUnavailable {
        /// Which operand.
        what: &'static str,
        /// Its type.
        element: ElementType,
    },
    /// This build has no kernels for that arithmetic: see the features `bf16` and `unfused`.
    ArithmeticUnavailable {
        /// The arithmetic asked for.
        arithmetic: Arithmetic,
    },
    /// The dilated kernel is larger than the padded input, so that no output exists.
    KernelLargerThanInput {
        /// `"height"` or `"width"`.
        axis: &'static str,
        /// Extent of the dilated kernel, (k − 1)·dilation + 1.
        kernel: usize,
        /// Input extent with padding.
        input: usize,
    },
    /// The channels can't be divided into that many groups.
    Groups {
        /// Groups asked for.
        groups: usize,
        /// Input channels.
        channels_in: usize,
        /// Output channels.
        channels_out: usize,
    },
    /// An activation's parameter is NaN, or its bounds are in the wrong order.
    Activation {
        /// What is wrong with it.
        what: &'static str,
    },
    /// This CPU, or this build, can't run the level that was asked for.
    LevelUnavailable {
        /// The level asked for.
        level: Level,
    },
    /// [`Level::parse`] or `SEPCONV_LEVEL` was given something that is not the name of a level.
    UnknownLevel {
        /// It.
        value: String,
    },
    /// The variable `SEPCONV_AMX` is neither 0 nor 1.
    UnknownAmx {
        /// Its value.
        value: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroDimension { what } => write!(f, "{what} is 0; it must be at least 1"),
            Self::Overflow { what } => write!(f, "{what} overflow the address space"),
            Self::Memory { elements } => {
                write!(f, "can't allocate memory for {elements} f32 elements")
            }
            Self::Length { what, expected, actual } => {
                write!(f, "{what}: expected {expected} elements, got {actual}")
            }
            Self::PixelStride { channels, pixel_stride } => {
                write!(f, "pixel stride {pixel_stride} is smaller than the {channels} channels")
            }
            Self::PictureStride { elements, picture_stride } => write!(
                f,
                "picture stride {picture_stride} is smaller than the {elements} elements of a \
                 picture"
            ),
            Self::Strides { strides } => {
                write!(f, "expected a dense N×H×W×C array, got strides {strides:?}")
            }
            Self::Shape { what, expected, actual } => {
                write!(f, "{what}: expected shape {expected:?} (N, H, W, C), got {actual:?}")
            }
            Self::Groups { .. }
            | Self::TransposedPadding { .. }
            | Self::Stride { .. }
            | Self::Block { .. } => self.fmt_of_channels(f),
            Self::Broadcast { a, b } => write!(
                f,
                "operands: expected dimensions (N, H, W, C) that are equal or 1, got {a:?} and \
                 {b:?}"
            ),
            Self::Rows { start, end, height } => {
                write!(f, "expected output rows within 0..{height}, got {start}..{end}")
            }
            Self::ElementType { what, expected, actual } => {
                write!(f, "{what}: expected elements of {expected}, got {actual}")
            }
            Self::Scale { what, expected } => write!(f, "{what}: expected {}", views(*expected)),
            Self::Layout { what, expected, actual } => {
                write!(f, "{what}: expected layout {expected}, got {actual}")
            }
            Self::Unsupported { what } => f.write_str(what),
            Self::ElementTypeUnavailable { what, element } => write!(
                f,
                "{what} is of {element}, for which sepconv-kernels was built without the feature \
                 {}",
                if element.is_quantized() { "int8" } else { "f16-bf16" }
            ),
            Self::ArithmeticUnavailable { arithmetic } => write!(
                f,
                "arithmetic {arithmetic}: sepconv-kernels was built without the feature {arithmetic}"
            ),
            Self::KernelLargerThanInput { axis, kernel, input } => write!(
                f,
                "kernel {axis} {kernel} (dilated) exceeds the padded input {axis} {input}"
            ),
            Self::Activation { what } => write!(f, "activation: {what}"),
            Self::LevelUnavailable { level } => {
                write!(f, "level {level} is not available on this CPU or in this build")
            }
            Self::UnknownLevel { value } => write!(
                f,
                "unknown level {value:?}: expected scalar, sse, avx2, avx512, neon, simd128 or \
                 relaxed_simd (check SEPCONV_LEVEL)"
            ),
            Self::UnknownAmx { value } => write!(f, "SEPCONV_AMX: expected 0 or 1, got {value:?}"),
            Self::Quantization { .. }
            | Self::Rescale { .. }
            | Self::Weight { .. }
            | Self::Sums { .. } => self.fmt_quantized(f),
        }
    }
}

impl Error {
    /// The errors of layers of 8-bit integers.
    fn fmt_quantized(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantization { what, scale, zero_point } => write!(
                f,
                "{what}: expected a positive normal scale and a zero point of the type, got scale \
                 {scale:e} and zero point {zero_point}"
            ),
            Self::Rescale { what, ratio } => {
                write!(f, "{what}: expected a finite ratio of scales, got {ratio}")
            }
            Self::Weight { index } => {
                write!(f, "expected weights of i8 in -127..=127, got -128 at {index}")
            }
            Self::Sums { channel, magnitude } => write!(
                f,
                "sums of output channel {channel} can be as large as {magnitude}, which i32 can't \
                 hold"
            ),
            _ => Ok(()),
        }
    }

    /// The errors of channels that don't divide, and of transposed convolutions.
    fn fmt_of_channels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { groups, channels_in, channels_out } => write!(
                f,
                "can't divide {channels_in} input and {channels_out} output channels \
                 into {groups} groups"
            ),
            Self::TransposedPadding { axis, padding, extent } => write!(
                f,
                "padding {padding} on both sides leaves nothing of a transposed {axis} of {extent}"
            ),
            Self::Stride { stride, most } => write!(
                f,
                "stride of a transposed convolution: expected at most {most}, got {stride}"
            ),
            Self::Block { block, channels } => {
                write!(f, "channels: expected a multiple of {block} x {block}, got {channels}")
            }
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

/// The view that a plan takes, scaled or not, and the one that it got.
fn views(scaled: bool) -> &'static str {
    match scaled {
        true => "a view with a scale, got one without",
        false => "a view without a scale, got one with",
    }
}
