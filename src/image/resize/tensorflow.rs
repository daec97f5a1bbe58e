//! `tf.image.resize(images, size, method)` of TensorFlow 2, without `antialias`: its kernels
//! `ResizeNearestNeighbor`, `ResizeBilinear` and `ResizeBicubic` with `half_pixel_centers`.
//!
//! Each operation in TensorFlow's order, in f32: the rounding of a coordinate decides which pixels are taken. The
//! same bits as those of TensorFlow 2.21 on an x86-64 CPU, by 1200 random pictures and sizes. (Its Keys table holds
//! what `keys` computes.)

use super::Plane;

/// In source pixels, the distance between new ones.
fn scale(from: usize, to: usize) -> f32 {
    from as f32 / to as f32
}

/// The source index under the centre of each of `to` pixels.
pub(super) fn centres(from: usize, to: usize) -> Vec<usize> {
    let scale = scale(from, to);
    (0..to).map(|i| (((i as f32 + 0.5) * scale) as usize).min(from - 1)).collect()
}

/// Of each of `to` pixels, the source index at or before its centre, which is −1 before the
/// first, and how far from there to the next the centre lies.
fn coordinates(from: usize, to: usize) -> impl Iterator<Item = (isize, f32)> {
    let scale = scale(from, to);
    (0..to).map(move |i| {
        let at = (i as f32 + 0.5) * scale - 0.5;
        (at.floor() as isize, at - at.floor())
    })
}

/// `index`, or the closest of the `length` that there are.
fn bound(index: isize, length: usize) -> usize {
    usize::try_from(index).map_or(0, |index| index.min(length - 1))
}

pub(super) fn bilinear<const C: usize>(plane: &Plane<'_, C>, size: [usize; 2]) -> Vec<f32> {
    let pairs = |axis: usize| {
        let from = plane.size[axis];
        coordinates(from, size[axis])
            .map(move |(at, fraction)| ([bound(at, from), bound(at + 1, from)], fraction))
    };
    let columns: Vec<_> = pairs(1).collect();
    let lerp = |a: f32, b: f32, fraction: f32| a + (b - a) * fraction;
    let mut values = Vec::with_capacity(size[0] * size[1] * C);
    for (rows, down) in pairs(0) {
        let [top, bottom] = rows.map(|y| &plane.data[y * plane.size[1] * C..]);
        for &([left, right], along) in &columns {
            for channel in 0..C {
                let line = |row: &[u8]| {
                    let value = |x: usize| f32::from(row[x * C + channel]);
                    lerp(value(left), value(right), along)
                };
                values.push(lerp(line(top), line(bottom), down));
            }
        }
    }
    values
}

pub(super) fn bicubic<const C: usize>(plane: &Plane<'_, C>, size: [usize; 2]) -> Vec<f32> {
    let width = plane.size[1];
    let columns: Vec<_> = taps(width, size[1]).collect();
    let mut values = Vec::with_capacity(size[0] * size[1] * C);
    let mut row = vec![0.0; width * C];
    for taps in taps(plane.size[0], size[0]) {
        row.fill(0.0);
        for (y, weight) in taps {
            let source = &plane.data[y * width * C..];
            for (sum, &x) in row.iter_mut().zip(source) {
                *sum += f32::from(x) * weight;
            }
        }
        for taps in &columns {
            for channel in 0..C {
                let sum = |sum, &(x, weight): &(usize, f32)| sum + row[x * C + channel] * weight;
                values.push(taps.iter().fold(0.0, sum));
            }
        }
    }
    values
}

/// Entries of TensorFlow's table of weights, for each pixel of distance.
const STEPS: f32 = 1024.0;

/// The weight of a pixel at `distance` from the centre: Keys's cubic with a = −1/2.
fn keys(distance: f32) -> f32 {
    const A: f64 = -0.5;
    let x = f64::from(distance);
    let weight = if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    };
    weight as f32
}

/// Of each of `to` pixels, the four source pixels around it and their weights. One outside the
/// picture weighs nothing, and the others make up for it.
fn taps(from: usize, to: usize) -> impl Iterator<Item = [(usize, f32); 4]> {
    coordinates(from, to).map(move |(at, fraction)| {
        let fraction = (fraction * STEPS).round_ties_even() / STEPS;
        let offsets = [-1, 0, 1, 2];
        let distances = [1.0 + fraction, fraction, 1.0 - fraction, 2.0 - fraction];
        let tap = |i: usize| {
            let index = at + offsets[i];
            let inside = bound(index, from) as isize == index;
            (bound(index, from), if inside { keys(distances[i]) } else { 0.0 })
        };
        let taps = [0, 1, 2, 3].map(tap);
        let sum: f32 = taps.iter().map(|&(_, weight)| weight).sum();
        // Where f32 has no coordinate close enough to a pixel: sides above 2^23.
        let factor = if sum == 0.0 { 1.0 } else { 1.0 / sum };
        taps.map(|(index, weight)| (index, weight * factor))
    })
}
