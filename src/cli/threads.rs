//! `--threads`.

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
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        let pool = (pool.build())
            .map_err(|e| Failure::Error(format!("can't start {threads} threads: {e}")))?;
        pool.install(f)
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
