//! From a picture to a network's input, as a model's file says.

use super::{Channels, Crop, Picture, Preprocess, Resize, Scaling};
use crate::Result;
use crate::weights::Metadata;

/// How pictures become a network's input: resized or cropped, then scaled.
///
/// ```
/// # use std::path::Path;
/// use sepconv::image::{Channels, Picture, Transform};
/// # #[cfg(feature = "keras")] {
///
/// let model = sepconv::weights::load("assets/digits.keras")?;
/// let transform = Transform::of(&model.metadata)?;
/// assert_eq!(transform.preprocess.to_string(), "x / 127.5 − 1");
/// let picture = Picture::read(Path::new("assets/digits.png"))?.picture;
/// assert_eq!(transform.apply(&picture, [32, 32], Channels::Rgb)?.len(), 32 * 32 * 3);
/// # }
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Transform {
    /// The rule by which pictures are resized.
    pub resize: Resize,
    /// The part that is used. None for all of it, without keeping its proportions.
    pub crop: Option<Crop>,
    /// How pixels are scaled.
    pub preprocess: Preprocess,
    /// A phrase that says how the scaling is known.
    pub why: String,
}

impl Transform {
    /// What a model's file says. Where it says nothing, all of a picture is resized by
    /// [`Resize::Nearest`], as Keras's `load_img` does, and scaled to x / 127.5 − 1.
    ///
    /// ```
    /// # use sepconv::image::*;
    /// use sepconv::weights::Metadata;
    ///
    /// let mut metadata = Metadata::default();
    /// assert_eq!(Transform::of(&metadata)?.preprocess, Preprocess::new(Scaling::Tf));
    /// metadata.scaling = Some((Scaling::Unit, "as trained".into()));
    /// metadata.mean = vec![0.5];
    /// let transform = Transform::of(&metadata)?;
    /// assert_eq!(transform.preprocess.to_string(), "x / 255 − 0.5");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Preprocess::normalized`].
    pub fn of(metadata: &Metadata) -> Result<Self> {
        let Metadata { mean, std, .. } = metadata;
        let (preprocess, why) = match &metadata.scaling {
            Some((scaling, why)) => (Preprocess::normalized(*scaling, mean, std)?, why.clone()),
            None => (Preprocess::new(Scaling::Tf), "assumed, the file does not say".into()),
        };
        let resize = metadata.resize.unwrap_or_default();
        Ok(Self { resize, crop: metadata.crop, preprocess, why })
    }

    /// The input H×W×C of `size` \[height, width\].
    ///
    /// ```
    /// # use sepconv::image::*;
    /// # use sepconv::weights::Metadata;
    /// let transform = Transform::of(&Metadata::default())?; // x / 127.5 − 1
    /// let picture = Picture::new([1, 2], vec![0, 0, 0, 255, 255, 255])?;
    /// assert_eq!(transform.apply(&picture, [1, 2], Channels::Gray)?, [-1.0, 1.0]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Picture::resize`], [`Picture::crop`] and [`Preprocess::check`].
    pub fn apply(
        &self,
        picture: &Picture,
        size: [usize; 2],
        channels: Channels,
    ) -> Result<Vec<f32>> {
        let pixels = match self.crop {
            Some(crop) => picture.crop(size, crop, self.resize, channels)?,
            None => picture.resize(size, self.resize, channels)?,
        };
        self.preprocess.apply(pixels)
    }
}
