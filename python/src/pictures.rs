//! Decoded pictures.

use std::path::{Path, PathBuf};

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use sepconv::image::{self, Orientation};

use crate::errors::{file_error, value_error};

/// A picture, and what else its file says.
#[pyclass(frozen, module = "sepconv._sepconv")]
pub(crate) struct Picture {
    pub(crate) picture: image::Picture,
    orientation: Orientation,
    warning: Option<String>,
}

impl From<image::Decoded> for Picture {
    fn from(decoded: image::Decoded) -> Self {
        let image::Decoded { picture, orientation, warning, .. } = decoded;
        Self { picture, orientation, warning }
    }
}

#[pymethods]
impl Picture {
    /// Reads a file.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let decoded = py.detach(|| image::Picture::read(&path));
        decoded.map(Self::from).map_err(|e| file_error(py, &path, e))
    }

    /// Decodes the content of a file, where it lies; errors show `name` as the file.
    #[staticmethod]
    fn decode(py: Python<'_>, name: &str, data: PyBackedBytes) -> PyResult<Self> {
        let decoded = py.detach(|| image::Picture::decode(Path::new(name), &data));
        decoded.map(Self::from).map_err(value_error)
    }

    /// Rows of RGB pixels.
    #[staticmethod]
    fn of(height: usize, width: usize, rgb: PyReadonlyArray1<'_, u8>) -> PyResult<Self> {
        let rgb = rgb.as_slice()?.to_vec();
        let picture = image::Picture::new([height, width], rgb).map_err(value_error)?;
        Ok(Self { picture, orientation: Orientation::default(), warning: None })
    }

    /// Height and width.
    fn size(&self) -> (usize, usize) {
        self.picture.size().into()
    }

    fn rgb<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        PyArray1::from_slice(py, self.picture.rgb())
    }

    fn orientation(&self) -> u8 {
        self.orientation.tag()
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The picture as it was taken.
    fn upright(&self, py: Python<'_>) -> Self {
        let picture = py.detach(|| self.picture.clone().upright(self.orientation));
        Self { picture, orientation: Orientation::default(), warning: self.warning.clone() }
    }
}
