//! Finds data in JavaScript modules: an object literal, which becomes JSON, and string literals.
//!
//! Bundlers and minifiers write JSON as JavaScript: keys without quotes, `!0` for true, `1e3`,
//! `.5`, or as the text of a string. Nothing is executed.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// Errors are sentences; the caller adds the file's name in front.
type Result<T> = std::result::Result<T, String>;

/// A piece of a program.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// The text between quotes, with its escapes.
    String(&'a str),
    /// A name, keyword or number.
    Word(&'a str),
    Punctuation(char),
}

/// The tokens of a program, each with its place. Regular expressions are not recognised.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let start = self.at;
            let skipped = match first {
                c if c.is_whitespace() => Some(c.len_utf8()),
                '/' if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
                '/' if rest.starts_with("/*") => {
                    Some(rest.find("*/").map_or(rest.len(), |n| n + 2))
                }
                _ => None,
            };
            if let Some(skipped) = skipped {
                self.at += skipped;
                continue;
            }
            let (length, token) = match first {
                '"' | '\'' | '`' => {
                    let inner = quoted(rest, first);
                    ((inner.len() + 2).min(rest.len()), Token::String(inner))
                }
                c if is_word(c) => {
                    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                    (end, Token::Word(&rest[..end]))
                }
                c => (c.len_utf8(), Token::Punctuation(c)),
            };
            self.at += length;
            return Some((start, token));
        }
    }
}

/// Of names, keywords and numbers.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.')
}

/// What is between the quote at the start and the next one that is not escaped.
fn quoted(rest: &str, quote: char) -> &str {
    let mut escaped = false;
    let end = rest[1..].bytes().position(|b| {
        let ends = !escaped && b == quote as u8;
        escaped = !escaped && b == b'\\';
        ends
    });
    match end {
        Some(end) => &rest[1..1 + end],
        None => &rest[1..],
    }
}

/// The object that has this key, as JSON text: an object literal, or a string literal of JSON.
pub(super) fn object(text: &str, key: &str) -> Result<String> {
    let mut opened = Vec::new();
    let mut before = Token::Punctuation(' ');
    for (at, token) in (Tokens { text, at: 0 }) {
        let follows_key = matches!(before, Token::Word(word) | Token::String(word) if word == key);
        match token {
            Token::Punctuation('{') => opened.push(at),
            Token::Punctuation('}') => {
                opened.pop();
            }
            Token::Punctuation(':') if follows_key => {
                let start = opened.last().ok_or_else(|| format!("{key:?} is in no object"))?;
                return json(&text[*start..]);
            }
            Token::String(inner) if inner.contains(key) && inner.trim_start().starts_with('{') => {
                return unescaped(inner);
            }
            _ => {}
        }
        before = token;
    }
    Err(format!("found no object with {key:?}"))
}

/// The longest string literal.
pub(super) fn longest_string(text: &str) -> &str {
    let strings = Tokens { text, at: 0 }.filter_map(|(_, token)| match token {
        Token::String(inner) => Some(inner),
        _ => None,
    });
    strings.max_by_key(|inner| inner.len()).unwrap_or_default()
}

/// An object literal as JSON text. What follows it is not read.
fn json(text: &str) -> Result<String> {
    let mut tokens = Tokens { text, at: 0 }.peekable();
    let (mut json, mut depth) = (String::new(), 0_usize);
    while let Some((at, token)) = tokens.next() {
        let next = tokens.peek().map(|(_, token)| *token);
        match token {
            Token::Punctuation(c @ ('{' | '[')) => {
                depth += 1;
                json.push(c);
            }
            Token::Punctuation(c @ ('}' | ']')) => {
                depth = depth.saturating_sub(1);
                json.push(c);
                if depth == 0 {
                    return Ok(json);
                }
            }
            // One more at the end of a list is allowed.
            Token::Punctuation(',') if matches!(next, Some(Token::Punctuation('}' | ']'))) => {}
            Token::Punctuation(c @ (',' | ':')) => json.push(c),
            Token::Punctuation('!') => {
                let truth = match tokens.next() {
                    Some((_, Token::Word("0"))) => "true",
                    Some((_, Token::Word("1"))) => "false",
                    _ => return Err(format!("the expression at {at} is not understood")),
                };
                json.push_str(truth);
            }
            Token::Punctuation(sign @ ('-' | '+')) => match tokens.next() {
                Some((_, Token::Word(digits))) => {
                    number(&format!("{sign}{}", whole(digits, &mut tokens)), &mut json)?;
                }
                _ => return Err(format!("the expression at {at} is not understood")),
            },
            Token::String(inner) => json.push_str(&quote(&unescaped(inner)?)),
            Token::Word("void") => {
                tokens.next();
                json.push_str("null");
            }
            Token::Word(key) if next == Some(Token::Punctuation(':')) => {
                json.push_str(&quote(key));
            }
            Token::Word("undefined") => json.push_str("null"),
            Token::Word(word @ ("true" | "false" | "null")) => json.push_str(word),
            Token::Word(digits) => number(&whole(digits, &mut tokens), &mut json)?,
            Token::Punctuation(c) => return Err(format!("{c:?} at {at} is not understood")),
        }
    }
    Err("the object does not end".into())
}

/// A number whose exponent may have a sign, which is a token by itself.
fn whole(digits: &str, tokens: &mut Peekable<Tokens<'_>>) -> String {
    let mut number = digits.to_owned();
    let exponent = number.ends_with(['e', 'E']) && number.starts_with(|c: char| c != 'e');
    if let (true, Some((_, Token::Punctuation(sign @ ('-' | '+'))))) = (exponent, tokens.peek()) {
        number.push(*sign);
        tokens.next();
        if let Some((_, Token::Word(rest))) = tokens.peek() {
            number.push_str(rest);
            tokens.next();
        }
    }
    number
}

/// Writes a number as JSON does: a whole one without a point or exponent.
fn number(text: &str, json: &mut String) -> Result<()> {
    let x: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    // NaN and infinities JSON does not have.
    let written = match x {
        x if !x.is_finite() => return Err(format!("{text:?} is not a finite number")),
        x if x.fract() == 0.0 && x.abs() < 9e15 => write!(json, "{}", x as i64),
        x => write!(json, "{x:?}"),
    };
    written.map_err(|e| e.to_string())
}

/// A string in JSON.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a string literal.
fn unescaped(inner: &str) -> Result<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let c = rest.next().ok_or("a string ends in a backslash")?;
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'v' => text.push('\u{b}'),
            '0' => text.push('\0'),
            '\n' => {}
            'x' => text.push(character(code(&mut rest, 2)?)?),
            'u' => {
                let unit = code(&mut rest, 4)?;
                // The first half of a character beyond 16 bits.
                let low = match unit {
                    0xD800..0xDC00 if rest.as_str().starts_with("\\u") => {
                        rest.nth(1);
                        Some(code(&mut rest, 4)?)
                    }
                    _ => None,
                };
                let wide = |low: u32| 0x1_0000 + ((unit - 0xD800) << 10) + (low & 0x3FF);
                text.push(character(low.map_or(unit, wide))?);
            }
            c => text.push(c),
        }
    }
    Ok(text)
}

/// The number of so many hexadecimal digits.
fn code(rest: &mut Chars<'_>, digits: usize) -> Result<u32> {
    let digits: String = rest.take(digits).collect();
    u32::from_str_radix(&digits, 16).map_err(|_| format!("{digits:?} is no character's number"))
}

fn character(code: u32) -> Result<char> {
    char::from_u32(code).ok_or_else(|| format!("{code:#x} is no character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_json() {
        for (literal, expected) in [
            ("{a:1}", r#"{"a":1}"#),
            (
                "{ 'a' : !0, \"b\": !1, c: void 0, d: null, }",
                r#"{"a":true,"b":false,"c":null,"d":null}"#,
            ),
            ("{x:[.5,-.25,1e3,-2E-2,1e+2,7.],}", r#"{"x":[0.5,-0.25,1000,-0.02,100,7]}"#),
            (r#"{s:'it\'s "\u00e9\x41"'}"#, r#"{"s":"it's \"éA\""}"#),
            ("{/* no */a:{b:[]}}// rest", r#"{"a":{"b":[]}}"#),
            ("{s:`x`}", r#"{"s":"x"}"#),
        ] {
            assert_eq!(json(literal).as_deref(), Ok(expected), "{literal}");
        }
        for bad in
            ["{a:", "{a:f(1)}", "{a:b}", "{a:1/0}", "{a:!2}", "{a:-{}}", "{a:NaN}", "{a:1e999}"]
        {
            assert!(json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_are_found_in_modules() {
        for module in [
            "export default {k:1, wanted:{a:[2]}};",
            "!function(e){x={a:{b:'}'}};module.exports={k:1,wanted:{a:[2]}}}()",
            r#"module.exports = JSON.parse('{"k":1,"wanted":{"a":[2]}}')"#,
            "({'k':1,\"wanted\":{a:[2]}})",
        ] {
            let found = object(module, "wanted").unwrap();
            assert_eq!(found, r#"{"k":1,"wanted":{"a":[2]}}"#, "{module}");
        }
        assert!(object("var x = 'wanted';", "wanted").is_err());
        assert_eq!(longest_string("a('no', \"the one\", b['x'])"), "the one");
        assert_eq!(longest_string("1 + 1"), "");
    }
}
