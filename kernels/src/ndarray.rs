//! Views of [`ndarray`]'s arrays, with the feature of that name.
//!
//! ```
//! use ndarray::Array4;
//! use sepconv_kernels::{Activation, Elementwise, NhwcView, NhwcViewMut, Options, Plan};
//!
//! # fn main() -> Result<(), sepconv_kernels::Error> {
//! let x = Array4::from_elem((1, 19, 19, 64), -1.0_f32);
//! let mut y = Array4::from_elem(x.dim(), f32::NAN);
//! let options = Options::default().activation(Activation::Relu);
//! let plan = Elementwise::new([1, 19, 19, 64], &options)?;
//! plan.run(NhwcView::try_from(x.view())?, None, NhwcViewMut::try_from(y.view_mut())?, &mut [])?;
//! assert!(y.iter().all(|&y| y == 0.0));
//! # Ok(())
//! # }
//! ```

use ndarray::{ArrayView4, ArrayViewMut4};

use crate::element::{Elements, ElementsMut};
use crate::error::{Error, Result};
use crate::view::{NhwcView, NhwcViewMut};

/// An array \[N, H, W, C\] in standard layout, without gaps. (Between the channels of a slice of a
/// wider array lie elements that somebody else may be writing.)
///
/// # Errors
/// [`Error::Strides`] for any other layout.
impl<'a, T> TryFrom<ArrayView4<'a, T>> for NhwcView<'a>
where
    &'a [T]: Into<Elements<'a>>,
{
    type Error = Error;

    fn try_from(array: ArrayView4<'a, T>) -> Result<Self> {
        let (n, h, w, c) = array.dim();
        let data = array.to_slice().ok_or_else(|| strides(array.strides()))?;
        Self::new(data, [n, h, w, c])
    }
}

/// As of [`ArrayView4`].
///
/// # Errors
/// [`Error::Strides`] for any other layout.
impl<'a, T> TryFrom<ArrayViewMut4<'a, T>> for NhwcViewMut<'a>
where
    &'a mut [T]: Into<ElementsMut<'a>>,
{
    type Error = Error;

    fn try_from(array: ArrayViewMut4<'a, T>) -> Result<Self> {
        let (n, h, w, c) = array.dim();
        let error = strides(array.strides());
        let data = array.into_slice().ok_or(error)?;
        Self::new(data, [n, h, w, c])
    }
}

fn strides(strides: &[isize]) -> Error {
    Error::Strides { strides: core::array::from_fn(|i| strides[i]) }
}
