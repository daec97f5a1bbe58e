//! `sepconv classify` on many pictures: rows in order, from folders and lists, in bounded memory,
//! and continued after an end at any moment.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A folder to work in, with pictures: `p` of two good ones, a damaged and a cut one, and `a.png`.
fn pictures() -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let copy = |from: &str, to: &str| fs::copy(fixture(from), path(to)).unwrap();
    fs::create_dir_all(path("p/inner")).unwrap();
    copy("images/png-rgba.png", "a.png");
    copy("images/jpeg-420.jpg", "p/b.JPG");
    copy("images/jpeg-422-no-end.jpg", "p/inner/c.jpeg");
    copy("images/resize.png", "p/z.png");
    let png = fs::read(fixture("images/resize.png")).unwrap();
    fs::write(path("p/inner/d.png"), &png[..png.len() / 2]).unwrap();
    fs::write(path("p/notes.txt"), "no picture").unwrap();
    folder
}

/// `classify` with the small model, in a folder.
fn classify(folder: &TempDir, args: &[&str]) -> Command {
    let mut classify = command(&["classify", "--weights", &model()]);
    classify.args(args).current_dir(folder.path());
    classify
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["file"].as_str().unwrap()).collect()
}

const IN_P: [&str; 4] = ["p/b.JPG", "p/inner/c.jpeg", "p/inner/d.png", "p/z.png"];

#[test]
fn rows_are_in_the_order_of_folders_and_lists() {
    let folder = pictures();
    // What editors on Windows write; a blank line, a folder, the same again, no end.
    let list = "\u{feff}p/z.png\r\n\r\np/none.png\r\na.png\na.png\n  \np\np/inner/../z.png";
    fs::write(folder.path().join("list.txt"), list).unwrap();
    let of_list = ["p/z.png", "p/none.png", "a.png", "a.png"];
    let expected = [&["a.png"], &IN_P[..], &of_list, &IN_P, &["p/inner/../z.png"]].concat();
    let args = ["--columns", "--top", "2", "a.png", "p", "--list"];
    let mut outputs = Vec::new();
    // Fewer and more of them than pictures: 40 are 11 teams of 3.
    for threads in ["1", "2", "16", "40"] {
        let args = [&args[..], &["list.txt", "--threads", threads]].concat();
        outputs.push(classify(&folder, &args).output().unwrap());
    }
    let mut piped = classify(&folder, &[&args[..], &["-"]].concat());
    piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut piped = piped.spawn().unwrap();
    piped.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    outputs.push(piped.wait_with_output().unwrap());
    for output in &outputs {
        assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
        assert_eq!(files(&lines(&output.stdout)), expected);
        assert_eq!(output.stdout, outputs[0].stdout);
        assert_eq!(output.stderr, outputs[0].stderr);
    }
    let (errors, rows) = (stderr(&outputs[0]), lines(&outputs[0].stdout));
    let count = |begin: &str| errors.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!((count("error: p/inner/d.png: PNG"), count("error: p/none.png: ")), (2, 1));
    assert_eq!(count("warning: p/inner/c.jpeg: the JPEG is cut short"), 2, "{errors}");
    assert_eq!(errors.lines().filter(|line| !line.starts_with("note: ")).count(), 5, "{errors}");

    let keys =
        ["file", "error", "warning", "class", "label", "value", "class_2", "label_2", "value_2"];
    for row in &rows {
        // Each column has one type.
        assert_eq!(row.as_object().unwrap().len(), keys.len(), "{row}");
        assert!(row.as_object().unwrap().keys().all(|key| keys.contains(&&**key)), "{row}");
        let file = row["file"].as_str().unwrap();
        let failed = ["p/inner/d.png", "p/none.png"].contains(&file);
        assert_eq!((row["error"].is_string(), row["error"].is_null()), (failed, !failed), "{row}");
        assert_eq!(row["warning"].is_string(), file == "p/inner/c.jpeg", "{row}");
        for name in ["class", "class_2", "value", "value_2"] {
            assert_eq!((row[name].is_number(), row[name].is_null()), (!failed, failed), "{row}");
        }
        assert!(row["label"].is_null() && row["label_2"].is_null());
        // As alone, with all outputs.
        if !failed {
            let alone = classify(&folder, &["--json", "--top", "2", file]).output().unwrap();
            let alone = &lines(&alone.stdout)[0];
            for (of_row, of_alone) in [("", 0), ("_2", 1)] {
                let (class, value) = (format!("class{of_row}"), format!("value{of_row}"));
                assert_eq!(row[class], alone["top"][of_alone]["index"]);
                assert_eq!(row[value], alone["top"][of_alone]["value"]);
                let all = alone["values"].as_array().unwrap();
                assert!(all.contains(&alone["top"][of_alone]["value"]));
            }
        }
    }
    // A list of nothing has no rows.
    let output = classify(&folder, &["--columns", "--list", "/dev/null"]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
}

/// Many pictures of a small size are computed several at a time, but for those beside a failed one
/// and the last.
#[test]
fn batches_have_the_rows_of_single_pictures() {
    let folder = pictures();
    let names = ["a.png", "p/b.JPG", "p/z.png", "p/inner/c.jpeg"];
    let args = ["--size", "20x24", "--json", "--list", "list.txt", "--threads"];
    let rows = |list: &[&str], threads: &str| {
        fs::write(folder.path().join("list.txt"), list.join("\n")).unwrap();
        let output = classify(&folder, &[&args[..], &[threads]].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let single = rows(&[&names[..], &["p/none.png"]].concat(), "1");
    let mut list: Vec<&str> = names.into_iter().cycle().take(331).collect();
    (list[100], list[217]) = ("p/none.png", "p/none.png");
    for threads in ["1", "2", "5"] {
        let rows = rows(&list, threads);
        assert_eq!(rows.len(), list.len());
        for (i, (row, name)) in rows.iter().zip(&list).enumerate() {
            let place = names.iter().position(|known| known == name).unwrap_or(4);
            assert_eq!(*row, single[place], "row {i} on {threads} threads");
        }
    }
}

#[test]
fn a_file_of_rows_is_continued_wherever_it_was_cut() {
    let folder = pictures();
    let out = folder.path().join("out.jsonl");
    let run = |args: &[&str], failed: usize| {
        let output = classify(&folder, args).output().unwrap();
        assert!(output.stdout.is_empty(), "{}", stdout(&output));
        let errors = stderr(&output);
        let report = format!("error: out.jsonl: {failed} of ");
        assert_eq!(errors.contains(&report), failed > 0, "{errors}");
        assert_eq!(output.status.code(), Some(i32::from(failed > 0)), "{errors}");
        fs::read(&out).unwrap()
    };
    // A failed one is last, and there is one of each kind; then the last one without an error.
    for (args, failed, step) in [
        (["--output", "out.jsonl", "--top", "1", "p/b.JPG", "p/z.png", "p/inner"], 1, 1),
        (["--output", "out.jsonl", "--json", "--threads=1", "p/z.png", "p/b.JPG", "a.png"], 0, 23),
    ] {
        let _ = fs::remove_file(&out);
        let whole = run(&args, failed);
        let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').collect();
        assert!(ends.len() >= 3 && ends.last() == Some(&(whole.len() - 1)));
        assert_eq!(run(&args, failed), whole);
        // At each byte of the last row, and some of those before.
        let last = ends[ends.len() - 2];
        for cut in (0..last).step_by(29).chain((last..whole.len()).step_by(step)) {
            fs::write(&out, &whole[..cut]).unwrap();
            assert!(run(&args, failed) == whole, "cut after {cut} of {} bytes", whole.len());
        }
        // More pictures come after those that are there.
        let more = run(&[&args[..], &["a.png"]].concat(), failed);
        assert!(more.starts_with(&whole));
        assert_eq!(lines(&more).len(), ends.len() + 1);
    }
}

#[test]
fn a_file_of_other_rows_stays_as_it_is() {
    let folder = pictures();
    let path = |name: &str| folder.path().join(name);
    let (out, weights) = (path("out.jsonl"), model());
    let pictures = ["a.png", "p/z.png", "p/b.JPG"];
    let args = |output: &'static str, more: &[&'static str]| {
        [&["--top", "2", "--output", output], more].concat()
    };
    assert!(classify(&folder, &args("out.jsonl", &pictures)).output().unwrap().status.success());
    let whole = fs::read(&out).unwrap();
    let refused = |name: &str, args: &[&str], part: &str| {
        let before = fs::read(path(name)).unwrap();
        let output = classify(&folder, args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains(part), "{part:?} is not in {}", stderr(&output));
        assert!(fs::read(path(name)).unwrap() == before, "{args:?}");
    };
    let out_refused = |more: &[&'static str], part: &str| {
        refused("out.jsonl", &args("out.jsonl", more), part);
    };
    // Other pictures.
    out_refused(
        &["a.png", "p/b.JPG", "p/z.png"],
        r#"out.jsonl: line 2: expected the row of "p/b.JPG", got that of "p/z.png""#,
    );
    out_refused(&pictures[..2], "line 3: expected rows of 2 pictures, got one of \"p/b.JPG\"");
    // Other options, another picture.
    let other = "out.jsonl: the row of \"p/b.JPG\" is not what this command gives";
    for more in [&["--logits"][..], &["--preprocess=unit"], &["--resize=bilinear"], &["--json"]] {
        out_refused(&[more, &pictures].concat(), other);
    }
    fs::copy(path("a.png"), path("p/b.JPG")).unwrap();
    out_refused(&pictures, other);
    // One that has gone can't be compared.
    fs::remove_file(path("p/b.JPG")).unwrap();
    assert!(classify(&folder, &args("out.jsonl", &pictures)).output().unwrap().status.success());
    assert!(fs::read(&out).unwrap() == whole);

    // Other files.
    let no_row = "line 1: expected the row of a picture; remove it and all that follows";
    let others: [(&str, &[u8]); 3] =
        [("notes", b"no rows"), ("lines", b"no\nrows\n"), ("zeros", &[0; 9])];
    for (name, bytes) in others {
        fs::write(path(name), bytes).unwrap();
        refused(name, &["--output", name, "a.png"], no_row);
    }
    refused("a.png", &["--output", "a.png", "a.png"], no_row);
    let zeros = [&whole[..], &[0; 100]].concat();
    fs::write(&out, zeros).unwrap();
    out_refused(&[&pictures[..], &["a.png"]].concat(), "line 4: expected the row of a picture");
    let classify = ["classify", "--weights", &weights, "--output"];
    assert_error(&[&classify[..], &["/none/x", "x.png"]].concat(), &["/none/x", "its folder"]);
    assert_error(&[&classify[..], &["/dev/null", "x.png"]].concat(), &["a regular file"]);
}

#[test]
fn lists_and_folders_that_cannot_be_read_are_errors() {
    let folder = pictures();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("utf16"), b"\xff\xfea\0\n\0").unwrap();
    fs::write(path("long"), [&b"a.png\n"[..], &[b'x'; 1 << 17]].concat()).unwrap();
    let weights = model();
    let refused = |args: &[&str], parts: &[&str]| {
        assert_error(&[&["classify", "--json", "--weights", &weights], args].concat(), parts);
    };
    refused(&["--list", &path("none")], &["none: "]);
    refused(&["--list", &path("utf16")], &["utf16: line 1: expected text in UTF-8, got UTF-16"]);
    refused(&[&path("empty")], &["empty: the folder has no file that ends in .jpg, .jpeg or .png"]);
    // What comes before is done.
    let list = path("long");
    let output = classify(&folder, &["--json", "--list", &list]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(files(&lines(&output.stdout)), ["a.png"]);
    assert!(stderr(&output).contains("long: line 2: expected a path of less than 131072 bytes"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(path("p"), path("p/inner/again")).unwrap();
        refused(&[&path("p/inner/again")], &["it lies in more than 16 folders"]);
    }
}

/// A list of `count` pictures, which are a few again and again.
#[cfg(unix)]
fn long_list(folder: &TempDir, count: usize) {
    let names = ["a.png", "p/b.JPG", "p/z.png", "p/none.png"].into_iter().cycle();
    let list: Vec<&str> = names.take(count).collect();
    fs::write(folder.path().join("list.txt"), list.join("\n")).unwrap();
}

/// Killed while rows are written, it leaves rows that the next run continues: all of them, each
/// once.
#[cfg(unix)]
#[test]
fn nothing_is_lost_or_done_twice_after_a_kill() {
    let folder = pictures();
    let out = folder.path().join("out.jsonl");
    long_list(&folder, 3000);
    let args = ["--top", "1", "--output", "out.jsonl", "--list", "list.txt"];
    assert_eq!(classify(&folder, &args).output().unwrap().status.code(), Some(1));
    let whole = fs::read(&out).unwrap();
    assert_eq!(lines(&whole).len(), 3000);
    fs::remove_file(&out).unwrap();
    let mut killed = 0;
    for part in 1..=6 {
        // It is killed as soon as so much is there.
        let until = whole.len() as u64 * part / 8;
        let mut child = classify(&folder, &args).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while fs::metadata(&out).map_or(0, |m| m.len()) < until
            && child.try_wait().unwrap().is_none()
        {
            assert!(start.elapsed() < Duration::from_secs(300));
            thread::yield_now();
        }
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
        assert!(whole.starts_with(&fs::read(&out).unwrap()));
    }
    println!("killed {killed} times");
    assert!(killed > 0);
    let output = classify(&folder, &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("out.jsonl: 750 of 3,000 rows have an error"));
    assert!(fs::read(&out).unwrap() == whole);
}

/// Two runs don't mix their rows.
#[cfg(unix)]
#[test]
fn one_process_writes_to_a_file_of_rows() {
    let folder = pictures();
    let args = ["--size", "20x24", "--output", "out.jsonl", "--list", "-"];
    let mut waits = classify(&folder, &args);
    let mut waits = waits.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut list = waits.stdin.take().unwrap();
    // Each row is there as soon as its picture is known, also when the next one is not.
    for (count, name) in ["a.png\n", "p/z.png\n"].into_iter().enumerate() {
        list.write_all(name.as_bytes()).unwrap();
        let start = Instant::now();
        let rows = || fs::read_to_string(folder.path().join("out.jsonl")).unwrap_or_default();
        while rows().lines().count() <= count {
            assert!(start.elapsed() < Duration::from_secs(300));
            thread::sleep(Duration::from_millis(2));
        }
    }
    let output = classify(&folder, &["--output", "out.jsonl", "a.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("out.jsonl: another process writes to it"));
    drop(list);
    assert!(waits.wait().unwrap().success());
    assert_eq!(lines(&fs::read(folder.path().join("out.jsonl")).unwrap()).len(), 2);
}

/// The most memory that a run had, in KiB.
#[cfg(target_os = "linux")]
fn peak(folder: &TempDir, count: usize) -> u64 {
    long_list(folder, count);
    let _ = fs::remove_file(folder.path().join("out.jsonl"));
    // 6 KB for each as an input.
    let args = ["--size", "20x24", "--output", "out.jsonl", "--list", "list.txt"];
    let mut child = classify(folder, &args).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = kib.unwrap_or(peak);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(lines(&fs::read(folder.path().join("out.jsonl")).unwrap()).len(), count);
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn many_pictures_take_no_more_memory_than_some() {
    let folder = pictures();
    let (some, many) = (peak(&folder, 1000), peak(&folder, 20_000));
    assert!(some > 0 && many < some + 16 * 1024, "{some} KiB, {many} KiB");
}
