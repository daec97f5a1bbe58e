//! Errors as Python's exceptions, with the same text.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use pyo3::exceptions::{PyFileNotFoundError, PyMemoryError, PyPermissionError, PyValueError};
use pyo3::prelude::*;

/// `ValueError`.
pub(crate) fn value_error(error: sepconv::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// `ValueError`, or `MemoryError`.
pub(crate) fn kernel_error(error: sepconv::kernels::Error) -> PyErr {
    match error {
        sepconv::kernels::Error::Memory { .. } => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// `FileNotFoundError` or `PermissionError` if the file can't be opened for that reason; otherwise
/// `ValueError`.
pub(crate) fn file_error(py: Python<'_>, path: &Path, error: sepconv::Error) -> PyErr {
    let text = error.to_string();
    // An error of the crate has the operating system's message, not its number.
    let Err(cause) = File::open(path) else {
        return PyValueError::new_err(text);
    };
    let raised = match cause.kind() {
        ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
        ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
        _ => return PyValueError::new_err(text),
    };
    // With a file name, too, `OSError` would make a text of its own.
    let set = raised.value(py).setattr("errno", cause.raw_os_error());
    set.err().unwrap_or(raised)
}
