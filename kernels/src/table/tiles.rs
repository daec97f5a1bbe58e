//! The instances that a table lists under one name.
#![allow(dead_code, reason = "of levels with vectors")]

use crate::depthwise::k3x3::{Args3x3, Depthwise3x3};
use crate::depthwise::kernels::Kernels3x3;
use crate::depthwise::row::{AnyTaps, DenseTaps};
use crate::gemm::pack::{Pack, PackRun};
use crate::planes::PlanesKernels;
use crate::planes::from_planes::FromPlanes;
use crate::planes::to_planes::ToPlanes;
use crate::rows::kernel::{Combine, RowKernel};
use crate::rows::kernels::{RowFn, RowKernels};
use crate::simd::Simd;
use crate::simd::element::{Bf16, Element, F16, F32};

/// Copies into A panels, by the type of the input.
pub(super) const fn packs<S: Simd>() -> [unsafe fn(&PackRun); 3] {
    [S::entry::<Pack<F32>>, S::entry::<Pack<F16>>, S::entry::<Pack<Bf16>>]
}

/// Copies from and to planes, named by the type of the planes.
pub(super) const fn planes<S: Simd>(
    from_names: [&'static str; 3],
    to_names: [&'static str; 3],
) -> PlanesKernels {
    PlanesKernels {
        lanes: S::LANES,
        from: [
            S::entry::<FromPlanes<F32>>,
            S::entry::<FromPlanes<F16>>,
            S::entry::<FromPlanes<Bf16>>,
        ],
        from_names,
        to: [S::entry::<ToPlanes<F32>>, S::entry::<ToPlanes<F16>>, S::entry::<ToPlanes<Bf16>>],
        to_names,
    }
}

/// Tiles of 8, 4, 2 and 1 pixels, of any kernel, stride and dilation.
pub(super) const fn rows_8<S: Simd, C: Combine, X: Element, const LOAD: u8>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (8, S::entry::<RowKernel<C, X, 8, LOAD>> as RowFn),
            (4, S::entry::<RowKernel<C, X, 4, LOAD>> as RowFn),
            (2, S::entry::<RowKernel<C, X, 2, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<C, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<C, X, 1, LOAD>> }
}

/// Tiles of 4 and 1 pixels, of any kernel, stride and dilation.
pub(super) const fn rows_41<S: Simd, C: Combine, X: Element, const LOAD: u8>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (4, S::entry::<RowKernel<C, X, 4, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<C, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<C, X, 1, LOAD>> }
}

/// Tiles of 1 pixel, of any kernel, stride and dilation.
pub(super) const fn rows_1<S: Simd, C: Combine, X: Element, const LOAD: u8>(
    name: &'static str,
) -> RowKernels {
    let tiles = const { &[(1, S::entry::<RowKernel<C, X, 1, LOAD>> as RowFn)] };
    RowKernels { name, tiles, border: S::entry::<RowKernel<C, X, 1, LOAD>> }
}

/// Tiles of 8, 4, 2 and 1 pixels, of dense kernels K wide.
pub(super) const fn dense_8<
    S: Simd,
    X: Element,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (8, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 8, LOAD>> as RowFn),
            (4, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 4, LOAD>> as RowFn),
            (2, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 2, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<DenseTaps<K, 1>, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<AnyTaps, X, 1, LOAD>> }
}

/// Tiles of 8, 4 and 1 pixels, of dense kernels K wide.
pub(super) const fn dense_841<
    S: Simd,
    X: Element,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (8, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 8, LOAD>> as RowFn),
            (4, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 4, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<DenseTaps<K, 1>, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<AnyTaps, X, 1, LOAD>> }
}

/// Tiles of 4, 2 and 1 pixels, of dense kernels K wide.
pub(super) const fn dense_4<
    S: Simd,
    X: Element,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (4, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 4, LOAD>> as RowFn),
            (2, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 2, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<DenseTaps<K, 1>, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<AnyTaps, X, 1, LOAD>> }
}

/// Tiles of 4 and 1 pixels, of dense kernels K wide.
pub(super) const fn dense_41<
    S: Simd,
    X: Element,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> RowKernels {
    let tiles = const {
        &[
            (4, S::entry::<RowKernel<DenseTaps<K, STRIDE>, X, 4, LOAD>> as RowFn),
            (1, S::entry::<RowKernel<DenseTaps<K, 1>, X, 1, LOAD>> as RowFn),
        ]
    };
    RowKernels { name, tiles, border: S::entry::<RowKernel<AnyTaps, X, 1, LOAD>> }
}

/// 3×3 tiles of 6, 5, 4, 3, 2 and 1 columns.
pub(super) const fn tiles_6<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> Kernels3x3 {
    let tiles = const {
        &[
            (6, S::entry::<Depthwise3x3<X, 6, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (5, S::entry::<Depthwise3x3<X, 5, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (4, S::entry::<Depthwise3x3<X, 4, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (3, S::entry::<Depthwise3x3<X, 3, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (2, S::entry::<Depthwise3x3<X, 2, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (1, S::entry::<Depthwise3x3<X, 1, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
        ]
    };
    Kernels3x3 { name, tiles }
}

/// 3×3 tiles of 6, 4, 3 and 1 columns.
pub(super) const fn tiles_6431<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> Kernels3x3 {
    let tiles = const {
        &[
            (6, S::entry::<Depthwise3x3<X, 6, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (4, S::entry::<Depthwise3x3<X, 4, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (3, S::entry::<Depthwise3x3<X, 3, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (1, S::entry::<Depthwise3x3<X, 1, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
        ]
    };
    Kernels3x3 { name, tiles }
}

/// 3×3 tiles of 3, 2 and 1 columns.
pub(super) const fn tiles_3<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> Kernels3x3 {
    let tiles = const {
        &[
            (3, S::entry::<Depthwise3x3<X, 3, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (2, S::entry::<Depthwise3x3<X, 2, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (1, S::entry::<Depthwise3x3<X, 1, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
        ]
    };
    Kernels3x3 { name, tiles }
}

/// 3×3 tiles of 2 and 1 columns.
pub(super) const fn tiles_2<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> Kernels3x3 {
    let tiles = const {
        &[
            (2, S::entry::<Depthwise3x3<X, 2, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
            (1, S::entry::<Depthwise3x3<X, 1, STRIDE, LOAD>> as unsafe fn(&Args3x3)),
        ]
    };
    Kernels3x3 { name, tiles }
}
