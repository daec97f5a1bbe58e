//! Pictures as the text of SVG files. Words stay words, and colours follow the reader's light or
//! dark mode.

use std::fmt::{Display, Write as _};

/// Colours and sizes by class, which `benches/peers/svg.py` has, too.
const STYLE: &str = include_str!("../../assets/pictures.css");
/// Half of a cap at an end of a range.
const CAP: f64 = 4.0;

/// A picture. Lengths are pixels, from the upper left corner; classes are those of the style.
pub(super) struct Picture {
    width: f64,
    elements: String,
}

impl Picture {
    pub(super) fn new(width: f64) -> Self {
        Self { width, elements: String::new() }
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &dyn Display)], content: &str) {
        let _ = write!(self.elements, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.elements, " {key}=\"{value}\"");
        }
        let _ = writeln!(self.elements, ">{}</{name}>", escaped(content));
    }

    pub(super) fn text(&mut self, [x, y]: [f64; 2], text: &str, classes: &str) {
        self.element("text", &[("x", &rounded(x)), ("y", &rounded(y)), ("class", &classes)], text);
    }

    pub(super) fn rectangle(&mut self, [x, y]: [f64; 2], size: [f64; 2], classes: &str) {
        let [width, height] = size.map(rounded);
        self.element(
            "rect",
            &[
                ("x", &rounded(x)),
                ("y", &rounded(y)),
                ("width", &width),
                ("height", &height),
                ("class", &classes),
            ],
            "",
        );
    }

    pub(super) fn line(&mut self, ends: [[f64; 2]; 2], classes: &str) {
        let [[x1, y1], [x2, y2]] = ends.map(|end| end.map(rounded));
        self.element(
            "line",
            &[("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2), ("class", &classes)],
            "",
        );
    }

    /// A horizontal line with caps.
    pub(super) fn range(&mut self, [from, to]: [f64; 2], y: f64) {
        self.line([[from, y], [to, y]], "range");
        for x in [from, to] {
            self.line([[x, y - CAP], [x, y + CAP]], "range");
        }
    }

    /// The file's text.
    pub(super) fn finish(self, height: f64) -> String {
        let Self { width, elements } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\">\n<style>\n{STYLE}</style>\n\
             <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n{elements}</svg>\n"
        )
    }
}

/// To a tenth of a pixel.
fn rounded(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::Picture;

    #[test]
    fn elements_are_written() {
        let mut picture = Picture::new(80.0);
        picture.text([1.0, 2.04], "a < b & c", "small end");
        picture.rectangle([0.0, 0.0], [3.25, 4.0], "ours");
        picture.range([1.0, 5.0], 2.0);
        let svg = picture.finish(60.0);
        for part in [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 80 60\"",
            "<text x=\"1\" y=\"2\" class=\"small end\">a &lt; b &amp; c</text>\n",
            "<rect x=\"0\" y=\"0\" width=\"3.3\" height=\"4\" class=\"ours\"></rect>\n",
            "<line x1=\"5\" y1=\"-2\" x2=\"5\" y2=\"6\" class=\"range\"></line>\n</svg>\n",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }
}
