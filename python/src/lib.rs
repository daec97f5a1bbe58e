//! `sepconv._sepconv`: what the Python package `sepconv` calls. It knows arrays of one dimension,
//! whose elements lie one after the other, and shapes; `python/sepconv` makes them of whatever
//! array it is given, and has the documentation.
//!
//! Python's global lock is released while anything is loaded, packed or computed. All locks and
//! pools here are taken while it is held, so that none is locked when Python forks: see `pools`.

mod arguments;
mod arrays;
#[path = "../../src/cli/mod.rs"]
mod cli;
mod errors;
mod layers;
mod models;
mod pictures;
mod pools;

use std::ffi::OsString;

use pyo3::prelude::*;

/// N×H×W×C as a tuple, which arrays' shapes are in Python.
type Shape = (usize, usize, usize, usize);

/// Runs the command line `words`, which starts with the program's name, and returns its exit
/// status.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| cli::main(words))
}

/// The names of the levels that this CPU can run, slowest first.
#[pyfunction]
fn levels() -> Vec<&'static str> {
    sepconv::kernels::Level::available().into_iter().map(|level| level.name()).collect()
}

/// The number of threads that a model uses if it is not told another: one for each CPU that the
/// process may use.
#[pyfunction]
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[pymodule]
fn _sepconv(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<models::Core>()?;
    module.add_class::<models::Plan>()?;
    module.add_class::<pictures::Picture>()?;
    module.add_class::<layers::Layer>()?;
    module.add_class::<layers::LayerPlan>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(levels, module)?)?;
    module.add_function(wrap_pyfunction!(available_threads, module)?)?;
    Ok(())
}
