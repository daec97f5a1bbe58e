//! Decodes PNG with the crate `png`.

use std::borrow::Cow;
use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::{MAX_DECODER_BYTES, Orientation, Parts, check_size};

pub(super) fn decode(bytes: &[u8]) -> Result<Parts, String> {
    let chunks = Chunks::of(bytes);
    let parts = decode_whole(&chunks);
    match chunks.cut {
        Some(_) => {
            parts.map_err(|e| format!("the file is cut short after {} bytes ({e})", bytes.len()))
        }
        None => parts,
    }
}

fn decode_whole(chunks: &Chunks<'_>) -> Result<Parts, String> {
    let limits = Limits { bytes: MAX_DECODER_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(&*chunks.bytes), limits);
    // Palettes and 1, 2 and 4 bits become 8 bits; 16 bits keep the upper 8. (Pillow does the same
    // with colours, but clips 16-bit gray at 255, which turns nearly all of it white.)
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.ignore_checksums(chunks.cut == Some(Cut::Data));
    let mut reader = decoder.read_info().map_err(message)?;
    let info = reader.info();
    let size = [info.height as usize, info.width as usize];
    check_size(size)?;
    let length = (reader.output_buffer_size())
        .ok_or("the picture has more bytes than memory can address")?;
    let mut data = vec![0; length];
    let frame = reader.next_frame(&mut data).map_err(message)?;
    data.truncate(frame.buffer_size());
    // Alpha is dropped, not blended.
    let rgb = match frame.color_type {
        ColorType::Rgb => data,
        ColorType::Rgba => data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::Grayscale => data.iter().flat_map(|&g| [g; 3]).collect(),
        ColorType::GrayscaleAlpha => data.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        ColorType::Indexed => return Err("a palette that can't be expanded".into()),
    };
    let warning = chunks.cut.map(|_| "the PNG is cut short: its last chunk is missing".to_owned());
    Ok(Parts { size, rgb, orientation: Orientation::of_exif(chunks.exif), warning })
}

/// The decoder's message without the names of Rust types.
fn message(error: DecodingError) -> String {
    let text = error.to_string();
    // The messages show a chunk as `ChunkType { type: IDAT, critical: true, … }`.
    if let Some((before, rest)) = text.split_once("ChunkType { type: ")
        && let Some((name, rest)) = rest.split_once(',')
        && let Some((_, after)) = rest.split_once('}')
    {
        return format!("{before}{name}{after}");
    }
    match text.split_once("deflate stream. ") {
        Some((before, _)) => format!("{before}deflate stream"),
        None => text,
    }
}

/// A file's bytes. The last chunk is appended if the file lacks it.
struct Chunks<'a> {
    bytes: Cow<'a, [u8]>,
    cut: Option<Cut>,
    /// The contents of its last eXIf chunk, before the picture's data or after it.
    exif: &'a [u8],
}

/// Where a file without its last chunk ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// In a chunk of the picture's data. Pillow accepts the file if all pixels are there.
    Data,
    /// Elsewhere.
    Other,
}

const SIGNATURE_BYTES: usize = 8;
/// The length and name before the contents of a chunk, and the checksum after them.
const HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const LAST: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

impl<'a> Chunks<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut rest = bytes.get(SIGNATURE_BYTES..).unwrap_or_default();
        let mut exif: &[u8] = &[];
        while let [a, b, c, d, contents @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some((name, contents)) = contents.split_at_checked(4) else { break };
            let end = HEAD_BYTES.saturating_add(length).saturating_add(CHECKSUM_BYTES);
            if end > rest.len() {
                if name != b"IDAT" {
                    break;
                }
                let contents = &contents[..contents.len().min(length)];
                let mut whole = bytes[..bytes.len() - rest.len()].to_vec();
                whole.extend((contents.len() as u32).to_be_bytes());
                whole.extend(name);
                whole.extend(contents);
                whole.extend([0; CHECKSUM_BYTES]);
                whole.extend(LAST);
                return Self { bytes: whole.into(), cut: Some(Cut::Data), exif };
            }
            match name {
                b"IEND" => return Self { bytes: bytes.into(), cut: None, exif },
                b"eXIf" => exif = &contents[..length],
                _ => {}
            }
            rest = &rest[end..];
        }
        let whole = [&bytes[..bytes.len() - rest.len()], LAST].concat();
        Self { bytes: whole.into(), cut: Some(Cut::Other), exif }
    }
}
