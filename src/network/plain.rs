//! Operations without a kernel, as plain loops over f32: softmax, PReLU, and moving pixels.

use std::sync::Arc;

use super::functions;
use super::shape::Shape;
use crate::resample::Resample;

/// A step without a kernel.
#[derive(Debug)]
pub(super) enum Plain {
    /// Over the channels.
    Softmax,
    /// α of each row, column and channel; an axis of length 1 is shared.
    PRelu {
        shape: [usize; 3],
        alpha: Arc<[f32]>,
    },
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
}

impl Plain {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::PRelu { .. } => "prelu",
            Self::Shift { .. } => "shift",
            Self::Resample(_) => "resize",
            Self::Permute { .. } => "permute",
        }
    }

    /// Reads dense `x`, writes pixels of `y` that begin `stride` elements apart.
    pub(super) fn run(
        &self,
        (x, x_shape): (&[f32], Shape),
        (y, y_shape): (&mut [f32], Shape),
        stride: usize,
    ) {
        let [_, h, w, c] = y_shape;
        let pixels = || x.chunks_exact(x_shape[3]);
        match self {
            Self::Softmax => {
                let pairs = pixels().zip(y.chunks_mut(stride));
                pairs.for_each(|(x, y)| functions::softmax(x, &mut y[..c]));
            }
            Self::PRelu { shape: [ah, aw, ac], alpha } => {
                for (i, (x, y)) in pixels().zip(y.chunks_mut(stride)).enumerate() {
                    let alpha = &alpha[((i / w % h % ah) * aw + i % w % aw) * ac..][..*ac];
                    for ((y, &x), &alpha) in y.iter_mut().zip(x).zip(alpha.iter().cycle()) {
                        *y = functions::prelu(x, alpha);
                    }
                }
            }
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
        }
    }
}
