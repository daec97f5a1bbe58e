//! A transposed convolution, prepared: of each phase of the output a convolution of stride 1.
//!
//! ```text
//! for o in outputs, k in 0..kernel with o + before = i·stride + k·dilation     // either axis
//!   y[o] = fma(x[i], w[k], y[o])
//! ```
//!
//! A phase is every s-th output, s being the stride: o = first + s·j. With g the greatest common
//! divisor of s and the dilation d, its taps are k = r + (s / g)·t for t in 0..T, T of them, where r
//! is the least with r·d ≡ first + before modulo s; if there is none, the outputs are the bias.
//! With first + before = s·q + r·d, output j is made of inputs j + q − (d / g)·t. For
//! u = T − 1 − t, these are inputs j + (d / g)·u − ((d / g)·(T − 1) − q), u ascending: a convolution
//! of stride 1 and dilation d / g with the phase's taps, last one first. There are s² phases; no
//! product is with a zero, and nothing is added up in memory.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Result;
use crate::gemm::plan::GemmPlan;
use crate::geometry::{AxisPhase, TransposedAxis};
use crate::tensor::TensorPlan;
use crate::threads::{Scratch, Shared, SharedMut, Threads};
use crate::view::{NhwcView, NhwcViewMut, Operands};

/// What computes a phase.
#[allow(clippy::large_enum_variant, reason = "there are few, and they hardly move")]
#[derive(Debug)]
pub(crate) enum PhaseMachine {
    Gemm(GemmPlan),
    Channelwise(TensorPlan),
}

/// Every s-th output row and column.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) vertical: AxisPhase,
    pub(crate) horizontal: AxisPhase,
    pub(crate) machine: PhaseMachine,
}

/// A transposed convolution, prepared.
#[derive(Debug)]
pub(crate) struct TransposedPlan {
    /// \[N, H, W, C\].
    pub(crate) output: [usize; 4],
    pub(crate) vertical: TransposedAxis,
    pub(crate) horizontal: TransposedAxis,
    pub(crate) phases: Vec<Phase>,
}

impl PhaseMachine {
    fn name(&self) -> String {
        match self {
            Self::Gemm(plan) => plan.name(),
            Self::Channelwise(plan) => plan.name(),
        }
    }

    fn scratch_len(&self, threads: usize) -> usize {
        match self {
            Self::Gemm(plan) => plan.scratch_len(threads),
            Self::Channelwise(plan) => plan.scratch_len(threads),
        }
    }

    fn weights_bytes(&self) -> usize {
        match self {
            Self::Gemm(plan) => plan.weights_bytes(),
            Self::Channelwise(plan) => plan.rows().weights_bytes(),
        }
    }
}

impl TransposedPlan {
    /// The kernels that run, each once.
    pub(crate) fn name(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for phase in &self.phases {
            for name in phase.machine.name().split('+') {
                if !names.iter().any(|known| known == name) {
                    names.push(name.into());
                }
            }
        }
        names.join("+")
    }

    pub(crate) fn scratch_len(&self, threads: usize) -> usize {
        let lengths = self.phases.iter().map(|phase| phase.machine.scratch_len(threads));
        lengths.max().unwrap_or(0)
    }

    pub(crate) fn weights_bytes(&self) -> usize {
        self.phases.iter().map(|phase| phase.machine.weights_bytes()).sum()
    }

    /// Computes the output rows `all` of each picture. x is a view of the input rows that are
    /// needed, and the first of them; y and the residual have these output rows alone.
    pub(crate) fn run(
        &self,
        threads: &dyn Threads,
        all: Range<usize>,
        x: (NhwcView<'_>, usize),
        residual: Option<NhwcView<'_>>,
        mut y: NhwcViewMut<'_>,
        mut scratch: Scratch<'_>,
    ) -> Result<()> {
        let steps = [self.vertical.stride, self.horizontal.stride];
        let whole = Operands::new(x, residual, (&mut y, all.start));
        for phase in &self.phases {
            let rows = phase.vertical.outputs_in(&all, steps[0]);
            if rows.is_empty() {
                continue;
            }
            let axes = [&phase.vertical, &phase.horizontal];
            let (first, first_input) = (axes.map(|a| a.first), axes.map(|a| a.first_input));
            let (offset, y_placement) = whole.y_placement.every(first, steps);
            // Pixels of the phase alone, which lie in the views as the whole does; one phase runs
            // after the other.
            let operands = Operands {
                x: Shared(whole.x.0.add(whole.x_placement.shift(first_input))),
                x_placement: whole.x_placement,
                y: SharedMut(whole.y.0.add(offset)),
                y_placement,
                residual: whole.residual.map(|(residual, at)| {
                    let (offset, placement) = at.every(first, steps);
                    (Shared(residual.0.add(offset)), placement)
                }),
                scale: whole.scale,
            };
            match &phase.machine {
                PhaseMachine::Gemm(plan) => {
                    plan.run_on(threads, rows, operands, scratch.reborrow())?;
                }
                PhaseMachine::Channelwise(plan) => {
                    plan.run_on(threads, rows, operands, scratch.reborrow())?;
                }
            }
        }
        Ok(())
    }
}
