//! Pictures: decoded, resized and scaled to numbers as Keras's `load_img` and Xception's
//! `preprocess_input` do, bit for bit.
//!
//! Keras decodes and resizes by Pillow, and a few differing pixels change logits in the third
//! decimal. So both steps follow Pillow exactly: see `decode` for the formats and `resize` for the filters.
//! EXIF orientation is not applied: Keras doesn't.

mod decode;
mod resize;

use std::path::Path;

pub use resize::Resize;

use crate::Result;

/// An 8-bit RGB picture.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Picture, Resize};
/// let black = Picture::new([2, 3], vec![0; 2 * 3 * 3])?; // 2 rows of 3 pixels
/// assert_eq!(black.size(), [2, 3]);
/// assert_eq!(black, black.resize([20, 30], Resize::Bicubic).resize([2, 3], Resize::Nearest));
/// # Ok::<(), sepconv::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: [usize; 2],
    rgb: Vec<u8>,
}

/// From a file to a network's input:
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Picture, Resize};
/// let x = Picture::read(Path::new("assets/digits.png"))?.resize([32, 32], Resize::Bilinear).to_tensor();
/// assert_eq!(x.len(), 32 * 32 * 3);
/// # Ok::<(), sepconv::Error>(())
/// ```
impl Picture {
    /// A picture of `size` \[height, width\] from its rows of RGB pixels.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
    /// let picture = Picture::new([1, 2], vec![255, 0, 0, 0, 0, 255])?; // red, blue
    /// assert_eq!(picture.rgb()[3..], [0, 0, 255]);
    /// let error = Picture::new([2, 2], vec![0; 9]).unwrap_err();
    /// assert_eq!(error.to_string(), "9 bytes for an RGB picture of 2×2 (height × width)");
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Argument`]: a side of 0, or `rgb` has another length than height·width·3.
    pub fn new(size: [usize; 2], rgb: Vec<u8>) -> Result<Self> {
        let length = size[0].checked_mul(size[1]).and_then(|p| p.checked_mul(3));
        if rgb.is_empty() || length != Some(rgb.len()) {
            return Err(crate::Error::Argument {
                message: format!(
                    "{} bytes for an RGB picture of {}×{} (height × width)",
                    rgb.len(),
                    size[0],
                    size[1]
                ),
            });
        }
        Ok(Self { size, rgb })
    }

    /// Reads a JPEG or PNG file.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
    /// let sheet = Picture::read(Path::new("assets/digits.png"))?; // of this crate
    /// assert_eq!(sheet.size(), [80, 80]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::File`]: it can't be read or decoded, or is larger than 2²⁷ pixels or 256 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        decode::read(path)
    }

    /// Decodes a JPEG or PNG file's bytes; `name` is for errors.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
    /// let error = Picture::decode(Path::new("notes.txt"), b"abcdef").unwrap_err().to_string();
    /// assert_eq!(error, "notes.txt: neither a JPEG nor a PNG file (begins with [61, 62, 63, 64])");
    /// # let bytes = std::fs::read("assets/digits.png").unwrap();
    /// # assert_eq!(Picture::decode(Path::new("digits.png"), &bytes)?.size(), [80, 80]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub fn decode(name: &Path, bytes: &[u8]) -> Result<Self> {
        decode::decode(name, bytes)
    }

    /// \[Height, width\].
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
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
    /// # use sepconv::image::{Picture, Resize};
    /// let picture = Picture::new([1, 2], vec![1, 2, 3, 4, 5, 6])?;
    /// let pixels: Vec<_> = picture.rgb().chunks(3).collect();
    /// assert_eq!(pixels, [[1, 2, 3], [4, 5, 6]]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The picture at another \[height, width\]; sides of 0 become 1.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
    /// let picture = Picture::new([1, 2], vec![0, 0, 0, 100, 100, 100])?;
    /// let twice = picture.resize([2, 2], Resize::Nearest);
    /// assert_eq!(twice.rgb(), [0, 0, 0, 100, 100, 100, 0, 0, 0, 100, 100, 100]);
    /// assert_eq!(picture.resize([0, 0], Resize::Nearest).size(), [1, 1]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn resize(&self, size: [usize; 2], how: Resize) -> Self {
        resize::resize(self, size.map(|side| side.max(1)), how)
    }

    /// Xception's input, H×W×3: x / 127.5 − 1 in f32, as Keras computes it.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Picture, Resize};
    /// let picture = Picture::new([1, 1], vec![0, 51, 255])?;
    /// assert_eq!(picture.to_tensor(), [-1.0, 51.0 / 127.5 - 1.0, 1.0]);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn to_tensor(&self) -> Vec<f32> {
        let scale = |&x: &u8| f32::from(x) / 127.5 - 1.0;
        self.rgb.iter().map(scale).collect()
    }
}
