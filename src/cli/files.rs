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
    named: vec::IntoIter<PathBuf>,
    list: Option<List>,
    /// How names in folders end, without the dot.
    kinds: &'static [&'static str],
    /// The last folder that was named, and whether it has a file.
    folder: PathBuf,
    has_file: bool,
    /// What is left in the folders that it is in, and whether it is a folder.
    open: Vec<vec::IntoIter<(PathBuf, bool)>>,
}

impl Files {
    /// The files and folders that are `named`, and then those that `list` has.
    pub(super) fn new(
        named: Vec<PathBuf>,
        list: Option<List>,
        kinds: &'static [&'static str],
    ) -> Self {
        let named = named.into_iter();
        Self { named, list, kinds, folder: PathBuf::new(), has_file: false, open: Vec::new() }
    }

    /// Opens a folder.
    fn open(&mut self, folder: &Path) -> Result {
        let folder_error = |e: io::Error| Failure::Error(format!("{}: {e}", folder.display()));
        if self.open.len() == DEPTH {
            return error(format!("{}: it lies in more than {DEPTH} folders", folder.display()));
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(folder).map_err(folder_error)? {
            let entry = entry.map_err(folder_error)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(folder_error)?);
            let is_folder = kind.is_dir() || kind.is_symlink() && path.is_dir();
            inside.push((path, is_folder));
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

impl Files {
    /// The next file. Unless it is to `wait` for whoever writes the list, None also if that one has
    /// written no more.
    fn advance(&mut self, wait: bool) -> Option<Result<PathBuf>> {
        loop {
            let is_named = self.open.is_empty();
            let (path, is_folder) = match self.open.last_mut() {
                None => {
                    match self.named.next().map(Ok).or_else(|| self.list.as_mut()?.line(wait))? {
                        Ok(path) => {
                            let is_folder = path.is_dir();
                            (path, is_folder)
                        }
                        Err(e) => return Some(Err(e)),
                    }
                }
                Some(inside) => match inside.next() {
                    Some(inside) => inside,
                    None => {
                        self.open.pop();
                        if self.open.is_empty() && !self.has_file {
                            return Some(self.none_inside());
                        }
                        continue;
                    }
                },
            };
            if is_folder {
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

impl Iterator for Files {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

/// Files, at most so many at a time. None waits for others that are not written in the list yet.
pub(super) struct Batches {
    files: Files,
    most: usize,
    /// What came after the last batch instead of a file.
    failure: Option<Failure>,
}

impl Batches {
    pub(super) fn new(files: Files, most: usize) -> Self {
        Self { files, most, failure: None }
    }
}

impl Iterator for Batches {
    type Item = Result<Vec<PathBuf>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        let mut batch = match self.files.next()? {
            Ok(path) => vec![path],
            Err(e) => return Some(Err(e)),
        };
        while batch.len() < self.most
            && let Some(next) = self.files.advance(false)
        {
            match next {
                Ok(path) => batch.push(path),
                Err(e) => {
                    self.failure = Some(e);
                    break;
                }
            }
        }
        Some(Ok(batch))
    }
}

/// The longest path in a list. Linux's limit is 4096, that of Windows 32,767 units.
const MAX_PATH: u64 = 1 << 17;

/// A path in each line of a file or of standard input.
pub(super) struct List {
    name: String,
    lines: BufReader<Box<dyn Read + Send>>,
    /// Whether nobody may still write it.
    is_whole: bool,
    number: u64,
}

impl List {
    /// Opens a list; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "standard input".into() } else { path.display().to_string() };
        let lines: Box<dyn Read + Send> = match is_stdin {
            true => Box::new(io::stdin()),
            false => Box::new(File::open(path).or_else(|e| error(format!("{name}: {e}")))?),
        };
        let is_whole = !is_stdin && path.is_file();
        Ok(Self { name, lines: BufReader::new(lines), is_whole, number: 0 })
    }

    fn wrong<T>(&self, message: &str) -> Option<Result<T>> {
        Some(error(format!("{}: line {}: {message}", self.name, self.number)))
    }

    /// The path in the next line. Unless it is to `wait`, None also if that is not written yet.
    fn line(&mut self, wait: bool) -> Option<Result<PathBuf>> {
        loop {
            if !(wait || self.is_whole || self.lines.buffer().contains(&b'\n')) {
                return None;
            }
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
