//! Writes all output files completely, or none.
//!
//! Files are written under temporary names (`.sepconv-…`) in the same folders, and renamed when all
//! are complete and on the disk. An error or an interruption (SIGINT, SIGTERM, SIGHUP; Ctrl-C on
//! Windows) removes them. An event that can't be caught (SIGKILL, SIGXFSZ, loss of power) may leave
//! temporary files, but never part of an output. Between two renames it leaves the first output
//! without the second.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sepconv::npy;
use sepconv::weights::Tensor;
use tempfile::NamedTempFile;

use super::{Failure, Result, error};

/// The temporary files, or none when all are renamed. The holder of the lock is not interrupted.
static TEMPORARY: Mutex<Option<Vec<PathBuf>>> = Mutex::new(Some(Vec::new()));

/// The status that shells report for a death by SIGINT.
const INTERRUPTED: i32 = 128 + 2;

fn temporary() -> MutexGuard<'static, Option<Vec<PathBuf>>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks what can be checked before the work starts.
pub(super) fn check(paths: &[&Path]) -> Result {
    let mut places = Vec::new();
    for path in paths {
        // Renaming would replace a device by a file.
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return error(format!("{}: expected a regular file", path.display()));
        }
        let Some(name) = path.file_name() else {
            return error(format!("{}: expected the name of a file", path.display()));
        };
        let place = match fs::canonicalize(folder(path)) {
            Ok(folder) if folder.is_dir() => folder.join(name),
            _ => return error(format!("{}: its folder doesn't exist", path.display())),
        };
        if places.contains(&place) {
            return error(format!("{}: two outputs would be written to this file", path.display()));
        }
        places.push(place);
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The contents of a file.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// An array, as .npy.
    Npy(&'a Tensor),
    Text(&'a str),
    /// Any file.
    Bytes(&'a [u8]),
}

/// Writes all files or none.
pub(super) fn write(files: &[(&Path, Content<'_>)]) -> Result {
    let file_error = |path: &Path, e: io::Error| error(format!("{}: {e}", path.display()));
    // Before this an interruption finds nothing to remove.
    let handler = ctrlc::set_handler(|| {
        let files = temporary();
        // Too late to interrupt: let the process end.
        let Some(files) = &*files else { return };
        for file in files {
            let _ = fs::remove_file(file);
        }
        // The lock is held, so no file is made or renamed any more.
        std::process::exit(INTERRUPTED);
    });
    handler.map_err(|e| Failure::Error(format!("can't handle interruptions: {e}")))?;
    let mut written = Vec::new();
    for &(path, content) in files {
        match write_temporary(folder(path), content) {
            Ok(file) => written.push((path, file)),
            Err(e) => return file_error(path, e),
        }
    }
    let mut files = temporary();
    let mut renamed = Vec::new();
    for (path, file) in written {
        if let Err(e) = file.persist(path) {
            for path in renamed {
                let _ = fs::remove_file(path);
            }
            return file_error(path, e.error);
        }
        renamed.push(path);
    }
    *files = None;
    Ok(())
}

fn write_temporary(folder: &Path, content: Content<'_>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sepconv-");
    // The permissions of any new file, by the umask. Temporary files are readable by the owner
    // only.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut files = temporary();
    let mut file = builder.tempfile_in(folder)?;
    files.get_or_insert_default().push(file.path().into());
    drop(files);
    let mut writer = BufWriter::new(file.as_file_mut());
    match content {
        Content::Npy(tensor) => npy::write(&mut writer, &tensor.shape, &tensor.data)?,
        Content::Text(text) => writer.write_all(text.as_bytes())?,
        Content::Bytes(bytes) => writer.write_all(bytes)?,
    }
    writer.flush()?;
    drop(writer);
    // A file system may report only now that it is full.
    file.as_file().sync_all()?;
    Ok(file)
}
