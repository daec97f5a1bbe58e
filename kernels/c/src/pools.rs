//! Thread pools, kept from one run to the next.
//!
//! A child of `fork` has none of its parent's threads, and a lock that one of these held stays
//! locked for ever. The child therefore forgets pools and lock together, and starts with new ones.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Most pools that are kept. A program uses one number of threads, or a few.
const MOST_POOLS: usize = 4;

/// The pools that are kept, the most recently used last. Null before the first one, and again in a
/// child of `fork`.
static KEPT: AtomicPtr<Mutex<Vec<Arc<Pool>>>> = AtomicPtr::new(null_mut());

/// A pool whose threads have ended when it has been dropped.
pub(crate) struct Pool {
    /// None while it is dropped.
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// None if the system refuses that many threads.
    fn start(count: usize) -> Option<Self> {
        let mut threads = Vec::with_capacity(count);
        let pool = ThreadPoolBuilder::new().num_threads(count).spawn_handler(|thread| {
            let name = format!("sepconv-{}", thread.index());
            threads.push(std::thread::Builder::new().name(name).spawn(|| thread.run())?);
            Ok(())
        });
        // On failure rayon tells those that run to end: dropping waits for them, too.
        let pool = pool.build().ok();
        let started = Self { pool, threads };
        started.pool.is_some().then_some(started)
    }

    /// Runs `f` on a thread of the pool, while the caller waits.
    pub(crate) fn install<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(f),
            None => sepconv_kernels::on_this_thread(f),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.pool.take());
        for thread in self.threads.drain(..) {
            // One that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

/// A pool of `count` threads: one that is kept, or a new one, which is then kept. None if the system
/// refuses that many threads.
pub(crate) fn of(count: usize) -> Option<Arc<Pool>> {
    let mut kept = lock(kept()?);
    let pool = match kept.iter().position(|pool| pool.threads.len() == count) {
        Some(i) => kept.remove(i),
        None => Arc::new(Pool::start(count)?),
    };
    kept.push(pool.clone());
    let surplus = (kept.len() > MOST_POOLS).then(|| kept.remove(0));
    // Its threads end now, or with the last run that uses them. Others needn't wait for that.
    drop(kept);
    drop(surplus);
    Some(pool)
}

/// Keeps no pool any longer. The threads of those that are not in use have ended on return.
pub(crate) fn release() {
    // SAFETY: null, or made by `kept` and never freed.
    if let Some(kept) = unsafe { KEPT.load(Ordering::Acquire).as_ref() } {
        let released = std::mem::take(&mut *lock(kept));
        drop(released);
    }
}

fn lock(kept: &Mutex<Vec<Arc<Pool>>>) -> MutexGuard<'_, Vec<Arc<Pool>>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process' pools. None if it can't be told of forks.
fn kept() -> Option<&'static Mutex<Vec<Arc<Pool>>>> {
    if KEPT.load(Ordering::Acquire).is_null() {
        if !forks::watch() {
            return None;
        }
        let new = Box::into_raw(Box::default());
        if KEPT.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it came from a box, and another thread's was stored in its place.
            drop(unsafe { Box::from_raw(new) });
        }
    }
    // SAFETY: stored above or by another thread, and never freed.
    unsafe { KEPT.load(Ordering::Acquire).as_ref() }
}

/// Has the children of `fork` forget the pools. No lock is taken, as a child would find it locked.
#[cfg(unix)]
mod forks {
    use std::ffi::c_int;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicBool, Ordering};

    type Handler = Option<extern "C" fn()>;

    // From POSIX; every libc has it.
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }

    static WATCHED: AtomicBool = AtomicBool::new(false);

    /// Whether children will forget.
    pub(super) fn watch() -> bool {
        if !WATCHED.load(Ordering::Acquire) {
            // Two threads may both come here: then a child forgets twice, which does no harm.
            // SAFETY: `forget` has the type that is asked for. It only stores to an atomic, which a
            // child of a process with threads may do.
            let registered = unsafe { pthread_atfork(None, None, Some(forget)) == 0 };
            WATCHED.store(registered, Ordering::Release);
        }
        WATCHED.load(Ordering::Acquire)
    }

    /// What it forgets is never freed: its threads are gone, so that nobody could end them.
    extern "C" fn forget() {
        super::KEPT.store(null_mut(), Ordering::Release);
    }
}

#[cfg(not(unix))]
mod forks {
    pub(super) fn watch() -> bool {
        true
    }
}
