//! Reads the entries of a zip file: a `.keras` file, or what follows a `.tflite` model.

#[cfg(feature = "keras")]
use std::borrow::Cow;
use std::io::{self, Read};

use zip::{CompressionMethod, ZipArchive};

use crate::weights::bytes::{Bytes, Cursor};

/// The most that an entry may expand to, as a multiple of its compressed size. Weights hardly
/// compress.
const MAX_RATIO: u64 = 32;
/// The size that an entry may have whatever its ratio.
const FLOOR: u64 = 1 << 20;

pub(crate) struct Archive {
    bytes: Bytes,
    zip: ZipArchive<io::BufReader<Cursor>>,
}

impl Archive {
    pub(crate) fn open(bytes: Bytes) -> Result<Self, String> {
        let reader = io::BufReader::new(bytes.cursor());
        let zip = ZipArchive::new(reader).map_err(|e| format!("the zip file is damaged: {e}"))?;
        Ok(Self { bytes, zip })
    }

    /// The names of all entries.
    #[cfg(feature = "keras")]
    pub(crate) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.zip.file_names().filter_map(Result::ok)
    }

    #[cfg(feature = "keras")]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// Reads an entry of at most `limit` bytes and verifies its checksum. Keras stores entries
    /// without compression; these are read in place. A deflated entry is unpacked into memory.
    pub(crate) fn entry(&mut self, name: &str, limit: u64) -> Result<Bytes, String> {
        let error = |e: &dyn std::fmt::Display| format!("entry {name:?}: {e}");
        let mut entry = self.zip.by_name(name).map_err(|e| error(&e))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > limit {
            return Err(error(&format!("{size} bytes; at most {limit} are read")));
        }
        match entry.compression() {
            CompressionMethod::Stored => {
                let start = entry.data_start();
                let range = start.and_then(|start| self.bytes.range(start, packed));
                let range = range.ok_or_else(|| {
                    let start = start.map_or("nowhere".into(), |start| start.to_string());
                    error(&format!(
                        "{packed} bytes at {start} lie outside a file of {}",
                        self.bytes.len()
                    ))
                })?;
                // Reading to the end compares the checksum.
                let read = io::copy(&mut entry, &mut io::sink()).map_err(|e| error(&e))?;
                if read != packed || read != size {
                    return Err(error(&format!("expected {size} bytes, got {read}")));
                }
                Ok(range)
            }
            CompressionMethod::Deflated => {
                let most = packed.saturating_mul(MAX_RATIO).max(FLOOR);
                if size > most {
                    return Err(error(&format!(
                        "{packed} bytes can't unpack to {size}, as they claim"
                    )));
                }
                // An entry may unpack to more than it claims. Hold no more than `most`.
                let mut data = Vec::new();
                let most = most.min(limit);
                let mut bounded = entry.by_ref().take(most + 1);
                bounded.read_to_end(&mut data).map_err(|e| error(&e))?;
                if data.len() as u64 != size {
                    let read = data.len();
                    return Err(error(&format!(
                        "expected {size} bytes after unpacking, got {read}"
                    )));
                }
                Ok(Bytes::memory(data))
            }
            other => Err(error(&format!("compression {other} is not supported"))),
        }
    }
}
