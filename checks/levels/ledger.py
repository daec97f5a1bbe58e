#!/usr/bin/env python3
"""Adds up what the runs have entered: which level ran where, how many cases of how many kernels, mismatches.

usage: ledger.py [--require LEVEL]… [--kernels PART-OF-NAME]… [--least [RUN=]CASES]… [PAGE…]

Pages are the files that the scripts here leave in target/ledger. A level counts as RUN if a run that was
for it came to its end with status 0, compared each kernel of the level at least once and found no mismatch.
A run that is impossible on this machine says why, and counts neither as passed nor as failed.
Exits with 1 if a required level did not run so, no run had kernels of a name that is asked for or one of these
was never compared, any run failed, or a kernel had fewer cases than the least that is asked of all runs or of one.
"""

import argparse
import pathlib
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEVELS = ["scalar", "sse", "simd128", "relaxed_simd", "avx2", "avx512", "amx", "neon"]
# The architectures on which a level can run at all: an entry from another is a fault of the harness.
ARCHITECTURES = {
    "sse": "x86_64", "avx2": "x86_64", "avx512": "x86_64", "amx": "x86_64", "neon": "aarch64",
    "simd128": "wasm32", "relaxed_simd": "wasm32",
}


class Page:
    """What one run has entered."""

    def __init__(self, path):
        self.name, self.purpose, self.cpu, self.status = path.stem, "", "", None
        # Why the run is impossible on this machine, if it is.
        self.impossible = ""
        self.architectures = set()
        # Per level and kernel: cases, mismatches.
        self.counts = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        for line in path.read_text().splitlines():
            fields = line.split("\t")
            if fields[0] == "run":
                _, self.name, self.purpose, self.cpu = fields
            elif fields[0] == "impossible":
                self.impossible = fields[1]
            elif fields[0] == "exit":
                self.status = int(fields[1])
            else:
                architecture, level, kernel, cases, mismatches = fields
                if architecture != ARCHITECTURES.get(level, architecture):
                    sys.exit(f"{path}: {level} cannot have run on {architecture}")
                self.architectures.add(architecture)
                total = self.counts[level][kernel]
                total[0] += int(cases)
                total[1] += int(mismatches)

    def purposes(self):
        """The levels that the run is for: one, or all that its CPU has."""
        return list(self.counts) if self.purpose == "all" else [self.purpose]

    def verdict(self, level):
        """RUN, or why it does not count as that."""
        if self.impossible:
            return f"NOT RUN: {self.impossible}"
        counts = self.counts.get(level, {})
        missing = [kernel for kernel, (cases, _) in counts.items() if cases == 0]
        mismatches = sum(m for _, m in counts.values())
        if mismatches:
            return f"{mismatches} MISMATCHES"
        if self.status is None:
            return "NOT RUN to its end"
        if self.status != 0:
            return f"FAILED, status {self.status}"
        if not counts:
            return "NOT RUN"
        if missing:
            return f"NOT RUN: {', '.join(missing)}"
        return "RUN"

    def rows(self):
        """(level, kernels compared, kernels, cases, least cases of a kernel, mismatches, verdict)."""
        for level in sorted(set(self.counts) | set(self.purposes()), key=LEVELS.index):
            counts = self.counts.get(level, {})
            cases = [cases for cases, _ in counts.values()]
            compared = sum(c > 0 for c in cases)
            if compared == 0 and level not in self.purposes():
                continue
            verdict = self.verdict(level)
            if level not in self.purposes() and verdict.startswith("NOT RUN"):
                verdict = "in part"
            mismatches = sum(m for _, m in counts.values())
            yield level, compared, len(counts), sum(cases), min(cases, default=0), mismatches, verdict


def least(text):
    """(run or "", cases) of `RUN=CASES` or `CASES`."""
    run, _, cases = text.rpartition("=")
    return run, int(cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--require", action="append", default=[], metavar="LEVEL", choices=LEVELS)
    parser.add_argument("--kernels", action="append", default=[], metavar="PART-OF-NAME")
    parser.add_argument("--least", action="append", default=[], metavar="[RUN=]CASES", type=least)
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    paths = options.pages or sorted((ROOT / "target/ledger").glob("*.tsv"))
    pages = [Page(path) for path in paths]

    head = ("run", "level", "kernels", "cases", "least/kernel", "mismatches", "", "on")
    table = [head]
    asked = dict(options.least)
    ran, failures, passed = set(), [], 0
    for page in pages:
        failed = page.status != 0 and not page.impossible
        wanted = asked.get(page.name, asked.get("", 0))
        for level, compared, kernels, cases, fewest, mismatches, verdict in page.rows():
            if verdict == "RUN" and level in page.purposes() and fewest < wanted:
                verdict = f"LESS THAN {wanted:,} of a kernel"
            where = ": ".join(filter(None, [", ".join(sorted(page.architectures)), page.cpu]))
            counts = (f"{compared}/{kernels}", f"{cases:,}", f"{fewest:,}", str(mismatches))
            table.append((page.name, level, *counts, verdict, where))
            if verdict == "RUN" and level in page.purposes():
                ran.add(level)
            elif (level in page.purposes() or mismatches) and not page.impossible:
                failed = True
                failures.append(f"{page.name}: {level}: {verdict}")
        passed += not failed and not page.impossible
        if failed and not any(f.startswith(f"{page.name}:") for f in failures):
            failures.append(f"{page.name}: {page.verdict(page.purpose)}")
    for level in options.require:
        if level not in ran:
            table.append(("", level, "", "", "", "", "NOT RUN", ""))
            failures.append(f"{level}: required, NOT RUN")

    cases = defaultdict(int)
    for page in pages:
        for counts in page.counts.values():
            for kernel, (ran_with, _) in counts.items():
                cases[kernel] += ran_with
    for part in options.kernels:
        named = sorted(kernel for kernel in cases if part in kernel)
        missing = [kernel for kernel in named if cases[kernel] == 0] if named else [f"*{part}*"]
        failures += [f"{kernel}: asked for, NOT RUN" for kernel in missing]

    widths = [max(len(row[i]) for row in table) for i in range(len(head) - 1)]
    for row in table:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths)]
        print("  ".join([*cells, row[-1]]).rstrip())
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    impossible = sum(bool(page.impossible) for page in pages)
    print(f"\n{passed} passed, {len(pages) - impossible - passed} failed")
    return 1 if failures or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
