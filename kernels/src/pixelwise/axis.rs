//! The input positions that each row or column of a resampled picture is made of.

use alloc::vec::Vec;

use crate::error::Result;
use crate::memory::reserved;
use crate::params::{Coordinates, Interpolation};

/// What one row or column of the output is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taps {
    /// One or two rows or columns of the input, ascending.
    pub(crate) positions: [usize; 2],
    pub(crate) count: usize,
    /// Of both; of a single one 1.
    pub(crate) weights: [f32; 2],
    /// The first of the input channels that are taken.
    pub(crate) channel: usize,
}

impl Taps {
    fn one(position: usize, channel: usize) -> Self {
        Self { positions: [position; 2], count: 1, weights: [1.0, 0.0], channel }
    }

    /// The position after the last one.
    pub(crate) fn end(&self) -> usize {
        self.positions[self.count - 1] + 1
    }
}

/// The taps of each of `output` ≥ 1 positions over an input of `input` ≥ 1: see [`Coordinates`].
pub(crate) fn resized(
    input: usize,
    output: usize,
    interpolation: Interpolation,
    coordinates: Coordinates,
) -> Result<Vec<Taps>> {
    let aligned = coordinates == Coordinates::AlignCorners && output > 1;
    let (steps, of) = if aligned { (input - 1, output - 1) } else { (input, output) };
    let scale = steps as f32 / of as f32;
    let last = input - 1;
    let taps = |o: usize| {
        let o = o as f32;
        match (interpolation, coordinates) {
            (Interpolation::Nearest, Coordinates::HalfPixel) => nearest((o + 0.5) * scale, last),
            (Interpolation::Nearest, Coordinates::Asymmetric) => nearest(o * scale, last),
            (Interpolation::Nearest, Coordinates::AlignCorners) => {
                // To the nearest, ties upwards; a half that is added could round up itself.
                let source = o * scale;
                let floor = source as usize;
                let up = usize::from(source - floor as f32 >= 0.5);
                Taps::one((floor + up).min(last), 0)
            }
            (Interpolation::Bilinear, Coordinates::HalfPixel) => {
                bilinear((o + 0.5) * scale - 0.5, last)
            }
            (Interpolation::Bilinear, _) => bilinear(o * scale, last),
        }
    };
    collect(output, (0..output).map(taps))
}

fn nearest(source: f32, last: usize) -> Taps {
    Taps::one((source as usize).min(last), 0)
}

fn bilinear(source: f32, last: usize) -> Taps {
    // A negative number becomes 0.
    let floor = (source as usize).min(last);
    let fraction = (source - floor as f32).clamp(0.0, 1.0);
    if fraction == 0.0 || floor == last {
        return Taps::one(floor, 0);
    }
    let weights = [1.0 - fraction, fraction];
    Taps { positions: [floor, floor + 1], count: 2, weights, channel: 0 }
}

/// Of depth to space: `block` outputs of each input, which take channels `step` apart.
pub(crate) fn blocks(input: usize, block: usize, step: usize) -> Result<Vec<Taps>> {
    let of = |i: usize| (0..block).map(move |j| Taps::one(i, j * step));
    collect(input * block, (0..input).flat_map(of))
}

/// The taps of an axis, if there is memory for so many.
fn collect(count: usize, taps: impl Iterator<Item = Taps>) -> Result<Vec<Taps>> {
    let mut all = reserved(count)?;
    all.extend(taps);
    Ok(all)
}
