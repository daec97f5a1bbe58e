//! The instances that a table lists under one name.
#![allow(dead_code, reason = "of levels with vectors")]

use crate::gemm::pack::{Pack, PackRun};
use crate::simd::Simd;
use crate::simd::element::{Bf16, Element, F16, F32};
use crate::window::kernel::{WindowTile, Windows};
use crate::window::kernels::{StripKernels, WindowKernels};
use crate::window::strip::{Strip, StripTile};

/// Copies into A panels, by the type of the input.
pub(super) const fn packs<S: Simd>() -> [unsafe fn(&PackRun); 3] {
    [S::entry::<Pack<F32>>, S::entry::<Pack<F16>>, S::entry::<Pack<Bf16>>]
}

/// Tiles of 8, 4, 2 and 1 pixels.
pub(super) const fn windows_8<
    S: Simd,
    X: Element,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> WindowKernels {
    let tiles = const {
        &[
            (8, S::entry::<Windows<X, 8, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (4, S::entry::<Windows<X, 4, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (2, S::entry::<Windows<X, 2, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (1, S::entry::<Windows<X, 1, COMBINE, LOAD, K, 1>> as unsafe fn(&WindowTile)),
        ]
    };
    WindowKernels { name, tiles, border: S::entry::<Windows<X, 1, COMBINE, LOAD, 0, 1>> }
}

/// Tiles of 8, 4 and 1 pixels.
pub(super) const fn windows_841<
    S: Simd,
    X: Element,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> WindowKernels {
    let tiles = const {
        &[
            (8, S::entry::<Windows<X, 8, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (4, S::entry::<Windows<X, 4, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (1, S::entry::<Windows<X, 1, COMBINE, LOAD, K, 1>> as unsafe fn(&WindowTile)),
        ]
    };
    WindowKernels { name, tiles, border: S::entry::<Windows<X, 1, COMBINE, LOAD, 0, 1>> }
}

/// Tiles of 4, 2 and 1 pixels.
pub(super) const fn windows_4<
    S: Simd,
    X: Element,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> WindowKernels {
    let tiles = const {
        &[
            (4, S::entry::<Windows<X, 4, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (2, S::entry::<Windows<X, 2, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (1, S::entry::<Windows<X, 1, COMBINE, LOAD, K, 1>> as unsafe fn(&WindowTile)),
        ]
    };
    WindowKernels { name, tiles, border: S::entry::<Windows<X, 1, COMBINE, LOAD, 0, 1>> }
}

/// Tiles of 4 and 1 pixels.
pub(super) const fn windows_41<
    S: Simd,
    X: Element,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> WindowKernels {
    let tiles = const {
        &[
            (4, S::entry::<Windows<X, 4, COMBINE, LOAD, K, STRIDE>> as unsafe fn(&WindowTile)),
            (1, S::entry::<Windows<X, 1, COMBINE, LOAD, K, 1>> as unsafe fn(&WindowTile)),
        ]
    };
    WindowKernels { name, tiles, border: S::entry::<Windows<X, 1, COMBINE, LOAD, 0, 1>> }
}

/// Tiles of 1 pixel.
pub(super) const fn windows_1<
    S: Simd,
    X: Element,
    const COMBINE: u8,
    const LOAD: u8,
    const K: usize,
    const STRIDE: usize,
>(
    name: &'static str,
) -> WindowKernels {
    let tiles =
        const { &[(1, S::entry::<Windows<X, 1, COMBINE, LOAD, K, 1>> as unsafe fn(&WindowTile))] };
    WindowKernels { name, tiles, border: S::entry::<Windows<X, 1, COMBINE, LOAD, 0, 1>> }
}

/// Strips of 6, 5, 4, 3, 2 and 1 pixels.
pub(super) const fn strips_6<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> StripKernels {
    let tiles = const {
        &[
            (6, S::entry::<Strip<X, 6, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (5, S::entry::<Strip<X, 5, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (4, S::entry::<Strip<X, 4, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (3, S::entry::<Strip<X, 3, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (2, S::entry::<Strip<X, 2, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (1, S::entry::<Strip<X, 1, STRIDE, LOAD>> as unsafe fn(&StripTile)),
        ]
    };
    StripKernels { name, tiles }
}

/// Strips of 6, 4, 3 and 1 pixels.
pub(super) const fn strips_6431<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> StripKernels {
    let tiles = const {
        &[
            (6, S::entry::<Strip<X, 6, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (4, S::entry::<Strip<X, 4, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (3, S::entry::<Strip<X, 3, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (1, S::entry::<Strip<X, 1, STRIDE, LOAD>> as unsafe fn(&StripTile)),
        ]
    };
    StripKernels { name, tiles }
}

/// Strips of 3, 2 and 1 pixels.
pub(super) const fn strips_3<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> StripKernels {
    let tiles = const {
        &[
            (3, S::entry::<Strip<X, 3, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (2, S::entry::<Strip<X, 2, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (1, S::entry::<Strip<X, 1, STRIDE, LOAD>> as unsafe fn(&StripTile)),
        ]
    };
    StripKernels { name, tiles }
}

/// Strips of 2 and 1 pixels.
pub(super) const fn strips_2<S: Simd, X: Element, const STRIDE: usize, const LOAD: u8>(
    name: &'static str,
) -> StripKernels {
    let tiles = const {
        &[
            (2, S::entry::<Strip<X, 2, STRIDE, LOAD>> as unsafe fn(&StripTile)),
            (1, S::entry::<Strip<X, 1, STRIDE, LOAD>> as unsafe fn(&StripTile)),
        ]
    };
    StripKernels { name, tiles }
}
