//! A plan's memory. All of it is allocated when a session is made; a run allocates nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sepconv_kernels::Aligned;

use super::plan::{NetworkPlan, Report};
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
    scratch: Aligned,
    /// Each step's share of `scratch`, which is what limits its threads.
    scratch_lens: Vec<usize>,
}

/// NaN: what is read before it was written shows.
fn allocate(len: usize) -> Result<Aligned> {
    let message = |e: sepconv_kernels::Error| Error::Argument { message: e.to_string() };
    Aligned::new(len, f32::NAN).map_err(message)
}

impl Session {
    /// A session with as many threads as rayon's current pool has; one without the feature `rayon`.
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn new(plan: impl Into<Arc<NetworkPlan>>) -> Result<Self> {
        #[cfg(feature = "rayon")]
        let threads = rayon::current_num_threads();
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
        Ok(Self {
            arena: allocate(plan.arena_len())?,
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
        let (arena, scratch) = (&mut self.arena[..], &mut self.scratch[..]);
        for (i, (step, &len)) in self.plan.planned().iter().zip(&self.scratch_lens).enumerate() {
            run(i, &mut || step.run(x, arena, &mut scratch[..len]))?;
        }
        Ok(())
    }

    /// The output of the last run, dense NHWC of shape [`Session::output_shape`]. NaN before the
    /// first.
    pub fn output(&self) -> &[f32] {
        self.value(&self.plan.reports()[0])
    }

    /// \[N, H, W, C\] of the output.
    pub fn output_shape(&self) -> [usize; 4] {
        self.plan.output_shape()
    }

    /// A node's value in the last run, dense NHWC, and its shape: the output's node or one of
    /// [`super::PlanOptions::outputs`]. None for any other.
    pub fn node(&self, name: &str) -> Option<(&[f32], [usize; 4])> {
        let report = self.plan.reports().iter().find(|r| r.name == name)?;
        Some((self.value(report), report.shape))
    }

    fn value(&self, report: &Report) -> &[f32] {
        &self.arena[report.range.clone()]
    }
}
