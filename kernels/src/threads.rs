//! Splits independent tasks over threads. The only file that knows rayon.
//!
//! Every output element belongs to one task and its arithmetic does not depend on which thread runs
//! it, nor when: the number of threads can't change a bit.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::element::{Pointer, PointerMut};
use crate::memory;

#[cfg(feature = "rayon")]
std::thread_local! {
    /// Whether this thread is inside [`on_this_thread`].
    static ALONE: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Calls `f`, in which plans run on the calling thread alone, though rayon's current pool has more:
/// for callers that share out the work themselves.
///
/// ```
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let plan = Elementwise::new([1, 1, 1, 3], &Options::default())?;
/// let (x, mut y) = ([1.0, 2.0, 3.0], [0.0; 3]);
/// let from = NhwcView::new(&x, plan.input_shape())?;
/// let to = NhwcViewMut::new(&mut y, plan.output_shape())?;
/// on_this_thread(|| plan.run(from, None, to, &mut []))?; // the closure's result
/// assert_eq!(x, y);
/// # Ok(())
/// # }
/// ```
pub fn on_this_thread<T>(f: impl FnOnce() -> T) -> T {
    #[cfg(feature = "rayon")]
    {
        /// Puts it back, also when `f` panics.
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                ALONE.set(self.0);
            }
        }
        let _restore = Restore(ALONE.replace(true));
        f()
    }
    #[cfg(not(feature = "rayon"))]
    f()
}

/// Threads that a plan's run may use when called from here: those of rayon's current pool, and one
/// inside [`on_this_thread`], without the feature `rayon`, or if the system grants no more.
///
/// ```
/// use sepconv_kernels::{available_threads, on_this_thread};
///
/// assert!(available_threads() >= 1);
/// assert_eq!(on_this_thread(available_threads), 1);
/// ```
#[must_use]
pub fn available_threads() -> usize {
    current_threads().count()
}

/// Threads of the caller's: whatever runs closures at the same time, for
/// [`Plan::run_on`](crate::Plan::run_on).
///
/// Results do not depend on it. A run stays correct, only slower, if `run` calls the work fewer
/// times than asked for, or one after the other.
///
/// ```
/// use sepconv_kernels::*;
///
/// /// Threads that live as long as a run.
/// struct Scoped(usize);
///
/// impl Threads for Scoped {
///     fn count(&self) -> usize {
///         self.0
///     }
///
///     fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
///         std::thread::scope(|scope| {
///             for _ in 1..count {
///                 scope.spawn(work);
///             }
///             work();
///         });
///     }
/// }
///
/// # fn main() -> Result<(), Error> {
/// let plan = Pointwise::new([1, 1, 3, 2], &PointwiseParams::new(1, &[1.0, 10.0]), &Options::new())?;
/// let (mut y, mut scratch) = ([0.0; 3], vec![0.0; plan.scratch_len(2)]);
/// let x = NhwcView::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], plan.input_shape())?;
/// let to = NhwcViewMut::new(&mut y, plan.output_shape())?;
/// plan.run_on(&Scoped(2), 0..1, x, None, to, (&mut scratch[..]).into())?;
/// assert_eq!(y, [21.0, 43.0, 65.0]);
/// # Ok(())
/// # }
/// ```
pub trait Threads: Sync {
    /// How many threads can compute at the same time; at least 1.
    fn count(&self) -> usize;

    /// Calls `work` `count` times, from several threads at the same time, and returns when all
    /// calls have returned. Each call computes until nothing is left to begin.
    fn run(&self, count: usize, work: &(dyn Fn() + Sync));

    /// A number of the calling thread, if it has one that stays the same from run to run. Threads
    /// then find in their caches what they computed the last time.
    fn index(&self) -> Option<usize> {
        None
    }
}

/// The calling thread alone, as [`Threads`].
///
/// ```
/// use sepconv_kernels::{CallingThread, Threads};
///
/// assert_eq!(CallingThread.count(), 1);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CallingThread;

impl Threads for CallingThread {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, _: usize, work: &(dyn Fn() + Sync)) {
        work();
    }
}

/// The threads of rayon's current pool.
#[cfg(feature = "rayon")]
struct CurrentPool;

#[cfg(feature = "rayon")]
impl Threads for CurrentPool {
    fn count(&self) -> usize {
        rayon::current_num_threads()
    }

    /// By halving: `rayon::join` neither allocates nor spawns. A half that no thread was free to
    /// take runs afterwards and finds nothing left to do.
    fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
        if count <= 1 {
            return work();
        }
        let left = count / 2;
        rayon::join(|| self.run(left, work), || self.run(count - left, work));
    }

    fn index(&self) -> Option<usize> {
        rayon::current_thread_index()
    }
}

/// The threads that a plan's run uses when called from here: see [`available_threads`]. Threads of
/// one's own can pass on to them, and see when they are used.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use sepconv_kernels::*;
///
/// /// Counts the threads that computed.
/// struct Counted(&'static dyn Threads, AtomicUsize);
///
/// impl Threads for Counted {
///     fn count(&self) -> usize {
///         self.0.count()
///     }
///
///     fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
///         self.0.run(count, &|| {
///             self.1.fetch_add(1, Ordering::Relaxed);
///             work();
///         });
///     }
/// }
///
/// let threads = Counted(current_threads(), AtomicUsize::new(0));
/// threads.run(threads.count(), &|| ());
/// assert_eq!(threads.1.into_inner(), available_threads());
/// ```
#[must_use]
pub fn current_threads() -> &'static dyn Threads {
    #[cfg(feature = "rayon")]
    if !ALONE.get() && pool_exists() {
        return &CurrentPool;
    }
    &CallingThread
}

/// Whether rayon has a pool for the calling thread. The first use makes the global one, and panics
/// where the system grants no more threads (`ulimit -u`, seccomp): so it is made here.
#[cfg(feature = "rayon")]
fn pool_exists() -> bool {
    use core::error::Error;
    static GLOBAL: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    rayon::current_thread_index().is_some()
        || *GLOBAL.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
            Ok(()) => true,
            // Without a source: it had been made before.
            Err(error) => error.source().is_none(),
        })
}

/// Memory that a run works in; its length is told by
/// [`Plan::scratch_len`](crate::Plan::scratch_len).
///
/// ```
/// use std::mem::MaybeUninit;
/// # use sepconv_kernels::*;
/// # fn main() -> Result<(), Error> {
/// let plan = Dense::new([1, 1, 1, 2], &DenseParams::new(1, &[1.0, 10.0]), &Options::new())?;
/// let mut scratch = vec![MaybeUninit::uninit(); plan.scratch_len(1)];
/// let mut y = [MaybeUninit::uninit()];
/// let x = NhwcView::new(&[3.0, 4.0], plan.input_shape())?;
/// let to = NhwcViewMut::new(&mut y[..], plan.output_shape())?;
/// plan.run_on(&CallingThread, 0..1, x, None, to, (&mut scratch[..]).into())?;
/// // SAFETY: a run that ends well has written every element.
/// assert_eq!(unsafe { y[0].assume_init() }, 43.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Scratch<'a> {
    elements: &'a mut [MaybeUninit<f32>],
    /// Whether all of them hold numbers.
    is_initialized: bool,
}

impl<'a> From<&'a mut [f32]> for Scratch<'a> {
    fn from(scratch: &'a mut [f32]) -> Self {
        let (start, len) = (scratch.as_mut_ptr().cast(), scratch.len());
        // SAFETY: numbers, borrowed as they were. Nothing but numbers is written to them.
        let elements = unsafe { core::slice::from_raw_parts_mut(start, len) };
        Self { elements, is_initialized: true }
    }
}

/// Memory that need not hold anything. A run fills with zeros what it uses of it, which takes one
/// or two percent of the time of a GEMM.
impl<'a> From<&'a mut [MaybeUninit<f32>]> for Scratch<'a> {
    fn from(elements: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { elements, is_initialized: false }
    }
}

impl Scratch<'_> {
    /// The same for a while.
    pub(crate) fn reborrow(&mut self) -> Scratch<'_> {
        Scratch { elements: &mut *self.elements, is_initialized: self.is_initialized }
    }

    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }
}

/// Parts of scratch for calls of a run's work.
struct Parts<'a> {
    start: *mut f32,
    /// Elements of each.
    part: usize,
    count: usize,
    is_initialized: bool,
    taken: [AtomicBool; MAX_QUEUES],
    /// Those taken beyond these.
    more: AtomicUsize,
    scratch: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: each part of the scratch, which is borrowed mutably, goes to one call.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    /// So many parts, of scratch that has room for them.
    fn new(scratch: Scratch<'a>, part: usize, count: usize) -> Self {
        let Scratch { elements, is_initialized } = scratch;
        let elements = memory::align(elements);
        assert!(part.checked_mul(count).is_some_and(|all| all <= elements.len()));
        Self {
            start: elements.as_mut_ptr().cast(),
            part,
            count,
            is_initialized,
            taken: core::array::from_fn(|_| AtomicBool::new(false)),
            more: AtomicUsize::new(0),
            scratch: PhantomData,
        }
    }

    /// A part that nobody has taken, and its number: `wanted` if it is free. None if there is none.
    fn take(&self, wanted: usize) -> Option<(usize, &'a mut [f32])> {
        let flags = self.count.min(MAX_QUEUES);
        let free = |i: &usize| !self.taken[*i].swap(true, Ordering::Relaxed);
        let i = (0..flags).map(|i| (wanted % flags + i) % flags).find(free).or_else(|| {
            let more = MAX_QUEUES.checked_add(self.more.fetch_add(1, Ordering::Relaxed))?;
            (more < self.count).then_some(more)
        })?;
        let start = self.start.wrapping_add(i * self.part);
        if !self.is_initialized {
            // SAFETY: part i lies in the scratch and is this call's alone.
            unsafe { start.write_bytes(0, self.part) };
        }
        // SAFETY: likewise; it holds numbers.
        Some((i, unsafe { core::slice::from_raw_parts_mut(start, self.part) }))
    }
}

/// Most queues of tasks. More threads than that begin with another one's.
const MAX_QUEUES: usize = 64;

/// How many queues tasks are dealt to.
fn queues(tasks: usize, workers: usize) -> usize {
    workers.min(tasks).clamp(1, MAX_QUEUES)
}

/// Calls `f(task, scratch)` for every task in `0..tasks`, on up to `workers` of the threads, each
/// with its own `part` elements of `scratch` (which must hold `workers` parts).
///
/// Tasks are dealt to queues one after the other, and each thread of a pool begins with the same
/// queue in every call: it finds what it wrote or read the last time in its own caches. When its
/// queue is empty it steals from the others'. (A call through a pointer costs a task nothing, and
/// this compiles once.)
pub(crate) fn for_each(
    threads: &dyn Threads,
    [tasks, workers]: [usize; 2],
    scratch: Scratch<'_>,
    part: usize,
    f: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let queues = queues(tasks, workers);
    let next: [AtomicUsize; MAX_QUEUES] = core::array::from_fn(AtomicUsize::new);
    let count = workers.min(tasks).max(1);
    let parts = Parts::new(scratch, part, count);
    let work = || {
        let index = threads.index();
        let Some((number, scratch)) = parts.take(index.unwrap_or(0)) else {
            return; // called more often than asked for
        };
        let own = index.unwrap_or(number) % queues;
        for queue in (own..queues).chain(0..own) {
            loop {
                let task = next[queue].fetch_add(queues, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task, scratch);
            }
        }
    };
    if count > 1 {
        threads.run(count, &work);
    }
    // What is left if it was called less often than asked for.
    work();
}

/// The tasks of [`for_each`] in an order in which those of a queue are adjacent: the place of
/// `task`.
pub(crate) fn adjacent(task: usize, tasks: usize, workers: usize) -> usize {
    let queues = queues(tasks, workers);
    let queue = task % queues;
    tasks / queues * queue + queue.min(tasks % queues) + task / queues
}

/// A pointer that tasks on several threads write disjoint elements through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedMut(pub(crate) PointerMut);

// SAFETY: whoever dereferences it vouches for the bounds and for disjointness.
unsafe impl Send for SharedMut {}
// SAFETY: whoever dereferences it vouches for the bounds and for disjointness.
unsafe impl Sync for SharedMut {}

/// A pointer that tasks on several threads read through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared(pub(crate) Pointer);

// SAFETY: whoever dereferences it vouches for the bounds; nobody writes while it is in use.
unsafe impl Send for Shared {}
// SAFETY: whoever dereferences it vouches for the bounds; nobody writes while it is in use.
unsafe impl Sync for Shared {}
