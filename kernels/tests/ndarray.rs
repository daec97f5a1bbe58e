//! Views of the crate `ndarray`.
#![cfg(feature = "ndarray")]

use ndarray::{Array4, s};
use sepconv_kernels::*;

#[test]
fn only_dense_arrays_are_views() {
    let mut array =
        Array4::from_shape_fn((2, 3, 4, 5), |(n, y, x, c)| (((n * 3 + y) * 4 + x) * 5 + c) as f32);
    let view = NhwcView::try_from(array.view()).unwrap();
    assert_eq!((view.shape(), view.pixel_stride()), ([2, 3, 4, 5], 5));
    let part = NhwcView::try_from(array.slice(s![1.., .., .., ..])).unwrap();
    assert_eq!(part.shape(), [1, 3, 4, 5]);
    for (error, strides) in [
        (NhwcView::try_from(array.slice(s![.., .., .., 1..])).err(), [60, 20, 5, 1]),
        (NhwcView::try_from(array.view().permuted_axes([0, 2, 1, 3])).err(), [60, 5, 20, 1]),
        (NhwcViewMut::try_from(array.slice_mut(s![.., .., ..2, ..])).err(), [60, 20, 5, 1]),
    ] {
        assert_eq!(error, Some(Error::Strides { strides }));
    }
}
