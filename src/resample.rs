// NOTE FOR THE PICTURES BRANCH: this file also lands on the main branch (network::Op::Resize uses it). Use
// `Resample` from here for tf-nearest/tf-bilinear/tf-bicubic (`mod resample;` in src/lib.rs), verify it against
// TensorFlow with your goldens, fix it here if wrong, and commit it without this note. `pub use` of
// `Interpolation` happens in src/network/mod.rs on the main branch (its doc example needs that).
//! `tf.image.resize` without antialiasing: pixel centres at half integers, results not rounded.
//!
//! Every coordinate and weight is computed in f32 in TensorFlow's order, so that the same pixels are
//! taken; its kernels are `resize_nearest_neighbor`, `resize_bilinear` and `resize_bicubic` with
//! `half_pixel_centers`. Sums differ in their last bits alone.

/// How pixels between pixels are interpolated, as TensorFlow does it.
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
pub enum Interpolation {
    /// The pixel whose area the new centre lies in.
    Nearest,
    /// Linear between the two pixels whose centres enclose the new one.
    Bilinear,
    /// Cubic (Keys, a = −1/2) between the four nearest; weights in steps of 1/1024.
    Bicubic,
}

/// Pictures of one size brought to another.
#[derive(Debug)]
pub(crate) struct Resample {
    /// Columns of the source.
    width: usize,
    rows: Vec<Taps>,
    columns: Vec<Taps>,
}

/// The pixels of one axis that a new pixel is made of.
#[derive(Debug, Clone, Copy)]
struct Taps {
    len: usize,
    index: [usize; 4],
    weight: [f32; 4],
}

impl Resample {
    /// From one \[height, width\] to another, all at least 1. With `crop` the middle of the source that has
    /// the proportions of `to` is taken, as Keras's `smart_resize` does.
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], how: Interpolation, crop: bool) -> Self {
        let part = if crop { proportioned(from, to) } else { from };
        let [rows, columns] = [0, 1].map(|axis| {
            // Keras halves the difference in floating point and rounds down.
            let first = (from[axis] - part[axis]) / 2;
            let mut taps = taps(part[axis], to[axis], how);
            taps.iter_mut().for_each(|t| t.index.iter_mut().for_each(|i| *i += first));
            taps
        });
        Self { width: from[1], rows, columns }
    }

    /// One picture, dense rows of pixels of `channels` elements, to pixels that begin `stride` apart.
    pub(crate) fn run(&self, x: &[f32], y: &mut [f32], channels: usize, stride: usize) {
        let places = self.rows.iter().flat_map(|row| self.columns.iter().map(move |c| (row, c)));
        for ((row, column), y) in places.zip(y.chunks_mut(stride)) {
            for (channel, y) in y[..channels].iter_mut().enumerate() {
                *y = row.sum(|r| {
                    column.sum(|c| x[(r * self.width + c) * channels + channel])
                });
            }
        }
    }
}

impl Taps {
    fn sum(&self, x: impl Fn(usize) -> f32) -> f32 {
        // The first by itself: with one tap of weight 1 the pixel keeps its bits.
        let first = self.weight[0] * x(self.index[0]);
        let rest = self.index[1..self.len].iter().zip(&self.weight[1..]);
        rest.fold(first, |sum, (&index, &weight)| sum + weight * x(index))
    }
}

/// The largest \[height, width\] inside `from` of the proportions of `to`.
fn proportioned([height, width]: [usize; 2], [to_height, to_width]: [usize; 2]) -> [usize; 2] {
    let scaled = |a: usize, b: usize, c: usize| (a as f64 * b as f64 / c as f64) as usize;
    [
        scaled(width, to_height, to_width).min(height).max(1),
        scaled(height, to_width, to_height).min(width).max(1),
    ]
}

fn taps(from: usize, to: usize, how: Interpolation) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let last = from - 1;
    let at = |i: usize| (i as f32 + 0.5) * scale;
    // Casts of negative numbers give 0, which is the bound.
    let bound = |i: f32| (i as usize).min(last);
    let tap = |i: usize| match how {
        Interpolation::Nearest => {
            Taps { len: 1, index: [bound(at(i).floor()), 0, 0, 0], weight: [1.0, 0.0, 0.0, 0.0] }
        }
        Interpolation::Bilinear => {
            let at = at(i) - 0.5;
            let t = at - at.floor();
            let index = [bound(at.floor()), bound(at.ceil()), 0, 0];
            Taps { len: 2, index, weight: [1.0 - t, t, 0.0, 0.0] }
        }
        Interpolation::Bicubic => bicubic(at(i) - 0.5, last),
    };
    (0..to).map(tap).collect()
}

/// Steps of the table in which TensorFlow looks weights up.
const TABLE: f32 = 1024.0;

/// Pixels outside the picture have weight 0, and the others are scaled to a sum of 1.
fn bicubic(at: f32, last: usize) -> Taps {
    let first = at.floor();
    let step = f64::from(((at - first) * TABLE).round_ties_even() / TABLE);
    let a = -0.5;
    // |x| ≤ 1, and 1 ≤ |x| ≤ 2.
    let near = |x: f64| (((a + 2.0) * x - (a + 3.0)) * x * x + 1.0) as f32;
    let far = |x: f64| (((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a) as f32;
    let weights = [far(step + 1.0), near(step), near(1.0 - step), far(2.0 - step)];
    let mut taps = Taps { len: 4, index: [0; 4], weight: [0.0; 4] };
    for (i, weight) in weights.into_iter().enumerate() {
        let place = first + i as f32 - 1.0;
        taps.index[i] = (place as usize).min(last);
        if (0.0..=last as f32).contains(&place) {
            taps.weight[i] = weight;
        }
    }
    let sum: f32 = taps.weight.iter().sum();
    if sum.abs() >= 1000.0 * f32::MIN_POSITIVE {
        taps.weight.iter_mut().for_each(|weight| *weight *= 1.0 / sum);
    }
    taps
}
