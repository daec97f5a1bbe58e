//! Decodes JPEG as libjpeg-turbo does for Pillow.
//!
//! A JPEG file may be decoded in more than one valid way: the standard leaves rounding and chroma
//! interpolation open. `libjpeg-turbo-rs` does what libjpeg-turbo (Pillow's decoder) does: on 18
//! photographs all bytes were equal. `zune-jpeg` 0.5 (the `image` crate's) differed in 1–15 % of
//! the bytes of each, by up to 5 levels; `jpeg-decoder` 0.3 in 3–8 %, by up to 3.

use libjpeg_turbo_rs::{
    ColorSpace, DecodeLimits, DecodeWarning, Decoder, FrameHeader, PixelFormat,
};

use super::{MAX_DECODER_BYTES, MAX_PIXELS, MAX_SIDE, Orientation, Parts, check_size};

pub(super) fn decode(bytes: &[u8]) -> Result<Parts, String> {
    if has_end(bytes) {
        return decode_whole(bytes, false);
    }
    // Pillow accepts such a file if all pixels are there and some bytes follow them, usually zeros.
    // It needs 0 to 7, depending on how far its decoder reads ahead. Here none are needed.
    decode_whole(&[bytes, &[0xff, 0xd9]].concat(), true)
}

/// `cut`: the file's end was missing.
fn decode_whole(bytes: &[u8], cut: bool) -> Result<Parts, String> {
    let limits = DecodeLimits {
        max_width: MAX_SIDE,
        max_height: MAX_SIDE,
        max_pixels: MAX_PIXELS as u64,
        // Progressive files have about ten; each costs a pass over the whole picture.
        max_scans: 256,
        max_memory: Some(MAX_DECODER_BYTES as u64),
    };
    let decoder = Decoder::new_with_limits(bytes, limits).map_err(|e| e.to_string())?;
    let header = decoder.header();
    let size = [usize::from(header.height), usize::from(header.width)];
    check_size(size)?;
    if header.precision != 8 {
        return Err(format!("{} bits per sample, not 8", header.precision));
    }
    let several_scans = decoder.has_multiple_scans();
    let pixels = Pixels::of(header, decoder.jpeg_color_space())?;
    let orientation = Orientation::of_exif(decoder.exif_data().unwrap_or_default());

    // What libjpeg does by default: fill what is missing, and smooth what a progressive file lacks.
    let decoder = decoder.with_limits(limits).with_lenient(true).with_block_smoothing(true);
    let decoder = match pixels {
        Pixels::Rgb => decoder.with_output_format(PixelFormat::Rgb),
        Pixels::Cmyk => decoder.with_output_format(PixelFormat::Cmyk),
        Pixels::YCbCr => decoder.with_output_colorspace(ColorSpace::YCbCr),
    };
    let image = decoder.decode_image().map_err(|e| e.to_string())?;
    let truncated = |w: &DecodeWarning| matches!(w, DecodeWarning::TruncatedData { .. });
    // Whole scans may be missing, not only the rest of the last.
    if cut && (several_scans || image.warnings.iter().any(truncated)) {
        return Err("the file is cut short: its data ends before the picture does".into());
    }
    let warning = match cut {
        true => Some("the JPEG is cut short: its end marker is missing".into()),
        false => warning(&image.warnings)?,
    };
    let rgb = match pixels {
        Pixels::Rgb => image.data,
        Pixels::Cmyk => image.data.chunks_exact(4).flat_map(cmyk_to_rgb).collect(),
        Pixels::YCbCr => image.data.chunks_exact(3).flat_map(ycbcr_to_rgb).collect(),
    };
    Ok(Parts { size, rgb, orientation, warning })
}

/// The settings of the decoder.
enum Pixels {
    Rgb,
    Cmyk,
    /// For files whose chroma is finer than their luma, which the decoder can't convert to RGB.
    YCbCr,
}

impl Pixels {
    fn of(header: &FrameHeader, space: ColorSpace) -> Result<Self, String> {
        let sampling: Vec<_> = (header.components.iter())
            .map(|c| (c.horizontal_sampling, c.vertical_sampling))
            .collect();
        match sampling[..] {
            [_] => Ok(Self::Rgb),
            [y, b, r] if y.0 >= b.0.max(r.0) && y.1 >= b.1.max(r.1) => Ok(Self::Rgb),
            [_, _, _] if space == ColorSpace::YCbCr => Ok(Self::YCbCr),
            // The decoder panics on others.
            [c, m, y, k]
                if c == k
                    && m == y
                    && c.0.checked_rem(m.0) == Some(0)
                    && c.1.checked_rem(m.1) == Some(0) =>
            {
                Ok(Self::Cmyk)
            }
            [_, _, _] | [_, _, _, _] => {
                let factors: Vec<_> = sampling.iter().map(|(h, v)| format!("{h}×{v}")).collect();
                let space = if sampling.len() == 4 { "CMYK" } else { "RGB" };
                Err(format!("{space} with sampling factors {}", factors.join(", ")))
            }
            _ => Err(format!("{} components", sampling.len())),
        }
    }
}

/// Whether the end marker is where libjpeg looks for it, and not in a thumbnail or another segment.
fn has_end(bytes: &[u8]) -> bool {
    // Behind the start marker.
    let mut at = 2;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(prefix) = rest.iter().position(|&byte| byte == 0xff) else { return false };
        let Some(fill) = rest[prefix..].iter().position(|&byte| byte != 0xff) else { return false };
        let segment = &rest[prefix + fill..];
        at += prefix + fill + 1;
        match segment[0] {
            0xd9 => return true,
            // An 0xff of the picture's data, and markers that have no segment.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => match segment[1..] {
                [high, low, ..] => at += usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
}

/// One sentence about a damaged file.
fn warning(warnings: &[DecodeWarning]) -> Result<Option<String>, String> {
    let truncated = warnings.iter().find(|w| matches!(w, DecodeWarning::TruncatedData { .. }));
    let Some(first) = truncated.or(warnings.first()) else { return Ok(None) };
    let message = match first {
        DecodeWarning::TruncatedData { decoded_mcus, total_mcus } => {
            format!("its data ends after {decoded_mcus} of {total_mcus} blocks")
        }
        DecodeWarning::UnsupportedRecovered { detail } => return Err(detail.clone()),
        other => other.to_string(),
    };
    Ok(Some(format!("a damaged JPEG: {message}")))
}

/// libjpeg's integer conversion (jdcolor.c): ITU-R 601, factors with 16 fractional bits.
fn ycbcr_to_rgb(pixel: &[u8]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let [y, cb, cr] = [i32::from(pixel[0]), i32::from(pixel[1]) - 128, i32::from(pixel[2]) - 128];
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116130 * cb + HALF) >> 16);
    [red, green, blue].map(|x| x.clamp(0, 255) as u8)
}

/// Converts CMYK as Pillow does: values are inverted, as Adobe writes them, and multiplied by
/// black.
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let white = u32::from(pixel[3]);
    [0, 1, 2].map(|i| {
        // a·b/255, rounded, by Pillow's integer formula.
        let product = (255 - u32::from(pixel[i])) * white + 128;
        let ink = ((product >> 8) + product) >> 8;
        white.saturating_sub(ink) as u8
    })
}
