//! Random access to a file or to bytes in memory, and to a range of either.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the bytes are.
enum Store {
    File(Mutex<File>),
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
}

/// A range of a file or of memory; clones share the store.
#[derive(Clone)]
pub(crate) struct Bytes {
    store: Arc<Store>,
    start: u64,
    len: u64,
}

impl Bytes {
    /// A whole file, read on demand.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Self { store: Arc::new(Store::File(Mutex::new(file))), start: 0, len })
    }

    /// Bytes in memory.
    pub(crate) fn memory(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let len = bytes.as_ref().len() as u64;
        Self { store: Arc::new(Store::Memory(Box::new(bytes))), start: 0, len }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The `len` bytes from `start` on, or None if they lie outside.
    pub(crate) fn range(&self, start: u64, len: u64) -> Option<Self> {
        let inside = start.checked_add(len).is_some_and(|end| end <= self.len);
        inside.then(|| Self { store: self.store.clone(), start: self.start + start, len })
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let outside = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(outside());
        }
        let from = self.start + offset;
        match &*self.store {
            Store::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(from))?;
                file.read_exact(buffer)
            }
            Store::Memory(bytes) => {
                let from = usize::try_from(from).map_err(|_| outside())?;
                let to = from + buffer.len();
                let bytes = (**bytes).as_ref().get(from..to);
                buffer.copy_from_slice(bytes.ok_or_else(outside)?);
                Ok(())
            }
        }
    }

    /// The first `N` bytes.
    pub(crate) fn head<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut head = [0; N];
        self.read_at(0, &mut head)?;
        Ok(head)
    }

    /// A cursor at the start.
    #[cfg(feature = "keras")]
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { bytes: self.clone(), position: 0 }
    }
}

/// `Read` and `Seek` over [`Bytes`].
#[cfg(feature = "keras")]
pub(crate) struct Cursor {
    bytes: Bytes,
    position: u64,
}

#[cfg(feature = "keras")]
impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.len.saturating_sub(self.position);
        let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.bytes.read_at(self.position, &mut buffer[..n])?;
        self.position += n as u64;
        Ok(n)
    }
}

#[cfg(feature = "keras")]
impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.bytes.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
