//! Pictures against what Pillow made of them: see `images/make_fixtures.py`.
#![cfg(feature = "image")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sepconv::image::{
    Channels, Crop, Decoded, Orientation, Picture, Preprocess, Resize, Scaling, Transform,
};
use sepconv::npy;
use sepconv::weights::Metadata;

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images")
}

fn decoded(name: &str) -> Decoded {
    Picture::read(&images().join(name)).unwrap()
}

fn read(name: &str) -> Picture {
    decoded(name).picture
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
        let Decoded { picture, warning, .. } = decoded(source);
        assert!(picture == read(&name), "{source}");
        let damaged = ["damaged", "no-end", "no-checksum"].iter().any(|part| stem.contains(part));
        assert_eq!(warning.is_some(), damaged, "{source}: {warning:?}");
        checked += 1;
    }
    assert_eq!(checked, 23);
}

#[test]
fn warns_of_damaged_files() {
    for (name, warning) in [
        ("jpeg-420-damaged.jpg", "a damaged JPEG: its data ends after 2 of 6 blocks"),
        ("jpeg-422-no-end.jpg", "the JPEG is cut short: its end marker is missing"),
        ("png-rgba-no-end.png", "the PNG is cut short: its last chunk is missing"),
        ("png-gray-no-checksum.png", "the PNG is cut short: its last chunk is missing"),
    ] {
        assert_eq!(decoded(name).warning.as_deref(), Some(warning), "{name}");
    }
}

/// Each orientation of a gray picture of 2×3 pixels, 0 to 5, as Pillow turns it.
#[test]
fn turns_as_pillow_does() {
    let gray = |pixels: &[u8]| pixels.iter().flat_map(|&x| [x; 3]).collect::<Vec<_>>();
    let picture = Picture::new([2, 3], gray(&[0, 1, 2, 3, 4, 5])).unwrap();
    let text = std::fs::read_to_string(images().join("orientation.txt")).unwrap();
    let mut tags = Vec::new();
    for line in text.lines() {
        let numbers: Vec<u8> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let expected = Picture::new([numbers[1].into(), numbers[2].into()], gray(&numbers[3..]));
        let orientation = Orientation::new(numbers[0]).unwrap();
        assert_eq!(picture.clone().upright(orientation), expected.unwrap(), "{line}");
        tags.push(orientation.tag());
    }
    assert_eq!(tags, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((Orientation::new(0), Orientation::new(9)), (None, None));
}

/// A directory of one entry; `number` turns an integer of so many bytes into its bytes.
fn exif(order: &[u8], number: impl Fn(u32, usize) -> Vec<u8>, kind: u32, value: &[u8]) -> Vec<u8> {
    let parts = [
        order.to_vec(),
        number(42, 2),
        number(8, 4),
        number(2, 2),
        // The camera's maker, somewhere else.
        [number(0x010f, 2), number(2, 2), number(9, 4), number(1000, 4)].concat(),
        [number(0x0112, 2), number(kind, 2), number(1, 4), value.to_vec()].concat(),
        number(0, 4),
    ];
    parts.concat()
}

fn little(number: u32, bytes: usize) -> Vec<u8> {
    number.to_le_bytes()[..bytes].to_vec()
}

fn big(number: u32, bytes: usize) -> Vec<u8> {
    number.to_be_bytes()[4 - bytes..].to_vec()
}

/// jpeg-444.jpg with EXIF data.
fn jpeg_with_exif(exif: &[u8]) -> Vec<u8> {
    let jpeg = std::fs::read(images().join("jpeg-444.jpg")).unwrap();
    let length = (2 + 6 + exif.len() as u16).to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, b"Exif\0\0", exif, &jpeg[2..]].concat()
}

fn crc(data: &[u8]) -> [u8; 4] {
    let crc = !data.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    });
    crc.to_be_bytes()
}

/// png-gray.png with EXIF data, before the picture's data or after it.
fn png_with_exif(exif: &[u8], after: bool) -> Vec<u8> {
    let png = std::fs::read(images().join("png-gray.png")).unwrap();
    let at = if after { png.len() - 12 } else { 8 + 25 };
    let chunk = [b"eXIf", exif].concat();
    let length = (exif.len() as u32).to_be_bytes();
    [&png[..at], &length, &chunk, &crc(&chunk), &png[at..]].concat()
}

#[test]
fn finds_orientations() {
    for name in ["jpeg-turned.jpg", "png-turned.png"] {
        let tag = decoded(name).orientation.tag();
        assert_eq!(tag, if name == "jpeg-turned.jpg" { 6 } else { 5 });
    }
    let tag = |bytes: &[u8]| decode(bytes).unwrap().orientation.tag();
    for orientation in 1..=8_u8 {
        let number = u32::from(orientation);
        for (kind, bytes) in [(1, 1), (3, 2), (4, 4)] {
            let mut value = little(number, bytes);
            value.resize(4, 0);
            let le = exif(b"II", little, kind, &value);
            let mut value = big(number, bytes);
            value.resize(4, 0);
            let be = exif(b"MM", big, kind, &value);
            for exif in [le, be] {
                assert_eq!(tag(&jpeg_with_exif(&exif)), orientation);
                assert_eq!(tag(&png_with_exif(&exif, false)), orientation);
                let prefixed = [b"Exif\0\0", &exif[..]].concat();
                assert_eq!(tag(&png_with_exif(&prefixed, true)), orientation);
            }
        }
    }
    // Nothing that can be understood: as it is.
    for (kind, value) in [(3, 0), (3, 9), (3, 256 + 6), (2, 6), (5, 6), (4, 1 << 31)] {
        assert_eq!(tag(&jpeg_with_exif(&exif(b"II", little, kind, &little(value, 4)))), 1);
    }
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
        for size in [[1, 1], [9, 13], [9, 40], [31, 20], [50, 17], [37, 51], picture.size()] {
            let [h, w] = size;
            let resized = |picture: &Picture, channels| {
                picture.resize(size, how, channels).unwrap().values().to_vec()
            };
            let expected = match size == picture.size() {
                true => picture.clone(),
                false => read(&format!("resize.{name}.{h}x{w}.png")),
            };
            assert_eq!(expected.size(), size);
            assert!(resized(&picture, Channels::Rgb) == floats(expected.rgb()), "{name} {h}×{w}");
            // One channel is resized as each of three.
            let gray = picture.resize(picture.size(), how, Channels::Gray).unwrap();
            let bytes = gray.values().iter().flat_map(|&x| [x as u8; 3]).collect();
            let gray = Picture::new(picture.size(), bytes).unwrap();
            let (one, three) = (resized(&gray, Channels::Gray), resized(&gray, Channels::Rgb));
            assert!(three.chunks(3).zip(one).all(|(three, one)| three == [one; 3]));
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|&x| f32::from(x)).collect()
}

#[test]
fn makes_gray_as_pillow_does() {
    let gray = read("gray.png");
    let picture = read("resize.png");
    let pixels = picture.resize(picture.size(), Resize::Nearest, Channels::Gray).unwrap();
    assert_eq!(pixels.channels(), Channels::Gray);
    assert!(gray.rgb().chunks(3).all(|pixel| pixel == [pixel[0]; 3]));
    assert!(floats(gray.rgb()).chunks(3).map(|pixel| pixel[0]).eq(pixels.values().iter().copied()));
}

/// As in `images/make_tensorflow.py`.
const TENSORFLOW_CASES: [([usize; 2], [usize; 2]); 12] = [
    ([1, 1], [1, 1]),
    ([1, 1], [2, 3]),
    ([5, 7], [1, 1]),
    ([5, 7], [2, 3]),
    ([5, 7], [5, 7]),
    ([5, 7], [5, 3]),
    ([5, 7], [9, 8]),
    ([5, 7], [10, 14]),
    ([5, 7], [3, 15]),
    ([2, 3], [7, 1]),
    ([31, 43], [4, 6]),
    ([31, 43], [11, 9]),
];

#[test]
fn resizes_as_tensorflow_does() {
    let whole = read("resize.png");
    let expected = npy::read(&images().join("tensorflow.npy")).unwrap().data;
    let mut expected = expected.as_slice();
    for ([height, width], size) in TENSORFLOW_CASES {
        let rows = whole.rgb().chunks(whole.size()[1] * 3).take(height);
        let rgb = rows.flat_map(|row| row[..width * 3].to_vec()).collect();
        let picture = Picture::new([height, width], rgb).unwrap();
        for how in [Resize::TfNearest, Resize::TfBilinear, Resize::TfBicubic] {
            let pixels = picture.resize(size, how, Channels::Rgb).unwrap();
            let (these, rest) = expected.split_at(pixels.values().len());
            expected = rest;
            assert!(pixels.values() == these, "{height}×{width} to {size:?}");
        }
    }
    assert!(expected.is_empty());
}

#[test]
fn refuses_impossible_sizes() {
    let picture = Picture::new([1, 1], vec![0; 3]).unwrap();
    for size in [[0, 7], [7, 0], [1 << 14, (1 << 13) + 1], [usize::MAX, 2], [usize::MAX, 1]] {
        let error = picture.resize(size, Resize::Bilinear, Channels::Rgb).unwrap_err().to_string();
        assert!(error.contains(&format!("{}×{}", size[0], size[1])), "{error}");
    }
    assert!(Picture::new([1, 2], vec![0; 5]).is_err());
    assert!(Picture::new([0, 2], vec![]).is_err());
    assert!(Picture::new([usize::MAX, 2], vec![0; 6]).is_err());
}

/// As in `images/make_tensorflow.py`.
const PIXELS: [u8; 9] = [0, 1, 127, 128, 254, 255, 51, 102, 204];

fn preprocessed(preprocess: &Preprocess, channels: Channels) -> sepconv::Result<Vec<f32>> {
    let picture = Picture::new([1, 3], PIXELS.to_vec()).unwrap();
    preprocess.apply(picture.resize([1, 3], Resize::Nearest, channels).unwrap())
}

#[test]
fn preprocesses_as_keras_does() {
    let expected = npy::read(&images().join("preprocess.npy")).unwrap().data;
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let modes = [Scaling::Tf, Scaling::Torch, Scaling::Caffe];
    for (mode, expected) in modes.into_iter().zip(expected.chunks(PIXELS.len())) {
        let values = preprocessed(&Preprocess::new(mode), Channels::Rgb).unwrap();
        assert_eq!(bits(&values), bits(expected), "{}", mode.name());
    }
    let unit: Vec<f32> = PIXELS.iter().map(|&x| f32::from(x) / 255.0).collect();
    assert_eq!(preprocessed(&Preprocess::new(Scaling::Unit), Channels::Rgb).unwrap(), unit);
    let none = preprocessed(&Preprocess::new(Scaling::None), Channels::Rgb).unwrap();
    assert_eq!(none, floats(&PIXELS));

    // What `torch` has for its own, given by hand.
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let by_hand = Preprocess::normalized(Scaling::Unit, &mean, &std).unwrap();
    let torch = preprocessed(&Preprocess::new(Scaling::Torch), Channels::Rgb).unwrap();
    assert_eq!(preprocessed(&by_hand, Channels::Rgb).unwrap(), torch);
}

#[test]
fn preprocesses_one_channel() {
    let gray = [15.0, 216.0, 98.0];
    for (preprocess, f) in [
        (Preprocess::new(Scaling::Tf), (|x| x / 127.5 - 1.0) as fn(f32) -> f32),
        (Preprocess::new(Scaling::Unit), |x| x / 255.0),
        (Preprocess::new(Scaling::None), |x| x),
        (Preprocess::normalized(Scaling::Unit, &[0.5], &[0.25]).unwrap(), |x| {
            (x / 255.0 - 0.5) / 0.25
        }),
        (Preprocess::normalized(Scaling::None, &[128.0], &[]).unwrap(), |x| x - 128.0),
        (Preprocess::normalized(Scaling::None, &[], &[64.0]).unwrap(), |x| x / 64.0),
    ] {
        let values = preprocessed(&preprocess, Channels::Gray).unwrap();
        assert_eq!(values, gray.map(f), "{preprocess}");
    }
    for (preprocess, part) in [
        (Preprocess::new(Scaling::Torch), "torch"),
        (Preprocess::new(Scaling::Caffe), "caffe"),
        (Preprocess::normalized(Scaling::Unit, &[0.5; 3], &[]).unwrap(), "3 means"),
        (Preprocess::normalized(Scaling::None, &[], &[2.0; 3]).unwrap(), "3 standard deviations"),
    ] {
        let error = preprocessed(&preprocess, Channels::Gray).unwrap_err().to_string();
        assert!(error.contains(part) && preprocess.check(Channels::Rgb).is_ok(), "{error}");
    }
}

#[test]
fn refuses_impossible_means_and_deviations() {
    let cases: [(Scaling, &[f32], &[f32], &str); 8] = [
        (Scaling::Unit, &[0.5], &[0.0], "above 0, got 0"),
        (Scaling::Unit, &[0.5], &[0.5, -0.25, 0.5], "got -0.25"),
        (Scaling::Unit, &[], &[f32::INFINITY], "got inf"),
        (Scaling::None, &[f32::NAN], &[], "mean must be finite, got NaN"),
        (Scaling::None, &[0.5; 2], &[], "expected 1 or 3 means, got 2"),
        (Scaling::None, &[], &[0.5; 4], "standard deviations, got 4"),
        (Scaling::Tf, &[0.5], &[], "mode tf has"),
        (Scaling::Caffe, &[], &[0.5], "mode caffe has"),
    ];
    for (mode, mean, std, part) in cases {
        let error = Preprocess::normalized(mode, mean, std).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

fn decode(bytes: &[u8]) -> sepconv::Result<Decoded> {
    Picture::decode(Path::new("a picture"), bytes)
}

const SOURCES: [&str; 10] = [
    "jpeg-420.jpg",
    "jpeg-422-progressive.jpg",
    "jpeg-444.jpg",
    "jpeg-gray.jpg",
    "jpeg-cmyk.jpg",
    "jpeg-fine-chroma.jpg",
    "png-rgba.png",
    "png-turned.png",
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

#[test]
fn takes_files_that_lack_only_their_end() {
    for name in SOURCES {
        let bytes = std::fs::read(images().join(name)).unwrap();
        let end = if name.ends_with("png") { 12 } else { 2 };
        let cut = decode(&bytes[..bytes.len() - end]);
        let several_scans = ["jpeg-422-progressive.jpg", "jpeg-fine-chroma.jpg"].contains(&name);
        if several_scans {
            let error = cut.unwrap_err().to_string();
            assert!(error.ends_with("cut short: its data ends before the picture does"), "{error}");
        } else {
            let cut = cut.unwrap();
            assert!(cut.picture == read(name) && cut.warning.is_some(), "{name}");
        }
    }
}

#[test]
fn names_formats_that_are_not_read() {
    let cases: [(&[u8], &str); 14] = [
        (b"BM\x8e\x20\0\0", "a BMP file"),
        (b"GIF89a\x3d\0", "a GIF file"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP file"),
        (b"II*\0\x08\0", "a TIFF file"),
        (b"MM\0*\0\0", "a TIFF file"),
        (b"\0\0\0\x20ftypavif\0", "an AVIF file"),
        (b"\0\0\0\x20ftypheic\0", "a HEIC file"),
        (b"\0\0\0\x20ftypmif1\0", "a HEIC file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 file"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b"RIFF\x24\0\0\0WAVE", "one that begins with the bytes 52 49 46 46"),
        (b"\x01\xab", "one that begins with the bytes 01 ab"),
    ];
    for (bytes, part) in cases {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(error.ends_with(&format!("expected a JPEG or PNG file, got {part}")), "{error}");
    }
}

/// No message shows types or values as Rust writes them.
#[test]
fn complains_in_plain_words() {
    let mut checksum = std::fs::read(images().join("png-gray.png")).unwrap();
    checksum[29] ^= 1;
    let mut sampling = std::fs::read(images().join("jpeg-cmyk.jpg")).unwrap();
    let frame = sampling.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    sampling[frame + 11] = 0x12;
    for (bytes, part) in [
        (checksum, "while decoding IHDR chunk"),
        (sampling, "CMYK with sampling factors 1×2, 1×1, 1×1, 1×1"),
    ] {
        let error = decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains(['{', '[', '"']), "{error}");
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
        if let Ok(decoded) = decode(&bytes) {
            let _ = decoded.picture.upright(decoded.orientation);
        }
    }

    #[test]
    /// Any EXIF data gives an orientation; the picture is the same.
    fn survives_corrupt_exif(
        swapped in any::<bool>(),
        length in 0..39_usize,
        changes in prop::collection::vec((0..38_usize, any::<u8>()), 0..6),
    ) {
        let mut data = match swapped {
            false => exif(b"II", little, 3, &[6, 0, 0, 0]),
            true => exif(b"MM", big, 3, &[0, 6, 0, 0]),
        };
        for (at, value) in changes {
            data[at] = value;
        }
        data.truncate(length);
        let decoded = decode(&jpeg_with_exif(&data)).unwrap();
        prop_assert!(decoded.picture == read("jpeg-444.rgb.png"));
        prop_assert!(decode(&png_with_exif(&data, true)).is_ok());
    }
}

/// The middle of the picture, which was resized by its shorter side; half a pixel is rounded to
/// even, as in torchvision.
#[test]
fn crops_are_the_middle_of_the_resized_picture() {
    let rgb: Vec<u8> = (0..9 * 14 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let picture = Picture::new([9, 14], rgb).unwrap();
    // The whole picture, the crop, and its first row and column.
    for (share, squash, size, whole, first) in [
        (1.0, false, [9, 9], [9, 14], [0, 2]),
        (0.75, false, [6, 6], [8, 12], [1, 3]),
        (0.8, true, [4, 4], [5, 5], [0, 0]),
        (0.5, true, [3, 5], [6, 10], [2, 2]),
    ] {
        let crop = Crop { share, squash };
        for channels in [Channels::Gray, Channels::Rgb] {
            let all = picture.resize(whole, Resize::Bicubic, channels).unwrap();
            let middle = picture.crop(size, crop, Resize::Bicubic, channels).unwrap();
            let count = channels.count();
            let row = |y: usize| &all.values()[((first[0] + y) * whole[1] + first[1]) * count..];
            let expected: Vec<f32> =
                (0..size[0]).flat_map(|y| row(y)[..size[1] * count].to_vec()).collect();
            assert_eq!((middle.size(), middle.values()), (size, &expected[..]), "{crop:?}");
        }
    }
    let refused = |share, size| {
        let crop = Crop { share, squash: false };
        picture.crop(size, crop, Resize::Bicubic, Channels::Rgb).unwrap_err().to_string()
    };
    assert!(refused(0.0, [3, 3]).contains("share above 0 and at most 1, got 0"));
    assert!(refused(1e-300, [3, 3]).contains("pixels, got "));
    assert!(refused(1.0, [0, 3]).contains("got 0×"), "{}", refused(1.0, [0, 3]));
}

#[test]
fn transforms_are_what_files_say() {
    let picture = read("jpeg-420.jpg");
    let (size, rgb) = ([9, 12], Channels::Rgb);
    let mut metadata = Metadata::default();
    let usual = Transform::of(&metadata).unwrap();
    let expected = picture.resize(size, Resize::Nearest, rgb).unwrap();
    let expected = Preprocess::new(Scaling::Tf).apply(expected).unwrap();
    assert_eq!(usual.apply(&picture, size, rgb).unwrap(), expected);
    assert_eq!(usual.why, "assumed, the file does not say");

    let crop = Crop { share: 0.75, squash: false };
    (metadata.resize, metadata.crop) = (Some(Resize::Bicubic), Some(crop));
    metadata.scaling = Some((Scaling::Unit, "as trained".into()));
    (metadata.mean, metadata.std) = (vec![0.5, 0.25, 0.75], vec![0.5]);
    let transform = Transform::of(&metadata).unwrap();
    let expected = picture.crop(size, crop, Resize::Bicubic, rgb).unwrap();
    let preprocess = Preprocess::normalized(Scaling::Unit, &[0.5, 0.25, 0.75], &[0.5]).unwrap();
    assert_eq!(transform.apply(&picture, size, rgb).unwrap(), preprocess.apply(expected).unwrap());
    assert_eq!(transform.why, "as trained");
    assert!(transform.apply(&picture, size, Channels::Gray).is_err());
    metadata.std = vec![0.0];
    assert!(Transform::of(&metadata).is_err());
}
