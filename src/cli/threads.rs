//! `--threads`.

use sepconv::kernels::on_this_thread;

use super::{Failure, Result};

/// How many threads compute.
#[derive(clap::Args)]
pub(super) struct Threads {
    /// Number of threads to compute with [default: one for each logical CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    /// Runs `f` in a pool of that many threads.
    #[cfg(feature = "rayon")]
    pub(super) fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(threads) = self.threads else {
            return f();
        };
        pool(threads.into())?.install(f)
    }

    /// Runs `f` on the calling thread only.
    #[cfg(not(feature = "rayon"))]
    pub(super) fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self.threads {
            None | Some(1) => f(),
            Some(threads) => Err(Failure::Error(format!(
                "can't run on {threads} threads: this build lacks the feature rayon"
            ))),
        }
    }
}

#[cfg(feature = "rayon")]
fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Failure::Error(format!("can't start {threads} threads: {e}")))
}

/// The number of threads that a kernel would use here.
pub(super) fn current() -> usize {
    sepconv::kernels::available_threads()
}

/// Runs `f` on each of those threads at once.
pub(super) fn broadcast<T: Send>(f: impl Fn() -> T + Sync) -> Vec<T> {
    #[cfg(feature = "rayon")]
    return rayon::broadcast(|_| f());
    #[cfg(not(feature = "rayon"))]
    vec![f()]
}

/// Threads that compute together, while other teams compute something else.
pub(super) enum Team {
    /// The current ones: the only team.
    Current,
    /// The calling thread.
    Alone,
    #[cfg(feature = "rayon")]
    Pool(rayon::ThreadPool),
}

impl Team {
    /// `count` teams of as many threads, which are not more than the current ones.
    pub(super) fn several(count: usize) -> Result<Vec<Self>> {
        let each = current() / count.max(1);
        let team = |_| match (count, each) {
            (1, _) => Ok(Self::Current),
            #[cfg(feature = "rayon")]
            (_, 2..) => pool(each).map(Self::Pool),
            _ => Ok(Self::Alone),
        };
        (0..count).map(team).collect()
    }

    /// How many threads it has.
    pub(super) fn threads(&self) -> usize {
        self.run(current)
    }

    /// Runs `f`, in which layers are computed by these threads.
    pub(super) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Current => f(),
            Self::Alone => on_this_thread(f),
            #[cfg(feature = "rayon")]
            Self::Pool(pool) => pool.install(f),
        }
    }
}
