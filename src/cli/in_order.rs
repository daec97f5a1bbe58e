//! Shares work out to threads, and passes the results on in the order of the work.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Failure, Result};

/// How many results, for each thread, may wait for an earlier one: what one slow item may take
/// longer than the others before they wait for it, too. It bounds the memory.
const AHEAD: usize = 64;

/// Calls `work` for each item, on a thread for each of `states`, and passes the results to `done`
/// in the order of the items. The calling thread is one of them. Ends at the first failure in this
/// order.
pub(super) fn in_order<T, S: Send, R: Send>(
    items: impl Iterator<Item = T> + Send,
    states: Vec<S>,
    work: impl Fn(&mut S, T) -> Result<R> + Sync,
    done: impl FnMut(R) -> Result + Send,
) -> Result {
    let queue = Queue {
        items: Mutex::new((0, items.fuse())),
        results: Mutex::new(Results { passed: 0, waiting: VecDeque::new(), end: None, done }),
        room: Condvar::new(),
        ahead: AHEAD * states.len(),
    };
    let end = || queue.end(Err(Failure::Reported));
    let compute = |mut state: S| {
        let _guard = EndOnPanic(&end);
        while let Some((number, item)) = queue.take() {
            queue.put(number, work(&mut state, item));
        }
    };
    let (mut states, compute) = (states.into_iter(), &compute);
    let own = states.next();
    thread::scope(|scope| {
        for state in states {
            // Where the system grants no more threads, those that there are do the work.
            if thread::Builder::new().spawn_scoped(scope, move || compute(state)).is_err() {
                break;
            }
        }
        own.into_iter().for_each(compute);
    });
    let results = queue.results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.end.unwrap_or(Ok(()))
}

/// A thread that panics never gives its result, for which the others would wait for ever.
struct EndOnPanic<'a>(&'a dyn Fn());

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

struct Queue<I, R, D> {
    /// The number of the next item, and the items.
    items: Mutex<(usize, Fuse<I>)>,
    results: Mutex<Results<R, D>>,
    /// Notified when results were passed on.
    room: Condvar,
    ahead: usize,
}

struct Results<R, D> {
    /// How many were passed on.
    passed: usize,
    /// Those of the items from number `passed` on, as far as they are there.
    waiting: VecDeque<Option<Result<R>>>,
    done: D,
    /// Why nothing more is to be done.
    end: Option<Result>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, R, I: Iterator<Item = T>, D: FnMut(R) -> Result> Queue<I, R, D> {
    /// The next item and its number, as soon as its result has room.
    fn take(&self) -> Option<(usize, T)> {
        // Held while an item is waited for, as from a pipe; results are passed on meanwhile.
        let mut items = lock(&self.items);
        let is_full = |results: &mut Results<R, D>| {
            results.end.is_none() && items.0 - results.passed >= self.ahead
        };
        let results = self.room.wait_while(lock(&self.results), is_full);
        if results.unwrap_or_else(PoisonError::into_inner).end.is_some() {
            return None;
        }
        let item = items.1.next()?;
        items.0 += 1;
        Some((items.0 - 1, item))
    }

    /// Passes on a result and those that waited for it, or keeps it until its turn.
    fn put(&self, number: usize, result: Result<R>) {
        let mut results = lock(&self.results);
        let place = number - results.passed;
        if results.waiting.len() <= place {
            results.waiting.resize_with(place + 1, || None);
        }
        results.waiting[place] = Some(result);
        while results.end.is_none()
            && let Some(result) = results.waiting.front_mut().and_then(Option::take)
        {
            results.waiting.pop_front();
            results.passed += 1;
            if let Err(failure) = result.and_then(&mut results.done) {
                results.end = Some(Err(failure));
            }
        }
        drop(results);
        self.room.notify_all();
    }

    fn end(&self, how: Result) {
        lock(&self.results).end.get_or_insert(how);
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn results_come_in_order_and_not_too_far_ahead() {
        const THREADS: usize = 3;
        const SLOW: usize = 5;
        let begun = AtomicUsize::new(0);
        let work = |_: &mut (), item: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if item == SLOW {
                // The others go on until there is no room.
                let (most, start) = (SLOW + AHEAD * THREADS, Instant::now());
                while begun.load(Ordering::SeqCst) < most {
                    assert!(start.elapsed() < Duration::from_secs(60));
                    thread::yield_now();
                }
                thread::sleep(Duration::from_millis(50));
                assert_eq!(begun.load(Ordering::SeqCst), most);
            }
            Ok(item)
        };
        let mut passed = Vec::new();
        let done = |item| {
            passed.push(item);
            Ok(())
        };
        in_order(0..1000, vec![(); THREADS], work, done).unwrap();
        assert!(passed.into_iter().eq(0..1000));
    }

    /// The first failure in the order of the items, whichever came first.
    #[test]
    fn a_failure_ends_it_in_its_turn() {
        for threads in 1..5 {
            let mut passed = 0;
            let work = |_: &mut (), item: usize| match item {
                7 => {
                    thread::sleep(Duration::from_millis(20));
                    Err(Failure::Error("7".into()))
                }
                9 => Err(Failure::Error("9".into())),
                item => Ok(item),
            };
            let end = in_order(0.., vec![(); threads], work, |item| {
                assert_eq!(item, passed);
                passed += 1;
                Ok(())
            });
            assert!(matches!(end, Err(Failure::Error(text)) if text == "7"));
            assert_eq!(passed, 7);
            let end = in_order(
                0..,
                vec![(); threads],
                |_, item| Ok(item),
                |item| match item {
                    300 => Err(Failure::Closed),
                    _ => Ok(()),
                },
            );
            assert!(matches!(end, Err(Failure::Closed)));
        }
    }

    /// It panics, too, rather than wait for ever.
    #[test]
    #[should_panic]
    fn a_panic_ends_it() {
        let work = |_: &mut (), item: usize| {
            assert_ne!(item, 7);
            Ok(item)
        };
        let _ = in_order(0.., vec![(); 3], work, |_| Ok(()));
    }
}
