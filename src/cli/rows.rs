//! What `sepconv classify` says of a picture: text, JSON with all outputs, or plain columns.

use std::fmt::Write as _;

use sepconv::image::Preprocess;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Result, to_json};

/// How pictures were scaled.
#[derive(Serialize)]
pub(super) struct Said {
    mode: &'static str,
    pub(super) formula: String,
    why: String,
}

impl Said {
    pub(super) fn new(preprocess: &Preprocess, why: &str) -> Self {
        Self { mode: preprocess.scaling().name(), formula: preprocess.to_string(), why: why.into() }
    }
}

/// A picture and its classes, or why it has none.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    // The first, by which a row is known in a file.
    pub(super) file: &'a str,
    pub(super) error: Option<String>,
    pub(super) warning: Option<String>,
    pub(super) preprocess: &'a Said,
    pub(super) logits: Option<&'a [f32]>,
    pub(super) probabilities: Option<&'a [f32]>,
    pub(super) values: Option<&'a [f32]>,
    pub(super) top: Vec<Class<'a>>,
}

#[derive(Serialize)]
pub(super) struct Class<'a> {
    pub(super) index: usize,
    pub(super) label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f32>,
}

/// How rows are written.
pub(super) enum Form {
    Text,
    /// Everything.
    Json,
    Columns(Vec<Columns>),
}

/// The columns of one of the classes that are shown: its number, its name, its probability or
/// value.
pub(super) struct Columns {
    class: String,
    label: String,
    number: String,
}

impl Columns {
    /// `class`, `label` and `probability` or `value` for the first, then `class_2` and so on.
    pub(super) fn new(place: usize, is_probable: bool) -> Self {
        let name = |name: &str| match place {
            0 => name.to_owned(),
            _ => format!("{name}_{}", place + 1),
        };
        let number = if is_probable { "probability" } else { "value" };
        Self { class: name("class"), label: name("label"), number: name(number) }
    }
}

impl Form {
    /// The row as text that ends in a line feed; none for a failed picture as text.
    pub(super) fn of(&self, row: &Row<'_>) -> Result<String> {
        match self {
            Self::Text if row.error.is_some() => Ok(String::new()),
            Self::Text => Ok(row.table()),
            Self::Json => to_json(row),
            Self::Columns(columns) => to_json(&Flat { row, columns }),
        }
    }
}

/// A row of values that are neither lists nor objects.
struct Flat<'a> {
    row: &'a Row<'a>,
    columns: &'a [Columns],
}

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self { row, columns } = self;
        let mut map = serializer.serialize_map(Some(3 + 3 * columns.len()))?;
        map.serialize_entry("file", row.file)?;
        map.serialize_entry("error", &row.error)?;
        map.serialize_entry("warning", &row.warning)?;
        for (i, columns) in columns.iter().enumerate() {
            let class = row.top.get(i);
            map.serialize_entry(&columns.class, &class.map(|class| class.index))?;
            map.serialize_entry(&columns.label, &class.and_then(|class| class.label))?;
            let number = class.and_then(|class| class.probability.or(class.value));
            map.serialize_entry(&columns.number, &number)?;
        }
        map.end()
    }
}

impl Row<'_> {
    fn table(&self) -> String {
        let width = |text: usize, class: &Class<'_>| {
            text.max(class.label.map_or(0, |label| label.chars().count()))
        };
        let width = self.top.iter().fold(0, width);
        let digits = self.top.iter().map(|class| class.index.to_string().len()).max().unwrap_or(0);
        let mut text = format!("{}\n", self.file);
        for class in &self.top {
            let _ = write!(text, "  {:>digits$}  ", class.index);
            if let Some(label) = class.label {
                let _ = write!(text, "{label:width$}  ");
            }
            let _ = match (class.probability, class.value) {
                (Some(p), _) => writeln!(text, "{:>8.4} %", f64::from(p) * 100.0),
                (None, value) => writeln!(text, "{:>12.6}", value.unwrap_or(f32::NAN)),
            };
        }
        text
    }
}
