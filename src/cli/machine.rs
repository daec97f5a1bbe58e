//! What is known of the machine. Linux tells by files; other systems aren't asked, and what only
//! files tell is then unknown.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// A cache of the first CPU.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Cache {
    pub(super) level: u32,
    /// `data`, `instruction` or `unified`.
    pub(super) kind: String,
    pub(super) bytes: u64,
    /// The number of logical CPUs that share it.
    pub(super) cpus: usize,
}

/// The name of the CPU.
pub(super) fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    Some(entry(&text, "model name")?.to_owned())
}

/// Whether the CPU is that of a virtual machine.
pub(super) fn is_virtual() -> Option<bool> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    // Arm's has no such flag.
    Some(entry(&text, "flags")?.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// The value of the first entry `key : value`.
fn entry<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let entries = text.lines().filter_map(|line| line.split_once(':'));
    let found = entries.map(|(k, v)| (k.trim(), v.trim())).find(|(k, _)| *k == key);
    found.map(|(_, value)| value)
}

/// When transparent huge pages are used: `always`, `madvise` or `never`.
pub(super) fn huge_pages() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    chosen(&text).map(Into::into)
}

/// The word in brackets.
fn chosen(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

/// The caches of the first CPU, smallest level first.
pub(super) fn caches() -> Vec<Cache> {
    caches_in(Path::new("/sys/devices/system/cpu/cpu0/cache"))
}

fn caches_in(folder: &Path) -> Vec<Cache> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |path: &Path, name: &str| fs::read_to_string(path.join(name)).ok();
    let cache = |path: &Path| {
        Some(Cache {
            level: read(path, "level")?.trim().parse().ok()?,
            kind: read(path, "type")?.trim().to_lowercase(),
            bytes: bytes(read(path, "size")?.trim())?,
            cpus: count(read(path, "shared_cpu_list")?.trim())?,
        })
    };
    let mut caches: Vec<Cache> = entries.filter_map(|entry| cache(&entry.ok()?.path())).collect();
    caches.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
    caches
}

/// `48K` as 49152.
fn bytes(text: &str) -> Option<u64> {
    let units = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
    let unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The number of CPUs in a list such as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    let range = |text: &str| -> Option<usize> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').map(range).try_fold(0_usize, |all, n| all.checked_add(n?))
}

/// `2 MiB`, `48 KiB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The instructions beyond the levels' own that kernels look for, and whether the CPU has them.
pub(super) fn instructions() -> Vec<(&'static str, bool)> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return vec![
        ("FMA", is_x86_feature_detected!("fma")),
        ("AVX-VNNI", is_x86_feature_detected!("avxvnni")),
        ("AVX512-VNNI", is_x86_feature_detected!("avx512vnni")),
        ("AVX512-BF16", is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(target_arch = "aarch64")]
    return vec![
        ("FEAT_DotProd", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("FEAT_I8MM", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("FEAT_BF16", std::arch::is_aarch64_feature_detected!("bf16")),
    ];
    #[allow(unreachable_code, reason = "of other architectures")]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: X\nflags\t\t: fpu hypervisor\n";
        assert_eq!(entry(text, "model name"), Some("Some CPU: X"));
        assert_eq!(entry(text, "name"), None);
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("madvise"), None);
        assert_eq!(
            (bytes("48K"), bytes("2M"), bytes("512")),
            (Some(49152), Some(1 << 21), Some(512))
        );
        assert_eq!((bytes("K"), bytes("99999999999999999999G")), (None, None));
        assert_eq!(
            (count("0-3,8"), count("1"), count("3-1"), count("")),
            (Some(5), Some(1), None, None)
        );
        assert_eq!((size(48 << 10), size(260 << 20)), ("48 KiB".into(), "260 MiB".into()));
    }

    #[test]
    fn finds_caches() {
        let folder = tempfile::tempdir().unwrap();
        for (name, level, kind, size) in
            [("index0", "2", "Unified", "2048K"), ("index1", "1", "Data", "48K")]
        {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            for (file, text) in
                [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", "0-1")]
            {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        }
        fs::create_dir(folder.path().join("power")).unwrap();
        let found = caches_in(folder.path());
        let expected = [(1, "data", 48 << 10), (2, "unified", 2 << 20)];
        let expected =
            expected.map(|(level, kind, bytes)| Cache { level, kind: kind.into(), bytes, cpus: 2 });
        assert_eq!(found, expected);
        assert_eq!(caches_in(&folder.path().join("none")), []);
    }
}
