//! TensorFlow.js models, JSON or a JavaScript module, with weights in base64 or in other files:
//! errors or models, in bounded memory; models plan or are refused, and small ones run.
#![no_main]

use std::fs;
use std::io::Cursor;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sepconv::weights::load;
use sepconv_fuzz::model::{check, refused};
use tempfile::TempDir;
use zip::ZipArchive;

/// A folder with files of weights in it.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let models = include_bytes!("../../tests/keras/fixtures/tfjs.zip");
    let folder = TempDir::new().expect("a temporary folder");
    ZipArchive::new(Cursor::new(models)).expect("sound").extract(folder.path()).expect("room");
    folder
});

fuzz_target!(|data: &[u8]| {
    // Other kinds have targets of their own.
    if data.starts_with(b"PK") || data.starts_with(b"\x89HDF") {
        return;
    }
    let file = FOLDER.path().join("float32/fuzzed.json");
    fs::write(&file, data).expect("room");
    match load(&file) {
        Ok(model) => check(&model),
        Err(error) => refused(&error),
    }
});
