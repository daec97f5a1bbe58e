//! The ledger: how many runs of each kernel were compared with what they should give, and how many
//! disagreed. Each test appends its share to the file that `SEPCONV_LEDGER` names; `checks/levels/ledger.py`
//! adds up and demands that no kernel of a level that should have run is missing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use sepconv_kernels::{Level, kernels};

/// Cases and mismatches of one kernel.
type Counts = [u64; 2];

struct Book {
    counts: BTreeMap<(Level, String), Counts>,
    /// The kernels that ran last: those that a mismatch is put down to.
    last: Option<(Level, String)>,
}

thread_local! {
    // A test has its own thread, so that the book of a test is closed with it, passed or failed.
    static BOOK: RefCell<Book> = RefCell::new(Book::new());
}

/// Enters a run of `kernels` (names joined by `+`), whose result is about to be compared.
pub fn ran(level: Level, kernels: &str) {
    BOOK.with_borrow_mut(|book| book.enter((level, kernels.into()), [1, 0]));
}

/// Enters that the last run gave something wrong.
pub fn mismatch() {
    BOOK.with_borrow_mut(|book| {
        if let Some(key) = book.last.clone() {
            book.enter(key, [0, 1]);
        }
    });
}

impl Book {
    fn new() -> Self {
        sepconv_amx_emulator::start();
        // A kernel that no test runs shows by having nothing but this.
        let available = kernels().into_iter().filter(|k| k.available);
        let counts = available.map(|k| ((k.level, k.name.into()), [0, 0])).collect();
        Self { counts, last: None }
    }

    fn enter(&mut self, key: (Level, String), [cases, mismatches]: Counts) {
        let counts = self.counts.entry(key.clone()).or_default();
        counts[0] += cases;
        counts[1] += mismatches;
        self.last = Some(key);
        // There all tests run on the one thread there is, whose end is not noticed.
        if cfg!(target_family = "wasm") {
            self.write();
        }
    }

    /// Appends the counts to the file and starts anew.
    fn write(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let Some(path) = std::env::var_os("SEPCONV_LEDGER") else { return };
        let arch = std::env::consts::ARCH;
        let mut lines = String::new();
        let by_tiles = std::env::var_os("SEPCONV_AMX").is_some();
        for ((level, names), [cases, mismatches]) in counts {
            for kernel in names.split('+') {
                // A run of their own is for these kernels.
                let level = match kernel.contains("_amx_") {
                    true if !by_tiles => continue,
                    true => "amx",
                    false => level.name(),
                };
                lines += &format!("{arch}\t{level}\t{kernel}\t{cases}\t{mismatches}\n");
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write, so that the lines of tests that end at the same time don't mix.
        let written = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.unwrap_or_else(|e| panic!("the ledger {path:?} can't be written: {e}"));
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.write();
    }
}
