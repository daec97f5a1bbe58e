//! How a camera was held: EXIF's tag `Orientation`.

use super::Picture;

/// How a picture has to be turned or mirrored to be seen as it was taken: EXIF's `Orientation`, 1
/// to 8.
///
/// Keras, TensorFlow and torchvision don't turn pictures on their own. [`Picture::upright`] does,
/// as Pillow's `ImageOps.exif_transpose`.
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
    /// By EXIF's number: 1 as it is, 2 mirrored left to right, 3 turned by 180°, 4 mirrored top to
    /// bottom, 5 mirrored along the main diagonal, 6 to be turned clockwise by 90°, 7 mirrored
    /// along the other diagonal, 8 to be turned anticlockwise by 90°. Nothing for other numbers.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use sepconv::image::{Channels, Scaling, Orientation, Picture, Preprocess, Resize};
    /// assert_eq!(Orientation::new(6).map(Orientation::tag), Some(6));
    /// ```
    pub fn new(tag: u8) -> Option<Self> {
        (1..=8).contains(&tag).then_some(Self { tag })
    }

    /// EXIF's number, 1 to 8.
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

    /// What EXIF data says, from its byte order on; as it is where it says nothing that can be
    /// understood.
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
