#!/usr/bin/env python3
"""Fails if a public item of a library has no example in its documentation, as rustdoc has built it.

usage: examples.py FOLDER CRATE=ITEMS…

Looks at types, functions, methods and associated constants, and at least ITEMS of them, so that a rustdoc whose
pages look otherwise is noticed. rustdoc's own lint, `missing_doc_code_examples`, needs a nightly compiler and passes
over what private modules re-export, here nearly everything.
"""

import pathlib
import re
import sys

# Where a page goes on with what its own source does not say.
FOREIGN = re.compile(r'id="(?:deref-methods|trait-implementations|synthetic-impl|foreign-impls|implementors)')
MEMBER = re.compile(r'<section id="((?:method|tymethod|associatedconstant)\.[^"]+)"')
EXAMPLE = "rust-example-rendered"


def items(folder):
    """The name of each item, and whether it has an example."""
    pages = re.findall(r'<li><a href="([^"#]+)"', (folder / "all.html").read_text())
    for page in pages:
        html = FOREIGN.split((folder / page).read_text())[0]
        _, _, top = html.partition('class="toggle top-doc"')
        name = page.removesuffix(".html")
        yield name, EXAMPLE in top.partition("</details>")[0]
        _, *members = MEMBER.split(html)
        for member, text in zip(members[::2], members[1::2]):
            yield f"{name} {member}", EXAMPLE in text


def main():
    folder, failed = pathlib.Path(sys.argv[1]), False
    for argument in sys.argv[2:]:
        crate, least = argument.split("=")
        found = list(items(folder / crate))
        without = [name for name, has_example in found if not has_example]
        print(f"{crate}: {len(found)} public items, {len(without)} without an example", *without, sep="\n  ")
        failed |= bool(without) or len(found) < int(least)
    sys.exit(failed)


main()
