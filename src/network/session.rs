//! A plan's memory. All of it is allocated when a session is made; a run allocates nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sepconv_kernels::{Aligned, ElementType, Elements, convert};

use super::arena::{self, Unit};
use super::plan::NetworkPlan;
use crate::{Error, Result};

/// Runs a [`NetworkPlan`], one input at a time.
///
/// Any number of sessions can share a plan; each has buffers of its own.
///
/// ```
/// use sepconv::kernels::{Activation, Window};
/// use sepconv::network::{Network, NetworkPlan, Op, PlanOptions, Session};
/// use sepconv::weights::Weights;
///
/// let mut network = Network::new("two layers", "input", [None, None], 1);
/// let input = network.find("input").unwrap();
/// let relu = network.push("relu", Op::Activation(Activation::Relu), &[input])?;
/// network.push("pool", Op::MaxPool(Window::new([2, 1])), &[relu])?;
///
/// let options = PlanOptions { outputs: vec!["relu".into()], ..PlanOptions::default() };
/// let plan = NetworkPlan::new(&network, &Weights::default(), [1, 3, 1, 1], &options)?;
/// let mut session = Session::new(plan)?;
/// session.run(&[-1.0, 2.0, 1.0])?;
/// assert_eq!(session.output(), [2.0, 2.0]);
/// assert_eq!(session.node("relu"), Some((&[0.0, 2.0, 1.0][..], [1, 3, 1, 1])));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    plan: Arc<NetworkPlan>,
    arena: Aligned,
    /// The reports that are f32 in the arena are read there; the others are here, empty for those.
    widened: Vec<Vec<f32>>,
    scratch: Aligned,
    /// Each step's share of `scratch`, which is what limits its threads.
    scratch_lens: Vec<usize>,
}

/// NaN in any type: what is read before it was written shows.
fn allocate(len: usize) -> Result<Aligned> {
    let message = |e: sepconv_kernels::Error| Error::Argument { message: e.to_string() };
    Aligned::new(len, f32::from_bits(0x7fff_7fff)).map_err(message)
}

impl Session {
    /// A session with as many threads as rayon's current pool has; one without the feature `rayon`.
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn new(plan: impl Into<Arc<NetworkPlan>>) -> Result<Self> {
        #[cfg(feature = "rayon")]
        let threads = rayon_core::current_num_threads();
        #[cfg(not(feature = "rayon"))]
        let threads = 1;
        Self::with_threads(plan, threads)
    }

    /// A session with scratch for up to `threads` threads. The threads are those of the pool in
    /// which [`Session::run`] is called. Results don't depend on their number.
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn with_threads(plan: impl Into<Arc<NetworkPlan>>, threads: usize) -> Result<Self> {
        let plan = plan.into();
        let steps = plan.planned().iter();
        let scratch_lens: Vec<_> = steps.map(|s| s.scratch_len(threads)).collect();
        let widened = plan.reports().iter().map(|report| match report.element {
            ElementType::F32 => Vec::new(),
            _ => vec![f32::NAN; report.shape.iter().product()],
        });
        let per_word = size_of::<f32>() / size_of::<Unit>();
        Ok(Self {
            arena: allocate(plan.arena_len().div_ceil(per_word))?,
            widened: widened.collect(),
            scratch: allocate(scratch_lens.iter().copied().max().unwrap_or(0))?,
            scratch_lens,
            plan,
        })
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<NetworkPlan> {
        &self.plan
    }

    /// Computes the output and the nodes asked for from `x`, dense NHWC of the plan's input shape.
    ///
    /// # Errors
    /// [`Error::Argument`]: `x` has another length. Nothing is changed then.
    pub fn run(&mut self, x: &[f32]) -> Result<()> {
        self.each(x, |_, step| step())
    }

    /// [`Session::run`], and tells `on_step` how long each step took: its position in
    /// [`NetworkPlan::steps`] and the time, in order.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_timed(&mut self, x: &[f32], mut on_step: impl FnMut(usize, Duration)) -> Result<()> {
        self.each(x, |i, step| {
            let start = Instant::now();
            step()?;
            on_step(i, start.elapsed());
            Ok(())
        })
    }

    /// Checks `x`, then has `run` call each step.
    fn each(
        &mut self,
        x: &[f32],
        mut run: impl FnMut(usize, &mut dyn FnMut() -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let shape = self.plan.input_shape();
        let expected: usize = shape.iter().product();
        if x.len() != expected {
            return Err(Error::Argument {
                message: format!("an input of {} elements where {shape:?} has {expected}", x.len()),
            });
        }
        let arena: &mut [Unit] = bytemuck::cast_slice_mut(&mut self.arena);
        let scratch = &mut self.scratch[..];
        for (i, (step, &len)) in self.plan.planned().iter().zip(&self.scratch_lens).enumerate() {
            run(i, &mut || step.run(x, arena, &mut scratch[..len]))?;
        }
        for (report, widened) in self.plan.reports().iter().zip(&mut self.widened) {
            if !widened.is_empty() {
                let from = arena::elements(report.element, &arena[report.range.clone()]);
                convert(from, widened.into(), Some(self.plan.level()))
                    .map_err(|source| Error::Kernel { node: report.name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// The output of the last run, dense NHWC of shape [`Session::output_shape`]. NaN before the
    /// first.
    pub fn output(&self) -> &[f32] {
        self.value(0)
    }

    /// \[N, H, W, C\] of the output.
    pub fn output_shape(&self) -> [usize; 4] {
        self.plan.output_shape()
    }

    /// A node's value in the last run, dense NHWC, and its shape: the output's node or one of
    /// [`super::PlanOptions::outputs`]. None for any other.
    pub fn node(&self, name: &str) -> Option<(&[f32], [usize; 4])> {
        let i = self.plan.reports().iter().position(|r| r.name == name)?;
        Some((self.value(i), self.plan.reports()[i].shape))
    }

    fn value(&self, i: usize) -> &[f32] {
        let report = &self.plan.reports()[i];
        let arena: &[Unit] = bytemuck::cast_slice(&self.arena);
        match arena::elements(report.element, &arena[report.range.clone()]) {
            Elements::F32(values) => values,
            _ => &self.widened[i],
        }
    }
}
