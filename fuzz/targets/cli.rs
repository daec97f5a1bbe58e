//! Command lines, one word a line, and the text of a layer.
//!
//! The command line belongs to the binary, not to the library, and is no interface for others. So
//! it is compiled in from its files, as the benchmarks do with the layers.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../src/cli/mod.rs"]
mod cli;
#[allow(dead_code)]
#[path = "../../src/cli/layer.rs"]
mod layer;

fuzz_target!(|text: &str| {
    let words = text.split('\n').take(40);
    if let Err(error) = cli::parse(["sepconv"].into_iter().chain(words)) {
        assert!(!error.to_string().is_empty());
    }
    let lines = text.split('\n').filter(|line| line.len() < 1 << 10).take(10);
    for line in lines {
        match layer::Layer::parse(line) {
            Ok(layer) => {
                // Text and layer mean the same.
                assert_eq!(layer::Layer::parse(layer.text()).as_ref(), Ok(&layer));
            }
            Err(error) => assert!(error.contains("sep 1x19x19x728 o728 k3 s1"), "{error}"),
        }
    }
});
