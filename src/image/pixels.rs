//! The values of a resized picture before preprocessing.

use crate::{Error, Result};

/// The channels of a picture that a network takes: one or three.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
/// assert_eq!(Channels::new(3)?, Channels::Rgb);
/// let error = Channels::new(4).unwrap_err();
/// assert_eq!(error.to_string(), "expected 1 channel (gray) or 3 (RGB), got 4");
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// One channel: Keras's `color_mode="grayscale"`.
    Gray,
    /// Three: red, green, blue.
    Rgb,
}

impl Channels {
    /// Gray for 1 channel, RGB for 3.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert_eq!(Channels::new(1)?, Channels::Gray);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for any other number.
    pub fn new(count: usize) -> Result<Self> {
        match count {
            1 => Ok(Self::Gray),
            3 => Ok(Self::Rgb),
            _ => Err(Error::Argument {
                message: format!("expected 1 channel (gray) or 3 (RGB), got {count}"),
            }),
        }
    }

    /// 1 or 3.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// assert_eq!(Channels::Rgb.count(), 3);
    /// ```
    pub fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// A resized picture: H×W×C values of f32, from 0 to 255. TensorFlow's cubic interpolation may
/// exceed this range.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
/// let red = Picture::new([1, 1], vec![255, 0, 0])?;
/// let pixels = red.resize([2, 4], Resize::Nearest, Channels::Gray)?;
/// assert_eq!(pixels.size(), [2, 4]);
/// assert_eq!(pixels.channels(), Channels::Gray);
/// assert_eq!(pixels.values(), [76.0; 2 * 4]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    size: [usize; 2],
    channels: Channels,
    values: Vec<f32>,
}

impl Pixels {
    /// `values` has H·W·C elements.
    pub(super) fn from_values(size: [usize; 2], channels: Channels, values: Vec<f32>) -> Self {
        Self { size, channels, values }
    }

    /// \[Height, width\].
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let pixels = Picture::new([1, 1], vec![0; 3])?.resize([2, 3], Resize::Nearest, Channels::Rgb)?;
    /// assert_eq!(pixels.size(), [2, 3]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The number of values of each pixel.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let pixels = Picture::new([1, 1], vec![0; 3])?.resize([2, 3], Resize::Nearest, Channels::Gray)?;
    /// assert_eq!(pixels.channels().count(), 1);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Rows of pixels, H×W×C.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Picture, Preprocess, Resize};
    /// let pixels = Picture::new([1, 1], vec![7, 8, 9])?.resize([1, 2], Resize::Nearest, Channels::Rgb)?;
    /// assert_eq!(pixels.values(), [7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn into_values(self) -> Vec<f32> {
        self.values
    }
}
