//! safetensors files: errors or weights of a tiny network, with the shapes that it asks for,
//! finite; whole models of this crate's own, which are written again alike and plan or are refused,
//! and small ones run.
//!
//! Half of the mutations are of the header alone, whose length is made right: most others would end
//! there.
#![no_main]

use std::io::{Seek, SeekFrom, Write};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sepconv::models::{
    AlignedXceptionConfig, EntryBlock, Flavour, Head, XceptionConfig, aligned_xception, xception,
};
use sepconv::network::Network;
use sepconv::weights::{Model, load_bytes, load_weights, to_bytes, variables};
use sepconv_fuzz::model::plan_and_run;
use tempfile::NamedTempFile;

/// Those of the seeds.
static NETWORKS: LazyLock<[Network; 2]> = LazyLock::new(|| {
    let aligned = AlignedXceptionConfig {
        stem: [1, 2],
        entry: vec![EntryBlock { filters: 3, stride: 2 }],
        middle_blocks: 0,
        exit: 2,
        last: [2, 1, 2],
        classes: Some(2),
        ..AlignedXceptionConfig::default()
    };
    let legacy = XceptionConfig {
        size: [None; 2],
        stem: [1, 2],
        entry: vec![3],
        middle_blocks: 1,
        exit: 2,
        last: [1, 2],
        flavour: Flavour::Timm,
        head: Head::Classes(2),
        ..XceptionConfig::default()
    };
    [aligned_xception(&aligned), xception(&legacy)].map(|network| network.expect("sound"))
});
static FILE: LazyLock<Mutex<NamedTempFile>> =
    LazyLock::new(|| Mutex::new(NamedTempFile::new().expect("a temporary file")));

fuzz_target!(init: seeds_are_read(), |data: &[u8]| {
    if data.starts_with(b"PK") || data.starts_with(b"\x89HDF") {
        return;
    }
    match load_bytes("file", data.to_vec()) {
        Ok(model) => check(&model),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for network in &*NETWORKS {
        read(data, network);
    }
});

/// What is promised of a model that was loaded; and its plan, if it has one, runs.
fn check(model: &Model) {
    // timm's networks, which it looks for, have millions of weights.
    let file = to_bytes(model).expect("a model of a file");
    assert!(load_bytes("again", file).expect("just written") == *model);
    plan_and_run(model);
}

/// Whether the file has the weights of the network: all that is promised of them.
fn read(data: &[u8], network: &Network) -> bool {
    let mut file = FILE.lock().expect("no panic before");
    let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(data));
    written.and_then(|()| file.as_file().set_len(data.len() as u64)).expect("room");
    match load_weights(file.path(), network) {
        Ok(weights) => {
            for v in variables(network).expect("sound") {
                if let Some(integers) = weights.find_int8(&v.layer, v.name) {
                    assert_eq!(integers.shape, v.shape);
                    continue;
                }
                let tensor = weights.get(&v.layer, v.name, &v.shape).expect("loaded");
                assert!(tensor.iter().all(|w| w.is_finite()));
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match header(&data[..size]) {
        Some(length) if seed % 2 == 0 => {
            let rest = data[8 + length..size].to_vec();
            let length = fuzzer_mutate(
                &mut data[8..max_size - rest.len()],
                length,
                max_size - 8 - rest.len(),
            );
            data[..8].copy_from_slice(&(length as u64).to_le_bytes());
            let size = 8 + length + rest.len();
            data[8 + length..size].copy_from_slice(&rest);
            size
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});

/// The length of the header, if the file has one.
fn header(file: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*file.first_chunk()?);
    usize::try_from(length).ok().filter(|&length| length <= file.len() - 8)
}

fn seeds_are_read() {
    let seeds: [(&[u8], _); 2] = [
        (include_bytes!("../seeds/safetensors/aligned.safetensors"), &NETWORKS[0]),
        (include_bytes!("../seeds/safetensors/legacy.safetensors"), &NETWORKS[1]),
    ];
    let seed = include_bytes!("../seeds/safetensors/int8.safetensors");
    check(&load_bytes("int8.safetensors", seed).expect("a seed"));
    for (seed, network) in seeds {
        assert!(read(seed, network), "a seed of {} is refused", network.name());
    }
}
