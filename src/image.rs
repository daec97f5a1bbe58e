//! Decodes, resizes and scales pictures as Keras does, bit for bit.
//!
//! A few different pixels change logits in the third decimal. So each step follows the library that
//! a network was trained with. Decoding follows Pillow, [`Resize`] Pillow or TensorFlow, and
//! [`Preprocess`] Keras's `preprocess_input`. Like Keras, nothing here applies EXIF orientation
//! unless you call [`Picture::upright`].

mod crop;
mod decode;
mod orientation;
mod pixels;
mod preprocess;
mod resize;
mod transform;

use std::path::Path;

pub use crate::weights::{Crop, Resize, Scaling};
pub use orientation::Orientation;
pub use pixels::{Channels, Pixels};
pub use preprocess::Preprocess;
pub use transform::Transform;

use crate::{Error, Result};

/// The most pixels of a picture, decoded or resized.
const MAX_PIXELS: usize = 1 << 27;

/// An 8-bit RGB picture.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
/// let black = Picture::new([2, 3], vec![0; 2 * 3 * 3])?; // 2 rows of 3 pixels
/// assert_eq!(black.size(), [2, 3]);
/// assert_eq!(black.rgb(), [0; 18]);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: [usize; 2],
    rgb: Vec<u8>,
}

/// The contents of a picture file.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
/// let decoded = Picture::read(Path::new("assets/digits.png"))?;
/// if let Some(warning) = &decoded.warning {
///     eprintln!("digits.png: {warning}");
/// }
/// let upright = decoded.picture.upright(decoded.orientation);
/// assert_eq!(upright.size(), [80, 80]);
/// # assert_eq!(decoded.warning, None);
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decoded {
    /// The picture as it is stored.
    pub picture: Picture,
    /// How to rotate or mirror the picture so that it looks as it was taken.
    pub orientation: Orientation,
    /// A sentence if the file is damaged but Pillow would accept it.
    pub warning: Option<String>,
}

/// From a file to a network's input:
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
/// let decoded = Picture::read(Path::new("assets/digits.png"))?;
/// let pixels = decoded.picture.resize([32, 32], Resize::Bilinear, Channels::Rgb)?;
/// let x = Preprocess::new(Scaling::Tf).apply(pixels)?;
/// assert_eq!(x.len(), 32 * 32 * 3);
/// # Ok::<(), sepconv::Error>(())
/// ```
impl Picture {
    /// Makes a picture of `size` \[height, width\] from its rows of RGB pixels.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let picture = Picture::new([1, 2], vec![255, 0, 0, 0, 0, 255])?; // red, blue
    /// assert_eq!(picture.rgb()[3..], [0, 0, 255]);
    /// let error = Picture::new([2, 2], vec![0; 9]).unwrap_err();
    /// assert_eq!(error.to_string(), "expected 3 bytes for each of 2×2 pixels (height × width), got 9");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if a side is 0 or the length of `rgb` is not height·width·3.
    pub fn new(size: [usize; 2], rgb: Vec<u8>) -> Result<Self> {
        let length = size[0].checked_mul(size[1]).and_then(|p| p.checked_mul(3));
        if rgb.is_empty() || length != Some(rgb.len()) {
            return Err(Error::Argument {
                message: format!(
                    "expected 3 bytes for each of {}×{} pixels (height × width), got {}",
                    size[0],
                    size[1],
                    rgb.len(),
                ),
            });
        }
        Ok(Self { size, rgb })
    }

    /// Reads a JPEG or PNG file. A damaged file gives a warning and the picture that Pillow makes
    /// of it. A file that is cut short before its last pixel is an error, as in Pillow.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let sheet = Picture::read(Path::new("assets/digits.png"))?; // of this crate
    /// assert_eq!(sheet.picture.size(), [80, 80]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::File`] if the file can't be read or decoded, or has more than 2²⁷ pixels or
    /// 256 MiB.
    pub fn read(path: &Path) -> Result<Decoded> {
        decode::read(path)
    }

    /// Decodes the bytes of a JPEG or PNG file. Errors show `name` as the file.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let error = Picture::decode(Path::new("notes.txt"), b"abcdef").unwrap_err().to_string();
    /// assert_eq!(error, "notes.txt: expected a JPEG or PNG file, got one that begins with the bytes 61 62 63 64");
    /// # let bytes = std::fs::read("assets/digits.png").unwrap();
    /// # assert_eq!(Picture::decode(Path::new("digits.png"), &bytes)?.picture.size(), [80, 80]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Picture::read`].
    pub fn decode(name: &Path, bytes: &[u8]) -> Result<Decoded> {
        decode::decode(name, bytes)
    }

    /// \[Height, width\].
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let wide = Picture::new([1, 4], vec![0; 12])?;
    /// assert_eq!(wide.size(), [1, 4]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Rows of RGB pixels.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let picture = Picture::new([1, 2], vec![1, 2, 3, 4, 5, 6])?;
    /// let pixels: Vec<_> = picture.rgb().chunks(3).collect();
    /// assert_eq!(pixels, [[1, 2, 3], [4, 5, 6]]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Rotates and mirrors the picture as Pillow's `ImageOps.exif_transpose` does.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let stored = Picture::new([1, 2], vec![255, 0, 0, 0, 0, 255])?; // red, blue
    /// let clockwise = Orientation::new(6).unwrap_or_default();
    /// let upright = stored.upright(clockwise);
    /// assert_eq!(upright, Picture::new([2, 1], vec![255, 0, 0, 0, 0, 255])?);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn upright(self, orientation: Orientation) -> Self {
        orientation::upright(self, orientation)
    }

    /// Resizes the picture to `size` \[height, width\]. Values are 0 to 255; `how` says whether
    /// they are rounded. Gray is computed before resizing, as in Keras.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let picture = Picture::new([1, 2], vec![0, 0, 0, 100, 100, 100])?;
    /// let twice = picture.resize([1, 4], Resize::TfBilinear, Channels::Gray)?;
    /// assert_eq!(twice.values(), [0.0, 25.0, 75.0, 100.0]);
    /// # assert!(picture.resize([0, 1], Resize::Nearest, Channels::Rgb).is_err());
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if a side is 0 or the result has more than 2²⁷ pixels.
    pub fn resize(&self, size: [usize; 2], how: Resize, channels: Channels) -> Result<Pixels> {
        check_size(size)?;
        let values = match channels {
            Channels::Gray => {
                let data = self.rgb.chunks_exact(3).map(gray).collect();
                resize::resize(resize::Plane::<1> { size: self.size, data }, size, how)
            }
            Channels::Rgb => {
                let data = self.rgb.as_slice().into();
                resize::resize(resize::Plane::<3> { size: self.size, data }, size, how)
            }
        };
        Ok(Pixels::from_values(size, channels, values))
    }

    /// Resizes the picture to `size` ÷ `crop.share`, of its shorter side if it keeps its
    /// proportions, and cuts out the middle of `size` \[height, width\]: what timm does for
    /// validation.
    ///
    /// ```
    /// # use sepconv::image::{Channels, Crop, Picture, Resize};
    /// let row = Picture::new([1, 4], [10, 20, 30, 40].iter().flat_map(|&x| [x; 3]).collect())?;
    /// let crop = Crop { share: 1.0, squash: false };
    /// let middle = row.crop([1, 1], crop, Resize::Bilinear, Channels::Gray)?;
    /// assert_eq!(middle.values(), [30.0]); // column 1.5, to even
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if the share is not above 0 and at most 1, and those of
    /// [`Picture::resize`] for the resized picture and for the result.
    pub fn crop(
        &self,
        size: [usize; 2],
        crop: Crop,
        how: Resize,
        channels: Channels,
    ) -> Result<Pixels> {
        check_size(size)?;
        let whole = crop::whole(self.size, size, crop)?;
        Ok(crop::middle(self.resize(whole, how, channels)?, size))
    }
}

fn check_size(size: [usize; 2]) -> Result<()> {
    let pixels = size[0].checked_mul(size[1]);
    match pixels.filter(|pixels| (1..=MAX_PIXELS).contains(pixels)) {
        Some(_) => Ok(()),
        None => Err(Error::Argument {
            message: format!(
                "expected a picture of 1 to {MAX_PIXELS} pixels, got {}×{} (height × width)",
                size[0], size[1]
            ),
        }),
    }
}

/// The luma of ITU-R 601-2, by the integer formula of Pillow's `convert("L")`.
fn gray(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}
