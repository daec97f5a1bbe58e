//! Keras files (.keras, .weights.h5, legacy .h5): errors or models, in bounded memory; models plan
//! or are refused, and small ones run.
//!
//! Most of what a fuzzer does to a file only breaks a checksum. So most mutations of a zip are of
//! an entry, which is packed again, and the checksums of HDF5's newer structures are made right.
#![no_main]

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sepconv::network::Network;
use sepconv::weights::{load_bytes, load_weights};
use sepconv_fuzz::model::{check, refused};
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// That of the seeds.
static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    let file = include_bytes!("../seeds/keras/legacy.h5");
    load_bytes("legacy.h5", file).expect("a seed").network
});
static FILE: LazyLock<Mutex<NamedTempFile>> =
    LazyLock::new(|| Mutex::new(NamedTempFile::new().expect("a temporary file")));

fuzz_target!(init: repairs_rightly(), |data: &[u8]| {
    match load_bytes("file", data.to_vec()) {
        Ok(model) => check(&model),
        Err(error) => refused(&error),
    }
    if data.starts_with(b"\x89HDF") {
        let mut file = FILE.lock().expect("no panic before");
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(data));
        written.and_then(|()| file.as_file().set_len(data.len() as u64)).expect("room");
        if let Err(error) = load_weights(file.path(), &NETWORK) {
            refused(&error);
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let zip = data[..size].starts_with(b"PK");
    if zip && seed % 4 != 0 {
        if let Some(packed) = mutate_entry(&data[..size], max_size, seed) {
            data[..packed.len()].copy_from_slice(&packed);
            return packed.len();
        }
    }
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 8 != 1 {
        repair(&mut data[..size]);
    }
    size
});

/// The archive with one entry mutated, if it can be read and still fits.
fn mutate_entry(file: &[u8], max_size: usize, seed: u32) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(file)).ok()?;
    let mut entry = |name: &str| {
        let mut data = Vec::new();
        archive.by_name(name).ok()?.take(1 << 20).read_to_end(&mut data).ok()?;
        Some(data)
    };
    let mut entries = ["config.json", "model.weights.h5"].map(|name| (name, entry(name)));
    let (_, data) = &mut entries[usize::from(seed / 4 % 3 == 0)];
    let data = data.as_mut()?;
    let size = data.len();
    data.resize(size + size / 2 + 64, 0);
    let most = data.len();
    let size = fuzzer_mutate(data, size, most);
    data.truncate(size);
    repair(data);
    let method = match seed / 16 % 4 {
        0 => CompressionMethod::Deflated,
        _ => CompressionMethod::Stored,
    };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in &entries {
        writer.start_file(*name, options).ok()?;
        writer.write_all(data.as_ref()?).ok()?;
    }
    let packed = writer.finish().ok()?.into_inner();
    (packed.len() <= max_size).then_some(packed)
}

/// Makes the checksums right of an HDF5 file's superblock, object headers, B-trees and heaps.
fn repair(file: &mut [u8]) {
    if !file.starts_with(b"\x89HDF\r\n\x1a\n") {
        return;
    }
    if matches!(file.get(8), Some(2..)) {
        seal(file, 0, 44);
    }
    for at in 0..file.len().saturating_sub(8) {
        let length = match &file[at..at + 4] {
            b"OHDR" => {
                let flags = file[at + 5];
                let mut head = 6;
                head += if flags & 0x20 != 0 { 16 } else { 0 };
                head += if flags & 0x10 != 0 { 4 } else { 0 };
                let width = 1_usize << (flags & 3);
                let size = file[at..].get(head..head + width);
                let size = size.map(|b| b.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)));
                size.and_then(|size| size.checked_add(head + width))
            }
            b"BTHD" => Some(34),
            b"FRHP" => Some(142),
            _ => None,
        };
        if let Some(length) = length {
            seal(file, at, length);
        }
    }
}

/// A sound file stays as it is.
fn repairs_rightly() {
    let sound = include_bytes!("../seeds/keras/current_latest.weights.h5");
    let mut file = sound.to_vec();
    repair(&mut file);
    assert!(file == sound, "a sound file was repaired");
    file[44] ^= 1;
    repair(&mut file);
    assert!(file == sound, "the superblock's checksum is wrong");
}

/// Writes the checksum of `length` bytes behind them.
fn seal(file: &mut [u8], at: usize, length: usize) {
    let Some(end) = at.checked_add(length) else { return };
    if end.checked_add(4).is_some_and(|end| end <= file.len()) {
        let sum = lookup3(&file[at..end]);
        file[end..end + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Bob Jenkins's hashlittle, as HDF5 uses it.
fn lookup3(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = bytes;
    let word = |bytes: &[u8], i: usize| {
        (0..4).fold(0, |w, j| w | u32::from(*bytes.get(4 * i + j).unwrap_or(&0)) << (8 * j))
    };
    while !rest.is_empty() {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(&rest[..rest.len().min(12)], 1));
        c = c.wrapping_add(word(&rest[..rest.len().min(12)], 2));
        if rest.len() <= 12 {
            for (x, y, by) in
                [(2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)]
            {
                let mut all = [a, b, c];
                all[x] = (all[x] ^ all[y]).wrapping_sub(all[y].rotate_left(by));
                [a, b, c] = all;
            }
            break;
        }
        for (x, y, z, by) in
            [(0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4)]
        {
            let mut all = [a, b, c];
            all[x] = all[x].wrapping_sub(all[y]) ^ all[y].rotate_left(by);
            all[y] = all[y].wrapping_add(all[z]);
            [a, b, c] = all;
        }
        rest = &rest[12..];
    }
    c
}
