//! Values of pixels to a network's input: `preprocess_input` of Keras Applications, and
//! torchvision's `Normalize`.

use super::{Channels, Pixels};
use crate::weights::Scaling;
use crate::{Error, Result};

/// Of ImageNet, red, green and blue of 0 to 1: Keras Applications', mode `torch`.
const TORCH_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const TORCH_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Of ImageNet, blue, green and red of 0 to 255: Keras Applications', mode `caffe`.
const CAFFE_MEAN: [f32; 3] = [103.939, 116.779, 123.68];

/// Scales pixels to a network's input, in f32 and in the order of Keras's operations: the same
/// bits.
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
    /// Of 1 or 3 channels; none of the scaling's own.
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Preprocess {
    /// A scaling as it stands.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert_eq!(Preprocess::new(Scaling::Unit).to_string(), "x / 255");
    /// ```
    pub fn new(scaling: Scaling) -> Self {
        Self { scaling, mean: Vec::new(), std: Vec::new() }
    }

    /// (x − `mean`) / `std`, on x / 255 with [`Scaling::Unit`] (what torchvision's `Normalize`
    /// takes), on x of 0 to 255 with [`Scaling::None`]. Each has one number for all channels, one
    /// for each, or none: 0 and 1.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let vit = Preprocess::normalized(Scaling::Unit, &[0.5, 0.5, 0.5], &[0.5])?;
    /// assert_eq!(vit.to_string(), "(x / 255 − (0.5, 0.5, 0.5)) / 0.5");
    /// let error = Preprocess::normalized(Scaling::Unit, &[0.5], &[0.5, 0.0, 0.5]).unwrap_err();
    /// assert_eq!(error.to_string(), "a standard deviation of 0: it has to be above 0");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`]: another scaling, which has numbers of its own; not 0, 1 or 3 numbers; one that isn't
    /// finite; a standard deviation that isn't above 0.
    pub fn normalized(scaling: Scaling, mean: &[f32], std: &[f32]) -> Result<Self> {
        let has_its_own = !matches!(scaling, Scaling::Unit | Scaling::None);
        if has_its_own && (!mean.is_empty() || !std.is_empty()) {
            return argument(format!(
                "a mean and standard deviation go with the modes unit and none: {} has its own",
                scaling.name()
            ));
        }
        for (what, numbers) in [("means", mean), ("standard deviations", std)] {
            if !matches!(numbers.len(), 0 | 1 | 3) {
                let count = numbers.len();
                return argument(format!("{count} {what}: one, or one for each of 3 channels"));
            }
        }
        if let Some(x) = mean.iter().find(|x| !x.is_finite()) {
            return argument(format!("a mean of {x}: it has to be finite"));
        }
        if let Some(x) = std.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return argument(format!("a standard deviation of {x}: it has to be above 0"));
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

    /// Whether it goes with so many channels.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert!(Preprocess::new(Scaling::Tf).check(Channels::Gray).is_ok());
    /// let error = Preprocess::new(Scaling::Caffe).check(Channels::Gray).unwrap_err();
    /// assert_eq!(error.to_string(), "caffe scales pixels of 3 channels, not of 1");
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`]: one channel, with [`Scaling::Torch`], [`Scaling::Caffe`] or numbers for three.
    pub fn check(&self, channels: Channels) -> Result<()> {
        if channels == Channels::Rgb {
            return Ok(());
        }
        if matches!(self.scaling, Scaling::Torch | Scaling::Caffe) {
            return argument(format!(
                "{} scales pixels of 3 channels, not of 1",
                self.scaling.name()
            ));
        }
        for (what, numbers) in [("means", &self.mean), ("standard deviations", &self.std)] {
            if numbers.len() > 1 {
                return argument(format!("{} {what} for pixels of 1 channel", numbers.len()));
            }
        }
        Ok(())
    }

    /// A network's input, H×W×C.
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
    /// As [`Preprocess::check`].
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

/// `f` of each value and its channel's number; nothing where there are no numbers.
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

/// Its formula, in which x is 0 to 255.
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
