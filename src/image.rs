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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: [usize; 2],
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of `size` \[height, width\] from its rows of RGB pixels.
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
    /// # Errors
    /// [`crate::Error::File`]: it can't be read or decoded, or is larger than 2²⁷ pixels or 256 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        decode::read(path)
    }

    /// Decodes a JPEG or PNG file's bytes; `name` is for errors.
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub fn decode(name: &Path, bytes: &[u8]) -> Result<Self> {
        decode::decode(name, bytes)
    }

    /// \[Height, width\].
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Rows of RGB pixels.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The picture at another \[height, width\]; sides of 0 become 1.
    pub fn resize(&self, size: [usize; 2], how: Resize) -> Self {
        resize::resize(self, size.map(|side| side.max(1)), how)
    }

    /// Xception's input, H×W×3: x / 127.5 − 1 in f32, as Keras computes it.
    pub fn to_tensor(&self) -> Vec<f32> {
        let scale = |&x: &u8| f32::from(x) / 127.5 - 1.0;
        self.rgb.iter().map(scale).collect()
    }
}
