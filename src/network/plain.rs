//! Operations without a kernel, as plain loops over f32: moving pixels, sums of products of two
//! tensors, and normalization over other axes than the kernels know.

use std::sync::Arc;

use super::shape::Shape;
use crate::resample::Resample;

/// A step without a kernel.
#[derive(Debug)]
pub(super) enum Plain {
    /// Pixel (y, x) of the result is pixel (y − `down`, x − `right`) of the operand, zeros outside.
    Shift {
        down: isize,
        right: isize,
    },
    Resample(Resample),
    /// Dimension i of the result is `axes[i]` of the operand: height, width, channels.
    Permute {
        axes: [usize; 3],
    },
    /// Over the axes (height, width, channels) that are `true`.
    Normalize {
        over: [bool; 3],
        epsilon: f64,
        gamma: Option<Arc<[f32]>>,
        beta: Option<Arc<[f32]>>,
    },
    /// The sums over `axes` of two operands of one row, 1 for the width, 2 for the channels.
    Dot {
        axes: [usize; 2],
        /// The smallest length of a line by which it is divided, if lines are.
        normalize: Option<f64>,
    },
}

impl Plain {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Shift { .. } => "shift",
            Self::Resample(_) => "resize",
            Self::Permute { .. } => "permute",
            Self::Normalize { .. } => "normalize",
            Self::Dot { .. } => "dot",
        }
    }

    /// Reads dense `x`, and `second` if it takes two operands; writes pixels of `y` that begin
    /// `stride` elements apart.
    pub(super) fn run(
        &self,
        (x, x_shape): (&[f32], Shape),
        second: Option<(&[f32], Shape)>,
        (y, y_shape): (&mut [f32], Shape),
        stride: usize,
    ) {
        let [_, h, w, c] = y_shape;
        match self {
            Self::Shift { down, right } => {
                let [_, xh, xw, _] = x_shape;
                for (i, y) in y.chunks_mut(stride).enumerate() {
                    let from = |at: usize, by: isize, length: usize| {
                        at.checked_add_signed(-by).filter(|&at| at < length)
                    };
                    let (row, column) = (from(i / w % h, *down, xh), from(i % w, *right, xw));
                    match row.zip(column) {
                        None => y[..c].fill(0.0),
                        Some((row, column)) => {
                            let pixel = ((i / w / h) * xh + row) * xw + column;
                            y[..c].copy_from_slice(&x[pixel * c..][..c]);
                        }
                    }
                }
            }
            Self::Permute { axes } => {
                let [_, xh, xw, xc] = x_shape;
                let strides = axes.map(|axis| [xw * xc, xc, 1][axis]);
                for (i, y) in y.chunks_mut(stride).enumerate() {
                    let first = i / w / h * xh * xw * xc;
                    let first = first + i / w % h * strides[0] + i % w * strides[1];
                    for (channel, y) in y[..c].iter_mut().enumerate() {
                        *y = x[first + channel * strides[2]];
                    }
                }
            }
            Self::Resample(resample) => {
                let x = x.chunks_exact(x_shape[1] * x_shape[2] * c);
                let y = y.chunks_mut(h * w * stride);
                x.zip(y).for_each(|(x, y)| resample.run(x, y, c, stride));
            }
            Self::Normalize { over, epsilon, gamma, beta } => {
                let affine = [gamma, beta].map(|array| array.as_deref());
                let picture = x.chunks_exact(h * w * c).zip(y.chunks_mut(h * w * stride));
                picture.for_each(|(x, y)| {
                    normalize((x, [h, w, c]), (y, stride), *over, *epsilon, affine);
                });
            }
            Self::Dot { axes, normalize } => {
                let (b, b_shape) = second.expect("fusion gives it a second operand");
                let a = x.chunks_exact(x_shape[2] * x_shape[3]);
                let b = b.chunks_exact(b_shape[2] * b_shape[3]);
                for ((a, b), y) in a.zip(b).zip(y.chunks_mut(w * stride)) {
                    let a = Lines::new(a, x_shape, axes[0]);
                    let b = Lines::new(b, b_shape, axes[1]);
                    for (i, y) in y.chunks_mut(stride).enumerate() {
                        for (j, y) in y[..c].iter_mut().enumerate() {
                            let mut sum = a.product(i, &b, j);
                            if let Some(shortest) = normalize {
                                sum /= a.product(i, &a, i).sqrt().max(*shortest);
                                sum /= b.product(j, &b, j).sqrt().max(*shortest);
                            }
                            *y = sum as f32;
                        }
                    }
                }
            }
        }
    }
}

/// A matrix in the order of its rows, seen as lines along one of its axes.
struct Lines<'a> {
    data: &'a [f32],
    /// Elements from one line to the next, and from one number of a line to the next.
    line: usize,
    step: usize,
    len: usize,
}

impl<'a> Lines<'a> {
    /// Those of a picture of one row along its width (1) or its channels (2).
    fn new(data: &'a [f32], [_, _, w, c]: Shape, axis: usize) -> Self {
        match axis {
            1 => Self { data, line: 1, step: c, len: w },
            _ => Self { data, line: c, step: 1, len: c },
        }
    }

    /// The sum of the products of two lines, in f64, in which each product is exact.
    fn product(&self, i: usize, other: &Self, j: usize) -> f64 {
        let line = |lines: &Self, i: usize| lines.data[i * lines.line..].iter().step_by(lines.step);
        let pairs = line(self, i).zip(line(other, j)).take(self.len);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }
}

/// Normalizes a picture of these sides over some of its axes; sums are of f64.
fn normalize(
    (x, sides): (&[f32], [usize; 3]),
    (y, stride): (&mut [f32], usize),
    over: [bool; 3],
    epsilon: f64,
    [gamma, beta]: [Option<&[f32]>; 2],
) {
    let [_, w, c] = sides;
    let pick = |wanted: bool| [0, 1, 2].map(|a| if over[a] == wanted { sides[a] } else { 1 });
    let (apart, together) = (pick(false), pick(true));
    let count = together.iter().product::<usize>();
    let position = |[_, b, c]: [usize; 3], i: usize| [i / c / b, i / c % b, i % c];
    for outer in 0..apart.iter().product() {
        let first = position(apart, outer);
        // The place of element i of those that are normalized together.
        let pixel = |i: usize| {
            let [ih, iw, ic] = position(together, i);
            ((first[0] + ih) * w + first[1] + iw, first[2] + ic)
        };
        let at = |i: usize| {
            let (pixel, channel) = pixel(i);
            f64::from(x[pixel * c + channel])
        };
        let mean = (0..count).map(at).sum::<f64>() / count as f64;
        let variance = (0..count).map(|i| (at(i) - mean).powi(2)).sum::<f64>() / count as f64;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for i in 0..count {
            let [gamma, beta] =
                [(gamma, 1.0), (beta, 0.0)].map(|(p, or)| p.map_or(or, |p| f64::from(p[i])));
            let (pixel, channel) = pixel(i);
            y[pixel * stride + channel] = ((at(i) - mean) * factor * gamma + beta) as f32;
        }
    }
}
