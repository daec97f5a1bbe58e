//! The EXIF tag `Orientation`: how a camera was held.

use super::Picture;

/// How to rotate or mirror a picture so that it looks as it was taken: EXIF's `Orientation`, 1 to
/// 8.
///
/// Keras, TensorFlow and torchvision ignore it. [`Picture::upright`] applies it, as Pillow's
/// `ImageOps.exif_transpose` does.
///
/// ```
/// # use std::path::Path;
/// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
/// assert_eq!(Orientation::default().tag(), 1); // as it is
/// assert_eq!(Orientation::new(9), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    tag: u8,
}

impl Default for Orientation {
    fn default() -> Self {
        Self { tag: 1 }
    }
}

impl Orientation {
    /// The orientation of an EXIF number, or None for numbers other than 1 to 8. The number says
    /// how to make the picture upright: 1 leave it, 2 mirror left to right, 3 rotate by 180°, 4
    /// mirror top to bottom, 5 mirror along the main diagonal, 6 rotate by 90° clockwise, 7 mirror
    /// along the other diagonal, 8 rotate by 90° anticlockwise.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// assert_eq!(Orientation::new(6).map(Orientation::tag), Some(6));
    /// ```
    pub fn new(tag: u8) -> Option<Self> {
        (1..=8).contains(&tag).then_some(Self { tag })
    }

    /// The EXIF number, 1 to 8.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// let digits = Picture::read(Path::new("assets/digits.png"))?;
    /// assert_eq!(digits.orientation.tag(), 1);
    /// # Ok::<(), sepconv::Error>(())
    /// ```
    pub fn tag(self) -> u8 {
        self.tag
    }

    /// The orientation in EXIF data, which starts with its byte order. The picture is left as it is
    /// if the data can't be understood.
    pub(super) fn of_exif(mut exif: &[u8]) -> Self {
        // Of JPEG. Some programs write it in PNG, too.
        while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
            exif = rest;
        }
        find_tag(exif).and_then(|tag| Self::new(u8::try_from(tag).ok()?)).unwrap_or_default()
    }
}

/// The tag's number in the first directory of a TIFF file.
fn find_tag(tiff: &[u8]) -> Option<u32> {
    const ORIENTATION: u16 = 0x0112;
    let little = match tiff.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    if u16_at(2)? != 42 {
        return None;
    }
    let directory = u32_at(4)? as usize;
    let entries = usize::from(u16_at(directory)?);
    // Of 12 bytes each: tag, type, count, value.
    let entry = |i: usize| directory.checked_add(2 + 12 * i);
    let found = (0..entries).filter_map(entry).find(|&at| u16_at(at) == Some(ORIENTATION))?;
    match (u16_at(found + 2)?, u32_at(found + 4)?) {
        (1, 1) => tiff.get(found + 8).map(|&byte| byte.into()),
        (3, 1) => u16_at(found + 8).map(u32::from),
        (4, 1) => u32_at(found + 8),
        _ => None,
    }
}

pub(super) fn upright(picture: Picture, orientation: Orientation) -> Picture {
    let [h, w] = picture.size;
    let size = if orientation.tag < 5 { [h, w] } else { [w, h] };
    // Where a pixel of the result comes from.
    let source = |y: usize, x: usize| match orientation.tag {
        2 => [y, w - 1 - x],
        3 => [h - 1 - y, w - 1 - x],
        4 => [h - 1 - y, x],
        5 => [x, y],
        6 => [h - 1 - x, y],
        7 => [h - 1 - x, w - 1 - y],
        8 => [x, w - 1 - y],
        _ => [y, x],
    };
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    for y in 0..size[0] {
        for x in 0..size[1] {
            let [y, x] = source(y, x);
            rgb.extend_from_slice(&picture.rgb[(y * w + x) * 3..][..3]);
        }
    }
    Picture { size, rgb }
}
