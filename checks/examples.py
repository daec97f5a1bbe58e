#!/usr/bin/env python3
"""Fails if an item of a library that should have an example in its documentation, as rustdoc has built it, has none.

usage: examples.py FOLDER CRATE=ITEMS…

These items are types, traits, constants, macros, free functions and constructors. A constructor is an associated
function without `self`; the example of its type serves it if it calls it as `Type::name(`. Methods and fields need
none. Looks at no fewer than ITEMS of them, so that a rustdoc whose pages look otherwise is noticed. rustdoc's own
lint, `missing_doc_code_examples`, needs a nightly compiler and passes over what private modules re-export, here
nearly everything.
"""

import html
import pathlib
import re
import sys

# Where a page goes on with what its own source does not say.
FOREIGN = re.compile(r'id="(?:deref-methods|trait-implementations|synthetic-impl|foreign-impls|implementors)')
MEMBER = re.compile(r'<section id="((?:method|tymethod|associatedconstant)\.[^"]+)"')
EXAMPLE = "rust-example-rendered"


def text(source):
    """A page's text, without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", source))


def items(folder):
    """The name of each item, and whether it has an example."""
    pages = re.findall(r'<li><a href="([^"#]+)"', (folder / "all.html").read_text())
    for page in pages:
        source = FOREIGN.split((folder / page).read_text())[0]
        name = page.removesuffix(".html")
        top, *members = MEMBER.split(source)
        top = top.partition('class="toggle top-doc"')[2].partition("</details>")[0]
        yield name, EXAMPLE in top
        calls = text(top)
        for member, body in zip(members[::2], members[1::2]):
            kind, _, function = member.partition(".")
            signature = text(re.search(r'<h4 class="code-header">(.*?)</h4>', body, re.S)[1])
            if kind != "method" or re.search(r"\(\s*(?:mut )?(?:&(?:'\w+ )?(?:mut )?)?self\b", signature):
                continue
            called = f"{name.rpartition('.')[2]}::{function}(" in calls
            yield f"{name} {member}", called or EXAMPLE in body


def main():
    folder, failed = pathlib.Path(sys.argv[1]), False
    for argument in sys.argv[2:]:
        crate, least = argument.split("=")
        found = list(items(folder / crate))
        without = [name for name, has_example in found if not has_example]
        print(f"{crate}: {len(found)} items, {len(without)} without an example", *without, sep="\n  ")
        failed |= bool(without) or len(found) < int(least)
    sys.exit(failed)


main()
