//! What a model's metadata says about its use: how pixels become the input, and names of classes.
//!
//! Slots and numbers are those of TensorFlow Lite's `metadata_schema.fbs`, version 1. The names are
//! in a file of a ZIP archive that follows the model.

use std::io::Read;

use super::flatbuffer::{File, Table};
use crate::weights::archive::Archive;
use crate::weights::bytes::Bytes;
use crate::weights::{Metadata, Scaling};

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// The most bytes of a file of labels.
const MAX_LABELS: u64 = 1 << 20;
/// `NormalizationOptions` among the options of a unit.
const NORMALIZATION: u8 = 1;
/// `TENSOR_AXIS_LABELS` among the types of files.
const AXIS_LABELS: u8 = 2;

/// Adds to `metadata` what `described` says about the first input and the first output, which has
/// this many channels. `bytes` is the whole file.
pub(super) fn read(
    described: &[u8],
    bytes: &Bytes,
    channels: usize,
    metadata: &mut Metadata,
) -> Result<()> {
    let file = File::new(described);
    let Some(graph) = file.root()?.tables(3)?.into_iter().next() else { return Ok(()) };
    if let Some(input) = graph.tables(2)?.first() {
        normalization(input, metadata)?;
    }
    if let Some(output) = graph.tables(3)?.first() {
        labels(output, bytes, channels, metadata)?;
    }
    Ok(())
}

/// (x − mean) / std for pixels x from 0 to 255.
fn normalization(input: &Table<'_, '_>, metadata: &mut Metadata) -> Result<()> {
    for unit in input.tables(4)? {
        let is_wanted = unit.number(0, u8::from_le_bytes, 0)? == NORMALIZATION;
        let Some(options) = unit.table(1)?.filter(|_| is_wanted) else { continue };
        let mean = options.numbers(0, f32::from_le_bytes)?;
        let std = options.numbers(1, f32::from_le_bytes)?;
        let is_usable = matches!(mean.len(), 1 | 3)
            && mean.len() == std.len()
            && mean.iter().all(|x| x.is_finite())
            && std.iter().all(|x| x.is_normal());
        if !is_usable {
            let (means, stds) = (mean.len(), std.len());
            metadata.notes.push(format!(
                "the file's scaling of pixels is not used: expected 1 or 3 means and as many \
                 standard deviations other than 0, got {means} and {stds}"
            ));
            continue;
        }
        let all = |numbers: &[f32], x: f32| numbers.iter().all(|&n| n == x);
        let scaling = [(127.5, 127.5, Scaling::Tf), (0.0, 255.0, Scaling::Unit)];
        let known = scaling.into_iter().find(|&(m, s, _)| all(&mean, m) && all(&std, s));
        let scaling = known.map_or(Scaling::None, |(.., scaling)| scaling);
        if known.is_none() && !(all(&mean, 0.0) && all(&std, 1.0)) {
            (metadata.mean, metadata.std) = (mean, std);
        }
        metadata.scaling = Some((scaling, "as the file's metadata says".into()));
    }
    Ok(())
}

/// A name for each channel of the output. A file without one for each is noted and not used.
fn labels(
    output: &Table<'_, '_>,
    bytes: &Bytes,
    channels: usize,
    metadata: &mut Metadata,
) -> Result<()> {
    let mut found: Option<(bool, &str)> = None;
    for file in output.tables(6)? {
        if file.number(2, u8::from_le_bytes, 0)? == AXIS_LABELS {
            // Files of translated names have a locale.
            let is_plain = file.string(3)?.is_empty();
            if found.is_none_or(|(was_plain, _)| is_plain && !was_plain) {
                found = Some((is_plain, file.string(0)?));
            }
        }
    }
    let Some((_, name)) = found else { return Ok(()) };
    let read = lines(bytes, name).and_then(|labels| match labels.len() {
        found if found == channels || (channels, found) == (1, 2) => Ok(labels),
        found => Err(format!("expected {channels} labels, one for each class, got {found}")),
    });
    match read {
        Ok(labels) => metadata.labels = Some(labels),
        Err(why) => {
            let name: String = name.chars().take(80).collect();
            metadata.notes.push(format!("labels {name:?} are not used: {why}"));
        }
    }
    Ok(())
}

/// The lines of a file in the archive.
fn lines(bytes: &Bytes, name: &str) -> Result<Vec<String>> {
    let entry = Archive::open(bytes.clone())?.entry(name, MAX_LABELS)?;
    let mut text = String::new();
    entry.cursor().read_to_string(&mut text).map_err(|e| e.to_string())?;
    let lines: Vec<String> = text.trim_end().lines().map(|line| line.trim().into()).collect();
    match lines.iter().position(String::is_empty) {
        Some(i) => Err(format!("line {} is empty", i + 1)),
        None => Ok(lines),
    }
}
