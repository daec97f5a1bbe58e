//! Between candle's \[N, C, H, W\] and the kernels' \[N, H, W, C\].

use std::borrow::Cow;

use candle_core::{Layout, Result, Tensor};

/// A view of \[N, C, H, W\] as \[N, H, W, C\].
pub(crate) fn nhwc(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))
}

/// A view of \[N, H, W, C\] as \[N, C, H, W\].
pub(crate) fn nchw(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))
}

/// The values of a view \[N, H, W, C\], dense in that order: as they are, or copied.
pub(crate) fn dense<'a, T: Copy + Default>(
    storage: &'a [T],
    layout: &Layout,
    [n, h, w, c]: [usize; 4],
) -> Cow<'a, [T]> {
    if let Some((start, end)) = layout.contiguous_offsets() {
        return Cow::Borrowed(&storage[start..end]);
    }
    let pixels = h * w;
    let (start, &[sn, sh, sw, sc]) = (layout.start_offset(), layout.stride()) else {
        unreachable!("four axes")
    };
    let mut copy = Vec::with_capacity(n * pixels * c);
    if [sh, sw, sc] == [w, 1, pixels] {
        copy.resize(n * pixels * c, T::default());
        for (i, picture) in copy.chunks_exact_mut(pixels * c).enumerate() {
            transpose(&storage[start + i * sn..][..c * pixels], picture, c, pixels);
        }
    } else {
        for (n, y, x) in (0..n).flat_map(|n| (0..pixels).map(move |p| (n, p / w, p % w))) {
            let pixel = start + n * sn + y * sh + x * sw;
            copy.extend((0..c).map(|c| storage[pixel + c * sc]));
        }
    }
    Cow::Owned(copy)
}

/// to\[column\]\[row\] = from\[row\]\[column\], by tiles that stay in cache: a row of a tile is a
/// cache line of f32.
fn transpose<T: Copy>(from: &[T], to: &mut [T], rows: usize, columns: usize) {
    const TILE: usize = 16;
    for row in (0..rows).step_by(TILE) {
        let tile_rows = row..rows.min(row + TILE);
        for column in (0..columns).step_by(TILE) {
            for column in column..columns.min(column + TILE) {
                let to = &mut to[column * rows..][tile_rows.clone()];
                for (to, row) in to.iter_mut().zip(tile_rows.clone()) {
                    *to = from[row * columns + column];
                }
            }
        }
    }
}
