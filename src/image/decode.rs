//! JPEG and PNG files to 8-bit RGB, as Pillow's `open` and `convert("RGB")` give it.
//!
//! A JPEG file may be decoded in more than one valid way: the standard leaves rounding and chroma interpolation
//! open. `libjpeg-turbo-rs` does what libjpeg-turbo (Pillow's decoder) does: on 18 photographs all
//! bytes were equal. `zune-jpeg` 0.5 (the `image` crate's) differed in 1–15 % of the bytes of each,
//! by up to 5 levels; `jpeg-decoder` 0.3 in 3–8 %, by up to 3.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use libjpeg_turbo_rs as jpeg;

use super::{MAX_PIXELS, Picture};
use crate::{Error, Result};

const MAX_FILE_BYTES: u64 = 1 << 28;
const MAX_SIDE: usize = 1 << 16;
/// What a decoder may allocate: all that is needed for the largest picture, except for a progressive JPEG.
const MAX_DECODER_BYTES: usize = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Picture> {
    let error = |e: std::io::Error| file_error(path, e.to_string());
    let mut bytes = Vec::new();
    // `take`, not the size that the file system says: devices and pipes have none.
    let file = File::open(path).map_err(error)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(file_error(path, format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    decode(path, &bytes)
}

pub(super) fn decode(name: &Path, bytes: &[u8]) -> Result<Picture> {
    let decoded = if bytes.starts_with(&[0xff, 0xd8]) {
        decode_jpeg(bytes).map_err(|e| format!("JPEG: {e}"))
    } else if bytes.starts_with(b"\x89PNG") {
        decode_png(bytes).map_err(|e| format!("PNG: {e}"))
    } else if bytes.is_empty() {
        Err("an empty file".into())
    } else {
        let start = &bytes[..bytes.len().min(4)];
        Err(format!("neither a JPEG nor a PNG file (begins with {start:02x?})"))
    };
    let (size, rgb) = decoded.map_err(|message| file_error(name, message))?;
    Picture::new(size, rgb)
}

fn file_error(path: &Path, message: String) -> Error {
    Error::File { path: path.into(), message }
}

type Decoded = ([usize; 2], Vec<u8>);

fn check_size([height, width]: [usize; 2]) -> std::result::Result<(), String> {
    if height == 0 || width == 0 {
        return Err(format!("{height}×{width} pixels (height × width)"));
    }
    if height > MAX_SIDE || width > MAX_SIDE || height * width > MAX_PIXELS {
        return Err(format!(
            "{height}×{width} pixels (height × width) where sides of {MAX_SIDE} and {MAX_PIXELS} in all are the limit"
        ));
    }
    Ok(())
}

fn decode_jpeg(bytes: &[u8]) -> std::result::Result<Decoded, String> {
    let limits = jpeg::DecodeLimits {
        max_width: MAX_SIDE,
        max_height: MAX_SIDE,
        max_pixels: MAX_PIXELS as u64,
        // Progressive files have about ten; each costs a pass over the whole picture.
        max_scans: 256,
        max_memory: Some(MAX_DECODER_BYTES as u64),
    };
    let decoder = jpeg::Decoder::new_with_limits(bytes, limits)
        .map_err(|e| e.to_string())?
        .with_limits(limits);
    let header = decoder.header();
    let size = [usize::from(header.height), usize::from(header.width)];
    check_size(size)?;
    if header.precision != 8 {
        return Err(format!("{} bits per sample, not 8", header.precision));
    }
    let sampling: Vec<_> =
        (header.components.iter()).map(|c| (c.horizontal_sampling, c.vertical_sampling)).collect();
    let format = match sampling[..] {
        [_] | [_, _, _] => jpeg::PixelFormat::Rgb,
        // The decoder panics on others.
        [c, m, y, k]
            if c == k
                && m == y
                && c.0.checked_rem(m.0) == Some(0)
                && c.1.checked_rem(m.1) == Some(0) =>
        {
            jpeg::PixelFormat::Cmyk
        }
        [_, _, _, _] => return Err(format!("CMYK with sampling factors {sampling:?}")),
        _ => return Err(format!("{} components", sampling.len())),
    };
    let image = (decoder.with_output_format(format)).decode_image().map_err(|e| e.to_string())?;
    let rgb = match format {
        jpeg::PixelFormat::Cmyk => image.data.chunks_exact(4).flat_map(cmyk_to_rgb).collect(),
        _ => image.data,
    };
    Ok((size, rgb))
}

/// Pillow takes CMYK files as Adobe writes them, inverted, and multiplies what is left of black.
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let white = u32::from(pixel[3]);
    [0, 1, 2].map(|i| {
        // a·b/255, rounded, by Pillow's integer formula.
        let product = (255 - u32::from(pixel[i])) * white + 128;
        let ink = ((product >> 8) + product) >> 8;
        white.saturating_sub(ink) as u8
    })
}

fn decode_png(bytes: &[u8]) -> std::result::Result<Decoded, String> {
    let limits = png::Limits { bytes: MAX_DECODER_BYTES };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes and 1, 2 and 4 bits become 8; of 16 the upper 8 stay. (Pillow does this with colours, but
    // clips 16-bit gray at 255, which is white for nearly all of it.)
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let info = reader.info();
    let size = [info.height as usize, info.width as usize];
    check_size(size)?;
    let length = (reader.output_buffer_size()).ok_or("more bytes than there are addresses")?;
    let mut data = vec![0; length];
    let frame = reader.next_frame(&mut data).map_err(|e| e.to_string())?;
    data.truncate(frame.buffer_size());
    // Alpha is dropped, not blended.
    let rgb = match frame.color_type {
        png::ColorType::Rgb => data,
        png::ColorType::Rgba => data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => data.iter().flat_map(|&g| [g; 3]).collect(),
        png::ColorType::GrayscaleAlpha => data.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err("a palette that can't be expanded".into()),
    };
    Ok((size, rgb))
}
