//! The ledger: how many runs of each kernel were compared with what they should give, and how many
//! disagreed. Each test appends its share to the file that `SEPCONV_LEDGER` names; `isa/ledger.py` adds
//! up and demands that no kernel of a level that should have run is missing.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use sepconv_kernels::{Level, kernels};

/// Cases and mismatches of one kernel.
type Counts = [u64; 2];

#[derive(Default)]
struct Book {
    counts: BTreeMap<(Level, String), Counts>,
    /// The kernels that ran last: those that a mismatch is put down to.
    last: Option<(Level, String)>,
}

thread_local! {
    // A test has its own thread, so that the book of a test is closed with it, passed or failed.
    static BOOK: RefCell<Book> = RefCell::default();
}

/// Enters a run of `kernels` (names joined by `+`), whose result is about to be compared.
pub fn ran(level: Level, kernels: &str) {
    BOOK.with_borrow_mut(|book| {
        let key = (level, kernels.to_string());
        book.counts.entry(key.clone()).or_default()[0] += 1;
        book.last = Some(key);
    });
}

/// Enters that the last run gave something wrong.
pub fn mismatch() {
    BOOK.with_borrow_mut(|book| {
        if let Some(key) = book.last.clone() {
            book.counts.entry(key).or_default()[1] += 1;
        }
    });
}

impl Drop for Book {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("SEPCONV_LEDGER") else { return };
        let arch = std::env::consts::ARCH;
        let mut lines = String::new();
        let mut line = |level: Level, kernel: &str, [cases, mismatches]: Counts| {
            lines += &format!("{arch}\t{level}\t{kernel}\t{cases}\t{mismatches}\n");
        };
        // A kernel that no test runs shows by having nothing but this line.
        for kernel in kernels().iter().filter(|k| k.available) {
            line(kernel.level, kernel.name, [0, 0]);
        }
        for ((level, names), &counts) in &self.counts {
            for kernel in names.split('+') {
                line(*level, kernel, counts);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write, so that the lines of tests that end at the same time don't mix.
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.unwrap_or_else(|e| panic!("the ledger {path:?} can't be written: {e}"));
    }
}
