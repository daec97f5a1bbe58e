//! The committed header is what the source says. After a change:
//! `SEPCONV_BLESS=1 cargo test -p sepconv-c --test header`.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_generated_from_the_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut text = Vec::new();
    cbindgen::generate_with_config(folder, config).unwrap().write(&mut text);
    let text = String::from_utf8(text).unwrap();
    let path = folder.join("include/sepconv.h");
    if std::env::var_os("SEPCONV_BLESS").is_some_and(|v| v == "1") {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{}: SEPCONV_BLESS=1 writes it anew", path.display());
}
