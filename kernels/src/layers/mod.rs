//! The public plans. Each validates, packs and chooses once; [`Plan::run`] then only computes.

mod gemm;
mod window;

pub use gemm::{Conv, Dense, Pointwise, Separable};
pub use window::{Depthwise, Elementwise, GlobalAveragePool, Pool, convert};

use crate::error::{Error, Result};
use crate::isa::{self, Kernels};
use crate::{Activation, ElementType, Elements, Level, NhwcView, NhwcViewMut, Window};

/// What every plan takes besides its shape and weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Applied to each input element as it is loaded (pre-activation networks). Never to padding.
    pub input_activation: Activation,
    /// Applied last, after the residual is added.
    pub activation: Activation,
    /// The level to use; [`Level::from_env`] when none.
    pub level: Option<Level>,
    /// What the input is of. Its elements become f32 as they are loaded, exactly.
    pub input_type: ElementType,
    /// What the output and the residual are of. An output is rounded once, after its activation: to the
    /// nearest number of that type, of two the even one; to ∞ beyond the largest.
    pub output_type: ElementType,
    /// Whether products may be made by the CPU's dot products of bf16: see [`Arithmetic`].
    pub arithmetic: Arithmetic,
}

/// How the pointwise half of a layer multiplies.
///
/// What a plan does its [`Plan::kernel_name`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Arithmetic {
    /// Fused multiply-adds of f32: the same bits on every CPU.
    #[default]
    Exact,
    /// Where a [`Pointwise`], [`Separable`] or [`Dense`] plan has bf16 weights and the CPU has dot products of
    /// bf16 (AVX512-BF16, Arm's FEAT_BF16), what it multiplies is rounded to bf16 and two products are added at a
    /// time, at up to twice the speed. Anywhere else it is as `Exact`.
    ///
    /// Bits then depend on the CPU, though not on the number of threads. For n terms the sum of rounded products
    /// is off by at most (2⁻⁸ + γₙ₊₁)·Σ|x||w| + γₙ₊₁·|bias| + n·2⁻¹²⁵, with γ of u = 2⁻²³: x is rounded once,
    /// by 2⁻⁸, unless it is bf16 already; the CPU may add the products of a pair in any order and round each
    /// step to odd; subnormal operands, products and sums count as zero.
    ///
    /// 16-bit floats have no such mode: the instructions that multiply f16 and add in f32 (Arm's FMLAL) do as
    /// many multiply-adds as those of f32, and those that do more add in f16.
    Fast,
}

/// A prepared operation: shape checked, weights packed, kernel chosen.
///
/// A plan owns its weights, packed by itself for its level: those of one can't reach the kernels of another.
/// It is immutable and `Send + Sync`: one can run on many threads at a time, each call with its own
/// scratch. For given operands every call gives the same bits, on any level and any number of threads.
pub trait Plan: Send + Sync + core::fmt::Debug {
    /// \[N, H, W, C\] of the input.
    fn input_shape(&self) -> [usize; 4];

    /// \[N, H, W, C\] of the output.
    fn output_shape(&self) -> [usize; 4];

    /// What the input is of.
    fn input_type(&self) -> ElementType;

    /// What the output and the residual are of.
    fn output_type(&self) -> ElementType;

    /// The level whose kernels run.
    fn level(&self) -> Level;

    /// The kernels that run, e.g. `"dw_f32_3x3s1_3_avx2+gemm_f32_6x16_avx2"`.
    fn kernel_name(&self) -> &str;

    /// Bytes that its packed weights and biases take.
    fn weights_bytes(&self) -> usize;

    /// Multiply-adds of one run, padding included (as literature counts them).
    fn multiply_adds(&self) -> u64;

    /// Elements of scratch with which `run` uses up to `threads` threads.
    fn scratch_len(&self, threads: usize) -> usize;

    /// y = activation(operation(input_activation(x)) + residual).
    ///
    /// With the feature `rayon` the work is split over the threads of rayon's current pool, as many as
    /// `scratch` has room for; otherwise it runs on the calling thread. The contents of `scratch` are
    /// irrelevant before and unspecified after. Allocates nothing.
    ///
    /// # Errors
    /// A view of another shape or type than the plan's, or scratch shorter than `scratch_len(1)`: nothing is
    /// written then.
    fn run(
        &self,
        x: NhwcView<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()>;
}

/// Parameters of [`Depthwise`].
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Depth multiplier M: output channel c·M + m is made of input channel c.
    pub multiplier: usize,
    /// \[kh, kw, C, M\].
    pub weights: Elements<'a>,
    /// C·M elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Pointwise`].
#[derive(Debug, Clone, Copy)]
pub struct PointwiseParams<'a> {
    /// Stride \[sy, sx\].
    pub stride: [usize; 2],
    /// Output channels O.
    pub channels_out: usize,
    /// \[C, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Separable`]: a depthwise convolution, an activation, a pointwise convolution.
#[derive(Debug, Clone, Copy)]
pub struct SeparableParams<'a> {
    /// The spatial step.
    pub depthwise: DepthwiseParams<'a>,
    /// Between the two; [`Activation::None`] in Xception.
    pub mid_activation: Activation,
    /// Output channels O.
    pub channels_out: usize,
    /// Pointwise weights \[C·M, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Conv`].
#[derive(Debug, Clone, Copy)]
pub struct ConvParams<'a> {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Groups; must divide C and O.
    pub groups: usize,
    /// Output channels O.
    pub channels_out: usize,
    /// \[kh, kw, C/groups, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// Parameters of [`Dense`].
#[derive(Debug, Clone, Copy)]
pub struct DenseParams<'a> {
    /// Outputs O.
    pub channels_out: usize,
    /// \[C, O\].
    pub weights: Elements<'a>,
    /// O elements, or none for zeros.
    pub bias: Option<&'a [f32]>,
}

/// The kind of a [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest tap inside the input. NaN if one of them is; −∞ if there is none.
    /// Of +0 and −0 the earlier tap is given.
    Max,
    /// The sum of the taps inside the input, in order, divided by their number; 0 if there is none.
    Average,
}

/// The kernels of the level that the options ask for.
fn choose(options: &Options) -> Result<&'static Kernels> {
    let level = match options.level {
        Some(level) => level.checked()?,
        None => Level::from_env()?,
    };
    isa::kernels(level).ok_or(Error::LevelUnavailable { level })
}

/// Checks the operands of a run against the plan's shapes.
fn check(
    plan: &(impl Plan + ?Sized),
    x: &NhwcView<'_>,
    residual: Option<&NhwcView<'_>>,
    y: &NhwcViewMut<'_>,
    scratch: &[f32],
) -> Result<()> {
    let shapes = [
        ("input", plan.input_shape(), Some(x.shape())),
        ("residual", plan.output_shape(), residual.map(NhwcView::shape)),
        ("output", plan.output_shape(), Some(y.shape())),
    ];
    for (what, expected, actual) in shapes {
        if let Some(actual) = actual.filter(|&actual| actual != expected) {
            return Err(Error::Shape { what, expected, actual });
        }
    }
    let types = [
        ("input", plan.input_type(), Some(x.element_type())),
        ("residual", plan.output_type(), residual.map(NhwcView::element_type)),
        ("output", plan.output_type(), Some(y.element_type())),
    ];
    for (what, expected, actual) in types {
        if let Some(actual) = actual.filter(|&actual| actual != expected) {
            return Err(Error::ElementType { what, expected, actual });
        }
    }
    let expected = plan.scratch_len(1);
    if scratch.len() < expected {
        return Err(Error::Length { what: "scratch", expected, actual: scratch.len() });
    }
    Ok(())
}

/// Multiply-adds of an output: one per output element and `depth`, saturating.
fn count(output: [usize; 4], depth: usize) -> u64 {
    output.iter().fold(depth as u64, |p, &d| p.saturating_mul(d as u64))
}
