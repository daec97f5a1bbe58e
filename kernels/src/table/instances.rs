//! From a line of a table to instances of a kernel: the tiles that the line lists are compiled, and
//! no others. All of this is evaluated at compile time.

use crate::depthwise::k3x3::{Args3x3, Depthwise3x3, Tail3x3};
use crate::depthwise::kernels::{Dense, DepthwiseKernels, Kernels3x3, Stride3x3};
use crate::depthwise::row::{AnyTaps, DenseTaps, LongTaps};
use crate::element::ElementType;
use crate::epilogue::{AsIs, Bounded, General, Prologue, Relu};
use crate::gemm::block_micro_kernel::{BlockMicroKernel, PairMicroKernel};
use crate::gemm::kernels::{MicroKernelFn, PanelKernels};
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
use crate::gemm::matrix_micro_kernel::MatrixMicroKernel;
use crate::gemm::micro_kernel::{Bf16MicroKernel, Int8MicroKernel, MicroKernel};
use crate::int8;
use crate::int8::kernels::Int8Kernels;
use crate::int8::requantize::Requantize;
use crate::lines::LineKernels;
use crate::lines::binary::Binary;
use crate::lines::normalize::Normalize;
use crate::pixelwise::PixelwiseKernels;
use crate::pixelwise::resample::Resample;
use crate::pixelwise::softmax::Softmax;
use crate::planes::PlanesOf;
use crate::planes::from_planes::FromPlanes;
use crate::planes::to_planes::ToPlanes;
use crate::rows::kernel::{Combine, MaskedRowKernel, RowKernel, Spans};
use crate::rows::kernels::{RowFn, RowKernels, RowTiles, Tiles};
use crate::simd::element::Element;
use crate::simd::int8::Int8;
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
use crate::simd::int8::Int8Matrix;
use crate::simd::{Bf16Dot, Bf16Fma, Simd};

/// Micro-kernels of N vectors, by the heights of micro-tiles.
pub(super) const fn gemm<
    S: Simd,
    B: Element,
    const N: usize,
    const DIRECT: bool,
    const HEIGHTS: usize,
>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let mut kernels = [S::entry::<MicroKernel<B, 1, N, DIRECT>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => S::entry::<MicroKernel<B, 1, N, DIRECT>>,
            2 => S::entry::<MicroKernel<B, 2, N, DIRECT>>,
            3 => S::entry::<MicroKernel<B, 3, N, DIRECT>>,
            4 => S::entry::<MicroKernel<B, 4, N, DIRECT>>,
            5 => S::entry::<MicroKernel<B, 5, N, DIRECT>>,
            6 => S::entry::<MicroKernel<B, 6, N, DIRECT>>,
            8 => S::entry::<MicroKernel<B, 8, N, DIRECT>>,
            9 => S::entry::<MicroKernel<B, 9, N, DIRECT>>,
            12 => S::entry::<MicroKernel<B, 12, N, DIRECT>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// Micro-kernels of the arithmetic bf16, likewise, of as many rows at a time as registers hold two
/// chains of.
pub(super) const fn gemm_blocks<S: Simd, B: Element, const N: usize, const HEIGHTS: usize>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let few = S::REGISTERS < 32;
    let mut kernels = [S::entry::<BlockMicroKernel<B, 1, N, 1>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => S::entry::<BlockMicroKernel<B, 1, N, 1>>,
            2 => S::entry::<BlockMicroKernel<B, 2, N, 2>>,
            3 => S::entry::<BlockMicroKernel<B, 3, N, 3>>,
            4 if few || N > 3 => S::entry::<BlockMicroKernel<B, 4, N, 2>>,
            4 => S::entry::<BlockMicroKernel<B, 4, N, 4>>,
            6 if few || N > 2 => S::entry::<BlockMicroKernel<B, 6, N, 3>>,
            6 => S::entry::<BlockMicroKernel<B, 6, N, 6>>,
            8 => S::entry::<BlockMicroKernel<B, 8, N, 4>>,
            9 => S::entry::<BlockMicroKernel<B, 9, N, 3>>,
            12 => S::entry::<BlockMicroKernel<B, 12, N, 6>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// The same of pairs.
#[allow(dead_code, reason = "of levels with multiply-adds of bf16")]
pub(super) const fn gemm_pairs<T: Bf16Fma, const N: usize, const HEIGHTS: usize>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let mut kernels = [T::entry::<PairMicroKernel<1, N, 1>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => T::entry::<PairMicroKernel<1, N, 1>>,
            2 => T::entry::<PairMicroKernel<2, N, 2>>,
            4 => T::entry::<PairMicroKernel<4, N, 4>>,
            6 => T::entry::<PairMicroKernel<6, N, 3>>,
            8 => T::entry::<PairMicroKernel<8, N, 4>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// The same by dot products.
#[allow(dead_code, reason = "of levels with dot products")]
pub(super) const fn gemm_dot<T: Bf16Dot, const N: usize, const HEIGHTS: usize>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let mut kernels = [T::entry::<Bf16MicroKernel<1, N>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => T::entry::<Bf16MicroKernel<1, N>>,
            2 => T::entry::<Bf16MicroKernel<2, N>>,
            3 => T::entry::<Bf16MicroKernel<3, N>>,
            4 => T::entry::<Bf16MicroKernel<4, N>>,
            5 => T::entry::<Bf16MicroKernel<5, N>>,
            6 => T::entry::<Bf16MicroKernel<6, N>>,
            8 => T::entry::<Bf16MicroKernel<8, N>>,
            9 => T::entry::<Bf16MicroKernel<9, N>>,
            12 => T::entry::<Bf16MicroKernel<12, N>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// The kernels of 8-bit integers for one way to multiply them, T. What doesn't multiply is that of
/// P, a way that all CPUs with T have.
pub(super) const fn int8<T: Int8, P: Int8>(
    [gemm, requantize_name, depthwise_name, pool_name]: [&'static str; 4],
    is_available: fn() -> bool,
    has_dot_products: bool,
    rows: &'static [usize],
    packed: &'static [MicroKernelFn],
) -> Int8Kernels {
    Int8Kernels {
        is_available,
        has_dot_products,
        lanes: <T::Simd as Simd>::LANES,
        group: T::GROUP,
        signed: T::SIGNED,
        rows,
        gemm: PanelKernels { name: gemm, packed },
        matrices: None,
        tiles: None,
        pack: T::entry::<int8::pack::Pack>,
        requantize_name,
        requantize: P::entry::<Requantize>,
        depthwise_name,
        depthwise: T::entry::<int8::depthwise::Depthwise>,
        pool_name,
        pool: P::entry::<int8::pool::Pool>,
    }
}

/// Micro-kernels of 8-bit integers, N vectors wide: all that NR has.
pub(super) const fn gemm_int8<T: Int8, const N: usize, const HEIGHTS: usize>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let mut kernels = [T::entry::<Int8MicroKernel<1, N>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => T::entry::<Int8MicroKernel<1, N>>,
            2 => T::entry::<Int8MicroKernel<2, N>>,
            3 => T::entry::<Int8MicroKernel<3, N>>,
            4 => T::entry::<Int8MicroKernel<4, N>>,
            5 => T::entry::<Int8MicroKernel<5, N>>,
            6 => T::entry::<Int8MicroKernel<6, N>>,
            7 => T::entry::<Int8MicroKernel<7, N>>,
            8 => T::entry::<Int8MicroKernel<8, N>>,
            12 => T::entry::<Int8MicroKernel<12, N>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// The same by products of matrices.
#[cfg(all(target_arch = "aarch64", any(feature = "std", target_feature = "neon")))]
pub(super) const fn gemm_matrices<T: Int8Matrix, const N: usize, const HEIGHTS: usize>(
    heights: [usize; HEIGHTS],
) -> [MicroKernelFn; HEIGHTS] {
    let mut kernels = [T::entry::<MatrixMicroKernel<1, 2, N>> as MicroKernelFn; HEIGHTS];
    let mut i = 0;
    while i < HEIGHTS {
        kernels[i] = match heights[i] {
            1 => T::entry::<MatrixMicroKernel<1, 2, N>>,
            2 => T::entry::<MatrixMicroKernel<2, 2, N>>,
            4 => T::entry::<MatrixMicroKernel<4, 4, N>>,
            6 => T::entry::<MatrixMicroKernel<6, 6, N>>,
            8 => T::entry::<MatrixMicroKernel<8, 8, N>>,
            _ => panic!("a micro-tile of another height"),
        };
        i += 1;
    }
    kernels
}

/// Copies from and to planes of elements X.
pub(super) const fn planes<S: Simd, X: Element>(
    [from_name, to_name]: [&'static str; 2],
) -> PlanesOf {
    let (from, to) = (S::entry::<FromPlanes<X>>, S::entry::<ToPlanes<X>>);
    PlanesOf { from_name, from, to_name, to }
}

/// Resampling and softmax.
pub(super) const fn pixelwise<S: Simd>(
    [resample_name, softmax_name]: [&'static str; 2],
) -> PixelwiseKernels {
    let (resample, softmax) = (S::entry::<Resample>, S::entry::<Softmax>);
    PixelwiseKernels { resample_name, resample, softmax_name, softmax }
}

/// Operations on lines, of elements of any type.
pub(super) const fn lines<S: Simd>(
    [binary_name, normalize_name]: [&'static str; 2],
) -> LineKernels {
    LineKernels {
        binary_name,
        binary: S::entry::<Binary>,
        normalize_name,
        normalize: S::entry::<Normalize>,
    }
}

/// Tiles for channels that fill no vector, of one pixel or two. Few, as each is code of its own and
/// most layers have whole vectors; two where vectors are long: of 728 channels half of the last 16
/// are missing. For the same reason all of them are [`Bounded`].
const fn tail<S: Simd, F: Copy>(one: F, two: F) -> Tiles<F> {
    let tiles = Tiles::new(one);
    if S::LANES == 16 { tiles.with(2, two) } else { tiles }
}

/// A row kernel of any kernel size, stride and dilation, in tiles of so many pixels.
pub(super) const fn rows<S: Simd, C: Combine, X: Element, L: Prologue>(
    name: &'static str,
    pixels: &[usize],
) -> RowKernels {
    rows_of::<S, C, X, L, L>(name, pixels)
}

/// That of depthwise convolutions.
pub(super) const fn any_rows<S: Simd, X: Element, L: Prologue>(
    name: &'static str,
    pixels: &[usize],
) -> RowKernels {
    rows_of::<S, AnyTaps, X, L, Bounded>(name, pixels)
}

/// A row kernel whose tiles of one pixel and of two have a prologue of their own, NARROW. These
/// tiles wait for one chain or two, so that a bound takes no time: [`Bounded`] serves the input as
/// it is and its ReLU.
const fn rows_of<S: Simd, C: Combine, X: Element, L: Prologue, NARROW: Prologue>(
    name: &'static str,
    pixels: &[usize],
) -> RowKernels {
    if L::GENERAL {
        let any: RowFn = S::entry::<MaskedRowKernel<C, X, L, 1>>;
        return RowKernels {
            name,
            whole: RowTiles { tiles: Tiles::new(any), spans: Spans::Nothing, border: any },
            tail: None,
        };
    }
    let border: RowFn = S::entry::<RowKernel<C, X, NARROW, 1>>;
    let mut tiles = Tiles::new(border);
    let mut i = 0;
    while i < pixels.len() {
        let tile: RowFn = match pixels[i] {
            1 => border,
            2 => S::entry::<RowKernel<C, X, NARROW, 2>>,
            4 => S::entry::<RowKernel<C, X, L, 4>>,
            8 => S::entry::<RowKernel<C, X, L, 8>>,
            _ => panic!("a tile of another width"),
        };
        tiles = tiles.with(pixels[i], tile);
        i += 1;
    }
    let masked: RowFn = S::entry::<MaskedRowKernel<C, X, Bounded, 1>>;
    let tail = tail::<S, RowFn>(masked, S::entry::<MaskedRowKernel<C, X, Bounded, 2>>);
    let spans = Spans::Nothing;
    let tail = RowTiles { tiles: tail, spans, border: masked };
    let whole = RowTiles { tiles, spans, border };
    RowKernels { name, whole, tail: if S::LANES > 1 { Some(tail) } else { None } }
}

/// The depthwise kernels of an arithmetic that a level has for comparison: tiles of one pixel and
/// of four, and one kernel for the input as it is and for its ReLU.
pub(super) const fn few_depthwise<S: Simd, X: Element>(
    [name, general]: [&'static str; 2],
) -> DepthwiseKernels {
    let rows_of_any = any_rows::<S, X, Bounded>(name, &[1, 4]);
    DepthwiseKernels {
        lanes: S::LANES,
        pairs: false,
        k3x3: &[],
        dense: &[],
        long: None,
        as_is: rows_of_any,
        relu: rows_of_any,
        general: any_rows::<S, X, General>(general, &[1]),
    }
}

/// The same of the arithmetic unfused, with its feature.
pub(super) const fn few_unfused<U: Simd, X: Element>(
    names: [&'static str; 2],
) -> Option<DepthwiseKernels> {
    if cfg!(feature = "unfused") { Some(few_depthwise::<U, X>(names)) } else { None }
}

/// Depthwise kernels K wide, dense, in tiles of so many pixels. With one name, one kernel bounds
/// the input and serves it as it is and its ReLU; with two names, each has a kernel.
#[allow(dead_code, reason = "of levels with vectors")]
pub(super) const fn dense<
    S: Simd,
    X: Element,
    const K: usize,
    const STRIDE: usize,
    const NAMES: usize,
>(
    names: [&'static str; NAMES],
    pixels: &[usize],
) -> Dense {
    let (as_is, relu) = if NAMES == 1 {
        let both = dense_rows::<S, X, Bounded, K, STRIDE>(names[0], pixels);
        (both, both)
    } else {
        (
            dense_rows::<S, X, AsIs, K, STRIDE>(names[0], pixels),
            dense_rows::<S, X, Relu, K, STRIDE>(names[1], pixels),
        )
    };
    Dense { kernel: K, stride: STRIDE, as_is, relu }
}

/// Those of any width from `kernel` on, stride 1.
#[allow(dead_code, reason = "of levels with vectors")]
pub(super) const fn long<S: Simd, X: Element, const NAMES: usize>(
    names: [&'static str; NAMES],
    kernel: usize,
    pixels: &[usize],
) -> Dense {
    let (as_is, relu) = if NAMES == 1 {
        let both = spanning_rows::<S, LongTaps, LongTaps, X, Bounded>(names[0], pixels);
        (both, both)
    } else {
        (
            spanning_rows::<S, LongTaps, LongTaps, X, AsIs>(names[0], pixels),
            spanning_rows::<S, LongTaps, LongTaps, X, Relu>(names[1], pixels),
        )
    };
    Dense { kernel, stride: 1, as_is, relu }
}

const fn dense_rows<S: Simd, X: Element, L: Prologue, const K: usize, const STRIDE: usize>(
    name: &'static str,
    pixels: &[usize],
) -> RowKernels {
    spanning_rows::<S, DenseTaps<K, 1>, DenseTaps<K, STRIDE>, X, L>(name, pixels)
}

/// Row kernels whose tiles span the padding: of one pixel, for which any stride will do, and of
/// several.
const fn spanning_rows<S: Simd, One: Combine, C: Combine, X: Element, L: Prologue>(
    name: &'static str,
    pixels: &[usize],
) -> RowKernels {
    // As in `rows_of`.
    let mut tiles = Tiles::new(S::entry::<RowKernel<One, X, Bounded, 1>> as RowFn);
    let mut i = 0;
    while i < pixels.len() {
        let tile: RowFn = match pixels[i] {
            1 => S::entry::<RowKernel<One, X, Bounded, 1>>,
            2 => S::entry::<RowKernel<C, X, Bounded, 2>>,
            4 => S::entry::<RowKernel<C, X, L, 4>>,
            7 => S::entry::<RowKernel<C, X, L, 7>>,
            _ => panic!("a tile of another width"),
        };
        tiles = tiles.with(pixels[i], tile);
        i += 1;
    }
    let spans = C::SPANS;
    let whole = RowTiles { tiles, spans, border: S::entry::<RowKernel<AnyTaps, X, Bounded, 1>> };
    let tail = match X::TYPE {
        ElementType::F32 => {
            let tiles = tail::<S, RowFn>(
                S::entry::<MaskedRowKernel<One, X, Bounded, 1>>,
                S::entry::<MaskedRowKernel<C, X, Bounded, 2>>,
            );
            let border: RowFn = S::entry::<MaskedRowKernel<AnyTaps, X, Bounded, 1>>;
            Some(RowTiles { tiles, spans, border })
        }
        // Of 16 bits that of any kernel, for the sake of the time in which more would compile.
        _ => any_rows::<S, X, Bounded>(name, &[1]).tail,
    };
    RowKernels { name, whole, tail }
}

/// 3×3 kernels in tiles of so many columns; names as for [`dense`].
#[allow(dead_code, reason = "of levels with vectors")]
pub(super) const fn k3x3<S: Simd, X: Element, const STRIDE: usize, const NAMES: usize>(
    names: [&'static str; NAMES],
    columns: &[usize],
) -> Stride3x3 {
    let (as_is, relu) = if NAMES == 1 {
        let both = tiles_3x3::<S, X, Bounded, STRIDE>(names[0], columns);
        (both, both)
    } else {
        (
            tiles_3x3::<S, X, AsIs, STRIDE>(names[0], columns),
            tiles_3x3::<S, X, Relu, STRIDE>(names[1], columns),
        )
    };
    Stride3x3 { stride: STRIDE, as_is, relu }
}

const fn tiles_3x3<S: Simd, X: Element, L: Prologue, const STRIDE: usize>(
    name: &'static str,
    columns: &[usize],
) -> Kernels3x3 {
    type Tile = unsafe fn(&Args3x3);
    let mut tiles = Tiles::new(S::entry::<Depthwise3x3<X, L, 1, STRIDE>> as Tile);
    let mut i = 0;
    while i < columns.len() {
        let tile: Tile = match columns[i] {
            1 => S::entry::<Depthwise3x3<X, L, 1, STRIDE>>,
            2 => S::entry::<Depthwise3x3<X, L, 2, STRIDE>>,
            3 => S::entry::<Depthwise3x3<X, L, 3, STRIDE>>,
            4 => S::entry::<Depthwise3x3<X, L, 4, STRIDE>>,
            5 => S::entry::<Depthwise3x3<X, L, 5, STRIDE>>,
            6 => S::entry::<Depthwise3x3<X, L, 6, STRIDE>>,
            _ => panic!("a tile of another width"),
        };
        tiles = tiles.with(columns[i], tile);
        i += 1;
    }
    let tail =
        tail::<S, Tile>(S::entry::<Tail3x3<X, 1, STRIDE>>, S::entry::<Tail3x3<X, 2, STRIDE>>);
    Kernels3x3 { name, tiles, tail }
}
