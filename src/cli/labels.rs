//! `--labels`: reads the names of classes from text and JSON files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Failure, Result};

/// The most bytes of a file.
const MAX_BYTES: u64 = 16 << 20;

/// One label for each class.
pub(super) fn read(path: &Path, classes: usize) -> Result<Vec<String>> {
    let file_error = |message: String| Failure::Error(format!("{}: {message}", path.display()));
    let mut bytes = Vec::new();
    // `take` limits devices and pipes too, whose size the file system does not know.
    let file = File::open(path).map_err(|e| file_error(e.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| file_error(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(file_error(format!("the file is larger than {MAX_BYTES} bytes")));
    }
    let labels = decode(&bytes).and_then(|text| parse(&text)).map_err(file_error)?;
    if labels.len() != classes {
        let found = labels.len();
        return Err(file_error(format!(
            "expected {classes} labels, one for each class, got {found}"
        )));
    }
    Ok(labels)
}

/// Decodes UTF-8, or UTF-16 with a byte order mark, as editors on Windows write it.
fn decode(bytes: &[u8]) -> std::result::Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units = units.iter().map(|&bytes| unit(bytes));
        let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
        text.ok()
            .filter(|_| rest.is_empty())
            .ok_or_else(|| "the file starts as UTF-16 but is not valid UTF-16".to_owned())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = std::str::from_utf8(bytes);
            text.map(str::to_owned)
                .map_err(|e| format!("the file is not valid UTF-8 at byte {}", e.valid_up_to()))
        }
    }
}

/// The labels in the order of their classes.
fn parse(text: &str) -> std::result::Result<Vec<String>, String> {
    let json = text.trim_start().starts_with(['{', '[']);
    let labels = if json { from_json(text)? } else { from_lines(text) };
    match labels.iter().position(|label| label.trim().is_empty()) {
        Some(class) if json => Err(format!("class {class} has no name")),
        Some(line) => Err(format!("line {} is empty: each class needs a name", line + 1)),
        None => Ok(labels),
    }
}

/// One label in each line. Empty lines at the end are ignored.
fn from_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    let numbered: Option<Vec<_>> = lines.iter().map(|line| numbered(line)).collect();
    // Numbers that are not 0, 1, 2, … are part of the names.
    match numbered.map(in_order) {
        Some(Ok(labels)) => labels,
        _ => lines.into_iter().map(str::to_owned).collect(),
    }
}

/// The number and the name of `0 cat`, `0: cat` or `0,cat`.
fn numbered(line: &str) -> Option<(usize, String)> {
    let (number, rest) = line.split_at(line.find(|c: char| !c.is_ascii_digit())?);
    let separates = |c: char| c.is_whitespace() || c == ':' || c == ',';
    let name = rest.trim_start_matches(separates);
    if name.is_empty() || name.len() == rest.len() {
        return None;
    }
    Some((number.parse().ok()?, name.to_owned()))
}

/// The names of the classes 0, 1, 2, …. Each class must occur once.
fn in_order(mut labels: Vec<(usize, String)>) -> std::result::Result<Vec<String>, String> {
    labels.sort();
    let pairs = labels.iter().zip(labels.iter().skip(1));
    if let Some((a, b)) = pairs.clone().find(|(a, b)| a.0 == b.0) {
        return Err(format!("class {} has two names, {} and {}", a.0, quoted(&a.1), quoted(&b.1)));
    }
    match labels.iter().enumerate().find(|(i, (class, _))| i != class) {
        Some((missing, _)) => Err(format!("class {missing} is missing")),
        None => Ok(labels.into_iter().map(|(_, name)| name).collect()),
    }
}

/// A list of names; Keras's `class_indices`, {"cat": 0, …}; {"0": "cat", …}; or its
/// imagenet_class_index.json, {"0": ["n02123045", "cat"], …}.
fn from_json(text: &str) -> std::result::Result<Vec<String>, String> {
    let forms = |what: String| {
        format!("{what}; expected a list of names, or an object of names and class numbers")
    };
    match serde_json::from_str(text).map_err(|e| format!("the JSON is invalid: {e}"))? {
        Value::Array(names) => {
            let name = |(class, name): (usize, &Value)| match name {
                Value::String(name) => Ok(name.clone()),
                _ => Err(forms(format!("class {class} is not a string"))),
            };
            names.iter().enumerate().map(name).collect()
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                let last = value.as_array().and_then(|names| names.last()).unwrap_or(value);
                let class = value.as_u64().and_then(|class| usize::try_from(class).ok());
                match (class, key.parse(), last) {
                    (Some(class), _, _) => Ok((class, key.clone())),
                    (None, Ok(class), Value::String(name)) => Ok((class, name.clone())),
                    _ => Err(forms(format!(
                        "{} is neither a class's number nor its name",
                        quoted(key)
                    ))),
                }
            };
            let labels: std::result::Result<_, String> = entries.iter().map(entry).collect();
            in_order(labels?)
        }
        _ => Err(forms("the JSON is neither a list nor an object".into())),
    }
}

/// At most 40 characters of a name.
fn quoted(name: &str) -> String {
    let start: String = name.chars().take(40).collect();
    if start.len() < name.len() { format!("{:?}", start + "…") } else { format!("{start:?}") }
}
