//! Digests of results, and the committed tables of what they are on every CPU.

use std::collections::BTreeMap;
use std::fmt::Write;

/// FNV-1a, 64 bits, over the bits of the elements; any NaN counts as the same.
pub fn digest(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, v| {
        let bits = if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() };
        bits.to_le_bytes()
            .iter()
            .fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

/// A table of digests by name, one a line.
pub struct Table {
    file: &'static str,
    committed: BTreeMap<String, u64>,
    entered: BTreeMap<String, u64>,
    blessing: bool,
}

impl Table {
    /// The committed `text` of the table in `file`. With `SEPCONV_BLESS` set, an empty one, which
    /// [`Table::close`] writes.
    pub fn new(file: &'static str, text: &str) -> Self {
        let blessing = std::env::var_os("SEPCONV_BLESS").is_some();
        let parse = |line: &str| {
            let (name, digest) = line.rsplit_once(' ').expect("a name and a digest");
            (name.to_string(), u64::from_str_radix(digest, 16).expect("16 hexadecimal digits"))
        };
        let lines = text.lines().filter(|_| !blessing);
        Self { file, committed: lines.map(parse).collect(), entered: BTreeMap::new(), blessing }
    }

    /// Enters a digest; it must be the committed one, and the same each time.
    pub fn enter(&mut self, name: &str, digest: u64) -> Result<(), String> {
        let first = *self.entered.entry(name.to_string()).or_insert(digest);
        let expected = if self.blessing { Some(&first) } else { self.committed.get(name) };
        match expected {
            Some(&expected) if expected == digest => Ok(()),
            Some(expected) => Err(format!("{name}: {digest:016x}, committed is {expected:016x}")),
            None => Err(format!("{name}: {digest:016x}, nothing is committed in {}", self.file)),
        }
    }

    /// Ends the table: every committed line must have been entered.
    pub fn close(self) {
        if self.blessing {
            let text = self.entered.iter().fold(String::new(), |mut text, (name, digest)| {
                writeln!(text, "{name} {digest:016x}").expect("a String takes all");
                text
            });
            std::fs::write(self.file, text).expect("the table can be written");
        } else {
            let missing: Vec<_> =
                self.committed.keys().filter(|name| !self.entered.contains_key(*name)).collect();
            assert!(missing.is_empty(), "committed, but not computed: {missing:?}");
        }
    }
}
