#!/usr/bin/env python3
"""Fails if a test in the tree is one that nobody compiles: in a library without a test build, behind a feature that
no run has, in a file that no target includes.

usage: tests_run.py LISTING…

LISTINGs are what `cargo test … -- --list` printed, standard error included. Each `#[test]` of the source must be in
one of them, of a test binary made from that file or from one that includes it as a module.
"""

import collections
import pathlib
import re
import subprocess
import sys

# Packages of their own: fuzz targets and the engines of the benchmarks, without tests, and the adapters, whose tests
# adapters/test.sh runs.
OUTSIDE = ("fuzz/", "benches/peers/engines/", "adapters/")
TEST = re.compile(r"#\[test\]\s*(?:#\[[^\]]*\]\s*)*fn\s+(\w+)")
LISTED = re.compile(r"^(?:\S*::)?(\w+): test$")


def main():
    listed = collections.Counter()
    for path in sys.argv[1:]:
        for line in pathlib.Path(path).read_text().splitlines():
            found = LISTED.match(line)
            if found:
                listed[found[1]] += 1
    files = subprocess.run(["git", "ls-files", "*.rs"], check=True, capture_output=True, text=True).stdout
    total, missing = 0, []
    names = collections.Counter()
    for file in files.split():
        if file.startswith(OUTSIDE):
            continue
        for name in TEST.findall(pathlib.Path(file).read_text()):
            total += 1
            names[name] += 1
            if names[name] > listed[name]:
                missing.append(f"{file}: {name}")
    print(f"{total} tests in the tree, {len(missing)} that nobody runs", *missing, sep="\n  ")
    if missing or total == 0:
        sys.exit(1)


if __name__ == "__main__":
    main()
