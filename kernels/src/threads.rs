//! Splits independent tasks over threads. The only file that knows rayon.
//!
//! Every output element belongs to one task and its arithmetic does not depend on which thread runs
//! it, nor when: the number of threads can't change a bit.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::element::{Pointer, PointerMut};

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
/// inside [`on_this_thread`] or without the feature `rayon`.
///
/// ```
/// use sepconv_kernels::{available_threads, on_this_thread};
///
/// assert!(available_threads() >= 1);
/// assert_eq!(on_this_thread(available_threads), 1);
/// ```
#[must_use]
pub fn available_threads() -> usize {
    #[cfg(feature = "rayon")]
    {
        if ALONE.get() { 1 } else { rayon::current_num_threads() }
    }
    #[cfg(not(feature = "rayon"))]
    {
        1
    }
}

/// Most shares that tasks are divided into. More threads than that begin with another one's.
const SHARES: usize = 64;

/// How many shares tasks are divided into.
fn shares(tasks: usize, workers: usize) -> usize {
    workers.min(tasks).clamp(1, SHARES)
}

/// Calls `f(task, scratch)` for every task in `0..tasks`, on up to `workers` threads, each with its
/// own `part` elements of `scratch` (which must hold `workers` parts).
///
/// A share is every n-th task, and each thread of the pool begins with the same one in every call:
/// it finds what it wrote or read the last time in its own caches. Done with it, it goes on with
/// what is left of the others'.
pub(crate) fn for_each(
    tasks: usize,
    workers: usize,
    scratch: &mut [f32],
    part: usize,
    f: &(impl Fn(usize, &mut [f32]) + Sync),
) {
    let shares = shares(tasks, workers);
    let next: [AtomicUsize; SHARES] = core::array::from_fn(AtomicUsize::new);
    fork(workers.min(tasks).max(1), scratch, part, &|scratch| {
        let own = index() % shares;
        for share in (own..shares).chain(0..own) {
            loop {
                let task = next[share].fetch_add(shares, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task, scratch);
            }
        }
    });
}

/// The tasks of [`for_each`] in an order in which those of a share are adjacent: the place of
/// `task`.
pub(crate) fn adjacent(task: usize, tasks: usize, workers: usize) -> usize {
    let shares = shares(tasks, workers);
    let share = task % shares;
    tasks / shares * share + share.min(tasks % shares) + task / shares
}

/// The calling thread's number in its pool.
fn index() -> usize {
    #[cfg(feature = "rayon")]
    {
        rayon::current_thread_index().unwrap_or(0)
    }
    #[cfg(not(feature = "rayon"))]
    {
        0
    }
}

/// Runs `worker` on up to `workers` threads at a time, by halving: `rayon::join` neither allocates
/// nor spawns. A half that no thread was free to take runs afterwards and finds the tasks done.
fn fork(workers: usize, scratch: &mut [f32], part: usize, worker: &(impl Fn(&mut [f32]) + Sync)) {
    if workers <= 1 {
        return worker(&mut scratch[..part]);
    }
    let left = workers / 2;
    let (a, b) = scratch.split_at_mut(left * part);
    join(|| fork(left, a, part, worker), || fork(workers - left, b, part, worker));
}

#[cfg(feature = "rayon")]
fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon::join(a, b);
}

#[cfg(not(feature = "rayon"))]
fn join(a: impl FnOnce(), b: impl FnOnce()) {
    a();
    b();
}

/// A pointer that tasks on several threads write disjoint elements through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedMut(pub(crate) PointerMut);

// SAFETY: whoever dereferences it vouches for the bounds and for disjointness.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}

/// A pointer that tasks on several threads read through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared(pub(crate) Pointer);

// SAFETY: whoever dereferences it vouches for the bounds; nobody writes while it is in use.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}
