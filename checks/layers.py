#!/usr/bin/env python3
"""Fails if the files of kernels/src are knotted: if `use` leads in a circle, or macros have grown, or functions, of
src, too.

usage: layers.py [--graph]

--graph prints, for each file, those that it uses, lowest layer first. `lib.rs` is left out, which only names what users
see: inside the crate a path names the file that defines the item.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "kernels/src"
EXECUTOR = ROOT.parent.parent / "src"
MAX_LINES, MAX_ARGUMENTS, MAX_MACRO_LINES = 80, 7, 150


def code_of(path):
    """The text of a file; comments, strings and characters are blank."""
    blank = lambda match: re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'//[^\n]*|/\*.*?\*/|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'', blank, path.read_text(),
                  flags=re.S)


def module_of(path):
    """`gemm/plan.rs` as ("gemm", "plan"); `gemm/mod.rs` as ("gemm",)."""
    *folders, name = path.relative_to(ROOT).with_suffix("").parts
    return tuple(folders) if name == "mod" else (*folders, name)


def paths_of_tree(tree, prefix=()):
    """The paths of a `use` tree: `a::{b, c::d}` as a::b and a::c::d."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    names = tuple(re.split(r"\s+as\s+", n)[0].strip() for n in head.split("::") if n.strip())
    if not brace:
        yield (*prefix, *names)
        return
    depth, part = 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if part.strip():
                yield from paths_of_tree(part, (*prefix, *names))
            part = ""
        else:
            part += letter


def uses_of(code):
    """The paths that a file names, in its `use` items and elsewhere."""
    for tree in re.findall(r"\buse\s+([^;]+);", code):
        yield from paths_of_tree(tree)
    for path in re.findall(r"(?<![\w:])\w+(?:::\w+)+", re.sub(r"\buse\s+[^;]+;", "", code)):
        yield tuple(path.split("::"))


def target_of(path, module, modules):
    """The module that a path leads to, None if out of the crate."""
    if path[0] == "crate":
        at, rest = (), path[1:]
    elif path[0] in ("super", "self"):
        at, rest = module, path
        while rest and rest[0] in ("super", "self"):
            at, rest = (at[:-1] if rest[0] == "super" else at), rest[1:]
    elif (*module, path[0]) in modules:
        at, rest = module, path
    else:
        return None
    while rest and (*at, rest[0]) in modules:
        at, rest = (*at, rest[0]), rest[1:]
    return at


def circle_in(graph):
    """A circle, as a list of modules; none if there is none. Modules without one are in `done`, lowest first."""
    done, way = [], []

    def visit(module):
        if module in way:
            return way[way.index(module):] + [module]
        if module in done:
            return None
        way.append(module)
        for used in sorted(graph[module]):
            if circle := visit(used):
                return circle
        done.append(way.pop())
        return None

    for module in sorted(graph):
        if circle := visit(module):
            return circle, done
    return None, done


def end_of(code, start):
    """Where the bracket that opens at `start` closes."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opening, closing, depth = code[start], pairs[code[start]], 0
    for i in range(start, len(code)):
        depth += (code[i] == opening) - (code[i] == closing)
        if depth == 0:
            return i
    sys.exit("layers: a bracket does not close")


def functions_of(code):
    """Name, lines and arguments of each function that has a body."""
    for found in re.finditer(r"\bfn\s+(\w+)", code):
        at, depth = found.end(), 0
        while code[at] != "(" or depth:  # past the generic parameters
            depth += (code[at] == "<") - (code[at] == ">" and code[at - 1] != "-")
            at += 1
        close = end_of(code, at)
        after = re.compile(r"[{;]").search(code, close)
        if not after or after[0] == ";":
            continue
        # Arguments end with commas outside of brackets, but perhaps the last.
        depth, arguments, part = 0, 0, ""
        for i in range(at + 1, close + 1):
            letter = code[i]
            depth += (letter in "(<[{") - (letter in ")]}" or letter == ">" and code[i - 1] != "-")
            if depth <= 0 and (letter == "," or i == close):
                arguments += bool(part.strip())
                part = ""
            else:
                part += letter
        yield found[1], code.count("\n", found.start(), end_of(code, after.start())) + 1, arguments


def long_functions(name, code):
    """What is wrong with the functions of a file."""
    for function, lines, arguments in functions_of(code):
        if lines > MAX_LINES:
            yield f"{name}: {function} has {lines} lines > {MAX_LINES}"
        if arguments > MAX_ARGUMENTS:
            yield f"{name}: {function} has {arguments} arguments > {MAX_ARGUMENTS}"


def main():
    files = {module_of(path): path for path in sorted(ROOT.rglob("*.rs")) if path.name != "lib.rs"}
    codes = {module: code_of(path) for module, path in files.items()}
    name = lambda module: str(files[module].relative_to(ROOT)) if module else "lib.rs"
    graph, wrong, macro_lines = {}, [], 0
    for module, code in codes.items():
        used = {target_of(path, module, files) for path in uses_of(code)} - {None, module}
        if () in used:
            wrong.append(f"{name(module)} uses what lib.rs re-exports: name the file that defines it")
        graph[module] = used - {()}
        wrong += long_functions(name(module), code)
        for macro in re.finditer(r"\bmacro_rules!\s+\w+\s*\{", code):
            macro_lines += code.count("\n", macro.start(), end_of(code, macro.end() - 1)) + 1
    for path in sorted(EXECUTOR.rglob("*.rs")):
        wrong += long_functions(path.relative_to(EXECUTOR.parent), code_of(path))
    circle, order = circle_in(graph)
    if circle:
        wrong.append("a circle: " + " → ".join(map(name, circle)))
    if macro_lines > MAX_MACRO_LINES:
        wrong.append(f"macros have {macro_lines} lines > {MAX_MACRO_LINES}")
    if "--graph" in sys.argv[1:]:
        for module in order:
            print(f"{name(module)}: {', '.join(map(name, sorted(graph[module])))}")
    for line in wrong:
        print(f"layers: {line}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"layers: {len(files)} files, no circle, {macro_lines} lines of macros")


if __name__ == "__main__":
    main()
