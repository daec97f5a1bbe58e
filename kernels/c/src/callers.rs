//! Threads of the caller's, behind a function pointer.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use sepconv_kernels::Threads;

use crate::call::{Result, refuse};
use crate::{sepconv_threads, sepconv_work};

/// [`sepconv_threads`], whose function is there.
pub(crate) struct CallersThreads {
    count: usize,
    run: unsafe extern "C" fn(*mut c_void, usize, sepconv_work, *mut c_void),
    context: *mut c_void,
}

// SAFETY: `count` is a number. The pointers are used in `Threads::run` alone, which a plan's run
// calls on the thread that it was called on.
unsafe impl Sync for CallersThreads {}

impl sepconv_threads {
    /// # Safety
    /// The function keeps the contract of [`sepconv_threads::run`] for `context` while the result
    /// lives.
    pub(crate) unsafe fn read(&self) -> Result<CallersThreads> {
        let Some(run) = self.run else { return refuse("threads->run is null") };
        Ok(CallersThreads { count: self.count.max(1), run, context: self.context })
    }
}

/// What the calls of a run's work share.
struct Work<'a> {
    work: &'a (dyn Fn() + Sync),
    /// Of a call that panicked.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Threads for CallersThreads {
    fn count(&self) -> usize {
        self.count
    }

    /// A panic in one of the calls, which may not cross the caller's functions, goes on from here.
    fn run(&self, count: usize, work: &(dyn Fn() + Sync)) {
        let work = Work { work, panic: Mutex::new(None) };
        let argument = (&raw const work).cast_mut().cast();
        // SAFETY: the contract of `sepconv_threads`; `call` takes a `Work`, which is there until
        // the function has returned.
        unsafe { (self.run)(self.context, count, Some(call), argument) };
        let panic = work.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

/// # Safety
/// The argument is a [`Work`].
unsafe extern "C" fn call(argument: *mut c_void) {
    // SAFETY: the caller's contract. Several threads share it: it is `Sync`.
    let work = unsafe { &*argument.cast::<Work<'_>>() };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work.work)) {
        *work.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Calls the work on a new thread each time, as often as asked.
    unsafe extern "C" fn run(
        _: *mut c_void,
        count: usize,
        work: sepconv_work,
        argument: *mut c_void,
    ) {
        struct Argument(*mut c_void);
        // SAFETY: the work may be called from any thread.
        unsafe impl Sync for Argument {}
        let argument = &Argument(argument);
        std::thread::scope(|scope| {
            for _ in 0..count {
                // SAFETY: with the argument that came with it.
                scope.spawn(move || unsafe { work.unwrap()({ argument }.0) });
            }
        });
    }

    #[test]
    fn a_panic_in_a_call_arrives_after_all_calls() {
        let threads = sepconv_threads { count: 3, run: Some(run), context: std::ptr::null_mut() };
        // SAFETY: `run` keeps the contract.
        let threads = unsafe { threads.read() }.unwrap();
        let ended = AtomicUsize::new(0);
        let work = || {
            if ended.fetch_add(1, Ordering::Relaxed) == 1 {
                panic!("the second call");
            }
        };
        let panic = catch_unwind(AssertUnwindSafe(|| threads.run(3, &work))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the second call"));
        assert_eq!(ended.into_inner(), 3);
    }
}
