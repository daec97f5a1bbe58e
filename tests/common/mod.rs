//! What tests of several kinds of files share.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// A file in a ZIP archive.
pub(crate) fn entry(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut data = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut data).unwrap();
    data
}
