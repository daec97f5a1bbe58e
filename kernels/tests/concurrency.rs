//! Plans under concurrency: shared by threads, inside other pools, beside panics. The same bits as
//! alone, nothing stuck, nothing leaked (counted by the allocator).
#![cfg(all(feature = "rayon", not(target_family = "wasm")))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::digest::digest;
use common::layer::{OPS, random};
use common::{Mode, POISON, Random, fast_levels, levels};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sepconv_kernels::*;

struct Counting;

/// Bytes allocated and not yet given back.
static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: what is live is counted for the process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// A plan, its operands, and the digest of what it gives on one thread.
struct Job {
    plan: Box<dyn Plan>,
    x: Vec<f32>,
    residual: Vec<f32>,
    alone: u64,
}

impl Job {
    /// Operands large enough for many tasks, of every operation on every level.
    fn all() -> Vec<Self> {
        let mut jobs = Vec::new();
        let single = pool(1);
        // All have the same drivers.
        let levels = fast_levels();
        for op in OPS {
            let mut layer = random(op, &mut Random(5));
            if op != common::layer::Op::Dense {
                (layer.input[1], layer.input[2]) = (23, 31);
            }
            let operands = layer.fill(Mode::Reals, &mut Random(6));
            for &level in &levels {
                let plan = layer.plan(operands.each_ref().map(|o| &o[..]), level).unwrap();
                let fill = |seed, shape: [usize; 4]| {
                    Mode::Reals.fill(&mut Random(seed), shape.iter().product())
                };
                let (x, residual) = (fill(7, plan.input_shape()), fill(8, plan.output_shape()));
                let mut job = Self { plan, x, residual, alone: 0 };
                job.alone = single.install(|| job.run(1));
                jobs.push(job);
            }
        }
        jobs
    }

    /// Runs in the current pool with operands of its own; the digest of the output.
    fn run(&self, threads: usize) -> u64 {
        let plan = &*self.plan;
        let mut y = vec![POISON; self.residual.len()];
        let mut scratch = vec![POISON; plan.scratch_len(threads)];
        plan.run(
            NhwcView::new(&self.x, plan.input_shape()).unwrap(),
            Some(NhwcView::new(&self.residual, plan.output_shape()).unwrap()),
            NhwcViewMut::new(&mut y, plan.output_shape()).unwrap(),
            &mut scratch,
        )
        .unwrap();
        digest(&y)
    }

    fn check(&self, threads: usize) -> usize {
        assert_eq!(self.run(threads), self.alone, "{}", self.plan.kernel_name());
        1
    }
}

/// Repeats `round`, which returns the number of its runs; after the first ones nothing more may be
/// live.
fn leaks_nothing(what: &str, plain: u32, mut round: impl FnMut() -> usize) {
    let warm_up = 3;
    let mut runs: usize = (0..warm_up).map(|_| round()).sum();
    let before = LIVE.load(Ordering::Relaxed);
    let rounds = common::scaled(plain).max(2);
    runs += (0..rounds).map(|_| round()).sum::<usize>();
    let more = LIVE.load(Ordering::Relaxed) - before;
    println!(
        "{what}: {runs} runs, the same bits in each, {more} bytes more live after {rounds} rounds"
    );
    // A queue of rayon's may have grown; one output alone is as large.
    assert!(more < 32 << 10, "{what}: {more} bytes leaked");
}

#[test]
fn a_plan_is_shared_by_16_threads() {
    let _alone = alone();
    let jobs = Job::all();
    let pool = pool(3);
    leaks_nothing("16 threads", 6, || {
        std::thread::scope(|scope| {
            // One half runs where it is, the other half in a pool that it shares.
            let threads = [0; 16].iter().enumerate().map(|(i, _)| {
                let (jobs, pool) = (&jobs, &pool);
                scope.spawn(move || {
                    let all = || jobs.iter().map(|job| job.check(3)).sum::<usize>();
                    if i % 2 == 0 { all() } else { pool.install(all) }
                })
            });
            threads.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).sum()
        })
    });
}

/// Runs inside a parallel loop of the same pool, of another one, of a pool inside a pool.
#[test]
fn pools_may_be_nested() {
    let _alone = alone();
    let jobs = Job::all();
    let (outer, inner, single) = (pool(4), pool(3), pool(1));
    leaks_nothing("nested pools", 6, || {
        let direct = outer.install(|| jobs.par_iter().map(|job| job.check(4)).sum::<usize>());
        let nested = outer
            .install(|| jobs.par_iter().map(|job| inner.install(|| job.check(3))).sum::<usize>());
        let thrice = single.install(|| {
            outer.install(|| {
                jobs.par_iter()
                    .map(|job| inner.install(|| single.install(|| job.check(7))))
                    .sum::<usize>()
            })
        });
        direct + nested + thrice
    });
}

/// A pool of one thread, with scratch for many, and loops inside it.
#[test]
fn a_pool_of_one_thread() {
    let _alone = alone();
    let jobs = Job::all();
    let single = pool(1);
    leaks_nothing("a pool of one", 6, || {
        single.install(|| {
            let loops = jobs.par_iter().map(|job| job.check(1)).sum::<usize>();
            loops + jobs.iter().map(|job| job.check(9)).sum::<usize>()
        })
    });
}

/// A run uses as many threads of its pool as the scratch has room for, to the element.
#[test]
fn scratch_limits_the_threads() {
    let _alone = alone();
    let jobs = Job::all();
    let pool = pool(5);
    leaks_nothing("scratch for fewer threads than the pool has", 6, || {
        pool.install(|| jobs.iter().map(|job| (1..=5).map(|n| job.check(n)).sum::<usize>()).sum())
    });
}

/// More threads, and more tasks, than there are shares of the tasks. (What is live isn't counted:
/// some of these threads take their first task late, and with it memory of rayon's.)
#[test]
fn a_pool_of_70_threads() {
    let _alone = alone();
    let shape = [1, 80, 5, 3];
    let fill = |seed, len| Mode::Reals.fill(&mut Random(seed), len);
    let (weights, window) = (fill(9, 27), Window::new([3, 3]).padding(Padding::Same));
    let params = DepthwiseParams::new(window, &weights);
    let single = pool(1);
    let jobs = levels().into_iter().map(|level| {
        let options = Options::default().level(level);
        let plan = Box::new(Depthwise::new(shape, &params, &options).unwrap());
        let mut job = Job { plan, x: fill(10, 1200), residual: fill(11, 1200), alone: 0 };
        job.alone = single.install(|| job.run(1));
        job
    });
    let (jobs, many) = (jobs.collect::<Vec<_>>(), pool(70));
    for _ in 0..common::scaled(9).max(2) {
        many.install(|| jobs.iter().map(|job| job.check(70)).sum::<usize>());
    }
}

/// Runs inside a lock and inside a borrowed cell of the thread, in tasks of the pool that plans use:
/// in [`on_this_thread`] none waits for the pool, which would have it take another task, and that
/// task the lock or the cell, in the middle of its run.
#[test]
fn locks_and_cells_in_tasks_of_the_same_pool() {
    thread_local! {
        static RUNS: RefCell<usize> = const { RefCell::new(0) };
    }
    let _alone = alone();
    let jobs = Job::all();
    let pool = pool(4);
    let lock = Mutex::new(0);
    leaks_nothing("inside locks and cells", 6, || {
        pool.install(|| {
            (0..8 * jobs.len())
                .into_par_iter()
                .with_max_len(1)
                .map(|i| {
                    let job = &jobs[i / 8];
                    // Most don't wait for the lock, but help those that run.
                    if i % 8 == 0 {
                        let mut runs = lock.lock().unwrap();
                        *runs += on_this_thread(|| job.check(4));
                    } else {
                        RUNS.with_borrow_mut(|runs| *runs += on_this_thread(|| job.check(4)));
                    }
                    1
                })
                .sum()
        })
    });
}

/// A panic that prints nothing.
fn panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Closures of the caller's that panic on the pool, while others run plans there: these come to the
/// right results, and the pool goes on.
#[test]
fn panics_of_others_disturb_nobody() {
    let _alone = alone();
    let jobs = Job::all();
    let pool = pool(4);
    let panics = AtomicUsize::new(0);
    leaks_nothing("beside panics", 6, || {
        let runs = AtomicUsize::new(0);
        let scope = catch_unwind(AssertUnwindSafe(|| {
            pool.scope(|scope| {
                for job in &jobs {
                    scope.spawn(|_| {
                        runs.fetch_add(job.check(4), Ordering::Relaxed);
                    });
                    scope.spawn(|_| panic());
                }
            });
        }));
        let message = scope.unwrap_err();
        // Not that of a run which went wrong.
        assert_eq!(message.downcast_ref::<&str>(), Some(&"on purpose"));
        panics.fetch_add(jobs.len(), Ordering::Relaxed);
        assert_eq!(runs.load(Ordering::Relaxed), jobs.len());
        // A panic between two runs of one thread unwinds through `join`.
        for job in &jobs {
            let joined = catch_unwind(AssertUnwindSafe(|| {
                pool.install(|| rayon::join(|| job.check(4), || panic()))
            }));
            assert!(joined.is_err());
            runs.fetch_add(pool.install(|| job.check(4)), Ordering::Relaxed);
        }
        runs.into_inner()
    });
    println!("{} panics in spawned closures", panics.into_inner());
}
