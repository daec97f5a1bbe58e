//! The binary from outside: what it prints, what it refuses, what it leaves on disk.
#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sepconv::image::{Channels, Picture, Preprocess, Resize, Scaling};
use sepconv::npy;
use serde_json::Value;
use tempfile::TempDir;

#[cfg(feature = "keras")]
mod common;
#[path = "cli/many_pictures.rs"]
mod many_pictures;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    path.to_str().unwrap().to_owned()
}

/// The binary; by what `SEPCONV_TEST_RUNNER` says where its CPU is an emulated one.
fn binary() -> Command {
    let binary = env!("CARGO_BIN_EXE_sepconv");
    let Ok(runner) = std::env::var("SEPCONV_TEST_RUNNER") else { return Command::new(binary) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words).arg(binary);
    command
}

fn command(args: &[&str]) -> Command {
    let mut command = binary();
    for name in ["SEPCONV_LEVEL", "SEPCONV_AMX", "COLUMNS"] {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// Its output where nothing has to be broken.
fn wide(args: &[&str]) -> String {
    let output = command(args).env("COLUMNS", "500").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// No line has more than so many characters, and nothing is coloured where nobody looks.
#[track_caller]
fn assert_fits(text: &str, columns: usize) {
    let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > columns).collect();
    assert!(long.is_empty() && !text.contains('\x1b'), "{columns}: {long:#?}");
    assert!(text.lines().all(|line| line == line.trim_end()), "spaces at the end: {text}");
}

fn sepconv(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// It fails with one line on stderr that has all of `parts`.
#[track_caller]
fn assert_error(args: &[&str], parts: &[&str]) {
    let output = sepconv(args);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(message.starts_with("error: "), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

fn ok(args: &[&str]) -> Output {
    let output = sepconv(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    output
}

fn temporary(name: &str, bytes: &[u8]) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn model() -> String {
    fixture("model/tiny.keras")
}

#[test]
fn usage_errors() {
    let (weights, image) = (model(), fixture("images/resize.png"));
    let classify = ["classify", "--weights", &weights, &image];
    for extra in [
        ["--threads", "0"],
        ["--threads", "1025"],
        ["--top", "0"],
        ["--size", "0"],
        ["--size", "8193"],
        ["--size", "10x"],
        ["--size", "3x4x5"],
        ["--size", "-1"],
        ["--resize", "lanczos"],
        ["--preprocess", "imagenet"],
        ["--mean", "1,2"],
        ["--mean", "0.5;0.5;0.5"],
        ["--std", ""],
        ["--mean", "--std"],
        ["--crop", "1.5"],
        ["--crop", "half"],
        ["--json", "--columns"],
    ] {
        let output = sepconv(&[&classify[..], &extra[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{extra:?}");
    }
    for args in [
        &[][..],
        &["classify", "--weights", &weights],
        &["classify", &image],
        &["inspect"],
        &["inspect", "--model", "exception"],
        &["inspect", "--model", "mobilenet-wide"],
        &["run", "--weights", &weights],
        &["bench", "--runs", "0"],
        &["bench", "--batch", "0"],
        &["compare", "--runs", "0"],
        &["bench", "--size", "71", "--layer", "dw 1x9x9x8 k3"],
        &["bench", "--batch", "2", "--layer", "dw 1x9x9x8 k3"],
        &["bench", "--input", "x.npy", "--layer", "dw 1x9x9x8 k3"],
        &["bench", "--input", "x.npy", "--size", "71"],
        &["paint"],
    ] {
        assert_eq!(sepconv(args).status.code(), Some(2), "{args:?}");
    }
    for command in
        ["classify", "run", "quantize", "inspect", "bench", "compare", "info", "completions", "man"]
    {
        assert!(stdout(&ok(&[command, "--help"])).contains("Examples:"));
    }
}

#[test]
fn fits_80_columns() {
    let commands =
        ["classify", "run", "quantize", "inspect", "bench", "compare", "info", "demo", "man"];
    for args in commands.map(|command| vec![command, "--help"]).iter().chain([&vec!["--help"]]) {
        let help = stdout(&ok(args));
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty() && !help.contains('\x1b'), "{args:?}: {long:#?}");
    }
    let weights = model();
    let separable = "sep 1x9x9x8 o16 k5x3 s2 d2 m2 p2,3,2,3 relu nchw apart";
    for args in [
        &["info"][..],
        &["inspect", "--model", "xception"],
        &["inspect", "--model", "tf_efficientnet_lite0"],
        &["inspect", "--weights", &weights],
        &["bench", "--model", "mobilenet-0.25", "--size", "64", "--runs", "1"],
        &["bench", "--weights", &weights, "--runs", "1", "--arithmetic", "int8"],
        &["bench", "--runs", "1", "--layer", separable, "--layer", "dw 1x9x9x8 k3"],
        &["compare", "--runs", "1", "--model", "mobilenet-0.25", "--size", "64"],
        &["compare", "--runs", "1", "--layer", separable],
    ] {
        assert_fits(&stdout(&ok(args)), 80);
    }
    // As wide as asked for: nothing is lost, and more stands side by side.
    for args in [&["info"][..], &["inspect", "--model", "xception"]] {
        let [narrow, wide] = ["60", "160"]
            .map(|columns| stdout(&command(args).env("COLUMNS", columns).output().unwrap()));
        assert_fits(&narrow, 60);
        assert!(narrow.lines().count() > wide.lines().count(), "{narrow}{wide}");
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(letters(&narrow), letters(&wide));
    }
    // What is no width is not taken for one.
    let none = command(&["info"]).env("COLUMNS", "wide").output().unwrap();
    assert_fits(&stdout(&none), 80);
}

#[test]
fn classifies_to_text() {
    let (_folder, labels) = temporary("labels.txt", "cup\nfork\r\nspoon\nplate".as_bytes());
    let image = fixture("images/jpeg-420.jpg");
    let model = model();
    let args = ["--weights", &model, "--labels", &labels, "--logits", "--top", "9", &image];
    let args = [&["classify"], &args[..]].concat();
    let text = stdout(&ok(&args));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], image);
    assert_eq!(lines.len(), 1 + 4);
    let percent = |line: &str| -> f64 {
        let words: Vec<_> = line.split_whitespace().collect();
        words[words.len() - 2].parse().unwrap()
    };
    assert!((lines[1..].iter().map(|l| percent(l)).sum::<f64>() - 100.0).abs() < 1e-3);
    assert!(lines[1..].windows(2).all(|l| percent(l[0]) >= percent(l[1])));
    for label in ["cup", "fork", "spoon", "plate"] {
        assert!(text.contains(&format!(" {label} ")), "{text}");
    }
}

#[test]
fn classifies_to_json_and_carries_on_past_bad_pictures() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let jpeg = fs::read(fixture("images/jpeg-420.jpg")).unwrap();
    let png = fs::read(fixture("images/resize.png")).unwrap();
    let bad = [
        ("missing", folder.path().join("no.jpg").to_str().unwrap().to_owned()),
        ("the file is empty", file("empty.jpg", b"")),
        ("expected a JPEG or PNG file", file("text.jpg", b"hello")),
        ("JPEG", file("cut.jpg", &jpeg[..jpeg.len() / 2])),
        ("PNG", file("cut.png", &png[..png.len() / 2])),
        ("65500×65500", file("huge.jpg", &huge_jpeg(&jpeg))),
        ("100000×100000", file("huge.png", &huge_png())),
    ];
    let good = [fixture("images/jpeg-gray.jpg"), fixture("images/png-rgba.png")];
    let (weights, mut args) = (model(), vec!["classify", "--json", "--logits", "--top", "2"]);
    args.extend(["--weights", &weights, &good[0]]);
    args.extend(bad.iter().map(|(_, path)| path.as_str()));
    args.push(&good[1]);
    let output = sepconv(&args);
    assert_eq!(output.status.code(), Some(1));

    let errors = stderr(&output);
    assert_eq!(errors.lines().count(), bad.len(), "{errors}");
    for ((what, path), line) in bad.iter().zip(errors.lines()) {
        assert!(line.starts_with(&format!("error: {path}: ")), "{line}");
        assert!(*what == "missing" || line.contains(what), "{line}");
    }
    let text = stdout(&output);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, failed @ .., last] = &rows[..] else { panic!("{text}") };
    assert_eq!(failed.len(), bad.len());
    for (value, ((_, path), line)) in failed.iter().zip(bad.iter().zip(errors.lines())) {
        assert_eq!(value["file"], path.as_str());
        assert_eq!(format!("error: {path}: {}", value["error"].as_str().unwrap()), line);
        assert!(value["logits"].is_null() && value["probabilities"].is_null(), "{value}");
        assert_eq!(value["top"], serde_json::json!([]));
    }
    for (value, path) in [first, last].into_iter().zip(&good) {
        assert_eq!((&value["file"], &value["error"]), (&path.as_str().into(), &Value::Null));
        assert_eq!(value["logits"].as_array().unwrap().len(), 4);
        let top = value["top"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        assert!(top[0]["probability"].as_f64() >= top[1]["probability"].as_f64());
        assert!(top[0]["index"].is_u64() && top[0]["label"].is_null());
    }
}

/// A JPEG whose header claims 65500×65500 pixels.
fn huge_jpeg(jpeg: &[u8]) -> Vec<u8> {
    let mut bytes = jpeg.to_vec();
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let side = 65_500_u16.to_be_bytes();
    bytes[frame + 5..frame + 9].copy_from_slice(&[side, side].concat());
    bytes
}

/// A PNG whose header claims 100000×100000 pixels.
fn huge_png() -> Vec<u8> {
    let side = 100_000_u32.to_be_bytes();
    let header = [b"IHDR", &side[..], &side, &[8, 2, 0, 0, 0]].concat();
    let crc = !header.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    });
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d",
        &header[..],
        &crc.to_be_bytes(),
        b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
    ]
    .concat()
}

#[test]
fn refuses_wrong_labels_and_weights() {
    let (weights, image) = (model(), fixture("images/resize.png"));
    let classify = |labels: &str, parts: &[&str]| {
        assert_error(&["classify", "--weights", &weights, "--labels", labels, &image], parts);
    };
    let (_folder, path) = temporary("labels.txt", b"a\nb\nc\n");
    classify(&path, &["labels.txt", "expected 4 labels, one for each class, got 3"]);
    let forms = "; expected a list of names, or an object of names and class numbers";
    let cases: [(&[u8], &str); 13] = [
        (b"a\nb\n\xff\nc\n", "the file is not valid UTF-8 at byte 4"),
        (b"\xff\xfea\0\n", "the file starts as UTF-16 but is not valid UTF-16"),
        (b"a\n\nc\nd\n", "line 2 is empty: each class needs a name"),
        (b"", "expected 4 labels, one for each class, got 0"),
        (br#"{"0": ["n0", "a"], "2": ["n2", "c"]}"#, "class 1 is missing"),
        (br#"{"0": "#, "the JSON is invalid: EOF while parsing a value at line 1 column 6"),
        (br#"{"a": 0, "b": 1, "c": 1, "d": 2}"#, r#"class 1 has two names, "b" and "c""#),
        (br#"{"a": 0, "b": -1}"#, r#""b" is neither a class's number nor its name"#),
        (br#"{"a": "x"}"#, r#""a" is neither a class's number nor its name"#),
        (br#"{"0": []}"#, forms),
        (br#"["a", 7]"#, "class 1 is not a string"),
        (br#"["a", " ", "c", "d"]"#, "class 1 has no name"),
        (br#"{"a": 99999999999999999999999}"#, forms),
    ];
    for (bytes, part) in cases {
        let (_folder, path) = temporary("labels", bytes);
        classify(&path, &["labels: ", part]);
    }
    classify("/nonexistent/labels", &["/nonexistent/labels"]);
    #[cfg(target_os = "linux")]
    classify("/dev/zero", &["/dev/zero: the file is larger than 16777216 bytes"]);

    assert_error(&["classify", "--weights", "/nonexistent.keras", &image], &["/nonexistent.keras"]);
    assert_error(&["inspect", "--weights", &image], &["resize.png"]);
}

/// A model may say that its input is larger than any picture.
#[test]
fn refuses_a_huge_input_of_a_models_own() {
    use std::io::{Cursor, Read, Write};
    use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

    let mut tiny = ZipArchive::new(fs::File::open(model()).unwrap()).unwrap();
    let mut huge = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["config.json", "model.weights.h5"] {
        let mut data = Vec::new();
        tiny.by_name(name).unwrap().read_to_end(&mut data).unwrap();
        if name == "config.json" {
            let text = String::from_utf8(data).unwrap();
            let (from, to) = ("[null, 8, 10, 3]", "[null, 800000, 10, 3]");
            assert!(text.contains(from));
            data = text.replace(from, to).into_bytes();
        }
        huge.start_file(name, SimpleFileOptions::default()).unwrap();
        huge.write_all(&data).unwrap();
    }
    let (_folder, weights) = temporary("huge.keras", &huge.finish().unwrap().into_inner());
    let image = fixture("images/resize.png");
    for args in [
        &["classify", "--weights", &weights, &image][..],
        &["inspect", "--weights", &weights],
        &["bench", "--weights", &weights, "--runs", "1"],
    ] {
        assert_error(args, &["800000×10", "8192", "--size"]);
    }
    ok(&["classify", "--weights", &weights, "--size", "8x10", &image]);
}

/// The labels of classes 0 to 3, as the binary reads them.
fn labels(bytes: &[u8]) -> Vec<String> {
    let (_folder, labels) = temporary("labels", bytes);
    let image = fixture("images/resize.png");
    let args = ["classify", "--weights", &model(), "--labels", &labels, "--json", &image];
    let value: Value = serde_json::from_str(&stdout(&ok(&args))).unwrap();
    let mut names = vec![String::new(); 4];
    for class in value["top"].as_array().unwrap() {
        names[class["index"].as_u64().unwrap() as usize] = class["label"].as_str().unwrap().into();
    }
    names
}

#[test]
fn reads_labels_as_people_have_them() {
    let utf16 = |units: fn(u16) -> [u8; 2]| {
        "\u{feff}cat\r\ndog\r\nred bird\r\nfish\r\n".encode_utf16().flat_map(units).collect()
    };
    let cases: [Vec<u8>; 14] = [
        b"cat\ndog\nred bird\nfish\n".into(),
        b"cat\ndog\nred bird\nfish".into(),
        b"cat\r\ndog\r\n red bird \r\nfish\r\n".into(),
        b"cat\ndog\nred bird\nfish\n\n \n".into(),
        b"\xef\xbb\xbfcat\ndog\nred bird\nfish\n".into(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        b"0 cat\n1 dog\n2 red bird\n3 fish\n".into(),
        b"0: cat\n2: red bird\n1: dog\n3: fish\n".into(),
        br#"{"cat": 0, "dog": 1, "red bird": 2, "fish": 3}"#.into(),
        br#"{"0": "cat", "1": "dog", "2": "red bird", "3": "fish"}"#.into(),
        br#"{"0": ["n0", "cat"], "1": ["n1", "dog"], "3": ["n3", "fish"], "2": ["n2", "red bird"]}"#
            .into(),
        b"[\"cat\", \"dog\", \"red bird\", \"fish\"]\n".into(),
        b"\xef\xbb\xbf\n[\"cat\", \"dog\", \"red bird\", \"fish\"]".into(),
    ];
    for case in cases {
        let text = String::from_utf8_lossy(&case).into_owned();
        assert_eq!(labels(&case), ["cat", "dog", "red bird", "fish"], "{text}");
    }
    // Numbers of another list stay with the names.
    assert_eq!(labels(b"1 cat\n2 dog\n3 bird\n4 fish\n")[0], "1 cat");
    assert_eq!(labels(b"0 cat\n1 dog\n2 bird\nfish\n")[0], "0 cat");
    // Classes may be numbers.
    assert_eq!(labels(br#"{"3": 0, "5": 1, "7": 2, "9": 3}"#), ["3", "5", "7", "9"]);
    assert_eq!(labels(b"7\n8\n9\n10\n"), ["7", "8", "9", "10"]);
}

/// The logits of one picture.
fn logits(options: &[&str], image: &str) -> Vec<f32> {
    let weights = model();
    let args =
        [&["classify", "--weights", &weights, "--json", "--logits"], options, &[image]].concat();
    let value: Value = serde_json::from_str(&stdout(&ok(&args))).unwrap();
    value["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// What `run` makes of the picture as the library prepares it.
fn logits_of_tensor(tensor: &[f32]) -> Vec<f32> {
    let mut bytes = Vec::new();
    npy::write(&mut bytes, &[1, 8, 10, 3], tensor).unwrap();
    let (folder, x) = temporary("x.npy", &bytes);
    let y = folder.path().join("y.npy");
    ok(&["run", "--weights", &model(), "--input", &x, "--output", y.to_str().unwrap()]);
    npy::read(&y).unwrap().data
}

#[test]
fn prepares_pictures_as_asked() {
    let image = fixture("images/png-turned.png");
    let decoded = Picture::read(Path::new(&image)).unwrap();
    let upright = decoded.picture.clone().upright(decoded.orientation);
    let unit =
        |mean: &[f32], std: &[f32]| Preprocess::normalized(Scaling::Unit, mean, std).unwrap();
    let none =
        |mean: &[f32], std: &[f32]| Preprocess::normalized(Scaling::None, mean, std).unwrap();
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let (tf, nearest) = (Preprocess::new(Scaling::Tf), Resize::Nearest);
    let cases = [
        ("", &decoded.picture, nearest, tf.clone()),
        ("--apply-orientation", &upright, nearest, tf.clone()),
        ("--resize bilinear", &decoded.picture, Resize::Bilinear, tf.clone()),
        ("--resize bicubic", &decoded.picture, Resize::Bicubic, tf.clone()),
        ("--resize tf-nearest", &decoded.picture, Resize::TfNearest, tf.clone()),
        ("--resize tf-bilinear", &decoded.picture, Resize::TfBilinear, tf.clone()),
        ("--resize tf-bicubic", &decoded.picture, Resize::TfBicubic, tf.clone()),
        ("--preprocess tf", &decoded.picture, nearest, tf),
        ("--preprocess torch", &decoded.picture, nearest, Preprocess::new(Scaling::Torch)),
        ("--preprocess caffe", &decoded.picture, nearest, Preprocess::new(Scaling::Caffe)),
        ("--preprocess unit", &decoded.picture, nearest, unit(&[], &[])),
        ("--preprocess none", &decoded.picture, nearest, none(&[], &[])),
        (
            "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
            &decoded.picture,
            nearest,
            unit(&mean, &std),
        ),
        ("--mean -0.5,0,1", &decoded.picture, nearest, unit(&[-0.5, 0.0, 1.0], &[])),
        (
            "--preprocess none --mean 1,2,3 --std 64",
            &decoded.picture,
            nearest,
            none(&[1.0, 2.0, 3.0], &[64.0]),
        ),
    ];
    let mut all = Vec::new();
    for (options, picture, how, preprocess) in cases {
        let words: Vec<&str> = options.split_whitespace().collect();
        let pixels = picture.resize([8, 10], how, Channels::Rgb).unwrap();
        let expected = logits_of_tensor(&preprocess.apply(pixels).unwrap());
        let found = logits(&words, &image);
        assert_eq!(found, expected, "{options}");
        all.push(found);
    }
    // Each option does something, but for the default said aloud, TensorFlow's nearest at this
    // size, and means and deviations as `torch` has them.
    let same = |i: usize, j: usize| [(0, 4), (0, 7), (4, 7), (8, 12)].contains(&(i, j));
    for j in 0..all.len() {
        for i in 0..j {
            assert_eq!(all[i] == all[j], same(i, j), "{i} and {j}");
        }
    }
}

#[test]
fn refuses_impossible_preprocessing() {
    let (weights, image) = (model(), fixture("images/resize.png"));
    for (options, parts) in [
        (&["--preprocess", "tf", "--mean", "0.5"][..], &["mode tf has"][..]),
        (&["--std", "0"], &["above 0, got 0"]),
        (&["--std", "1,-1,1"], &["above 0, got -1"]),
        (&["--mean", "nan"], &["mean must be finite, got NaN"]),
    ] {
        let args = [&["classify", "--weights", &weights][..], options, &[&image]].concat();
        assert_error(&args, parts);
    }
}

#[test]
fn warns_of_damaged_pictures() {
    let (cut, whole) = (fixture("images/png-rgba-no-end.png"), fixture("images/png-rgba.png"));
    let output = ok(&["classify", "--weights", &model(), "--json", &cut, &whole]);
    let warning = format!("warning: {cut}: the PNG is cut short: its last chunk is missing\n");
    assert_eq!(stderr(&output), warning);
    let text = stdout(&output);
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let logits: Vec<Value> = values.map(|value| value["logits"].clone()).collect();
    assert_eq!(logits[0], logits[1]);
}

#[test]
fn explains_resizing() {
    let help = stdout(&ok(&["classify", "--help"]));
    for part in [
        "the default of Keras's load_img",
        "torchvision, timm",
        "image_dataset_from_directory",
        "tf.image.resize with",
        "EXIF",
    ] {
        assert!(help.contains(part), "{part:?} is not in {help}");
    }
}

#[test]
fn runs_as_keras_does() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (weights, x) = (model(), fixture("model/x.npy"));
    let mut bits = Vec::new();
    for threads in ["1", "2", "3"] {
        ok(&[
            "run",
            "--weights",
            &weights,
            "--input",
            &x,
            "--output",
            &path("y.npy"),
            "--output",
            &format!("separable_act={}", path("f.npy")),
            "--output",
            &format!("average={}", path("a.npy")),
            "--threads",
            threads,
        ]);
        let read = |name: &str| npy::read(Path::new(&path(name))).unwrap();
        let (y, f, a) = (read("y.npy"), read("f.npy"), read("a.npy"));
        assert_eq!(y.shape, [9, 4]);
        assert_eq!(f.shape, [9, 8, 10, 8]);
        assert_eq!(a.shape, [9, 8]);
        let close = |name: &str, data: &[f32]| {
            let expected = npy::read(Path::new(&fixture(name))).unwrap().data;
            let pairs = expected.iter().zip(data);
            assert!(pairs.fold(0.0_f32, |m, (e, d)| m.max((e - d).abs())) < 1e-6, "{name}");
        };
        close("model/logits.npy", &y.data);
        close("model/features.npy", &f.data);
        bits.push([y, f, a].map(|t| t.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>()));
    }
    assert!(bits.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A file of 8-bit integers is made of pictures and arrays, and read by all commands.
#[test]
fn quantizes_for_all_commands() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(folder.path().join("photos/inner")).unwrap();
    fs::copy(fixture("images/jpeg-420.jpg"), path("photos/inner/a.JPG")).unwrap();
    fs::copy(fixture("model/x.npy"), path("photos/x.npy")).unwrap();
    fs::write(path("photos/notes.txt"), "no picture").unwrap();
    fs::write(path("labels.txt"), "cup\nfork\nspoon\nplate").unwrap();
    let (weights, made) = (model(), path("tiny.safetensors"));
    let (photos, picture, labels) =
        (path("photos"), fixture("images/png-rgba.png"), path("labels.txt"));
    let quantize = ["quantize", "--weights", &weights, "--output", &made, "--labels", &labels];
    let more = ["--resize", "bilinear", "--mean", "0.5", "--std", "0.25", "--calibrate", &photos];
    let args = [&quantize[..], &more, &[&picture, "--json"]].concat();
    let keys = ["file", "bytes", "range", "inputs", "size", "layers", "outputs"];
    let report = assert_keys(&stdout(&ok(&args)), &keys);
    assert_eq!((&report["inputs"], &report["size"]), (&11.into(), &serde_json::json!([8, 10])));
    assert_eq!(report["bytes"].as_u64().unwrap(), fs::metadata(&made).unwrap().len());
    assert!(report["outputs"]["correlation"].as_f64().unwrap() > 0.999, "{report}");
    assert!(report["outputs"]["same_first"].as_u64().unwrap() >= 10, "{report}");
    let layers: Vec<&Value> = report["layers"].as_array().unwrap().iter().collect();
    assert_eq!(layers[0]["layer"], "separable_act");
    assert!(layers.iter().all(|l| l["own_db"].as_f64().unwrap() > 25.0), "{report}");

    // As a table, and with a layer in f32, in place of the file.
    let text = stdout(&ok(&[&quantize[..], &more, &["--keep", "separable"]].concat()));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80 || line.ends_with(" bytes")),
        "{text}"
    );
    for part in ["own dB", "separable_act", "f32", "correlation", "first classes the same"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    ok(&args);

    let line = stdout(&ok(&["classify", "--weights", &made, "--json", "--logits", &picture]));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["preprocess"]["formula"], "(x / 255 − 0.5) / 0.25");
    assert_eq!(value["preprocess"]["why"], "as requested");
    let options = ["--resize", "bilinear", "--mean", "0.5", "--std", "0.25"];
    let exact = logits(&options, &picture);
    let rounded = value["logits"].as_array().unwrap().iter();
    let rounded: Vec<f32> = rounded.map(|x| x.as_f64().unwrap() as f32).collect();
    let largest = exact.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for (a, b) in exact.iter().zip(&rounded) {
        assert!((a - b).abs() < largest * 0.05, "{exact:?} {rounded:?}");
    }
    let names: Vec<&str> =
        value["top"].as_array().unwrap().iter().map(|top| top["label"].as_str().unwrap()).collect();
    assert!(["cup", "fork", "spoon", "plate"].iter().all(|name| names.contains(name)), "{names:?}");

    let (x, y) = (fixture("model/x.npy"), path("y.npy"));
    ok(&["run", "--weights", &made, "--input", &x, "--output", &y]);
    assert_eq!(npy::read(Path::new(&y)).unwrap().shape, [9, 4]);
    let text = stdout(&ok(&["inspect", "--weights", &made]));
    for part in ["input scale", "zero point", "weights", "int8"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let line = stdout(&ok(&["inspect", "--weights", &made, "--json"]));
    let report: Value = serde_json::from_str(&line).unwrap();
    assert!(report["input_scale"].as_f64().unwrap() > 0.0, "{report}");
    let step = &report["steps"].as_array().unwrap()[1];
    assert!(step["scale"].is_number() && step["zero_point"] == 0, "{step}");
    assert_eq!(step["weights"][0]["tensor"], "separable/depthwise/depthwise_kernel");
    assert_eq!(step["weights"][1]["tensor"], "separable/kernel");
    let bench = ["bench", "--weights", &made, "--runs", "1", "--json"];
    let report: Value = serde_json::from_str(&stdout(&ok(&bench))).unwrap();
    assert_eq!((&report["arithmetic"], &report["weights_type"]), (&"int8".into(), &"i8".into()));

    // Nothing was written where something was wrong.
    let other = path("other.safetensors");
    let base = ["quantize", "--weights", &weights, "--output", &other, "--calibrate"];
    let wrong = |more: &[&str], parts: &[&str]| {
        assert_error(&[&base[..], more].concat(), parts);
        assert!(!Path::new(&other).exists());
    };
    fs::create_dir(folder.path().join("empty")).unwrap();
    wrong(&[&path("empty")], &["empty", ".jpg"]);
    wrong(&[&path("missing.jpg")], &["missing.jpg"]);
    wrong(&[&path("photos/notes.txt")], &["notes.txt"]);
    wrong(&[&fixture("model/logits.npy")], &["N×8×10×3", "[9, 4]"]);
    wrong(&[&picture, "--keep", "nowhere"], &["nowhere"]);
    wrong(&[&picture, "--range", "percentile", "--percentile", "0"], &["percentile", "got 0"]);
    wrong(&[&picture, "--labels", &weights], &["tiny.keras"]);
    let twice = ["quantize", "--weights", &made, "--output", &other, "--calibrate", &picture];
    assert_error(&twice, &["quantized already"]);
    let bf16 = ["classify", "--weights", &made, "--arithmetic", "bf16", &picture];
    assert_error(&bf16, &["expected f32, got bf16", "quantized"]);
}

/// Every command with every kind of file that has an architecture.
#[test]
fn all_commands_read_all_kinds_of_files() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let unpack = |archive: &str| {
        let file = fs::File::open(fixture(archive)).unwrap();
        zip::ZipArchive::new(file).unwrap().extract(folder.path()).unwrap();
    };
    unpack("keras/fixtures/tflite.zip");
    unpack("keras/fixtures/tfjs.zip");
    let (picture, made) = (fixture("images/png-rgba.png"), path("made.safetensors"));
    ok(&["quantize", "--weights", &model(), "--calibrate", &picture, "--output", &made]);
    let (described, again) = (path("described.tflite"), path("described.safetensors"));
    assert_error(
        &["quantize", "--weights", &described, "--calibrate", &picture, "--output", &again],
        &["quantized already"],
    );
    let float = path("float.safetensors");
    let every = path("every.tflite");
    ok(&["quantize", "--weights", &every, "--calibrate", &picture, "--output", &float]);
    let kinds = [
        (model(), [8, 10], "f32"),
        (made, [8, 10], "u8"),
        (every, [17, 14], "f32"),
        (path("every_int8.tflite"), [17, 14], "u8"),
        (float, [17, 14], "u8"),
        (described.clone(), [17, 14], "u8"),
        (path("uint8/model.json"), [12, 10], "f32"),
        (path("module/model.min.js"), [12, 10], "f32"),
    ];
    for (file, [height, width], values) in kinds {
        let line = stdout(&ok(&["classify", "--weights", &file, "--json", &picture]));
        let report: Value = serde_json::from_str(&line).unwrap();
        assert!(report["top"][0]["index"].is_number(), "{file}: {report}");
        let (x_file, y) = (path("x.npy"), path("y.npy"));
        let x = vec![0.25; height * width * 3];
        npy::write(fs::File::create(&x_file).unwrap(), &[1, height, width, 3], &x).unwrap();
        ok(&["run", "--weights", &file, "--input", &x_file, "--output", &y]);
        let y = npy::read(Path::new(&y)).unwrap();
        assert!(y.data.len() > 1 && y.data.iter().all(|y| y.is_finite()), "{file}");
        let line = stdout(&ok(&["inspect", "--weights", &file, "--json"]));
        let report: Value = serde_json::from_str(&line).unwrap();
        let mut steps = report["steps"].as_array().unwrap().iter();
        assert_eq!(steps.any(|s| s["scale"].is_number()), values == "u8", "{file}: {report}");
        let line = stdout(&ok(&["bench", "--weights", &file, "--runs", "1", "--json"]));
        let report: Value = serde_json::from_str(&line).unwrap();
        assert!(report["weights_bytes"].as_u64().unwrap() > 0, "{file}: {report}");
        let line = stdout(&ok(&["compare", "--weights", &file, "--runs", "1", "--json"]));
        let report: Value = serde_json::from_str(&line).unwrap();
        assert!(!report["layers"].as_array().unwrap().is_empty(), "{file}: {report}");
        assert_eq!(report["networks"].as_array().unwrap().len(), 1, "{file}: {report}");
    }
    let output = ok(&["classify", "--weights", &described, "--json", &picture]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(report["top"][0]["label"].as_str().unwrap().starts_with("class "), "{report}");
    assert_eq!(report["preprocess"]["why"], "as the file's metadata says");
    let size = sepconv(&["compare", "--size", "64"]);
    assert_eq!(size.status.code(), Some(2));
}

#[test]
fn stores_in_16_bits_on_request() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (weights, x, y) = (model(), fixture("model/x.npy"), path("y.npy"));
    let run = ["run", "--weights", &weights, "--input", &x, "--output", &y];
    let expected = npy::read(Path::new(&fixture("model/logits.npy"))).unwrap().data;
    for (options, bound) in [
        (["--weights-type", "f16"], 2e-3),
        (["--activations-type", "f16"], 2e-3),
        (["--weights-type", "bf16"], 2e-2),
        (["--activations-type", "bf16"], 2e-2),
        (["--arithmetic", "bf16"], 2e-2),
    ] {
        ok(&[&run[..], &options].concat());
        let got = npy::read(Path::new(&y)).unwrap().data;
        let worst = expected.iter().zip(&got).fold(0.0_f32, |m, (e, g)| m.max((e - g).abs()));
        assert!(worst > 0.0 && worst < bound, "{options:?}: {worst}");
    }
    let refused = sepconv(&[&run[..], &["--weights-type", "f64"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("f32, f16, bf16"));
}

/// An npy file of version 1 with this header and as many zero bytes of data.
fn npy(header: &str, data_bytes: usize) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &vec![0; data_bytes]].concat()
}

fn header(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

#[test]
fn refuses_bad_arrays() {
    let f4 = |shape: &str| header("'<f4'", "False", shape);
    let mut wrong_version = npy(&f4("(1, 8, 10, 3)"), 960);
    wrong_version[6] = 9;
    let long_header = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{}"].concat();
    let cases: [(Vec<u8>, &[&str]); 22] = [
        (vec![], &["not an npy file", "cut off"]),
        (b"hello, world".to_vec(), &["not an npy file"]),
        (npy(&f4("(1, 8, 10, 3)"), 0)[..30].to_vec(), &["cut off"]),
        (wrong_version, &["version 1, 2 or 3, got 9"]),
        (long_header, &["4294967295", "10000"]),
        (npy(&header("'<f8'", "False", "(1, 8, 10, 3)"), 1920), &["\"<f8\"", "float32"]),
        (npy(&header("'>f4'", "False", "(1, 8, 10, 3)"), 960), &["\">f4\""]),
        (npy(&header("'|u1'", "False", "(1, 8, 10, 3)"), 240), &["\"|u1\""]),
        (
            npy(&header("[('a', '<f4')]", "False", "(1, 8, 10, 3)"), 960),
            &["does not describe a plain array"],
        ),
        (npy(&header("'<f4'", "True", "(1, 8, 10, 3)"), 960), &["Fortran order"]),
        (npy(&header("'<f4'", "0", "(1, 8, 10, 3)"), 960), &["does not describe a plain array"]),
        (npy(&f4("(1, 8, -10, 3)"), 960), &["does not describe a plain array"]),
        (npy(&f4(&"(".repeat(9000)), 960), &["does not describe a plain array"]),
        (npy("{'descr': '<f4'}", 960), &["does not describe a plain array"]),
        (npy(&f4("(1, 8, 10, 3)"), 959), &["[1, 8, 10, 3]", "959 bytes"]),
        (npy(&f4("(1, 8, 10, 3)"), 961), &["961 bytes"]),
        (npy(&f4("(1000000, 1000, 1000, 3)"), 960), &["[1000000, 1000, 1000, 3]", "960 bytes"]),
        (npy(&f4("(4294967296, 4294967296, 4294967296, 3)"), 960), &["4294967296", "960 bytes"]),
        (npy(&f4("(10, 3)"), 120), &["[10, 3]", "N×H×W×C, N×L×C or N×T×H×W×C"]),
        (npy(&f4("(8, 10, 3)"), 960), &["[8, 10, 3]", "N×H×W×3"]),
        (npy(&f4("(1, 8, 10, 4)"), 1280), &["[1, 8, 10, 4]", "N×H×W×3"]),
        (npy(&f4("(0, 8, 10, 3)"), 0), &["[0, 8, 10, 3]", "at least 1"]),
    ];
    let weights = model();
    for (bytes, parts) in cases {
        let (folder, input) = temporary("bad-x.npy", &bytes);
        let y = folder.path().join("y.npy");
        let parts = [&["bad-x.npy"], parts].concat();
        assert_error(
            &["run", "--weights", &weights, "--input", &input, "--output", y.to_str().unwrap()],
            &parts,
        );
        assert!(!y.exists());
    }
    let missing =
        ["run", "--weights", &weights, "--input", "/nonexistent.npy", "--output", "y.npy"];
    assert_error(&missing, &["/nonexistent.npy"]);
}

#[test]
fn leaves_all_outputs_or_none() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("old.npy"), "old").unwrap();
    let (weights, x) = (model(), fixture("model/x.npy"));
    let (y, f, inside) = (path("y.npy"), path("f.npy"), path("no/f.npy"));
    let run = |output: &str, more: &[&str], parts: &[&str]| {
        let args = ["run", "--weights", &weights, "--input", &x, "--output", output];
        assert_error(&[&args[..], more].concat(), parts);
        let mut left: Vec<PathBuf> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, [path("folder"), path("old.npy")].map(PathBuf::from));
        assert_eq!(fs::read(path("old.npy")).unwrap(), b"old");
    };
    let nobody = format!("nobody={f}");
    run(&y, &["--output", &nobody], &["no output or node \"nobody\"", "its outputs: \"classes\""]);
    let average = |file: &str| format!("average={file}");
    run(&y, &["--output", &average(&inside)], &["no/f.npy", "folder doesn't exist"]);
    run(&y, &["--output", &average(&y)], &["two outputs"]);
    let detour = path("folder/../y.npy");
    run(&y, &["--output", &average(&detour)], &["folder/../y.npy", "two outputs"]);
    run(&path("folder"), &[], &["folder", "expected a regular file"]);
    run(&path("old.npy"), &["--output", &nobody], &["\"nobody\""]);

    // A success replaces what was there, by a file as readable as any other.
    ok(&["run", "--weights", &weights, "--input", &x, "--output", &path("old.npy")]);
    assert_eq!(npy::read(Path::new(&path("old.npy"))).unwrap().shape, [9, 4]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::write(path("plain"), "").unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode();
        assert_eq!(mode("old.npy"), mode("plain"));
    }
}

/// Output that can't be written is an error, by a full device and by a limit that is reached
/// midway.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let (weights, image) = (model(), fixture("images/resize.png"));
    for args in [
        &["inspect", "--weights", &weights][..],
        &["info"],
        &["classify", "--weights", &weights, &image],
        &["bench", "--runs", "1", "--layer", "dw 1x3x3x4 k3"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("standard output: No space left"), "{}", stderr(&output));
    }

    // 4 blocks of 512 bytes: room for the logits, not for the feature map.
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (y, f) = (path("y.npy"), path("f.npy"));
    fs::write(&y, "old").unwrap();
    let x = fixture("model/x.npy");
    let run = command(&["run", "--weights", &weights, "--input", &x, "--output", &y]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""]);
    limited.arg(run.get_program()).args(run.get_args());
    let features = format!("separable_act={f}");
    limited.args(["--output", &features]).env_remove("SEPCONV_LEVEL");
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("f.npy: File too large"), "{}", stderr(&output));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [PathBuf::from(&y)]);
    assert_eq!(fs::read(&y).unwrap(), b"old");
}

/// Interrupted at any time, while it computes or writes, `run` leaves all outputs or none, and no
/// file under another name.
#[cfg(unix)]
#[test]
fn an_interruption_leaves_all_outputs_or_none() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Instant;

    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (weights, inputs) = (model(), TempDir::new().unwrap());
    let x = inputs.path().join("x.npy").to_str().unwrap().to_owned();
    let side = 700;
    let picture = vec![0.5; side * side * 3];
    npy::write(
        fs::File::create(&x).map(std::io::BufWriter::new).unwrap(),
        &[1, side, side, 3],
        &picture,
    )
    .unwrap();
    let outputs = ["y.npy", "a.npy", "b.npy", "c.npy"].map(path);
    let nodes: Vec<String> =
        outputs[1..].iter().map(|output| format!("separable_act={output}")).collect();
    let mut args = vec!["run", "--weights", &weights, "--input", &x, "--output", &outputs[0]];
    args.extend(nodes.iter().flat_map(|node| ["--output", node]));
    let files = || -> Vec<String> {
        let names = fs::read_dir(folder.path()).unwrap();
        names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    };
    // The first is not interrupted and shows how long it takes.
    let start = Instant::now();
    ok(&args);
    let time = start.elapsed();
    let whole = outputs.each_ref().map(|output| fs::metadata(output).unwrap().len());

    let (mut computing, mut writing) = (0, 0);
    for round in 0..16 {
        for output in &outputs {
            let _ = fs::remove_file(output);
        }
        let child = command(&args).stderr(Stdio::piped()).spawn().unwrap();
        if round % 2 == 0 {
            // While it writes, as soon as a file is there.
            let start = Instant::now();
            while files().is_empty() && start.elapsed() < 20 * time {
                std::thread::yield_now();
            }
        } else {
            std::thread::sleep(time * round / 16);
        }
        let signal = ["-INT", "-TERM", "-HUP"][round as usize / 2 % 3];
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).output().unwrap();
        let output = child.wait_with_output().unwrap();
        let left = files();
        if output.status.success() {
            assert_eq!(left.len(), 4, "{left:?}");
            let lengths = outputs.each_ref().map(|output| fs::metadata(output).unwrap().len());
            assert_eq!(lengths, whole);
            continue;
        }
        assert!(kill.status.success());
        assert!(left.is_empty(), "{signal}, {}: {left:?}", output.status);
        match (output.status.code(), output.status.signal()) {
            (Some(130), None) => writing += 1,
            (None, Some(1 | 2 | 15)) => computing += 1,
            _ => panic!("{signal}: {}, {}", output.status, stderr(&output)),
        }
    }
    println!("interrupted {computing} times while computing, {writing} while writing");
    assert!(computing + writing > 0);
}

#[test]
fn writes_arrays_as_numpy_does() {
    for name in ["model/x.npy", "model/logits.npy"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let array = npy::read(Path::new(&fixture(name))).unwrap();
        let mut written = Vec::new();
        npy::write(&mut written, &array.shape, &array.data).unwrap();
        assert!(written == bytes, "{name}");
    }
    let shapes: [&[usize]; 3] = [&[], &[1], &[1, 1]];
    for shape in shapes {
        let mut written = Vec::new();
        npy::write(&mut written, shape, &[0.5]).unwrap();
        let (_folder, path) = temporary("x.npy", &written);
        let array = npy::read(Path::new(&path)).unwrap();
        assert_eq!((array.shape.as_slice(), array.data.as_slice()), (shape, &[0.5][..]));
    }
    assert!(npy::write(Vec::new(), &[2, 3], &[0.0; 5]).is_err());
}

#[test]
fn inspects_xception() {
    let text = stdout(&ok(&["inspect", "--model", "xception"]));
    for part in [
        "xception, input 299×299×3",
        "10×10×2048",
        "22,855,952 trainable, 22,910,480 total",
        "8.357 G",
        "block14_sepconv2_act",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let text = stdout(&ok(&["inspect", "--weights", &model(), "--size", "16x12"]));
    assert!(text.contains("input 16×12×3") && text.contains("16×12×8"), "{text}");
    assert_error(&["inspect", "--model", "xception", "--size", "5"], &["kernel"]);
}

#[test]
fn inspects_other_models() {
    for (model, parts) in [
        ("inception-v3", ["23,851,784 total", "activation_93"]),
        ("mobilenet", ["4,253,864 total", "conv_pw_13_relu"]),
        ("mobilenet-0.25", ["475,544 total", "conv_dw_1_bn"]),
        ("tf_efficientnet_lite0", ["blocks.5.2.conv_pwl", "classifier"]),
    ] {
        let text = stdout(&ok(&["inspect", "--model", model]));
        assert!(parts.iter().all(|part| text.contains(part)), "{model}: {text}");
    }
    assert_error(&["inspect", "--model", "mobilenet-0.01"], &["0.01", "0 channels"]);
    // A file with an architecture has that one's layers.
    assert_error(
        &["inspect", "--model", "mobilenet", "--weights", &model()],
        &["conv1/kernel", "missing"],
    );
}

#[test]
fn compares_and_draws() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("compare.svg");
    let args = ["compare", "--runs", "1", "--threads", "1", "--plot", picture.to_str().unwrap()];
    let text = stdout(&ok(&args));
    assert_fits(&text, 80);
    for part in ["19×19, 728 → 728", "25", "S = 91", "Inception V3", "22,855,952", "0.945"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for part in ["147×147, 64 → 128", "S = 91", "MobileNetV1 224×224", "milliseconds"] {
        assert!(svg.contains(part), "{part:?} is not in {svg}");
    }
    let report = assert_keys(
        &stdout(&ok(&["compare", "--runs", "1", "--json"])),
        &[
            "arithmetic",
            "cpu",
            "dropped_rounds",
            "layers",
            "level",
            "networks",
            "peak_gflops",
            "rounds",
            "spectrum",
            "threads",
        ],
    );
    let peak = report["peak_gflops"].as_f64().unwrap();
    for row in ["spectrum", "networks"].iter().flat_map(|rows| report[rows].as_array().unwrap()) {
        assert_agrees(row, peak);
    }
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.iter().map(|l| l["count"].as_u64().unwrap()).sum::<u64>(), 34);
    for layer in layers {
        let cost = |form: &str, what: &str| layer[form][what].as_u64().unwrap() as f64;
        let promised = cost("standard", "multiply_adds") / cost("separable", "multiply_adds");
        assert_eq!(layer["promised"].as_f64().unwrap(), promised);
        // No number contradicts the others.
        let time = |form: &str| layer[form]["median_ms"].as_f64().unwrap();
        let obtained = layer["obtained"].as_f64().unwrap();
        assert!((obtained * time("separable") / time("standard") - 1.0).abs() < 1e-9, "{layer}");
        assert_eq!(layer["obtained_quartiles"].as_array().unwrap().len(), 2);
        assert_agrees(&layer["standard"], peak);
    }
    let networks = report["networks"].as_array().unwrap();
    let parameters = |i: usize| networks[i]["parameters"].as_u64().unwrap();
    assert_eq!([0, 1, 2].map(parameters), [22_910_480, 23_851_784, 4_253_864]);
    let missing = folder.path().join("no/compare.svg");
    assert_error(&["compare", "--plot", missing.to_str().unwrap()], &["folder doesn't exist"]);
}

/// A measurement's rate and share of the peak are those of its median time.
#[track_caller]
fn assert_agrees(speed: &Value, peak_gflops: f64) {
    let number = |key: &str| speed[key].as_f64().unwrap();
    let rate = 2e-6 * number("multiply_adds") / number("median_ms");
    let share = rate / peak_gflops;
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b;
    assert!(close(number("gflops"), rate) && close(number("peak_share"), share), "{speed}");
    let quartiles = speed["quartiles_ms"].as_array().unwrap();
    let [low, high] = [0, 1].map(|i| quartiles[i].as_f64().unwrap());
    let median = number("median_ms");
    assert!(number("min_ms") <= low && low <= median && median <= high, "{speed}");
}

#[test]
fn compares_layers_and_models_of_ones_own() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("layers.svg");
    let layers = ["sep 1x9x9x8 o16 k5 s2 m2 relu nchw apart", "sep 2x9x9x8 o16 k3 p0 d2 wbf16"];
    let args = ["compare", "--runs", "1", "--layer", layers[0], "--layer", layers[1]];
    let text = wide(&[&args[..], &["--plot", picture.to_str().unwrap()]].concat());
    assert!(layers.iter().all(|layer| text.contains(layer)), "{text}");
    assert!(!text.contains("2. ") && !text.contains("Xception"), "{text}");
    assert!(fs::read_to_string(&picture).unwrap().contains("standard convolution"));
    let report: Value =
        serde_json::from_str(&stdout(&ok(&[&args[..], &["--json"]].concat()))).unwrap();
    let rows = report["layers"].as_array().unwrap();
    let cost = |i: usize, form: &str| {
        ["parameters", "multiply_adds"].map(|what| rows[i][form][what].as_u64().unwrap())
    };
    let (standard, separable) = (25 * 8 * 16, 25 * 16 + 16 * 16);
    assert_eq!(cost(0, "standard"), [standard, 25 * standard]);
    assert_eq!(cost(0, "separable"), [separable, 25 * separable]);
    assert_eq!(cost(1, "separable"), [9 * 8 + 8 * 16, 2 * 25 * (9 * 8 + 8 * 16)]);
    assert_eq!(report["networks"], serde_json::json!([]));

    let args =
        ["compare", "--runs", "1", "--model", "mobilenet-0.25", "--size", "64x96", "--batch", "2"];
    let text = stdout(&ok(&args));
    for part in ["32×48, 8 → 16", ", stride 2", "2 pictures at a time", "64×96"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let report: Value =
        serde_json::from_str(&stdout(&ok(&[&args[..], &["--json"]].concat()))).unwrap();
    let rows = report["layers"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), 13);
    let network = &report["networks"][0];
    assert_eq!(
        [&network["batch"], &network["size"]],
        [&serde_json::json!(2), &serde_json::json!([64, 96])]
    );

    // In integers, both forms and the network. A word that can't be combined with them is named.
    let int8 = ["--arithmetic", "int8", "--plot", picture.to_str().unwrap()];
    let text = stdout(&ok(&[&args[..], &int8].concat()));
    for part in ["8-bit integers throughout", "32×48, 8 → 16", "64×96"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(fs::read_to_string(&picture).unwrap().contains("8-bit integers"));
    let of_int8 = ["compare", "--runs", "1", "--layer", "sep 1x9x9x8 o16 k3"];
    let report = stdout(&ok(&[&of_int8[..], &int8[..2], &["--json"]].concat()));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["arithmetic"], "int8");
    assert_eq!(report["layers"][0]["layer"], "sep 1x9x9x8 o16 k3");
    assert_error(
        &["compare", "--arithmetic", "int8", "--layer", layers[1]],
        &["wbf16", "int8 with a type of weights"],
    );

    assert_error(
        &["compare", "--model", "inception-v3"],
        &["inception_v3 has no separable layers"],
    );
    for (args, part) in [
        (&["--layer", "dw 1x9x9x8 k3"][..], "expected a sep layer"),
        (&["--layer", "sep 1x9x9x8 k3 o8 z1"], "\"z1\""),
        (&["--layer", layers[0], "--model", "xception"], "cannot be used with"),
        (&["--size", "71"], "--model"),
        (&["--batch", "2"], "--model"),
        (&["--model", "xception", "--batch", "0"], "1..=1024"),
    ] {
        let output = sepconv(&[&["compare"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(part), "{part:?} is not in {}", stderr(&output));
    }
}

#[test]
fn describes_itself_to_shells_and_manuals() {
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef sepconv"), ("fish", "complete -c")]
    {
        let text = stdout(&ok(&["completions", shell]));
        assert!(text.contains(part) && text.contains("activations-type"), "{shell}: {text}");
    }
    assert!(stdout(&ok(&["man"])).contains(".TH sepconv 1"));
    let page = stdout(&ok(&["man", "classify"]));
    assert!(page.contains("sepconv\\-classify") && page.contains("labels"), "{page}");
    assert_error(&["man", "paint"], &["paint"]);
}

#[test]
fn reports_the_level() {
    let scalar = command(&["info"]).env("SEPCONV_LEVEL", "scalar").output().unwrap();
    assert!(stdout(&scalar).contains("scalar (by SEPCONV_LEVEL)"));
    #[cfg(target_arch = "x86_64")]
    for (level, fma) in [("sse", false), ("avx2", true)] {
        for args in [&["info"][..], &["inspect", "--model", "xception"]] {
            let output = command(args).env("SEPCONV_LEVEL", level).output().unwrap();
            let noted = stdout(&output).contains("has no fused multiply-adds");
            assert!(noted != fma || !output.status.success(), "{level} {args:?}");
        }
    }
    for args in [&["info"][..], &["inspect", "--weights", &model()]] {
        let output = command(args).env("SEPCONV_LEVEL", "mmx").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("unknown level \"mmx\""));
    }
}

#[test]
fn inspects_and_informs_as_json() {
    let report = assert_keys(
        &stdout(&ok(&["inspect", "--model", "xception", "--threads", "2", "--json"])),
        &[
            "name",
            "input",
            "level",
            "threads",
            "steps",
            "input_scale",
            "input_zero_point",
            "parameters",
            "trainable_parameters",
            "multiply_adds",
            "arena_bytes",
            "scratch_bytes",
        ],
    );
    assert_eq!(report["input"], serde_json::json!([1, 299, 299, 3]));
    assert_eq!(
        (&report["parameters"], &report["trainable_parameters"]),
        (&22_910_480.into(), &22_855_952.into())
    );
    let steps = report["steps"].as_array().unwrap();
    for what in ["parameters", "multiply_adds"] {
        let sum: u64 = steps.iter().map(|step| step[what].as_u64().unwrap()).sum();
        assert_eq!(sum, report[what].as_u64().unwrap(), "{what}");
    }
    let mut keys = vec!["output", "parameters", "multiply_adds", "turns", "kernel", "layers"];
    keys.extend(["scale", "zero_point", "weights"]);
    assert_keys(&steps[0].to_string(), &keys);

    let report = assert_keys(
        &stdout(&ok(&["info", "--json"])),
        &[
            "version",
            "cpu",
            "cores",
            "threads",
            "rayon",
            "levels",
            "chosen",
            "forced",
            "fma",
            "optimized",
            "virtual",
            "caches",
            "huge_pages",
            "instructions",
            "missing",
            "amx",
            "kernels",
            "arithmetics",
        ],
    );
    assert!(report["levels"].as_array().unwrap().contains(&report["chosen"]));
    for kernels in [&report["kernels"], &report["arithmetics"]] {
        for kernel in kernels.as_array().unwrap() {
            assert_keys(&kernel.to_string(), &["layer", "kernel"]);
        }
    }
    assert_eq!(report["optimized"], !cfg!(debug_assertions));
    let kernel = |i: usize| report["arithmetics"][i]["kernel"].as_str().unwrap();
    assert!(kernel(0).contains("f32") && kernel(5).contains("int8"), "{report}");
    let text = stdout(&ok(&["info"]));
    assert_eq!(text.contains("this build is not optimised"), cfg!(debug_assertions), "{text}");
}

#[test]
fn ends_quietly_when_nobody_reads() {
    let mut child = command(&["inspect", "--model", "xception"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

/// Whether an object has exactly these keys, in this order, and each number in it is at least 0.
#[track_caller]
fn assert_keys(line: &str, keys: &[&str]) -> Value {
    let value: Value = serde_json::from_str(line).unwrap();
    let object = value.as_object().unwrap();
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let mut found: Vec<_> = object.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, sorted);
    for (key, value) in object {
        assert!(value.as_f64().is_none_or(|v| v >= 0.0), "{key} is {value}");
    }
    value
}

/// What is printed, not how fast anything is.
#[test]
fn benchmarks_a_network() {
    let weights = model();
    let args = [
        "bench",
        "--weights",
        &weights,
        "--batch",
        "2",
        "--size",
        "9x12",
        "--runs",
        "2",
        "--threads",
        "2",
    ];
    let text = stdout(&ok(&[&args[..], &["--json"]].concat()));
    assert_eq!(text.lines().count(), 1);
    let report = assert_keys(
        &text,
        &[
            "cpu",
            "level",
            "threads",
            "weights_type",
            "activations_type",
            "arithmetic",
            "batch",
            "size",
            "multiply_adds",
            "weights_bytes",
            "arena_bytes",
            "scratch_bytes",
            "runs",
            "dropped_runs",
            "peak_gflops",
            "one_thread_peak_gflops",
            "min_ms",
            "median_ms",
            "quartiles_ms",
            "gflops",
            "peak_share",
            "nodes",
        ],
    );
    assert_eq!((&report["threads"], &report["batch"]), (&2.into(), &2.into()));
    assert_eq!(report["size"], serde_json::json!([9, 12]));
    let nodes = report["nodes"].as_array().unwrap();
    let keys = [
        "name",
        "layers",
        "kernel",
        "output",
        "multiply_adds",
        "min_ms",
        "median_ms",
        "quartiles_ms",
        "gflops",
        "peak_share",
        "share",
    ];
    let mut multiply_adds = 0;
    for node in nodes {
        let node = assert_keys(&node.to_string(), &keys);
        assert_eq!(node["output"][0], 2);
        assert!(!node["layers"].as_array().unwrap().is_empty());
        multiply_adds += node["multiply_adds"].as_u64().unwrap();
    }
    assert_eq!(report["multiply_adds"], multiply_adds);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    npy::write(fs::File::create(&path).unwrap(), &[2, 9, 12, 3], &[0.5; 648]).unwrap();
    let path = path.to_str().unwrap();
    let given = ["bench", "--weights", &weights, "--runs", "1", "--json", "--input", path];
    let of_given: Value = serde_json::from_str(&stdout(&ok(&given))).unwrap();
    assert_eq!((&of_given["batch"], &of_given["size"]), (&report["batch"], &report["size"]));
    let wrong = fixture("model/logits.npy");
    assert_error(&["bench", "--weights", &weights, "--input", &wrong], &["N×H×W×C", "[9, 4]"]);

    let shares = nodes.iter().map(|node| node["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
    let peak = report["peak_gflops"].as_f64().unwrap();
    [&report].into_iter().chain(nodes).for_each(|speed| assert_agrees(speed, peak));

    let table = wide(&args);
    assert!(table.contains("9×12, batch 2"), "{table}");
    for node in nodes {
        assert!(table.contains(node["kernel"].as_str().unwrap()), "{table}");
    }
}

#[test]
fn benchmarks_a_quantized_network() {
    let args = ["bench", "--model", "mobilenet-0.25", "--size", "64", "--runs", "1", "--json"];
    let report = |more: &[&str]| -> Value {
        serde_json::from_str(&stdout(&ok(&[&args[..], more].concat()))).unwrap()
    };
    let [float, int8] = [report(&[]), report(&["--arithmetic", "int8", "--batch", "2"])];
    assert_eq!((&float["arithmetic"], &int8["arithmetic"]), (&"exact".into(), &"int8".into()));
    assert_eq!((&float["weights_type"], &int8["weights_type"]), (&"f32".into(), &"i8".into()));
    assert_eq!(int8["activations_type"], "u8");
    let [all, quarter] = [&float, &int8].map(|report| report["weights_bytes"].as_u64().unwrap());
    assert!(quarter * 3 < all, "{quarter} of {all} bytes");
    for node in int8["nodes"].as_array().unwrap() {
        let counted = node["multiply_adds"].as_u64().unwrap() > 0;
        assert!(!counted || node["kernel"].as_str().unwrap().contains("int8"), "{node}");
    }

    let int8 = ["bench", "--arithmetic", "int8"];
    assert_error(
        &[&int8[..], &["--size", "71", "--weights-type", "bf16"]].concat(),
        &["weights: expected f32, got bf16"],
    );
    assert_error(
        &[&int8[..], &["--layer", "dw 1x9x9x8 k3"]].concat(),
        &["--arithmetic int8", "networks"],
    );
}

#[test]
fn traces_steps() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("trace.json");
    let path = file.to_str().unwrap();
    let args = ["bench", "--model", "xception", "--size", "150x299", "--runs", "1", "--json"];
    let more = ["--threads", "2", "--batch", "2", "--trace", path];
    let report = stdout(&ok(&[&args[..], &more[..]].concat()));
    let report: Value = serde_json::from_str(&report).unwrap();
    let trace: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(trace["otherData"]["input"], serde_json::json!([2, 150, 299, 3]));
    let events = trace["traceEvents"].as_array().unwrap();
    let all: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    let (spans, of_threads): (Vec<&Value>, Vec<&Value>) =
        all.iter().copied().partition(|span| span["tid"] == 1);
    let mut end = 0.0;
    for span in &spans {
        let [ts, dur] = ["ts", "dur"].map(|key| span[key].as_f64().unwrap());
        // Rounded when printed.
        assert!(ts >= end - 1e-3 && dur >= 0.0, "{span} before {end}");
        end = ts + dur;
    }
    let tracks = events.iter().filter(|event| event["ph"] == "M");
    let tracks: Vec<_> = tracks.map(|track| track["args"]["name"].as_str().unwrap()).collect();
    assert_eq!(tracks[0], "steps");
    assert!(tracks[1..].iter().all(|track| ["thread 0", "thread 1"].contains(track)), "{tracks:?}");
    assert_eq!(all.len() + tracks.len(), events.len(), "spans, and the names of their tracks");
    // Each thread computes within a step, and nothing else at that time; each step has one that
    // does.
    let time = |span: &Value| ["ts", "dur"].map(|key| span[key].as_f64().unwrap());
    for step in &spans {
        let [start, time_of_step] = time(step);
        let inside = of_threads.iter().filter(|span| {
            let [ts, dur] = time(span);
            span["name"] == step["name"]
                && ts >= start - 1e-3
                && ts + dur <= start + time_of_step + 1e-3
        });
        assert!(inside.count() > 0, "{step}");
    }
    for tid in [2, 3] {
        let mut end = 0.0;
        for span in of_threads.iter().filter(|span| span["tid"] == tid) {
            let [ts, dur] = time(span);
            assert!(ts >= end - 1e-3, "{span} before {end}");
            end = ts + dur;
        }
    }
    for node in report["nodes"].as_array().unwrap() {
        let of_node: Vec<_> = spans.iter().filter(|span| span["name"] == node["name"]).collect();
        let mega = |span: &&&Value| span["args"]["M multiply-adds"].as_f64().unwrap();
        let sum: f64 = of_node.iter().map(mega).sum();
        let expected = node["multiply_adds"].as_f64().unwrap() / 1e6;
        assert!((sum - expected).abs() <= 1e-6 * expected, "{sum} of {node}");
        for span in of_node {
            assert_eq!(span["args"]["kernel"], node["kernel"]);
            assert!(span["args"]["rows"].as_str().unwrap().contains(".."));
        }
    }

    let missing = folder.path().join("no/trace.json");
    assert_error(
        &["bench", "--runs", "1", "--trace", missing.to_str().unwrap()],
        &["folder doesn't exist"],
    );
    let output = sepconv(&["bench", "--trace", path, "--layer", "dw 1x9x9x8 k3"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn benchmarks_layers() {
    let keys = [
        "layer",
        "kernel",
        "level",
        "threads",
        "arithmetic",
        "multiply_adds",
        "min_ms",
        "median_ms",
        "quartiles_ms",
        "gflops",
        "peak_share",
        "runs",
        "dropped_runs",
        "peak_gflops",
        "one_thread_peak_gflops",
    ];
    let layers = [
        ("dw 1x19x19x40 k3 s1", 19 * 19 * 40 * 9),
        ("dw 2x9x8x5 k3x5 s2 d2 m3", 2 * 5 * 4 * 15 * 15),
        ("pw 1x7x7x40 o24 s2", 4 * 4 * 40 * 24),
        ("sep 1x9x9x8 o16 k5 m2", 81 * 16 * (25 + 16)),
        ("sep 1x9x9x8  o16 apart k3 ", 81 * 8 * (9 + 16)),
        ("conv 1x9x9x8 o16 k3 s2", 25 * 9 * 8 * 16),
        ("conv 1x9x9x8 o16 k3 g4", 81 * 9 * 2 * 16),
        ("conv 1x9x9x8 o16 k3 s2x1 p0 hard_swish", 4 * 7 * 9 * 8 * 16),
        ("dw 1x8x8x8 k3 s2 p0,1,0,1 relu6", 16 * 8 * 9),
        ("dw 1x9x9x8 k3 p2 d2x1 silu", 9 * 11 * 8 * 9),
        ("dw 2x9x7x20 k3 s2 nchw af16 elu", 2 * 5 * 4 * 20 * 9),
        ("pw 1x9x9x8 o16 nchw abf16 wbf16", 81 * 8 * 16),
        ("sep 1x9x9x20 o16 k3 nchw apart relu", 81 * 20 * (9 + 16)),
        ("sep 1x9x9x20 o16 k3 p1,0,2,1 nchw wf16", 8 * 10 * 20 * (9 + 16)),
        ("dw 2x9x8x5 k3 s2 m3 int8", 2 * 5 * 4 * 15 * 9),
        ("sep 1x9x9x8 o16 k3 int8 nchw", 81 * 8 * (9 + 16)),
        ("pw 1x7x7x40 o24 s2 int8 relu6", 4 * 4 * 40 * 24),
        ("sep 1x9x9x8 o16 k5 m2 int8 hard_swish", 81 * 16 * (25 + 16)),
        ("conv 1x9x9x8 o16 k3 g4 d2 int8", 81 * 9 * 2 * 16),
    ];
    let mut args = vec!["bench", "--runs", "1", "--threads", "1"];
    args.extend(layers.iter().flat_map(|(layer, _)| ["--layer", layer]));
    let table = wide(&args);
    args.push("--json");
    let text = stdout(&ok(&args));
    assert_eq!(text.lines().count(), layers.len());
    for (line, (layer, multiply_adds)) in text.lines().zip(layers) {
        let report = assert_keys(line, &keys);
        assert_eq!(report["layer"], layer.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(report["multiply_adds"], multiply_adds, "{layer}");
        assert!(table.contains(report["layer"].as_str().unwrap()), "{table}");
        assert!(table.contains(report["kernel"].as_str().unwrap()), "{table}");
    }
}

/// The arithmetic holds for networks, layers and comparisons. With bf16 what has no type is bf16.
#[test]
fn multiplies_in_the_arithmetic_asked_for() {
    let weights = model();
    let bench = ["bench", "--runs", "1", "--size", "9", "--json", "--weights", &weights];
    let bf16 = ["--arithmetic", "bf16"];
    for (more, types) in [
        (&bf16[..], ["bf16", "bf16"]),
        (&["--arithmetic", "bf16", "--weights-type", "f32"], ["f32", "bf16"]),
        (&["--arithmetic", "bf16", "--activations-type", "f16"], ["bf16", "f16"]),
        (&["--arithmetic", "fast"], ["f32", "f32"]),
        (&[], ["f32", "f32"]),
    ] {
        let report: Value =
            serde_json::from_str(&stdout(&ok(&[&bench[..], more].concat()))).unwrap();
        assert_eq!([&report["weights_type"], &report["activations_type"]], types);
        assert_eq!(report["arithmetic"], *more.get(1).unwrap_or(&"exact"));
        let kernels = report["nodes"].as_array().unwrap().iter().map(|node| &node["kernel"]);
        let blocks = kernels.filter(|k| k.as_str().unwrap().contains("gemm_blocks_")).count();
        assert_eq!(blocks > 0, more.contains(&"bf16") && more[1] == "bf16", "{report}");
    }
    let layers = ["sep 1x9x9x8 o16 k3", "sep 1x9x9x8 o16 k3 wf16 af32", "dw 1x9x9x8 k3"];
    let mut args = vec!["bench", "--runs", "1", "--json", "--arithmetic", "bf16"];
    args.extend(layers.iter().flat_map(|layer| ["--layer", layer]));
    let text = stdout(&ok(&args));
    for (line, depthwise) in text.lines().zip(["dw_bf16_", "dw_f32_", "dw_bf16_"]) {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["arithmetic"], "bf16");
        let kernel = report["kernel"].as_str().unwrap();
        assert!(kernel.starts_with(depthwise), "{kernel}");
        assert_eq!(kernel.contains("gemm_blocks_"), report["layer"] != layers[2], "{kernel}");
    }
    let compare = ["compare", "--runs", "1", "--json", "--layer", layers[0]];
    let report = stdout(&ok(&[&compare[..], &bf16].concat()));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["arithmetic"], "bf16");
    let refused = sepconv(&["bench", "--arithmetic", "quick"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(["exact", "bf16", "fast"].iter().all(|name| stderr(&refused).contains(name)));
}

/// Tile registers multiply if there are any; if not, a note says so, and other kernels do.
#[test]
fn multiplies_by_tile_registers_if_asked_to() {
    let weights = model();
    let layers = ["--layer", "sep 1x9x9x8 o16 k3"];
    let network = ["--size", "9", "--weights", &weights];
    let bf16 = ["--arithmetic", "bf16"];
    for (subject, name) in [(&layers[..], "bench"), (&network[..], "bench"), (&layers, "compare")] {
        let args = [&[name, "--runs", "1", "--json"], subject, &bf16].concat();
        let plain = ok(&args);
        assert!(!stdout(&plain).contains("gemm_amx_"));
        let output = ok(&[&args[..], &["--amx"]].concat());
        let note = stderr(&output).contains("note: --amx changes nothing: ");
        assert!(note || name == "compare" || stdout(&output).contains("gemm_amx_"));
    }
    let int8 = ["--layer", "sep 1x9x9x8 o16 k3 int8"];
    let quantized = [&network[..], &["--arithmetic", "int8"]].concat();
    for subject in [&int8[..], &quantized] {
        let args = [&["bench", "--runs", "1", "--json"], subject].concat();
        assert!(!stdout(&ok(&args)).contains("gemm_amx_"));
        let output = ok(&[&args[..], &["--amx"]].concat());
        let note = stderr(&output).contains("note: --amx changes nothing: ");
        assert!(note || stdout(&output).contains("gemm_amx_int8_"));
    }
    for arithmetic in ["exact", "fast"] {
        let args = [&["bench", "--amx", "--arithmetic", arithmetic], &network[..]].concat();
        assert_error(&args, &["--amx: expected --arithmetic bf16 or 8-bit integers", arithmetic]);
    }
    let args = [&["bench", "--runs", "1"], &layers[..], &bf16].concat();
    let output = command(&args).env("SEPCONV_AMX", "2").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("SEPCONV_AMX: expected 0 or 1, got \"2\""), "{output:?}");
}

#[test]
fn refuses_bad_layers() {
    let cases: [(&str, &[&str]); 36] = [
        ("", &["the layer is empty"]),
        ("dense 1x1x1x8 o8", &["\"dense\"", "dw, pw, sep or conv"]),
        ("dw", &["the shape NxHxWxC is missing"]),
        ("dw k3 1x9x9x8", &["\"k3\"", "NxHxWxC"]),
        ("dw 1x9x9 k3", &["\"1x9x9\""]),
        ("dw 1x9x0x8 k3", &["\"1x9x0x8\""]),
        ("dw 1x9x9x99999 k3", &["\"1x9x9x99999\""]),
        ("dw 1x9x9x8", &["lacks the kernel size"]),
        ("pw 1x9x9x8", &["lacks the number of output channels"]),
        ("dw 1x9x9x8 k3 o8", &["\"o8\""]),
        ("pw 1x9x9x8 o8 k3", &["\"k3\""]),
        ("conv 1x9x9x8 o8 k3 m2", &["\"m2\""]),
        ("dw 1x9x9x8 k3 apart", &["\"apart\""]),
        ("dw 1x9x9x8 k3 s", &["\"s\"", "65536"]),
        ("dw 1x9x9x8 k3x", &["\"k3x\""]),
        ("dw 1x9x9x8 k3 k5", &["\"k5\"", "repeats"]),
        ("dw 1x9x9x8 k3 é2", &["\"é2\"", "not a word"]),
        ("dw 1x9x9x8 k3 s2x0", &["\"s2x0\""]),
        ("dw 1x9x9x8 k3 d", &["\"d\""]),
        ("pw 1x9x9x8 o8 d2", &["\"d2\"", "does not apply"]),
        ("dw 1x9x9x8 k3 p1,2", &["\"p1,2\"", "top,bottom,left,right"]),
        ("dw 1x9x9x8 k3 p-1", &["\"p-1\""]),
        ("dw 1x9x9x8 k3 p1 p1", &["\"p1\"", "repeats"]),
        ("pw 1x9x9x8 o8 p1", &["\"p1\"", "does not apply"]),
        ("conv 1x9x9x8 o8 k3 g0", &["\"g0\"", "65536"]),
        ("sep 1x9x9x8 o8 k3 g2", &["\"g2\"", "does not apply"]),
        ("dw 1x9x9x8 k3 relu silu", &["\"silu\"", "repeats"]),
        ("dw 1x9x9x8 k3 nchw nchw", &["\"nchw\"", "repeats"]),
        ("dw 1x9x9x8 k3 selu", &["\"selu\""]),
        ("dw 1x9x9x8 k3 af64", &["\"af64\"", "abf16"]),
        ("pw 1x9x9x8 o8 wbf16 fast", &["\"fast\"", "not a word"]),
        ("dw 1x9x9x8 k3 int8 int8", &["\"int8\"", "repeats"]),
        ("dw 1x9x9x8 k3 af32 int8", &["int8 with a type of input and output"]),
        ("pw 1x9x9x8 o8 int8 wf16", &["int8 with a type of weights"]),
        ("sep 1x9x9x8 o8 k3 int8 apart", &["int8 with apart"]),
        ("sep 1x9x9x8 o8 k3 au8", &["\"au8\"", "int8"]),
    ];
    for (layer, parts) in cases {
        let output = sepconv(&["bench", "--layer", layer]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{layer}: {message}");
        for part in parts.iter().chain(&["sep 1x19x19x728 o728 k3 s1"]) {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    }
    assert_error(
        &["bench", "--layer", "pw 1x1x1x65536 o65536"],
        &["[65536, 65536]", "268435456 elements"],
    );
    assert_error(&["bench", "--layer", "conv 1x9x9x8 o8 k3 g3"], &["8 input", "3 groups"]);
    assert_error(&["bench", "--layer", "dw 1x2x9x8 k3 p0"], &["kernel", "3", "2"]);
    assert_error(
        &["bench", "--layer", "conv 1x60000x60000x60000 o1 k1"],
        &["[1, 60000, 60000, 60000]"],
    );
}

/// Only what does not depend on the machine: the accuracy, and that the numbers were checked.
#[test]
fn demonstrates() {
    let mut demo = binary();
    let output = demo.arg("demo").env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_fits(&text, 80);
    let (_, next) = text.split_once("Now with a model of yours").unwrap();
    for command in ["classify", "bench", "quantize"] {
        assert!(next.contains(&format!(" {command} --weights MODEL.keras")), "{text}");
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("99 of 100 digits right"), "{text}");
    let (_, of_integers) =
        text.split_once("With 8-bit integers, calibrated on the first 20: ").unwrap();
    let right: u32 = of_integers.split_once(" right").unwrap().0.parse().unwrap();
    assert!((98..=100).contains(&right), "{text}");
    assert!(text.contains("Xception 299×299") && text.contains("% of the FMA peak"), "{text}");
    assert!(text.contains("448 sampled outputs of 7 layers"), "{text}");
    // What the network says of the four digits that are drawn, and of the one that it mistakes.
    let percents = text.split('(').skip(1).filter_map(|rest| rest.split_once(" %")?.0.parse().ok());
    let percents: Vec<f64> = percents.collect();
    let likely = |p: &f64| (10.0..=100.0).contains(p);
    assert!(percents.len() >= 5 && percents.iter().all(likely), "{text}");
}

/// A case of `tests/keras/make_cases.py`: its files, and what Keras's `predict` gives for its
/// picture.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    files: Vec<String>,
    pixels: bool,
    picture: Vec<f64>,
}

/// What the head is decides what is printed.
#[test]
fn heads_are_read_as_what_they_are() {
    let archive = fs::File::open(fixture("keras/fixtures/cases.zip")).unwrap();
    let folder = TempDir::new().unwrap();
    zip::ZipArchive::new(archive).unwrap().extract(folder.path()).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let cases = fs::read_to_string(fixture("keras/fixtures/cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        Some(value.as_array()?.iter().map(|x| x.as_f64().unwrap()).collect())
    };
    let close = |what: &str, got: &[f64], expected: &[f64]| {
        assert_eq!(got.len(), expected.len(), "{what}");
        let error = got.iter().zip(expected).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= 1e-5, "{what}: {got:?}, Keras {expected:?}");
    };
    let softmax = |x: &[f64]| -> Vec<f64> {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).collect()
    };
    let sigmoid = |x: &[f64]| -> Vec<f64> { x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect() };
    let mut seen = 0;
    for Case { name, files, pixels, picture, .. } in &cases {
        // Which of the fields there are, and of which Keras gives the numbers.
        let (fields, options): (&[&str], &[&str]) = match name.as_str() {
            "guide" | "logits_of_four" | "logits_of_two_heads" => {
                (&["logits", "probabilities"], &[])
            }
            "preprocess_tf"
            | "preprocess_torch"
            | "softmax_then_nothing"
            | "softmax_of_a_map"
            | "softmax_layer"
            | "flatten"
            | "gray_tripled"
            | "dense_one_sigmoid"
            | "many_sigmoids"
            | "dictionaries" => (&["probabilities", "logits"], &[]),
            "ensemble" => (&["probabilities"], &[]),
            "regression" | "keep_no_dims" | "softmax_hidden" | "difference" => (&["values"], &[]),
            "norm_in_head" => (&["logits", "probabilities"], &["--logits"]),
            _ => continue,
        };
        if name == "dictionaries" {
            // Its first output is `age`, a value; `kind` is not shown.
            let weights = path(&files[0]);
            let output = ok(&["classify", "--weights", &weights, &path("picture.png")]);
            assert!(stderr(&output).contains("output \"age\" is shown"), "{}", stderr(&output));
            assert!(stderr(&output).contains("\"kind\""), "{}", stderr(&output));
            continue;
        }
        for file in files {
            let weights = path(file);
            let args =
                [&["classify", "--json", "--weights", &weights], options, &[&path("picture.png")]];
            let value: Value = serde_json::from_str(&stdout(&ok(&args.concat()))).unwrap();
            let there = ["logits", "probabilities", "values"].map(|field| !value[field].is_null());
            let expected =
                ["logits", "probabilities", "values"].map(|field| fields.contains(&field));
            assert_eq!(there, expected, "{file}: {value}");
            close(file, &numbers(&value[fields[0]]).unwrap(), picture);
            if fields[0] == "logits" {
                let probabilities = match name.as_str() {
                    "guide" | "logits_of_two_heads" => sigmoid(picture),
                    _ => softmax(picture),
                };
                close(file, &numbers(&value["probabilities"]).unwrap(), &probabilities);
            }
            let mode = if *pixels { "none" } else { "tf" };
            assert_eq!(value["preprocess"]["mode"], mode, "{file}: {value}");
            let top = value["top"].as_array().unwrap();
            let kind = if fields.contains(&"values") { "value" } else { "probability" };
            assert!(top.iter().all(|class| class[kind].is_f64()), "{file}: {value}");
            if ["guide", "dense_one_sigmoid"].contains(&name.as_str()) {
                let [first, second] = [0, 1].map(|i| top[i]["probability"].as_f64().unwrap());
                let yes = numbers(&value["probabilities"]).unwrap()[0];
                close(file, &[first, second], &[yes.max(1.0 - yes), yes.min(1.0 - yes)]);
                assert_eq!(top[0]["index"], u64::from(yes > 0.5), "{file}: {value}");
            } else {
                let least = picture.len().min(5);
                assert_eq!(top.len(), least, "{file}: {value}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 50, "{seen}");
    let softmax = path("softmax_layer.keras");
    let args = ["classify", "--weights", &softmax, "--logits", &path("picture.png")];
    assert_error(&args, &["probabilities already"]);
    // A yes or no has two labels.
    let (_folder, labels) = temporary("labels.txt", b"cat\ndog\n");
    let guide = path("guide.keras");
    let output = ok(&["classify", "--weights", &guide, "--labels", &labels, &path("picture.png")]);
    let text = stdout(&output);
    assert!(text.contains(" cat ") && text.contains(" dog "), "{text}");
    let notes = stderr(&output);
    assert!(notes.contains("scaled to x (as \"rescaling\" inside the model scales it)"), "{notes}");
    assert!(notes.contains("a sigmoid is applied"), "{notes}");
}

/// Every output can be written, the logits or what `predict` gives, and none is forgotten in
/// silence.
#[test]
fn runs_models_of_several_outputs() {
    let archive = fs::File::open(fixture("keras/fixtures/cases.zip")).unwrap();
    let folder = TempDir::new().unwrap();
    zip::ZipArchive::new(archive).unwrap().extract(folder.path()).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let x = path("x.npy");
    let picture: Vec<f32> = (0..2 * 12 * 12 * 3).map(|i| (i % 64) as f32 / 64.0 - 0.5).collect();
    npy::write(fs::File::create(&x).unwrap(), &[2, 12, 12, 3], &picture).unwrap();
    let weights = path("outputs.keras");
    let run = |outputs: &[&str]| {
        let args = ["run", "--weights", &weights, "--input", &x];
        stderr(&ok(&[&args[..], outputs].concat()))
    };
    let read = |name: &str| npy::read(Path::new(&path(name))).unwrap();
    let notes = run(&["--output", &path("first.npy")]);
    assert_eq!(
        notes,
        "note: \"kind\" was written; other outputs, written with --output NAME=FILE: \"age\"\n"
    );
    let [predict, kind, age, logits] =
        ["p", "k", "a", "l"].map(|name| path(&format!("{name}.npy")));
    let named = [format!("kind={kind}"), format!("age={age}"), format!("kind/logits={logits}")];
    let outputs = ["--output", &predict, "--predict", "--output", &named[0], "--output", &named[1]];
    assert_eq!(run(&[&outputs[..], &["--output", &named[2]]].concat()), "");
    assert_eq!(read("a.npy").shape, [2, 1]);
    assert_eq!(read("first.npy").data, read("l.npy").data);
    assert_eq!(read("p.npy").data, read("k.npy").data);
    let sums = read("p.npy").data.chunks(4).map(|p| p.iter().sum::<f32>()).collect::<Vec<_>>();
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
    let listed = stdout(&ok(&["inspect", "--weights", &weights]));
    assert!(listed.contains("age") && listed.contains("kind/logits"), "{listed}");
}

/// Files that are not read say what to do instead.
#[test]
fn other_formats_are_told_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("saved")).unwrap();
    fs::write(path("saved/saved_model.pb"), b"\x08\x01").unwrap();
    fs::write(path("model.tflite"), b"\x1c\0\0\0TFL3\x14\0").unwrap();
    fs::write(path("model.onnx"), b"\x08\x07\x12\x07pytorch").unwrap();
    fs::write(path("graph.pb"), b"\n\x05\n\x01x").unwrap();
    fs::write(path("old.bin"), b"\x80\x02\x8a\nl\xfc\x9cF\xf9").unwrap();
    let archive = fs::File::create(path("model.pth")).unwrap();
    let mut archive = zip::ZipWriter::new(archive);
    archive.start_file("model/data.pkl", zip::write::SimpleFileOptions::default()).unwrap();
    archive.finish().unwrap();
    let image = fixture("images/resize.png");
    let keras = "model.save(\"model.keras\")";
    for (file, parts) in [
        ("saved", ["TensorFlow SavedModels", keras]),
        ("model.tflite", ["lie outside a file of 10", "bytes at"]),
        ("model.onnx", ["ONNX files", keras]),
        ("graph.pb", ["TensorFlow graphs", keras]),
        ("old.bin", ["PyTorch files", "save_file(model.state_dict()"]),
        ("model.pth", ["PyTorch files", "save_file(model.state_dict()"]),
    ] {
        assert_error(&["classify", "--weights", &path(file), &image], &parts);
    }
}

/// A model of sequences takes and gives arrays N×L×C, of any length if it has none of its own.
#[test]
#[cfg(feature = "keras")]
fn runs_sequences() {
    let cases = fs::read(fixture("keras/fixtures/cases.zip")).unwrap();
    let (folder, weights) =
        temporary("model.keras", &common::entry(&cases, "sequence_transposed.keras"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |shape: &[usize]| {
        let (x, len) = (path("x.npy"), shape.iter().product());
        npy::write(fs::File::create(&x).unwrap(), shape, &vec![0.5; len]).unwrap();
        ["run", "--weights", &weights, "--input", &x, "--output", &path("y.npy")].map(str::to_owned)
    };
    for (length, outputs) in [(24, 153), (7, 51)] {
        let args = write(&[3, length, 5]);
        ok(&args.each_ref().map(|arg| &**arg));
        let y = npy::read(Path::new(&path("y.npy"))).unwrap();
        assert_eq!(y.shape, [3, outputs, 6]);
    }
    for shape in [&[3, 24, 4][..], &[1, 3, 24, 5], &[24, 5]] {
        let args = write(shape);
        let got = format!("got {shape:?}");
        assert_error(&args.each_ref().map(|arg| &**arg), &["N×L×", &got]);
    }
    let picture = fixture("images/png-rgba.png");
    assert_error(
        &["classify", "--weights", &weights, &picture],
        &["takes sequences, not pictures"],
    );
    let (folder, x) = temporary("x.npy", &[]);
    npy::write(fs::File::create(&x).unwrap(), &[1, 24, 3], &[0.5; 72]).unwrap();
    let y = folder.path().join("y.npy");
    let args = ["run", "--weights", &model(), "--input", &x, "--output", y.to_str().unwrap()];
    assert_error(&args, &["N×H×W×3", "got [1, 24, 3]"]);
}
