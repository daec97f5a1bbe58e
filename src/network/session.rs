//! The memory of a running plan. It is allocated when a session is made; a run allocates nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sepconv_kernels::{
    Aligned, ElementType, Elements, Threads, available_threads, convert, current_threads,
};

use super::arena::{self, Unit};
use super::integers::number;
use super::plan::NetworkPlan;
use super::recorder::{Recorder, ThreadTime};
use super::schedule::Schedule;
use super::turns::Turn;
use crate::{Error, Result};

/// Runs a [`NetworkPlan`], one input at a time.
///
/// A session owns all memory that a run needs. Any number of sessions can share one plan.
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
/// let options = PlanOptions::default().outputs(["relu"]);
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
    /// How much of `scratch` each step gets, which limits its threads.
    scratch_lens: Vec<usize>,
}

/// When a step ran: see [`Session::run_timed`].
///
/// ```
/// use std::time::Duration;
///
/// use sepconv::models::{MobileNetConfig, mobilenet};
/// use sepconv::network::{NetworkPlan, PlanOptions, Session};
/// use sepconv::weights::synthetic;
///
/// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
/// let weights = synthetic::weights(&network)?;
/// let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
/// let mut session = Session::new(plan)?;
/// let mut times = vec![Duration::ZERO; session.plan().steps().len()];
/// session.run_timed(&synthetic::picture(64).data, |step| times[step.step] += step.time)?;
/// for (step, time) in session.plan().steps().zip(times) {
///     println!("{}: {time:?}", step.name);
/// }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepTime {
    /// The position of the step in [`NetworkPlan::steps`].
    pub step: usize,
    /// The rows of its result that it computed: all of them unless it runs depth first.
    pub rows: Range<usize>,
    /// The pictures for which it computed them: all of them unless it runs depth first.
    pub pictures: Range<usize>,
    /// From the start of the session's run to the start of the step.
    pub start: Duration,
    /// How long it took.
    pub time: Duration,
    /// When each thread computed for it. One that found nothing to do has a short time, or none.
    pub threads: Vec<ThreadTime>,
}

/// Memory filled with a NaN of every type, so that reads of unwritten values show.
fn allocate(len: usize) -> Result<Aligned> {
    let message = |e: sepconv_kernels::Error| Error::Argument { message: e.to_string() };
    Aligned::new(len, f32::from_bits(0x7fff_7fff)).map_err(message)
}

impl Session {
    /// Makes a session for the threads of rayon's current pool, or for one thread without the
    /// feature `rayon`.
    ///
    /// ```
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
    /// let session = Session::new(plan)?; // takes a NetworkPlan or an Arc of one
    /// assert!(session.output().iter().all(|y| y.is_nan())); // nothing has run yet
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if the memory can't be allocated.
    pub fn new(plan: impl Into<Arc<NetworkPlan>>) -> Result<Self> {
        Self::with_threads(plan, available_threads())
    }

    /// Makes a session with memory for `threads` threads. [`Session::run`] uses the threads of the
    /// rayon pool in which it is called, up to this number. Results have the same bits for any
    /// number of threads.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let options = PlanOptions::default();
    /// let plan = Arc::new(NetworkPlan::new(&network, weights, [1, 64, 64, 3], &options)?);
    /// let mut one = Session::with_threads(Arc::clone(&plan), 1)?;
    /// let mut four = Session::with_threads(plan, 4)?;
    /// one.run(&synthetic::picture(64).data)?;
    /// four.run(&synthetic::picture(64).data)?;
    /// assert_eq!(one.output(), four.output());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if the memory can't be allocated.
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
            scratch_lens,
            schedule,
            plan,
        })
    }

    /// The plan that the session runs.
    pub fn plan(&self) -> &Arc<NetworkPlan> {
        &self.plan
    }

    /// Computes the output and the reported nodes from `x`, a dense NHWC tensor of the plan's input
    /// shape.
    ///
    /// ```
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
    /// let mut session = Session::new(plan)?;
    /// session.run(&synthetic::picture(64).data)?;
    /// let logits = session.output();
    ///
    /// let error = session.run(&[0.0; 100]).unwrap_err();
    /// let message = "input: expected 12288 elements for shape [1, 64, 64, 3], got 100";
    /// assert_eq!(error.to_string(), message);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Locks
    /// Tasks of rayon's current pool must not run a session that they share through a `Mutex`, or a
    /// thread-local `RefCell`, in that pool. The run waits for the pool, and rayon may have the
    /// waiting thread begin another of these tasks, which waits for the lock for ever. Either each
    /// task has a session of its own (they can share one plan), or it runs on its thread alone:
    ///
    /// ```
    /// # use std::sync::Mutex;
    /// # use sepconv::models::{MobileNetConfig, mobilenet};
    /// # use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// # use sepconv::weights::synthetic;
    /// use sepconv::kernels::on_this_thread;
    ///
    /// # let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// # let weights = synthetic::weights(&network)?;
    /// # let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
    /// # let picture = synthetic::picture(64).data;
    /// let session = Mutex::new(Session::new(plan)?);
    /// // in a task
    /// let mut session = session.lock().unwrap();
    /// on_this_thread(|| session.run(&picture))?;
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// In a child of `fork` no pool of the parent's has threads: `on_this_thread`, or a pool of the
    /// child's own.
    ///
    /// # Errors
    /// [`Error::Argument`] if `x` has the wrong length. The values of the last run stay.
    pub fn run(&mut self, x: &[f32]) -> Result<()> {
        self.each(x, |_, _, run| run(current_threads()))
    }

    /// Runs as [`Session::run`] does, and calls `on_step` after each step with the time it took,
    /// and each of its threads. A step that runs depth first is timed in each of its turns. What is
    /// reported is allocated.
    ///
    /// # Panics
    /// Where the standard library has no clock (`wasm32-unknown-unknown`): use
    /// [`Session::run_timed_by`] there.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_timed(&mut self, x: &[f32], on_step: impl FnMut(StepTime)) -> Result<()> {
        let begin = Instant::now();
        self.run_timed_by(&|| begin.elapsed(), x, on_step)
    }

    /// Runs as [`Session::run_timed`] does, by a clock of the caller's: `now` is the time since a
    /// moment that stays the same, on every thread.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let plan = NetworkPlan::new(&network, weights, [1, 64, 64, 3], &PlanOptions::default())?;
    /// let mut session = Session::new(plan)?;
    /// let stands_still = || Duration::from_secs(5);
    /// session.run_timed_by(&stands_still, &synthetic::picture(64).data, |step| {
    ///     assert_eq!((step.start, step.time), (Duration::ZERO, Duration::ZERO));
    /// })?;
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_timed_by(
        &mut self,
        now: &(dyn Fn() -> Duration + Sync),
        x: &[f32],
        mut on_step: impl FnMut(StepTime),
    ) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let recorder = Recorder::new(now);
        self.each(x, |step, turn, run| {
            let start = recorder.now();
            run(&recorder)?;
            let time = recorder.now().saturating_sub(start);
            let threads = recorder.take(start, time);
            let [n, h, ..] = plan.planned()[step].info().output;
            let (rows, pictures) = match turn {
                None => (0..h, 0..n),
                Some((turn, picture)) => (turn.rows.clone(), picture..picture + 1),
            };
            on_step(StepTime { step, rows, pictures, start, time, threads });
            Ok(())
        })
    }

    /// Checks `x`, then passes each step, or each turn of a step, to `call`.
    fn each(
        &mut self,
        x: &[f32],
        mut call: impl FnMut(
            usize,
            Option<(&Turn, usize)>,
            &mut dyn FnMut(&dyn Threads) -> Result<()>,
        ) -> Result<()>,
    ) -> Result<()> {
        let shape = self.plan.input_shape();
        let expected: usize = shape.iter().product();
        if x.len() != expected {
            return Err(Error::Argument {
                message: format!(
                    "input: expected {expected} elements for shape {shape:?}, got {}",
                    x.len()
                ),
            });
        }
        let arena: &mut [Unit] = bytemuck::cast_slice_mut(&mut self.arena);
        let scratch = &mut self.scratch[..];
        let mut run = |i: usize, turn: Option<(&Turn, usize)>| {
            let (step, operands) = (&self.plan.planned()[i], &self.schedule.operands[i]);
            let scratch = &mut scratch[..self.scratch_lens[i]];
            call(i, turn, &mut |threads| step.run(threads, operands, turn, x, arena, scratch))
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
                if let Elements::U8(from) = from {
                    let numbers = from.iter().map(|&q| number(report.quantization, q));
                    widened.iter_mut().zip(numbers).for_each(|(to, number)| *to = number);
                    continue;
                }
                convert(from, widened.into(), Some(self.plan.level()))
                    .map_err(|source| Error::Kernel { node: report.name.clone(), source })?;
            }
        }
        Ok(())
    }

    /// The output of the last run: dense NHWC of shape [`Session::output_shape`], NaN before the
    /// first run.
    pub fn output(&self) -> &[f32] {
        self.value(0)
    }

    /// The shape \[N, H, W, C\] of the output.
    pub fn output_shape(&self) -> [usize; 4] {
        self.plan.output_shape()
    }

    /// A node's value in the last run, dense NHWC, and its shape. Reported are the output's node
    /// and those in [`super::PlanOptions::outputs`]; None for any other.
    ///
    /// ```
    /// use sepconv::models::{MobileNetConfig, mobilenet};
    /// use sepconv::network::{NetworkPlan, PlanOptions, Session};
    /// use sepconv::weights::synthetic;
    ///
    /// let network = mobilenet(&MobileNetConfig { alpha: 0.25, ..MobileNetConfig::default() })?;
    /// let weights = synthetic::weights(&network)?;
    /// let options = PlanOptions::default().outputs(["conv1_relu"]);
    /// let mut session = Session::new(NetworkPlan::new(&network, weights, [1, 64, 64, 3], &options)?)?;
    /// session.run(&synthetic::picture(64).data)?;
    /// let (values, shape) = session.node("conv1_relu").unwrap();
    /// assert_eq!(shape, [1, 32, 32, 8]);
    /// assert_eq!(values.len(), 32 * 32 * 8);
    /// assert!(session.node("conv_pw_1_relu").is_none()); // the plan does not report it
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
