//! Turns pixels into a network's input, as the `preprocess_input` of Keras Applications and
//! torchvision's `Normalize` do.

use super::{Channels, Pixels};
use crate::weights::Scaling;
use crate::{Error, Result};

/// ImageNet's numbers for red, green and blue in 0 to 1: mode `torch` of Keras Applications.
const TORCH_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const TORCH_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// ImageNet's numbers for blue, green and red in 0 to 255: mode `caffe` of Keras Applications.
const CAFFE_MEAN: [f32; 3] = [103.939, 116.779, 123.68];

/// Scales pixels to a network's input. It works in f32 and in the order of Keras's operations, so
/// it gives the same bits.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
/// let picture = Picture::new([1, 1], vec![0, 51, 255])?;
/// let input = |preprocess: Preprocess| {
///     preprocess.apply(picture.resize([1, 1], Resize::Nearest, Channels::Rgb)?)
/// };
/// assert_eq!(input(Preprocess::new(Scaling::Tf))?, [-1.0, 51.0 / 127.5 - 1.0, 1.0]);
/// assert_eq!(input(Preprocess::new(Scaling::Unit))?, [0.0, 0.2, 1.0]);
/// assert_eq!(input(Preprocess::normalized(Scaling::Unit, &[0.5], &[0.25])?)?, [-2.0, -1.2, 2.0]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    scaling: Scaling,
    /// For 1 or 3 channels. Empty if the scaling has its own.
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Preprocess {
    /// A scaling without other numbers.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert_eq!(Preprocess::new(Scaling::Unit).to_string(), "x / 255");
    /// ```
    pub fn new(scaling: Scaling) -> Self {
        Self { scaling, mean: Vec::new(), std: Vec::new() }
    }

    /// (x − `mean`) / `std`. With [`Scaling::Unit`], x is 0 to 1, as for torchvision's `Normalize`;
    /// with [`Scaling::None`] it is 0 to 255. Each slice has one number for all channels, one for
    /// each of 3 channels, or none, which means a mean of 0 and a deviation of 1.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let vit = Preprocess::normalized(Scaling::Unit, &[0.5, 0.5, 0.5], &[0.5])?;
    /// assert_eq!(vit.to_string(), "(x / 255 − (0.5, 0.5, 0.5)) / 0.5");
    /// let error = Preprocess::normalized(Scaling::Unit, &[0.5], &[0.5, 0.0, 0.5]).unwrap_err();
    /// assert_eq!(error.to_string(), "the standard deviation must be finite and above 0, got 0");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if the scaling has its own numbers, if there are not 0, 1 or 3
    /// numbers, if a number is not finite, or if a standard deviation is not above 0.
    pub fn normalized(scaling: Scaling, mean: &[f32], std: &[f32]) -> Result<Self> {
        let has_its_own = !matches!(scaling, Scaling::Unit | Scaling::None);
        if has_its_own && (!mean.is_empty() || !std.is_empty()) {
            return argument(format!(
                "mode {} has a mean and standard deviation of its own: use unit or none to set others",
                scaling.name()
            ));
        }
        for (what, numbers) in [("means", mean), ("standard deviations", std)] {
            if !matches!(numbers.len(), 0 | 1 | 3) {
                let count = numbers.len();
                return argument(format!("expected 1 or 3 {what}, got {count}"));
            }
        }
        if let Some(x) = mean.iter().find(|x| !x.is_finite()) {
            return argument(format!("the mean must be finite, got {x}"));
        }
        if let Some(x) = std.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return argument(format!("the standard deviation must be finite and above 0, got {x}"));
        }
        Ok(Self { scaling, mean: mean.into(), std: std.into() })
    }

    /// The scaling.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert_eq!(Preprocess::normalized(Scaling::None, &[128.0], &[])?.scaling(), Scaling::None);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// What is subtracted and divided by: empty for none, and if the scaling has its own.
    ///
    /// ```
    /// # use sepconv::image::{Preprocess, Scaling};
    /// let preprocess = Preprocess::normalized(Scaling::Unit, &[0.5], &[])?;
    /// assert_eq!(preprocess.numbers(), [&[0.5][..], &[]]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn numbers(&self) -> [&[f32]; 2] {
        [&self.mean, &self.std]
    }

    /// Checks that the scaling can be applied to these channels.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert!(Preprocess::new(Scaling::Tf).check(Channels::Gray).is_ok());
    /// let error = Preprocess::new(Scaling::Caffe).check(Channels::Gray).unwrap_err();
    /// assert_eq!(error.to_string(), "mode caffe expects pixels of 3 channels, got 1");
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for one channel with [`Scaling::Torch`], [`Scaling::Caffe`] or
    /// numbers for three.
    pub fn check(&self, channels: Channels) -> Result<()> {
        if channels == Channels::Rgb {
            return Ok(());
        }
        if matches!(self.scaling, Scaling::Torch | Scaling::Caffe) {
            return argument(format!(
                "mode {} expects pixels of 3 channels, got 1",
                self.scaling.name()
            ));
        }
        for (what, numbers) in [("means", &self.mean), ("standard deviations", &self.std)] {
            if numbers.len() > 1 {
                return argument(format!(
                    "pixels of 1 channel can't be scaled by {} {what}; expected 1",
                    numbers.len()
                ));
            }
        }
        Ok(())
    }

    /// Scales pixels to a network's input, H×W×C.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let pixels = Picture::new([1, 1], vec![3, 2, 1])?.resize([1, 1], Resize::Nearest, Channels::Rgb)?;
    /// assert_eq!(Preprocess::new(Scaling::None).apply(pixels)?, [3.0, 2.0, 1.0]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Preprocess::check`].
    pub fn apply(&self, pixels: Pixels) -> Result<Vec<f32>> {
        let channels = pixels.channels();
        self.check(channels)?;
        let mut values = pixels.into_values();
        match self.scaling {
            Scaling::Tf => values.iter_mut().for_each(|x| *x = *x / 127.5 - 1.0),
            Scaling::Torch | Scaling::Unit => values.iter_mut().for_each(|x| *x /= 255.0),
            Scaling::Caffe => values.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2)),
            Scaling::None => {}
        }
        let (mean, std): (&[f32], &[f32]) = match self.scaling {
            Scaling::Torch => (&TORCH_MEAN, &TORCH_STD),
            Scaling::Caffe => (&CAFFE_MEAN, &[]),
            _ => (&self.mean, &self.std),
        };
        each_channel(&mut values, mean, channels, |x, mean| x - mean);
        each_channel(&mut values, std, channels, |x, std| x / std);
        Ok(values)
    }
}

/// Applies `f` to each value and the number of its channel. Does nothing if there are no numbers.
fn each_channel(
    values: &mut [f32],
    numbers: &[f32],
    channels: Channels,
    f: impl Fn(f32, f32) -> f32,
) {
    for pixel in values.chunks_exact_mut(channels.count()) {
        for (x, number) in pixel.iter_mut().zip(numbers.iter().cycle()) {
            *x = f(*x, *number);
        }
    }
}

/// The formula of the scaling, in which x is 0 to 255.
impl std::fmt::Display for Preprocess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let x = match self.scaling {
            Scaling::Tf => return f.write_str("x / 127.5 − 1"),
            Scaling::Torch => {
                let (mean, std) = (list(&TORCH_MEAN), list(&TORCH_STD));
                return write!(f, "(x / 255 − {mean}) / {std}");
            }
            Scaling::Caffe => return write!(f, "x − {} of blue, green, red", list(&CAFFE_MEAN)),
            Scaling::Unit => "x / 255",
            Scaling::None => "x",
        };
        match (self.mean.is_empty(), self.std.is_empty()) {
            (true, true) => f.write_str(x),
            (false, true) => write!(f, "{x} − {}", list(&self.mean)),
            (true, false) => write!(f, "{x} / {}", list(&self.std)),
            (false, false) => write!(f, "({x} − {}) / {}", list(&self.mean), list(&self.std)),
        }
    }
}

/// One number as it is, several in parentheses.
fn list(numbers: &[f32]) -> String {
    let text: Vec<String> = numbers.iter().map(f32::to_string).collect();
    match text.len() {
        1 => text[0].clone(),
        _ => format!("({})", text.join(", ")),
    }
}

fn argument<T>(message: String) -> Result<T> {
    Err(Error::Argument { message })
}
