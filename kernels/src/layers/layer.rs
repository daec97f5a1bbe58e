//! What all layers are: shapes, types, a name, and a machine that computes them.

use alloc::string::String;
use core::fmt;
use core::ops::Range;

use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::gemm::plan::GemmPlan;
use crate::int8::tensor::{Int8Tensor, Operation};
use crate::layout::TensorLayout;
use crate::level::Level;
use crate::lines::plan::LinesPlan;
use crate::options::Options;
use crate::pixelwise::plan::PixelwisePlan;
use crate::table;
use crate::table::kernels::Kernels;
use crate::tensor::{Channelwise, TensorPlan};
use crate::threads::{Scratch, Threads};
use crate::transposed::TransposedPlan;
use crate::view::{NhwcView, NhwcViewMut};

/// A type that is a layer. Sealed: only those of this crate are.
#[allow(unreachable_pub, reason = "a bound of a public trait")]
pub trait HasLayer {
    fn layer(&self) -> &Layer;
}

/// A layer, prepared, and what [`Plan`](super::plan::Plan) reports of it.
#[allow(unreachable_pub, reason = "in a bound of a public trait")]
pub struct Layer {
    pub(super) level: Level,
    /// \[N, H, W, C\].
    pub(super) input: [usize; 4],
    /// \[N, H, W, C\].
    pub(super) output: [usize; 4],
    pub(super) input_type: ElementType,
    pub(super) output_type: ElementType,
    pub(super) input_layout: TensorLayout,
    /// Whether the input comes with factors.
    pub(super) input_scale: bool,
    pub(super) output_layout: TensorLayout,
    /// Of the kernels that run.
    pub(super) name: String,
    pub(super) multiply_adds: u64,
    pub(super) machine: Machine,
}

/// What tells layers apart, not what they are made of: that would be pages, tables of kernels
/// included, and code for each type in it.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("level", &self.level)
            .field("kernels", &self.name)
            .field("input", &self.input)
            .field("input_type", &self.input_type)
            .field("output", &self.output)
            .field("output_type", &self.output_type)
            .finish_non_exhaustive()
    }
}

/// What computes a layer.
#[allow(clippy::large_enum_variant, reason = "there are few, and they hardly move")]
pub(super) enum Machine {
    /// A GEMM, with a producer.
    Gemm(GemmPlan),
    /// What treats channels by themselves.
    Channelwise(TensorPlan),
    /// The same of 8-bit integers.
    Int8(Int8Tensor),
    /// What makes each pixel of a few whole ones.
    Pixelwise(PixelwisePlan),
    /// A transposed convolution.
    Transposed(TransposedPlan),
    /// What has no windows.
    Lines(LinesPlan),
}

/// A view of some rows of each picture of a tensor.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) view: NhwcView<'a>,
    /// The first of them.
    pub(super) first: usize,
}

impl Machine {
    /// \[N, H, W, C\].
    fn output(&self) -> [usize; 4] {
        match self {
            Self::Gemm(plan) => plan.output(),
            Self::Channelwise(plan) => plan.rows().output(),
            Self::Int8(plan) => plan.output(),
            Self::Pixelwise(plan) => plan.output(),
            Self::Transposed(plan) => plan.output,
            Self::Lines(plan) => plan.output,
        }
    }

    /// The kernels that run.
    fn name(&self) -> String {
        match self {
            Self::Gemm(plan) => plan.name(),
            Self::Channelwise(plan) => plan.name(),
            Self::Int8(plan) => plan.name(),
            Self::Pixelwise(plan) => plan.name().into(),
            Self::Transposed(plan) => plan.name(),
            Self::Lines(plan) => plan.name().into(),
        }
    }
}

impl Layer {
    /// A layer of the kernels' level.
    pub(super) fn new(
        kernels: &Kernels,
        input: [usize; 4],
        options: &Options,
        multiply_adds: u64,
        machine: Machine,
    ) -> Self {
        Self {
            level: kernels.level,
            input,
            output: machine.output(),
            input_type: options.input_type,
            output_type: options.output_type,
            input_layout: options.input_layout,
            input_scale: options.input_scale,
            output_layout: options.output_layout,
            name: machine.name(),
            multiply_adds,
            machine,
        }
    }

    /// A layer that treats channels by themselves.
    pub(super) fn channelwise(
        kernels: &'static Kernels,
        input: [usize; 4],
        operation: Channelwise,
        options: &Options,
        multiply_adds: u64,
    ) -> Result<Self> {
        let machine = Machine::Channelwise(TensorPlan::new(operation, options, kernels)?);
        Ok(Self::new(kernels, input, options, multiply_adds, machine))
    }

    /// The same of 8-bit integers.
    pub(super) fn int8(
        kernels: &Kernels,
        input: [usize; 4],
        operation: Operation,
        options: &Options,
        multiply_adds: u64,
    ) -> Result<Self> {
        let machine = Machine::Int8(Int8Tensor::new(operation, options)?);
        Ok(Self::new(kernels, input, options, multiply_adds, machine))
    }

    /// A layer of lines.
    pub(super) fn lines(kernels: &Kernels, plan: LinesPlan, options: &Options) -> Self {
        Self::new(kernels, plan.input, options, 0, Machine::Lines(plan))
    }

    pub(super) fn weights_bytes(&self) -> usize {
        match &self.machine {
            Machine::Gemm(plan) => plan.weights_bytes(),
            Machine::Channelwise(plan) => plan.rows().weights_bytes(),
            Machine::Int8(plan) => plan.weights_bytes(),
            Machine::Pixelwise(_) => 0,
            Machine::Transposed(plan) => plan.weights_bytes(),
            Machine::Lines(plan) => plan.weights_bytes(),
        }
    }

    pub(super) fn scratch_len(&self, threads: usize) -> usize {
        match &self.machine {
            Machine::Gemm(plan) => plan.scratch_len(threads),
            Machine::Channelwise(plan) => plan.scratch_len(threads),
            Machine::Int8(plan) => plan.scratch_len(threads),
            Machine::Pixelwise(_) | Machine::Lines(_) => 0,
            Machine::Transposed(plan) => plan.scratch_len(threads),
        }
    }

    /// The input rows that these output rows take.
    pub(super) fn covered(&self, rows: &Range<usize>) -> Range<usize> {
        match &self.machine {
            Machine::Gemm(plan) => plan.vertical().covered(rows),
            Machine::Channelwise(plan) => plan.rows().vertical.covered(rows),
            Machine::Int8(plan) => plan.vertical().covered(rows),
            Machine::Pixelwise(plan) => plan.covered(rows),
            Machine::Transposed(plan) => plan.vertical.covered(rows),
            Machine::Lines(plan) => plan.covered(rows),
        }
    }

    /// The shape of a residual for so many output rows.
    fn residual(&self, rows: usize) -> [usize; 4] {
        let [n, _, w, c] = self.output;
        match &self.machine {
            Machine::Lines(plan) => plan.second(rows),
            _ => [n, rows, w, c],
        }
    }

    /// Computes the output rows `rows` of each picture, of operands that were checked.
    pub(super) fn compute(
        &self,
        threads: &dyn Threads,
        rows: Range<usize>,
        x: Rows<'_>,
        residual: Option<NhwcView<'_>>,
        y: NhwcViewMut<'_>,
        scratch: Scratch<'_>,
    ) -> Result<()> {
        let x = (x.view, x.first);
        match &self.machine {
            Machine::Gemm(plan) => plan.run(threads, rows, x, residual, y, scratch),
            Machine::Channelwise(plan) => plan.run(threads, rows, x, residual, y, scratch),
            Machine::Int8(plan) => plan.run(threads, rows, x, residual, y, scratch),
            Machine::Transposed(plan) => plan.run(threads, rows, x, residual, y, scratch),
            Machine::Pixelwise(plan) => {
                plan.run(threads, rows, x, residual, y, scratch);
                Ok(())
            }
            Machine::Lines(plan) => plan.run(threads, rows, x, residual, y, scratch),
        }
    }

    /// Checks the operands of a run against the layer's shapes, of whose input and output they have
    /// so many rows.
    pub(super) fn check(
        &self,
        [input_rows, output_rows]: [usize; 2],
        x: &NhwcView<'_>,
        residual: Option<&NhwcView<'_>>,
        y: &NhwcViewMut<'_>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let of = |[n, _, w, c]: [usize; 4], rows: usize| [n, rows, w, c];
        let (input, output) = (of(self.input, input_rows), of(self.output, output_rows));
        let shapes = [
            ("input", input, Some(x.shape())),
            ("residual", self.residual(output_rows), residual.map(NhwcView::shape)),
            ("output", output, Some(y.shape())),
        ];
        for (what, expected, actual) in shapes {
            if let Some(actual) = actual.filter(|&actual| actual != expected) {
                return Err(Error::Shape { what, expected, actual });
            }
        }
        let types = [
            ("input", self.input_type, Some(x.element_type())),
            ("residual", self.output_type, residual.map(NhwcView::element_type)),
            ("output", self.output_type, Some(y.element_type())),
        ];
        for (what, expected, actual) in types {
            if let Some(actual) = actual.filter(|&actual| actual != expected) {
                return Err(Error::ElementType { what, expected, actual });
            }
        }
        let layouts = [
            ("input", self.input_layout, Some(x.layout())),
            ("residual", self.output_layout, residual.map(NhwcView::layout)),
            ("output", self.output_layout, Some(y.layout())),
        ];
        for (what, expected, actual) in layouts {
            if let Some(actual) = actual.filter(|&actual| actual != expected) {
                return Err(Error::Layout { what, expected, actual });
            }
        }
        let scales = [
            ("input", self.input_scale, Some(x.is_scaled())),
            ("residual", false, residual.map(NhwcView::is_scaled)),
        ];
        for (what, expected, actual) in scales {
            if actual.is_some_and(|actual| actual != expected) {
                return Err(Error::Scale { what, expected });
            }
        }
        if let (Machine::Lines(plan), None) = (&self.machine, residual)
            && plan.needs_second()
        {
            return Err(Error::Unsupported {
                what: "residual: expected the second operand of a binary operation, got none",
            });
        }
        let expected = self.scratch_len(1);
        if scratch.len() < expected {
            return Err(Error::Length { what: "scratch", expected, actual: scratch.len() });
        }
        Ok(())
    }
}

/// The kernels of the level that the options ask for, if this build has some for their types.
pub(super) fn choose(options: &Options) -> Result<&'static Kernels> {
    let level = match options.level {
        Some(level) => level.checked()?,
        None => Level::from_env()?,
    };
    options.arithmetic.checked()?;
    options.check_scale()?;
    options.input_type.checked("input")?;
    options.output_type.checked("output")?;
    table::of(level).ok_or(Error::LevelUnavailable { level })
}

/// Multiply-adds of an output: one per output element and `depth`, saturating.
pub(super) fn count(output: [usize; 4], depth: usize) -> u64 {
    output.iter().fold(depth as u64, |p, &d| p.saturating_mul(d as u64))
}
