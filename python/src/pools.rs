//! Threads to compute with.
//!
//! A child of `fork` has none of its parent's threads, so that it must not wait for a pool of the
//! parent's: pools belong to a process. They are made while Python's global lock is held, as `fork`
//! is called: no other thread can be half-way through making one. They are never dropped: that
//! would wake threads which a child doesn't have. rayon's global pool is never used, but by the
//! command line.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sepconv::kernels::on_this_thread;

struct Pool {
    process: u32,
    threads: usize,
    pool: &'static ThreadPool,
}

/// At most one for each process and number of threads.
static POOLS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());

/// Calls `f` on one of so many threads, all of which its kernels use; if it is one, on the calling
/// thread. Releases the global lock meanwhile.
pub(crate) fn on<T: Send>(
    py: Python<'_>,
    threads: usize,
    f: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    if threads <= 1 {
        return Ok(py.detach(|| on_this_thread(f)));
    }
    let pool = pool(threads)?;
    Ok(py.detach(|| pool.install(f)))
}

/// The memory of runs, as many as there were at once. Locked only while Python's global lock is
/// held.
pub(crate) struct Idle<T>(Mutex<Vec<T>>);

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Idle<T> {
    /// One that no run uses, if there is one.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Gives it back.
    pub(crate) fn put(&self, memory: T) {
        self.lock().push(memory);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pool(threads: usize) -> PyResult<&'static ThreadPool> {
    let process = std::process::id();
    // What it holds is whole, whatever panicked.
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = pools.iter().find(|pool| (pool.process, pool.threads) == (process, threads));
    if let Some(known) = known {
        return Ok(known.pool);
    }
    let builder =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("sepconv-{i}"));
    let pool = builder
        .build()
        .map_err(|e| PyRuntimeError::new_err(format!("can't start {threads} threads: {e}")))?;
    let pool: &'static ThreadPool = Box::leak(Box::new(pool));
    pools.push(Pool { process, threads, pool });
    Ok(pool)
}
