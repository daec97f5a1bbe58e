//! A file of rows, one for each picture in their order, which is continued after an end at any
//! moment.
//!
//! A row is one line of JSON that begins with the picture's file. The process may be killed between
//! any two bytes: then the last line lacks its end. So complete lines say what is done, and what
//! follows them is cut off and done again.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Failure, Result, error};

/// How each row begins.
const BEGIN: &[u8] = br#"{"file":"#;
/// The longest row: with all outputs of a model of ten million classes.
const MAX_ROW: u64 = 1 << 28;

/// What a row says of its picture.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    file: Cow<'a, str>,
    error: Option<IgnoredAny>,
}

/// What the rows say that are there already.
#[derive(Default)]
pub(super) struct Done {
    pub(super) rows: u64,
    /// How many of them have an error.
    pub(super) failed: u64,
    /// How many bytes they have.
    bytes: u64,
    /// The last one without an error.
    pub(super) last: Option<(PathBuf, Vec<u8>)>,
}

pub(super) struct RowsFile {
    path: PathBuf,
    file: File,
}

impl RowsFile {
    /// Opens the file, or makes it. No other process may write to it meanwhile.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| Failure::Error(format!("{}: {e}", path.display())))?;
        // Some file systems have no locks.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return error(format!("{}: another process writes to it", path.display()));
        }
        Ok(Self { path: path.into(), file })
    }

    fn error(&self, e: &io::Error) -> Failure {
        Failure::Error(format!("{}: {e}", self.path.display()))
    }

    fn wrong<T>(&self, row: u64, message: &str) -> Result<T> {
        error(format!("{}: line {row}: {message}", self.path.display()))
    }

    /// Reads the rows that are there, and leaves in `files` what is still to be done. The rows must
    /// be those of the first files.
    pub(super) fn read(&self, files: &mut impl Iterator<Item = Result<PathBuf>>) -> Result<Done> {
        let mut reader = BufReader::new(&self.file);
        let (mut line, mut done) = (Vec::new(), Done::default());
        loop {
            line.clear();
            let read = (&mut reader).take(MAX_ROW).read_until(b'\n', &mut line);
            read.map_err(|e| self.error(&e))?;
            let number = done.rows + 1;
            let no_row =
                "expected the row of a picture; remove it and all that follows to continue";
            if line.last() != Some(&b'\n') {
                let begin = &line[..line.len().min(BEGIN.len())];
                // Never cut what is something else, or a row that was not cut short.
                if !BEGIN.starts_with(begin) || line.len() as u64 == MAX_ROW {
                    return self.wrong(number, no_row);
                }
                return Ok(done);
            }
            let Ok(row) = serde_json::from_slice::<Row<'_>>(&line) else {
                return self.wrong(number, no_row);
            };
            let Some(file) = files.next().transpose()? else {
                let pictures = done.rows;
                return self.wrong(
                    number,
                    &format!("expected rows of {pictures} pictures, got one of {:?}", row.file),
                );
            };
            let expected = file.display().to_string();
            if row.file != expected {
                return self.wrong(
                    number,
                    &format!("expected the row of {expected:?}, got that of {:?}", row.file),
                );
            }
            let failed = row.error.is_some();
            done.rows += 1;
            done.bytes += line.len() as u64;
            if failed {
                done.failed += 1;
            } else {
                done.last = Some((file, line.clone()));
            }
        }
    }

    /// Lets rows be appended after those that were read.
    pub(super) fn append_after(&mut self, done: &Done) -> Result {
        let cut = self.file.set_len(done.bytes);
        let end = cut.and_then(|()| self.file.seek(SeekFrom::Start(done.bytes)));
        end.map(drop).map_err(|e| self.error(&e))
    }

    pub(super) fn append(&mut self, row: &str) -> Result {
        self.file.write_all(row.as_bytes()).map_err(|e| self.error(&e))
    }

    /// Waits until all is on the disk.
    pub(super) fn finish(self) -> Result {
        // A file system may report only now that it is full.
        self.file.sync_all().map_err(|e| self.error(&e))
    }
}
