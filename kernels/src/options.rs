//! What every plan takes besides its shape and weights.

use crate::activation::Activation;
use crate::amx;
use crate::arithmetic::Arithmetic;
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::int8::quantization::Quantization;
use crate::layout::TensorLayout;
use crate::level::Level;

/// What every plan takes besides its shape and weights.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let options = Options::default()
///     .input_activation(Activation::Relu)
///     .output_type(ElementType::Bf16);
/// let plan = Elementwise::new([1, 1, 1, 2], &options)?;
/// # let x = NhwcView::new(&[-1.0, 1.0], plan.input_shape())?;
/// # let mut bits = [0xffff; 2];
/// # let y = NhwcViewMut::new(ElementsMut::Bf16(&mut bits), plan.output_shape())?;
/// plan.run(x, None, y, &mut [])?; // x = [-1, 1]
/// assert_eq!(bits, [0x0000, 0x3f80]); // 0, 1
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Applied to each input element as it is loaded (pre-activation networks). Never to padding.
    pub input_activation: Activation,
    /// Whether each element is then multiplied by a factor of its picture and channel, which comes
    /// with the input: [`NhwcView::scaled`](crate::NhwcView::scaled). The product is rounded to
    /// f32. Padding stays 0. Not with integers, nor with an input activation that is no clamp.
    pub input_scale: bool,
    /// Applied last, after the residual is added.
    pub activation: Activation,
    /// The level to use. `None` means [`Level::from_env`].
    pub level: Option<Level>,
    /// Element type of the input. Elements are converted to f32 exactly as they are loaded.
    pub input_type: ElementType,
    /// Element type of the output and the residual. An output is rounded once, after its
    /// activation: to nearest, ties to even. Overflow gives ∞.
    pub output_type: ElementType,
    /// What the integers of an input of [`ElementType::U8`] or [`ElementType::I8`] stand for.
    /// Padding is 0, which the zero point stands for.
    pub input_quantization: Quantization,
    /// What the integers of such an output stand for.
    pub output_quantization: Quantization,
    /// What those of the residual stand for. `None` means `output_quantization`.
    pub residual_quantization: Option<Quantization>,
    /// Layout of the input's memory.
    pub input_layout: TensorLayout,
    /// Layout of the output's memory, and the residual's.
    pub output_layout: TensorLayout,
    /// How products are computed and added up.
    pub arithmetic: Arithmetic,
    /// Whether [`Arithmetic::Bf16`], and layers of 8-bit integers, may multiply by tile registers
    /// (AMX). Where the CPU has them, the plan asks the operating system for the permission, with
    /// the consequences that [`Amx`](crate::Amx) states. Without them, the level's own kernels give
    /// the same bits. The environment variable `SEPCONV_AMX=1` sets this for all plans.
    pub amx: bool,
    /// Whether integer kernels may use the CPU's dot products (VNNI, FEAT_DotProd), tile registers
    /// among them. The bits are the same without them: it is for comparison.
    pub dot_products: bool,
    /// Whether kernels may use instructions of Armv8.6: products of matrices of 8-bit integers
    /// (FEAT_I8MM), if `dot_products` is set, too, and multiply-adds of bf16 in the arithmetic
    /// [`Bf16`](Arithmetic::Bf16) (FEAT_BF16). The bits are the same without them: it is for
    /// comparison.
    pub armv8_6: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// f32 in and out, no activations, the best level, exact arithmetic: the same as `default()`,
    /// but constant.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// const RELU: Options = Options::new().activation(Activation::Relu);
    /// assert_eq!(RELU, Options::default().activation(Activation::Relu));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input_activation: Activation::None,
            input_scale: false,
            activation: Activation::None,
            level: None,
            input_type: ElementType::F32,
            output_type: ElementType::F32,
            input_quantization: Quantization::new(1.0, 0),
            output_quantization: Quantization::new(1.0, 0),
            residual_quantization: None,
            input_layout: TensorLayout::Nhwc,
            output_layout: TensorLayout::Nhwc,
            arithmetic: Arithmetic::Exact,
            amx: false,
            dot_products: true,
            armv8_6: true,
        }
    }

    /// Sets the activation that is applied to the input.
    #[must_use]
    pub const fn input_activation(mut self, activation: Activation) -> Self {
        self.input_activation = activation;
        self
    }

    /// Sets whether the input comes with a factor for each picture and channel.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// // Squeeze and excitation: 2 pictures of 2 pixels of 1 channel, of which the second fades.
    /// let plan = Elementwise::new([2, 1, 2, 1], &Options::default().input_scale(true))?;
    /// let x = NhwcView::new(&[1.0, 2.0, 3.0, 4.0], plan.input_shape())?.scaled(&[1.0, 0.5])?;
    /// let (mut y, mut scratch) = ([0.0; 4], vec![0.0; plan.scratch_len(1)]);
    /// plan.run(x, None, NhwcViewMut::new(&mut y, plan.output_shape())?, &mut scratch)?;
    /// assert_eq!(y, [1.0, 2.0, 1.5, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn input_scale(mut self, input_scale: bool) -> Self {
        self.input_scale = input_scale;
        self
    }

    /// Sets the activation that is applied to the output.
    #[must_use]
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets the level; `None` means [`Level::from_env`].
    #[must_use]
    pub fn level(mut self, level: impl Into<Option<Level>>) -> Self {
        self.level = level.into();
        self
    }

    /// Sets the element type of the input.
    #[must_use]
    pub const fn input_type(mut self, input_type: ElementType) -> Self {
        self.input_type = input_type;
        self
    }

    /// Sets the element type of the output and the residual.
    #[must_use]
    pub const fn output_type(mut self, output_type: ElementType) -> Self {
        self.output_type = output_type;
        self
    }

    /// Sets what the integers of the input stand for.
    #[must_use]
    pub const fn input_quantization(mut self, quantization: Quantization) -> Self {
        self.input_quantization = quantization;
        self
    }

    /// Sets what the integers of the output stand for.
    #[must_use]
    pub const fn output_quantization(mut self, quantization: Quantization) -> Self {
        self.output_quantization = quantization;
        self
    }

    /// Sets what the integers of the residual stand for.
    #[must_use]
    pub const fn residual_quantization(mut self, quantization: Quantization) -> Self {
        self.residual_quantization = Some(quantization);
        self
    }

    /// Sets the layout of the input.
    #[must_use]
    pub const fn input_layout(mut self, layout: TensorLayout) -> Self {
        self.input_layout = layout;
        self
    }

    /// Sets the layout of the output and the residual.
    #[must_use]
    pub const fn output_layout(mut self, layout: TensorLayout) -> Self {
        self.output_layout = layout;
        self
    }

    /// Sets how products are computed and added up.
    #[must_use]
    pub const fn arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.arithmetic = arithmetic;
        self
    }

    /// Sets whether [`Arithmetic::Bf16`] and layers of integers may multiply by tile registers.
    ///
    /// ```
    /// # use sepconv_kernels::*;
    /// # fn main() -> Result<(), Error> {
    /// # if !Arithmetic::Bf16.is_available() { return Ok(()) }
    /// let options = Options::default().arithmetic(Arithmetic::Bf16).amx(true);
    /// let plan = Dense::new([1, 1, 1, 2], &DenseParams::new(1, &[1.0, 2.0]), &options)?;
    /// let by_tiles = plan.kernel_name().starts_with("gemm_amx_");
    /// assert!(!by_tiles || Amx::request() == Amx::Granted);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn amx(mut self, amx: bool) -> Self {
        self.amx = amx;
        self
    }

    /// Sets whether integer kernels may use the CPU's dot products.
    #[must_use]
    pub const fn dot_products(mut self, dot_products: bool) -> Self {
        self.dot_products = dot_products;
        self
    }

    /// Sets whether kernels may use instructions of Armv8.6.
    #[must_use]
    pub const fn armv8_6(mut self, armv8_6: bool) -> Self {
        self.armv8_6 = armv8_6;
        self
    }

    /// Whether to multiply by tile registers, if the process may use them.
    pub(crate) fn asks_for_amx(&self) -> Result<bool> {
        Ok(self.amx || amx::from_env()?)
    }

    /// The element type that kernels with windows read: f32 where the input is copied first, out of
    /// planes or to be scaled.
    pub(crate) fn window_type(&self) -> ElementType {
        match self.input_layout {
            TensorLayout::Nhwc if !self.input_scale => self.input_type,
            _ => ElementType::F32,
        }
    }

    /// The activation that kernels with windows apply to these elements: none if they are scaled,
    /// since the copy activates them before it multiplies.
    pub(crate) fn window_activation(&self) -> Activation {
        if self.input_scale { Activation::None } else { self.input_activation }
    }

    /// Refuses integers, NCHW, and an activation or a scale of the input: for operations that have
    /// no kernels for them.
    pub(crate) fn check_plain(&self) -> Result<()> {
        let types = [self.input_type, self.output_type];
        let layouts = [self.input_layout, self.output_layout];
        let what = if types.iter().any(|element| element.is_quantized()) {
            "this operation does not take integers: expected elements of f32, f16 or bf16"
        } else if layouts != [TensorLayout::Nhwc; 2] {
            "this operation does not take NCHW layout: expected NHWC"
        } else if self.input_activation != Activation::None {
            "this operation takes no input activation: activate it before"
        } else if self.input_scale {
            "this operation takes no input scale: multiply it before"
        } else {
            return Ok(());
        };
        Err(Error::Unsupported { what })
    }

    /// Refuses a scale of integers, or behind an input activation that is no clamp.
    pub(crate) fn check_scale(&self) -> Result<()> {
        let types = [self.input_type, self.output_type];
        let what = match self.input_activation.bounds() {
            _ if !self.input_scale => return Ok(()),
            _ if types.iter().any(|element| element.is_quantized()) => "a scale of integers",
            None => "the input activation has to be a clamp beside a scale",
            Some(_) => return Ok(()),
        };
        Err(Error::Unsupported { what })
    }
}
