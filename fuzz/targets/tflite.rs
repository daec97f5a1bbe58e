//! TensorFlow Lite files: errors or models, in bounded memory; models plan or are refused, and
//! small ones run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sepconv::weights::load_bytes;
use sepconv_fuzz::model::{check, refused};

fuzz_target!(|data: &[u8]| {
    // The fuzzer need not find the identifier of the format: it is given.
    let mut file = data.to_vec();
    let Some(identifier) = file.get_mut(4..8) else { return };
    identifier.copy_from_slice(b"TFL3");
    match load_bytes("file", file) {
        Ok(model) => check(&model),
        Err(error) => refused(&error),
    }
});
