//! Reads and writes NumPy's `.npy` files of f32 in C order.
//!
//! Every claim of a header is checked against the file's length. This is our own code because
//! hostile headers break the `npyz` crate (0.9): it parses by recursion and multiplies dimensions
//! unchecked, so they overflow its stack or its arithmetic.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use crate::weights::Tensor;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy's own limit on a header.
const MAX_HEADER_BYTES: usize = 10_000;

/// Reads a little-endian f32 array in C order.
///
/// ```
/// # use sepconv::npy;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tensor.npy");
/// npy::write(std::fs::File::create(&path)?, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let tensor = npy::read(&path)?;
/// assert_eq!((tensor.shape, tensor.data[5]), (vec![2, 3], 6.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::File`] if the file can't be read, is not such an array, or has another length than its
/// shape says. The length is checked before anything is allocated.
pub fn read(path: &Path) -> Result<Tensor> {
    let error = |message: String| Error::File { path: path.into(), message };
    let io_error = |e: io::Error| error(e.to_string());
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        return Err(error("not a regular file".into()));
    }
    let mut file = BufReader::new(file);
    let (shape, header_bytes) = read_header(&mut file).map_err(error)?;
    let data_bytes = metadata.len().saturating_sub(header_bytes);
    let elements = (shape.iter()).try_fold(1_usize, |product, &d| product.checked_mul(d));
    let expected = elements.and_then(|n| n.checked_mul(4));
    if expected.map(|n| n as u64) != Some(data_bytes) {
        return Err(error(format!(
            "shape {shape:?} of float32 does not match the {data_bytes} bytes of data"
        )));
    }
    let mut next = || -> io::Result<f32> {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes)?;
        Ok(f32::from_le_bytes(bytes))
    };
    let data = (0..data_bytes / 4).map(|_| next());
    let data = data.collect::<io::Result<_>>().map_err(io_error)?;
    Ok(Tensor { shape, data })
}

/// The shape, and the header's length in bytes.
fn read_header(file: &mut impl Read) -> std::result::Result<(Vec<usize>, u64), String> {
    let mut start = [0; 8];
    let cut = |_| String::from("not an npy file: its header is cut off");
    file.read_exact(&mut start).map_err(cut)?;
    if !start.starts_with(MAGIC) {
        return Err("not an npy file: it does not begin with \\x93NUMPY".into());
    }
    let (length_bytes, length) = match start[6] {
        1 => {
            let mut length = [0; 2];
            file.read_exact(&mut length).map_err(cut)?;
            (2, u32::from(u16::from_le_bytes(length)))
        }
        2 | 3 => {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(cut)?;
            (4, u32::from_le_bytes(length))
        }
        version => return Err(format!("expected npy version 1, 2 or 3, got {version}")),
    };
    let length = length as usize;
    if length > MAX_HEADER_BYTES {
        return Err(format!(
            "the npy header has {length} bytes; at most {MAX_HEADER_BYTES} are read"
        ));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(cut)?;
    let text = std::str::from_utf8(&text).map_err(|_| "the npy header is not UTF-8")?;
    let header = Header::parse(text).ok_or_else(|| {
        let line: String = text.trim_end().chars().take(100).collect();
        format!("the npy header does not describe a plain array: {line}")
    })?;
    if header.descr != "<f4" {
        return Err(format!(
            "expected elements of float32 (\"<f4\"), got {:?}; convert with x.astype(\"<f4\")",
            header.descr
        ));
    }
    if header.fortran_order {
        return Err(
            "expected C order, got Fortran order; convert with numpy.ascontiguousarray(x)".into()
        );
    }
    Ok((header.shape, 8 + length_bytes + length as u64))
}

struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// A Python dictionary with these three keys, as NumPy writes it.
    fn parse(text: &'a str) -> Option<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut text = Text(text);
        text.take('{').then_some(())?;
        while !text.take('}') {
            let key = text.string()?;
            text.take(':').then_some(())?;
            match key {
                "descr" => descr = Some(text.string()?),
                "fortran_order" => fortran_order = Some(text.boolean()?),
                "shape" => shape = Some(text.tuple()?),
                _ => return None,
            }
            if !text.take(',') {
                text.take('}').then_some(())?;
                break;
            }
        }
        text.0.trim().is_empty().then_some(())?;
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// What is left to parse.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn take(&mut self, c: char) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = ['\'', '"'].into_iter().find(|&q| self.take(q))?;
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn word(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.word()? {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        let mut items = Vec::new();
        self.take('(').then_some(())?;
        while !self.take(')') {
            // Python 2 wrote long integers with an L.
            items.push(self.word()?.trim_end_matches('L').parse().ok()?);
            if !self.take(',') {
                self.take(')').then_some(())?;
                break;
            }
        }
        Some(items)
    }
}

/// Writes an array of little-endian f32 in C order, as NumPy would.
///
/// ```
/// # use sepconv::npy;
/// let mut file = Vec::new();
/// npy::write(&mut file, &[2], &[0.5, 1.5])?;
/// assert!(file.starts_with(b"\x93NUMPY\x01\x00"));
/// assert_eq!(file.len(), 128 + 8); // the header, 4 bytes for each number
/// assert!(npy::write(&mut file, &[3], &[0.5, 1.5]).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of `writer`, and [`io::ErrorKind::InvalidInput`] if `data` has another number of elements
/// than `shape` says.
pub fn write(mut writer: impl Write, shape: &[usize], data: &[f32]) -> io::Result<()> {
    let elements = (shape.iter()).try_fold(1_usize, |product, &d| product.checked_mul(d));
    if elements != Some(data.len()) {
        let message = format!("shape {shape:?} does not match {} elements", data.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let dims = match shape {
        [_] => dims.trim_end(),
        _ => dims.trim_end_matches(", "),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
    // The data begins at a multiple of 64 bytes, after a newline.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many dimensions"))?;
    writer.write_all(MAGIC)?;
    writer.write_all(&[1, 0])?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(header.as_bytes())?;
    for value in data {
        writer.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}
