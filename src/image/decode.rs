//! Decodes JPEG and PNG files to 8-bit RGB, as Pillow's `open` and `convert("RGB")` do.

mod jpeg;
mod png;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Decoded, MAX_PIXELS, Orientation, Picture};
use crate::{Error, Result};

const MAX_FILE_BYTES: u64 = 1 << 28;
const MAX_SIDE: usize = 1 << 16;
/// The most that a decoder may allocate. It is enough for the largest picture, except for a
/// progressive JPEG.
const MAX_DECODER_BYTES: usize = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Decoded> {
    let error = |e: std::io::Error| file_error(path, e.to_string());
    let mut bytes = Vec::new();
    // `take` limits devices and pipes too, whose size the file system does not know.
    let file = File::open(path).map_err(error)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(file_error(path, format!("the file is larger than {MAX_FILE_BYTES} bytes")));
    }
    decode(path, &bytes)
}

pub(super) fn decode(name: &Path, bytes: &[u8]) -> Result<Decoded> {
    let parts = if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg::decode(bytes).map_err(|e| format!("JPEG: {e}"))
    } else if bytes.starts_with(b"\x89PNG") {
        png::decode(bytes).map_err(|e| format!("PNG: {e}"))
    } else if bytes.is_empty() {
        Err("the file is empty".into())
    } else if let Some(format) = other_format(bytes) {
        Err(format!("expected a JPEG or PNG file, got {format}"))
    } else {
        let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Err(format!(
            "expected a JPEG or PNG file, got one that begins with the bytes {}",
            start.join(" ")
        ))
    };
    let Parts { size, rgb, orientation, warning } =
        parts.map_err(|message| file_error(name, message))?;
    Ok(Decoded { picture: Picture::new(size, rgb)?, orientation, warning })
}

fn file_error(path: &Path, message: String) -> Error {
    Error::File { path: path.into(), message }
}

/// The result of a decoder: a [`Decoded`] whose size has not been checked.
struct Parts {
    size: [usize; 2],
    rgb: Vec<u8>,
    orientation: Orientation,
    warning: Option<String>,
}

/// The name of another common format, if the bytes start like one.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, signature: &[u8]| {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(signature))
    };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).trim_start().to_lowercase();
    let formats = [
        ("a BMP file", at(0, b"BM")),
        ("a GIF file", at(0, b"GIF87a") || at(0, b"GIF89a")),
        ("a WebP file", at(0, b"RIFF") && at(8, b"WEBP")),
        ("a TIFF file", at(0, b"II*\0") || at(0, b"MM\0*")),
        ("an AVIF file", at(4, b"ftypavi")),
        ("a HEIC file", at(4, b"ftyphe") || at(4, b"ftypmif1") || at(4, b"ftypmsf1")),
        ("a JPEG 2000 file", at(4, b"jP  \r\n") || at(0, b"\xff\x4f\xff\x51")),
        ("a JPEG XL file", at(4, b"JXL \r\n") || at(0, b"\xff\x0a")),
        ("a PDF file", at(0, b"%PDF")),
        ("a web page", text.starts_with("<!doctype html") || text.starts_with("<html")),
    ];
    formats.into_iter().find(|(_, is)| *is).map(|(name, _)| name)
}

fn check_size([height, width]: [usize; 2]) -> std::result::Result<(), String> {
    if height == 0 || width == 0 {
        return Err(format!("the picture is empty: {height}×{width} pixels (height × width)"));
    }
    if height > MAX_SIDE || width > MAX_SIDE || height * width > MAX_PIXELS {
        return Err(format!(
            "the picture is too large: {height}×{width} pixels (height × width); at most {MAX_SIDE} \
             for a side and {MAX_PIXELS} in all are read"
        ));
    }
    Ok(())
}
