//! A plan's memory. All of it is allocated when a session is made; a run allocates nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sepconv_kernels::{Aligned, ElementType, Elements, available_threads, convert};

use super::arena::{self, Unit};
use super::plan::NetworkPlan;
use super::schedule::Schedule;
use super::turns::Turn;
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
    schedule: Schedule,
    arena: Aligned,
    /// A copy in f32 of each report that is of another type in the arena; empty for the others,
    /// which are read there.
    widened: Vec<Vec<f32>>,
    scratch: Aligned,
    /// Each step's share of `scratch`, which is what limits its threads.
    scratch_lens: Vec<usize>,
    /// How long each step took, if somebody asks.
    times: Vec<Duration>,
}

/// NaN in any type: what is read before it was written shows.
fn allocate(len: usize) -> Result<Aligned> {
    let message = |e: sepconv_kernels::Error| Error::Argument { message: e.to_string() };
    Aligned::new(len, f32::from_bits(0x7fff_7fff)).map_err(message)
}

impl Session {
    /// A session with as many threads as rayon's current pool has; one without the feature `rayon`.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// let session = Session::new(plan)?; // takes a NetworkPlan or an Arc of one
    /// assert!(session.output().iter().all(|y| y.is_nan())); // nothing has run yet
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn new(plan: impl Into<Arc<NetworkPlan>>) -> Result<Self> {
        Self::with_threads(plan, available_threads())
    }

    /// A session with memory for `threads` threads. The threads are those of the pool in which
    /// [`Session::run`] is called. Results have the same bits for any number.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// # use std::sync::Arc;
    /// let plan = Arc::new(plan);
    /// let (mut one, mut four) =
    ///     (Session::with_threads(Arc::clone(&plan), 1)?, Session::with_threads(plan, 4)?);
    /// one.run(&x)?;
    /// four.run(&x)?;
    /// assert_eq!(one.output(), four.output());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`]: the memory can't be allocated.
    pub fn with_threads(plan: impl Into<Arc<NetworkPlan>>, threads: usize) -> Result<Self> {
        let plan = plan.into();
        let schedule = plan.schedule(threads)?;
        let steps = plan.planned().iter();
        let scratch_lens: Vec<_> = steps.map(|s| s.scratch_len(threads)).collect();
        let widened = plan.reports().iter().map(|report| match report.element {
            ElementType::F32 => Vec::new(),
            _ => vec![f32::NAN; report.shape.iter().product()],
        });
        let per_word = size_of::<f32>() / size_of::<Unit>();
        Ok(Self {
            arena: allocate(schedule.arena_len.div_ceil(per_word))?,
            widened: widened.collect(),
            scratch: allocate(scratch_lens.iter().copied().max().unwrap_or(0))?,
            times: vec![Duration::ZERO; scratch_lens.len()],
            scratch_lens,
            schedule,
            plan,
        })
    }

    /// The plan it runs.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// # use std::sync::Arc;
    /// let session = Session::new(plan)?;
    /// let another = Session::new(Arc::clone(session.plan()))?; // with the same weights
    /// assert!(Arc::ptr_eq(session.plan(), another.plan()));
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn plan(&self) -> &Arc<NetworkPlan> {
        &self.plan
    }

    /// Computes the output and the nodes asked for from `x`, dense NHWC of the plan's input shape.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// let mut session = Session::new(plan)?;
    /// session.run(&synthetic::picture(8).data)?;
    /// assert!(session.output().iter().all(|&y| y >= 0.0)); // behind a ReLU
    /// let error = session.run(&[0.0; 100]).unwrap_err();
    /// assert_eq!(error.to_string(), "an input of 100 elements where [1, 8, 8, 3] has 192");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`]: `x` has another length. Nothing is changed then.
    pub fn run(&mut self, x: &[f32]) -> Result<()> {
        self.each(x, |_, run| run())
    }

    /// [`Session::run`], and tells `on_step` in the end how long each step took: its position in
    /// [`NetworkPlan::steps`] and the time, in order. Of a step that runs depth first it is the sum
    /// of its turns.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// let mut session = Session::new(plan)?;
    /// let mut times = Vec::new();
    /// session.run_timed(&x, |step, time| times.push((step, time)))?;
    /// assert_eq!(times.len(), session.plan().steps().len());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_timed(&mut self, x: &[f32], mut on_step: impl FnMut(usize, Duration)) -> Result<()> {
        self.each(x, |time, run| {
            let start = Instant::now();
            run()?;
            *time += start.elapsed();
            Ok(())
        })?;
        self.times.iter().enumerate().for_each(|(i, &time)| on_step(i, time));
        Ok(())
    }

    /// Checks `x`, then has `call` run each step, or each turn of it, with what it makes of the
    /// step's time.
    fn each(
        &mut self,
        x: &[f32],
        mut call: impl FnMut(&mut Duration, &mut dyn FnMut() -> Result<()>) -> Result<()>,
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
        self.times.fill(Duration::ZERO);
        let mut run = |i: usize, turn: Option<(&Turn, usize)>| {
            let (step, operands) = (&self.plan.planned()[i], &self.schedule.operands[i]);
            let scratch = &mut scratch[..self.scratch_lens[i]];
            call(&mut self.times[i], &mut || step.run(operands, turn, x, arena, scratch))
        };
        let mut next = 0;
        for group in &self.schedule.groups {
            (next..group.steps.start).try_for_each(|i| run(i, None))?;
            for picture in 0..group.pictures {
                group.turns.iter().try_for_each(|turn| run(turn.step, Some((turn, picture))))?;
            }
            next = group.steps.end;
        }
        (next..self.scratch_lens.len()).try_for_each(|i| run(i, None))?;
        let reports = self.plan.reports().iter().zip(&self.schedule.reports);
        for ((report, place), widened) in reports.zip(&mut self.widened) {
            if !widened.is_empty() {
                let from = arena::elements(place.element, &arena[place.range.clone()]);
                convert(from, widened.into(), Some(self.plan.level()))
                    .map_err(|source| Error::Kernel { node: report.name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// The output of the last run, dense NHWC of shape [`Session::output_shape`]. NaN before the
    /// first.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// let mut session = Session::new(plan)?;
    /// session.run(&x)?;
    /// assert_eq!(session.output().len(), 6 * 6 * 8);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn output(&self) -> &[f32] {
        self.value(0)
    }

    /// \[N, H, W, C\] of the output.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let plan = NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?;
    /// # let x = synthetic::picture(8).data;
    /// let session = Session::new(plan)?;
    /// assert_eq!(session.output_shape(), [1, 6, 6, 8]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn output_shape(&self) -> [usize; 4] {
        self.plan.output_shape()
    }

    /// A node's value in the last run, dense NHWC, and its shape: the output's node or one of
    /// [`super::PlanOptions::outputs`]. None for any other.
    ///
    /// ```
    /// # use sepconv::kernels::{Activation, Padding, Window};
    /// # use sepconv::network::*;
    /// # use sepconv::weights::{self, *};
    /// # let mut network = Network::new("small", "input", [None, None], 3);
    /// # let op = Op::Conv { window: Window::new([3, 3]), groups: 1, filters: 8, bias: true };
    /// # let conv = network.push("conv", op, &[network.find("input").unwrap()])?;
    /// # network.push("relu", Op::Activation(Activation::Relu), &[conv])?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let options = PlanOptions::default();
    /// # let x = synthetic::picture(8).data;
    /// // network: a 3×3 convolution of 3 to 8 channels with biases, then ReLU
    ///
    /// let options = PlanOptions { outputs: vec!["conv".into()], ..PlanOptions::default() };
    /// let mut session = Session::new(NetworkPlan::new(&network, weights, [1, 8, 8, 3], &options)?)?;
    /// session.run(&x)?;
    /// let (conv, shape) = session.node("conv").unwrap();
    /// assert_eq!(shape, [1, 6, 6, 8]);
    /// assert!(conv.iter().zip(session.output()).all(|(x, y)| x.max(0.0) == *y));
    /// assert!(session.node("input").is_none());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn node(&self, name: &str) -> Option<(&[f32], [usize; 4])> {
        let i = self.plan.reports().iter().position(|r| r.name == name)?;
        Some((self.value(i), self.plan.reports()[i].shape))
    }

    fn value(&self, i: usize) -> &[f32] {
        let place = &self.schedule.reports[i];
        let arena: &[Unit] = bytemuck::cast_slice(&self.arena);
        match arena::elements(place.element, &arena[place.range.clone()]) {
            Elements::F32(values) => values,
            _ => &self.widened[i],
        }
    }
}
