//! The files that a command reads: each by itself, those in folders, and those in lists of paths.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::vec;

use super::{Failure, Result, error};

/// Folders inside folders that are looked into.
const DEPTH: usize = 16;

/// Paths of files, one after the other. Folders stand for the files inside, at any depth, by name.
///
/// In memory are the names in one folder and those that it lies in.
pub(super) struct Files {
    named: Box<dyn Iterator<Item = Result<PathBuf>> + Send>,
    /// How names in folders end, without the dot.
    kinds: &'static [&'static str],
    /// The last folder that was named, and whether it has a file.
    folder: PathBuf,
    has_file: bool,
    /// What is left in the folders that it is in.
    open: Vec<vec::IntoIter<PathBuf>>,
}

impl Files {
    /// The files and folders that are `named`, and then those that `list` has.
    pub(super) fn new(
        named: Vec<PathBuf>,
        list: Option<List>,
        kinds: &'static [&'static str],
    ) -> Self {
        let named = named.into_iter().map(Ok).chain(list.into_iter().flatten());
        Self {
            named: Box::new(named),
            kinds,
            folder: PathBuf::new(),
            has_file: false,
            open: Vec::new(),
        }
    }

    /// Opens a folder.
    fn open(&mut self, folder: &Path) -> Result {
        let folder_error = |e: io::Error| Failure::Error(format!("{}: {e}", folder.display()));
        if self.open.len() == DEPTH {
            return error(format!("{}: it lies in more than {DEPTH} folders", folder.display()));
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(folder).map_err(folder_error)? {
            inside.push(entry.map_err(folder_error)?.path());
        }
        inside.sort();
        self.open.push(inside.into_iter());
        Ok(())
    }

    fn is_known(&self, path: &Path) -> bool {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        self.kinds.iter().any(|kind| extension.eq_ignore_ascii_case(kind))
    }

    /// The folder has no such file.
    fn none_inside<T>(&self) -> Result<T> {
        let kinds: Vec<String> = self.kinds.iter().map(|kind| format!(".{kind}")).collect();
        let (last, others) = kinds.split_last().map_or(("", &[][..]), |(l, o)| (l, o));
        error(format!(
            "{}: the folder has no file that ends in {} or {last}",
            self.folder.display(),
            others.join(", ")
        ))
    }
}

impl Iterator for Files {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let is_named = self.open.is_empty();
            let path = match self.open.last_mut() {
                None => match self.named.next()? {
                    Ok(path) => path,
                    Err(e) => return Some(Err(e)),
                },
                Some(inside) => match inside.next() {
                    Some(path) => path,
                    None => {
                        self.open.pop();
                        if self.open.is_empty() && !self.has_file {
                            return Some(self.none_inside());
                        }
                        continue;
                    }
                },
            };
            if path.is_dir() {
                if is_named {
                    (self.folder, self.has_file) = (path.clone(), false);
                }
                if let Err(e) = self.open(&path) {
                    return Some(Err(e));
                }
            } else if is_named || self.is_known(&path) {
                self.has_file = true;
                return Some(Ok(path));
            }
        }
    }
}

/// The longest path in a list. Linux's limit is 4096, that of Windows 32,767 units.
const MAX_PATH: u64 = 1 << 17;

/// A path in each line of a file or of standard input.
pub(super) struct List {
    name: String,
    lines: Box<dyn BufRead + Send>,
    number: u64,
}

impl List {
    /// Opens a list; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if path == Path::new("-") {
            let lines = Box::new(BufReader::new(io::stdin()));
            return Ok(Self { name: "standard input".into(), lines, number: 0 });
        }
        match File::open(path) {
            Ok(file) => Ok(Self { name, lines: Box::new(BufReader::new(file)), number: 0 }),
            Err(e) => error(format!("{name}: {e}")),
        }
    }

    fn wrong<T>(&self, message: &str) -> Option<Result<T>> {
        Some(error(format!("{}: line {}: {message}", self.name, self.number)))
    }
}

impl Iterator for List {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            match (&mut self.lines).take(MAX_PATH).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(e) => return Some(error(format!("{}: {e}", self.name))),
            }
            if line.len() as u64 == MAX_PATH {
                return self.wrong(&format!("expected a path of less than {MAX_PATH} bytes"));
            }
            if self.number == 1 {
                if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                    return self.wrong("expected text in UTF-8, got UTF-16");
                }
                if line.starts_with(b"\xef\xbb\xbf") {
                    line.drain(..3);
                }
            }
            let ending = [&b"\r\n"[..], b"\n"].into_iter().find(|end| line.ends_with(end));
            line.truncate(line.len() - ending.map_or(0, <[u8]>::len));
            if line.trim_ascii().is_empty() {
                continue;
            }
            return match path_of(line) {
                Some(path) => Some(Ok(path)),
                None => self.wrong("expected a path in UTF-8"),
            };
        }
    }
}

/// A path may be any bytes.
#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}
