//! NumPy arrays: errors or tensors, and what was read is written and read again alike.
#![no_main]

use std::io::{Seek, SeekFrom, Write};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use sepconv::npy;
use tempfile::NamedTempFile;

static FILE: LazyLock<Mutex<NamedTempFile>> =
    LazyLock::new(|| Mutex::new(NamedTempFile::new().expect("a temporary file")));

fuzz_target!(|data: &[u8]| {
    let mut file = FILE.lock().expect("no panic before");
    let mut read = |data: &[u8]| {
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(data));
        written.and_then(|()| file.as_file().set_len(data.len() as u64)).expect("room");
        npy::read(file.path())
    };
    match read(data) {
        Ok(tensor) => {
            assert_eq!(tensor.data.len(), tensor.shape.iter().product::<usize>());
            let mut again = Vec::new();
            npy::write(&mut again, &tensor.shape, &tensor.data).expect("what was read");
            let again = read(&again).expect("what was written");
            let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(again.shape, tensor.shape);
            assert_eq!(bits(&again.data), bits(&tensor.data));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
