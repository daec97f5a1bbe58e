#!/usr/bin/env python3
"""Checks that each relative link of the Markdown files leads to a file and a heading that are there."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?\s*\)")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.M)
ELSEWHERE = re.compile(r"[a-z]+:")


def prose(path):
    """The file's text without its code blocks."""
    return FENCE.sub("", path.read_text())


def anchors(path):
    """What GitHub makes of a file's headings."""
    found = set()
    for heading in HEADING.findall(prose(path)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeats = sum(1 for name in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", name))
        found.add(f"{slug}-{repeats}" if slug in found else slug)
    return found


def broken(path):
    """The links of a file that lead nowhere."""
    for link in LINK.findall(prose(path)):
        if ELSEWHERE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            yield link
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield link


def main():
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wrong = [f"{name}: {link}" for name in names.split("\0") if name for link in broken(ROOT / name)]
    if wrong:
        sys.exit("links that lead nowhere:\n  " + "\n  ".join(wrong))


if __name__ == "__main__":
    main()
