//! `tf.image.resize(images, size, method)` of TensorFlow 2, without `antialias`: its kernels
//! `ResizeNearestNeighbor`, `ResizeBilinear` and `ResizeBicubic` with `half_pixel_centers`.
//!
//! Every operation is in f32 and in TensorFlow's order, because the rounding of a coordinate
//! decides which pixels are used. 1200 random pictures and sizes gave the bits of TensorFlow 2.21
//! on an x86-64 CPU. (TensorFlow looks up in a table what `keys` computes.)

/// How to interpolate between pixels, as in TensorFlow.
///
/// ```
/// # use sepconv::network::*;
/// # use sepconv::weights::Weights;
/// let mut network = Network::new("small", "input", [None, None], 1);
/// let op = Op::Resize { size: [1, 4], how: Interpolation::Bilinear, crop: false };
/// network.push("resize", op, &[network.output()])?;
/// let options = PlanOptions::default();
/// let mut session =
///     Session::new(NetworkPlan::new(&network, Weights::default(), [1, 1, 2, 1], &options)?)?;
/// session.run(&[0.0, 100.0])?;
/// assert_eq!(session.output(), [0.0, 25.0, 75.0, 100.0]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// The pixel whose area contains the new centre.
    Nearest,
    /// Linear, between the two pixels whose centres enclose the new one.
    Bilinear,
    /// Cubic (Keys, a = −1/2), between the four nearest pixels, with weights in steps of 1/1024.
    Bicubic,
}

/// A plan for resizing pictures from one size to another: the source pixels of each new row and
/// column.
#[derive(Debug)]
pub(crate) struct Resample {
    /// Columns of the source.
    width: usize,
    axes: Axes,
}

/// Rows, then columns.
#[derive(Debug)]
enum Axes {
    Nearest([Vec<usize>; 2]),
    /// Two pixels, and the position between them.
    Bilinear([Vec<([usize; 2], f32)>; 2]),
    /// Four pixels with their weights.
    Bicubic([Vec<[(usize, f32); 4]>; 2]),
}

impl Resample {
    /// Plans resizing from one \[height, width\] to another, all at least 1. With `crop`, the
    /// source is first cropped to the proportions of `to` around its middle, as in Keras's
    /// `smart_resize`.
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], how: Interpolation, crop: bool) -> Self {
        let part = if crop { proportioned(from, to) } else { from };
        // Keras halves the difference in floating point and rounds down.
        let first = [0, 1].map(|axis| (from[axis] - part[axis]) / 2);
        let axes = match how {
            Interpolation::Nearest => Axes::Nearest(
                [0, 1].map(|a| centres(part[a], to[a]).map(|i| i + first[a]).collect()),
            ),
            Interpolation::Bilinear => Axes::Bilinear([0, 1].map(|a| {
                pairs(part[a], to[a]).map(|(pair, t)| (pair.map(|i| i + first[a]), t)).collect()
            })),
            Interpolation::Bicubic => Axes::Bicubic([0, 1].map(|a| {
                taps(part[a], to[a]).map(|taps| taps.map(|(i, w)| (i + first[a], w))).collect()
            })),
        };
        Self { width: from[1], axes }
    }

    /// Resizes one dense picture of `channels` channels. Pixels of the result are `stride` elements
    /// apart.
    pub(crate) fn run(&self, x: &[f32], y: &mut [f32], channels: usize, stride: usize) {
        let at =
            |row: usize, column: usize, c: usize| x[(row * self.width + column) * channels + c];
        let mut pixels = y.chunks_mut(stride);
        let mut each = |pixel: &mut dyn FnMut(usize) -> f32| {
            let y = pixels.next().into_iter().flat_map(|y| &mut y[..channels]);
            y.enumerate().for_each(|(c, y)| *y = pixel(c));
        };
        match &self.axes {
            Axes::Nearest([rows, columns]) => {
                for &row in rows {
                    columns.iter().for_each(|&column| each(&mut |c| at(row, column, c)));
                }
            }
            Axes::Bilinear([rows, columns]) => {
                let lerp = |a: f32, b: f32, t: f32| a + (b - a) * t;
                for &([top, bottom], down) in rows {
                    for &([left, right], along) in columns {
                        let line = |row, c| lerp(at(row, left, c), at(row, right, c), along);
                        each(&mut |c| lerp(line(top, c), line(bottom, c), down));
                    }
                }
            }
            Axes::Bicubic([rows, columns]) => {
                for row in rows {
                    for column in columns {
                        let down =
                            |x, c| row.iter().fold(0.0, |sum, &(y, w)| sum + at(y, x, c) * w);
                        let along =
                            |c| column.iter().fold(0.0, |sum, &(x, w)| sum + down(x, c) * w);
                        each(&mut |c| along(c));
                    }
                }
            }
        }
    }
}

/// The largest \[height, width\] inside `from` with the proportions of `to`.
fn proportioned([height, width]: [usize; 2], [to_height, to_width]: [usize; 2]) -> [usize; 2] {
    let scaled = |a: usize, b: usize, c: usize| (a as f64 * b as f64 / c as f64) as usize;
    [
        scaled(width, to_height, to_width).min(height).max(1),
        scaled(height, to_width, to_height).min(width).max(1),
    ]
}

/// The distance between new pixels, in source pixels.
fn scale(from: usize, to: usize) -> f32 {
    from as f32 / to as f32
}

/// The source index under the centre of each of `to` pixels.
fn centres(from: usize, to: usize) -> impl Iterator<Item = usize> {
    let scale = scale(from, to);
    (0..to).map(move |i| (((i as f32 + 0.5) * scale) as usize).min(from - 1))
}

/// For each of `to` pixels: the index of the source pixel at or before its centre (−1 before the
/// first), and the distance from it to the centre.
fn coordinates(from: usize, to: usize) -> impl Iterator<Item = (isize, f32)> {
    let scale = scale(from, to);
    (0..to).map(move |i| {
        let at = (i as f32 + 0.5) * scale - 0.5;
        (at.floor() as isize, at - at.floor())
    })
}

/// `index`, clamped to 0 … `length` − 1.
fn bound(index: isize, length: usize) -> usize {
    usize::try_from(index).map_or(0, |index| index.min(length - 1))
}

/// For each of `to` pixels: the two source pixels that enclose it, and its distance from the first.
fn pairs(from: usize, to: usize) -> impl Iterator<Item = ([usize; 2], f32)> {
    coordinates(from, to).map(move |(at, t)| ([bound(at, from), bound(at + 1, from)], t))
}

/// The entries of TensorFlow's table of weights for a distance of one pixel.
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

/// For each of `to` pixels: the four source pixels around it and their weights. A pixel outside the
/// picture has weight 0, and the weights of the others are scaled up.
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
