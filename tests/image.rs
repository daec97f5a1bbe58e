//! Pictures against what Pillow made of them: see `images/make_fixtures.py`.
#![cfg(feature = "image")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sepconv::image::{Picture, Resize};

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images")
}

fn read(name: &str) -> Picture {
    Picture::read(&images().join(name)).unwrap()
}

#[test]
fn decodes_every_mode_as_pillow_does() {
    let mut checked = 0;
    for entry in std::fs::read_dir(images()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((stem, _)) = name.split_once(".rgb.png") else {
            continue;
        };
        let source = ["jpg", "png"].map(|extension| format!("{stem}.{extension}"));
        let source = source.iter().find(|name| images().join(name).exists()).unwrap();
        assert!(read(source) == read(&name), "{source}");
        checked += 1;
    }
    assert_eq!(checked, 16);
}

#[test]
fn resizes_as_pillow_does() {
    let picture = read("resize.png");
    let filters = [
        ("nearest", Resize::Nearest),
        ("bilinear", Resize::Bilinear),
        ("bicubic", Resize::Bicubic),
    ];
    for (name, how) in filters {
        for [h, w] in [[1, 1], [9, 13], [9, 40], [31, 20], [50, 17], [37, 51]] {
            let expected = read(&format!("resize.{name}.{h}x{w}.png"));
            assert!(picture.resize([h, w], how) == expected, "{name} {h}×{w}");
        }
        assert!(picture.resize(picture.size(), how) == picture);
        assert_eq!(picture.resize([0, 7], how).size(), [1, 7]);
    }
}

#[test]
fn scales_as_keras_does() {
    let picture = Picture::new([1, 2], vec![0, 1, 127, 128, 254, 255]).unwrap();
    // x = numpy.float32(x); x /= 127.5; x -= 1
    let expected = [0xbf800000, 0xbf7dfdfe, 0xbb808080, 0x3b808100, 0x3f7dfdfe, 0x3f800000];
    let bits: Vec<u32> = picture.to_tensor().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, expected);
    assert!(Picture::new([1, 2], vec![0; 5]).is_err());
    assert!(Picture::new([0, 2], vec![]).is_err());
    assert!(Picture::new([usize::MAX, 2], vec![0; 6]).is_err());
}

fn decode(bytes: &[u8]) -> sepconv::Result<Picture> {
    Picture::decode(Path::new("a picture"), bytes)
}

const SOURCES: [&str; 8] = [
    "jpeg-420.jpg",
    "jpeg-422-progressive.jpg",
    "jpeg-444.jpg",
    "jpeg-gray.jpg",
    "jpeg-cmyk.jpg",
    "png-rgba.png",
    "png-palette-transparent.png",
    "png-gray-16-bit.png",
];

#[test]
fn refuses_cut_files() {
    for name in SOURCES {
        let bytes = std::fs::read(images().join(name)).unwrap();
        for length in (0..bytes.len() * 3 / 4).step_by(7) {
            assert!(decode(&bytes[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    /// Any bytes give a picture or an error.
    fn survives_corrupt_files(
        source in 0..SOURCES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut bytes = std::fs::read(images().join(SOURCES[source])).unwrap();
        let length = bytes.len();
        for (index, value, in_header) in changes {
            let range = if in_header { length.min(700) } else { length };
            bytes[index.index(range)] = value;
        }
        let _ = decode(&bytes);
    }
}
