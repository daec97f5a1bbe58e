//! Text that fits the terminal: its width, paragraphs, tables, and colours where somebody looks.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

/// The columns where there is no terminal.
const COLUMNS: usize = 80;
/// Terminals with fewer columns break the lines themselves.
const LEAST_COLUMNS: usize = 40;
/// Between two columns of a table.
const GAP: usize = 2;
/// Before details that stand below their row.
const INDENT: usize = 4;
/// Details of this width stand beside their row; longer ones go on in its next lines.
const BESIDE: usize = 48;

/// The columns that text may take: those that the environment variable COLUMNS gives, or those of
/// the terminal behind the standard output, or 80.
pub(super) fn columns() -> usize {
    let given = || std::env::var("COLUMNS").ok()?.trim().parse().ok().filter(|&n| n > 0);
    let terminal = || {
        let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
        Some(usize::from(width.0)).filter(|&n| n > 0)
    };
    given().or_else(terminal).unwrap_or(COLUMNS).max(LEAST_COLUMNS)
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    Heading,
    Warning,
    Error,
}

/// The text in the colour of its style, if `stream` is a terminal that shows colours.
pub(super) fn paint(text: &str, style: Style, stream: &impl IsTerminal) -> String {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !stream.is_terminal() || set("NO_COLOR") || dumb {
        return text.into();
    }
    let code = match style {
        Style::Heading => "1",
        Style::Warning => "1;33",
        Style::Error => "1;31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Breaks a paragraph into lines of at most `columns` characters. A longer word has a line of its
/// own.
pub(super) fn wrap(paragraph: &str, columns: usize) -> String {
    let mut text = String::new();
    for line in broken(paragraph, columns) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A message for stderr. Its lines fit the terminal, if there is one; elsewhere they stay whole, so
/// that they can be searched.
pub(super) fn message(heading: &str, style: Option<Style>, message: &str) -> String {
    let stderr = io::stderr();
    let width = terminal_size::terminal_size_of(&stderr).map(|(width, _)| usize::from(width.0));
    let text = fitted(&format!("{heading} {message}"), width.filter(|&n| n > 0));
    match style {
        Some(style) => text.replacen(heading, &paint(heading, style, &stderr), 1),
        None => text,
    }
}

/// Each line broken, if there is a width.
fn fitted(text: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) => text.lines().map(|line| wrap(line, columns.max(LEAST_COLUMNS))).collect(),
        None => format!("{text}\n"),
    }
}

/// The lines of a text that is broken at spaces and behind the `+` of the names of kernels.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for piece in text.split_inclusive([' ', '+']) {
        let width = width(piece.trim_end());
        if used > 0 && used + width > columns {
            lines.push(String::new());
            used = 0;
        }
        lines.last_mut().expect("there is one").push_str(piece);
        used += piece.chars().count();
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A row of a table. A line break in a cell of the heading starts its next line.
#[derive(Default, Clone)]
pub(super) struct Row {
    /// To the left.
    pub(super) name: String,
    /// To the right.
    pub(super) numbers: Vec<String>,
    /// Beside the row if they fit, else below it.
    pub(super) details: String,
}

impl Row {
    pub(super) fn new(
        name: impl Into<String>,
        numbers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let numbers = numbers.into_iter().map(Into::into).collect();
        Self { name: name.into(), numbers, details: String::new() }
    }

    #[must_use]
    pub(super) fn details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }
}

/// Where the cells of a table's rows go. Nothing is cut: a name that is wider than its column has
/// a line of its own above the row's numbers, and details stand below where they don't fit beside.
pub(super) struct Layout {
    columns: usize,
    name: usize,
    numbers: Vec<usize>,
    /// Where details begin if they stand beside their row.
    beside: Option<usize>,
}

impl Layout {
    /// For names, numbers and details of these widths, in as many columns.
    pub(super) fn new(columns: usize, name: usize, numbers: Vec<usize>, details: usize) -> Self {
        let taken: usize = numbers.iter().map(|width| GAP + width).sum();
        let name = name.min(columns.saturating_sub(taken).max(1));
        let start = name + taken + GAP;
        let beside = Some(start).filter(|start| start + details.min(BESIDE) <= columns);
        Self { columns, name, numbers, beside }
    }

    /// For these rows.
    fn of(rows: &[Row], columns: usize) -> Self {
        let widest = |cell: &dyn Fn(&Row) -> &str| {
            let cells = rows.iter().flat_map(|row| cell(row).lines());
            cells.map(width).max().unwrap_or(0)
        };
        let count = rows.iter().map(|row| row.numbers.len()).max().unwrap_or(0);
        let numbers =
            (0..count).map(|i| widest(&|row: &Row| row.numbers.get(i).map_or("", String::as_str)));
        let numbers = numbers.collect();
        Self::new(columns, widest(&|row| &row.name), numbers, widest(&|row| &row.details))
    }

    /// The row's lines.
    pub(super) fn row(&self, row: &Row) -> String {
        let (mut text, mut name) = (String::new(), row.name.as_str());
        if width(name) > self.name {
            text += &wrap(name, self.columns);
            name = "";
        }
        let mut line = format!("{name:0$}", self.name);
        for (number, width) in row.numbers.iter().zip(&self.numbers) {
            let _ = write!(line, "{:GAP$}{number:>width$}", "");
        }
        let details = row.details.as_str();
        if let Some(start) = self.beside {
            for part in broken(details, self.columns - start) {
                let missing = start.saturating_sub(width(&line));
                let _ = write!(line, "{:missing$}{part}", "");
                let _ = writeln!(text, "{}", line.trim_end());
                line.clear();
            }
            return text;
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if !details.is_empty() {
            for part in broken(details, self.columns - INDENT) {
                let _ = writeln!(text, "{:INDENT$}{part}", "");
            }
        }
        text
    }

    /// The heading's lines; the last lines of its cells are side by side.
    pub(super) fn heading(&self, heading: &Row) -> String {
        let numbers: Vec<Vec<&str>> =
            heading.numbers.iter().map(|cell| cell.lines().collect()).collect();
        let height = numbers.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut text = String::new();
        for i in 0..height {
            let cells = numbers.iter().map(|lines| {
                let skipped = height - lines.len();
                i.checked_sub(skipped).map_or("", |i| lines[i])
            });
            let mut row = Row::new("", cells);
            if i + 1 == height {
                row.name.clone_from(&heading.name);
                row.details.clone_from(&heading.details);
            }
            text += &self.row(&row);
        }
        let stdout = io::stdout();
        text.lines().map(|line| paint(line, Style::Heading, &stdout) + "\n").collect()
    }
}

/// A table in as many columns.
pub(super) fn table(heading: Row, rows: Vec<Row>, columns: usize) -> String {
    let mut all = rows;
    all.insert(0, heading);
    let layout = Layout::of(&all, columns);
    let mut text = layout.heading(&all[0]);
    all[1..].iter().for_each(|row| text += &layout.row(row));
    text
}

/// Names, each with what there is to say of it.
pub(super) fn list(
    rows: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    columns: usize,
) -> String {
    let rows = rows.into_iter().map(|(name, value)| Row::new(name, [""; 0]).details(value));
    let rows: Vec<Row> = rows.collect();
    let name = rows.iter().map(|row| width(&row.name)).max().unwrap_or(0);
    let layout = Layout::new(columns, name, Vec::new(), usize::MAX);
    rows.iter().map(|row| layout.row(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Row, broken, fitted, table, wrap};

    #[test]
    fn breaks_at_spaces_and_behind_plus() {
        assert_eq!(wrap("one two three", 7), "one two\nthree\n");
        assert_eq!(wrap("one two three", 3), "one\ntwo\nthree\n");
        assert_eq!(wrap("×× ×× ××", 5), "×× ××\n××\n");
        assert_eq!(wrap("", 5), "\n");
        assert_eq!(broken("dw_3x3+gemm_12x32", 10), ["dw_3x3+", "gemm_12x32"]);
        assert_eq!(broken("dw_3x3+gemm_12x32", 17), ["dw_3x3+gemm_12x32"]);
    }

    #[test]
    fn messages_fit() {
        let text = "error: weights: expected 10240 elements, got 20480\n  - a";
        assert_eq!(fitted(text, None), format!("{text}\n"));
        let narrow = "error: weights: expected 10240 elements,\ngot 20480\n  - a\n";
        assert_eq!(fitted(text, Some(8)), narrow);
    }

    #[test]
    fn tables_fit() {
        let heading = || Row::new("layer", ["all\nms", "GFLOP/s"]).details("kernel");
        let rows = || {
            vec![
                Row::new("19×19, 728 → 728", ["1.531", "253.0"]).details("dw_3x3+gemm_12x32"),
                Row::new("a", ["12.25", "9.0"]).details("gemm_12x32"),
            ]
        };
        let beside = "                    all\n\
                      layer                ms  GFLOP/s  kernel\n\
                      19×19, 728 → 728  1.531    253.0  dw_3x3+gemm_12x32\n\
                      a                 12.25      9.0  gemm_12x32\n";
        assert_eq!(table(heading(), rows(), 80), beside);
        // Names and details have lines of their own.
        let below = "              all\n\
                     layer          ms  GFLOP/s\n    kernel\n\
                     19×19, 728 → 728\n            1.531    253.0\n    dw_3x3+gemm_12x32\n\
                     a           12.25      9.0\n    gemm_12x32\n";
        assert_eq!(table(heading(), rows(), 26), below);
    }
}
