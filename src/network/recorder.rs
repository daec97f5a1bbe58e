//! When each thread computes: rayon's threads, watched.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sepconv_kernels::{Threads, current_threads};

/// When a thread computed for a step: see [`StepTime::threads`](super::StepTime::threads).
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
/// let mut busy = Duration::ZERO;
/// session.run_timed(&synthetic::picture(64).data, |step| {
///     busy += step.threads.iter().map(|thread| thread.time).sum::<Duration>();
/// })?;
/// println!("all threads together: {busy:?}");
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadTime {
    /// The thread's number in its pool; 0 outside of pools.
    pub thread: usize,
    /// From the start of the session's run to the start of this work.
    pub start: Duration,
    /// How long it took.
    pub time: Duration,
}

/// The threads of a run that is not told which, with notes of when each of them works.
pub(super) struct Recorder<'a> {
    threads: &'static dyn Threads,
    now: &'a (dyn Fn() -> Duration + Sync),
    begin: Duration,
    times: Mutex<Vec<ThreadTime>>,
}

impl<'a> Recorder<'a> {
    /// A run begins, by this clock.
    pub(super) fn new(now: &'a (dyn Fn() -> Duration + Sync)) -> Self {
        Self { threads: current_threads(), now, begin: now(), times: Mutex::default() }
    }

    /// The time since the run began. Clocks are not trusted to go forward.
    pub(super) fn now(&self) -> Duration {
        (self.now)().saturating_sub(self.begin)
    }

    /// What was noted since the last call. A step that asked for no threads has run on the calling
    /// one, from `start` on.
    pub(super) fn take(&self, start: Duration, time: Duration) -> Vec<ThreadTime> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.is_empty() {
            times.push(self.thread_time(start, time));
        }
        std::mem::take(&mut times)
    }

    fn thread_time(&self, start: Duration, time: Duration) -> ThreadTime {
        let thread = self.threads.index().unwrap_or(0);
        ThreadTime { thread, start, time }
    }
}

impl Threads for Recorder<'_> {
    fn count(&self) -> usize {
        self.threads.count()
    }

    fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
        self.threads.run(count, &|| {
            let start = self.now();
            work();
            let time = self.thread_time(start, self.now().saturating_sub(start));
            self.times.lock().unwrap_or_else(PoisonError::into_inner).push(time);
        });
    }

    fn index(&self) -> Option<usize> {
        self.threads.index()
    }
}
