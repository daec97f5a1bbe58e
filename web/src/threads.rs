//! Rayon's pool, whose threads JavaScript starts: each is a worker that shares this memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};

use crate::{Result, sentence};

/// Threads of the pool that no worker has become yet.
static WAITING: Mutex<VecDeque<ThreadBuilder>> = Mutex::new(VecDeque::new());
static ONE_MORE: Condvar = Condvar::new();

/// Makes the global pool of `count` threads, of which the calling one is the first. The others must
/// be in [`run`], or about to be: it waits for them.
pub(crate) fn start(count: usize) -> Result<()> {
    let spawn = |thread| {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push_back(thread);
        ONE_MORE.notify_one();
        Ok(())
    };
    let pool = ThreadPoolBuilder::new().num_threads(count).use_current_thread();
    pool.spawn_handler(spawn).build_global().map_err(sentence)
}

/// Becomes a thread of the pool.
pub(crate) fn run() {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = ONE_MORE
        .wait_while(waiting, |waiting| waiting.is_empty())
        .unwrap_or_else(PoisonError::into_inner);
    let thread = waiting.pop_front();
    drop(waiting);
    if let Some(thread) = thread {
        thread.run();
    }
}
