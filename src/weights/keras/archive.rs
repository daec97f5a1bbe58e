//! The entries of a `.keras` file, which is a zip.

use std::borrow::Cow;
use std::io::{self, Read};

use zip::{CompressionMethod, ZipArchive};

use crate::weights::bytes::{Bytes, Cursor};

/// How much larger than its compressed bytes an entry may be; weights compress hardly at all.
const MAX_RATIO: u64 = 32;
/// What an entry may hold whatever its ratio.
const FLOOR: u64 = 1 << 20;

pub(crate) struct Archive {
    bytes: Bytes,
    zip: ZipArchive<io::BufReader<Cursor>>,
}

impl Archive {
    pub(crate) fn open(bytes: Bytes) -> Result<Self, String> {
        let reader = io::BufReader::new(bytes.cursor());
        let zip = ZipArchive::new(reader).map_err(|e| format!("zip: {e}"))?;
        Ok(Self { bytes, zip })
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.zip.file_names().filter_map(Result::ok)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// An entry of at most `limit` bytes, its checksum verified. A stored entry, as Keras writes
    /// them, stays where it is; a deflated one is unpacked into memory.
    pub(crate) fn entry(&mut self, name: &str, limit: u64) -> Result<Bytes, String> {
        let error = |e: &dyn std::fmt::Display| format!("entry {name:?}: {e}");
        let mut entry = self.zip.by_name(name).map_err(|e| error(&e))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > limit {
            return Err(error(&format!("{size} bytes, more than {limit}")));
        }
        match entry.compression() {
            CompressionMethod::Stored => {
                let start = entry.data_start();
                let range = start.and_then(|start| self.bytes.range(start, packed));
                let range = range.ok_or_else(|| {
                    let start = start.map_or("nowhere".into(), |start| start.to_string());
                    error(&format!("{packed} bytes from {start} in a file of {}", self.bytes.len()))
                })?;
                // Reading to the end compares the checksum.
                let read = io::copy(&mut entry, &mut io::sink()).map_err(|e| error(&e))?;
                if read != packed || read != size {
                    return Err(error(&format!("{read} bytes where {size} are claimed")));
                }
                Ok(range)
            }
            CompressionMethod::Deflated => {
                let most = packed.saturating_mul(MAX_RATIO).max(FLOOR);
                if size > most {
                    return Err(error(&format!("{packed} bytes claim to unpack to {size}")));
                }
                // What is unpacked may exceed what is claimed: only `most` is ever held.
                let mut data = Vec::new();
                let most = most.min(limit);
                let mut bounded = entry.by_ref().take(most + 1);
                bounded.read_to_end(&mut data).map_err(|e| error(&e))?;
                if data.len() as u64 != size {
                    let read = data.len();
                    return Err(error(&format!(
                        "unpacks to {read} bytes where {size} are claimed"
                    )));
                }
                Ok(Bytes::memory(data))
            }
            other => Err(error(&format!("compression {other} is not supported"))),
        }
    }
}
