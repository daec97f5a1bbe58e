#!/usr/bin/env python3
"""Writes the figures of the README from the records of the benchmarks.

    benches/readme.py            # writes them between the README's markers
    benches/readme.py --check    # ends with 1 if the README says something else
"""

import json
import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RECORDS = pathlib.Path("benches/record")
BEGIN, END = "<!-- Figures: written by benches/readme.py -->\n", "<!-- End of the figures -->\n"
OURS = "sepconv"
# What each record was made on: virtual machines don't tell.
PRECISIONS = RECORDS / "intel-r-xeon-r-processor-6-207/2026-11-30.json", "Intel Emerald Rapids (AVX-512)"
F32 = RECORDS / "amd-epyc-26-2/2026-11-25.json", "AMD Zen 5 (AVX-512)"
# The other records of Xception in f32.
OTHERS = {
    "amd-epyc-26-2/2026-11-25.json": "AMD Zen 5",
    "amd-epyc-26-2-as-avx2/2026-11-25.json": "AMD Zen 5 as AVX2",
    "amd-epyc-25-17/2026-11-28.json": "AMD Zen 4",
    "amd-epyc-25-1/2026-11-28.json": "AMD Zen 3",
    "intel-r-xeon-r-processor-6-207/2026-11-27.json": "Intel Emerald Rapids",
}
# The rows of the table: networks, precisions.
ROWS = [("xception", "f32"), ("xception", "bf16"), ("xception", "int8"), ("mobilenet", "int8")]
NAMES = {"f32": "f32", "bf16": "bf16", "int8": "8-bit integers"}


def read(path):
    return json.loads((ROOT / path).read_text())


def fastest(precisions, precision):
    """The fastest peer in a precision: its name, its median ms and the ratio of the two.

    Some peers have bf16 as their default alone."""
    found = dict(precisions.get(precision, {}))
    if precision == "bf16":
        found |= precisions.get("default", {})
    peers = {name: values for name, values in found.items() if name != OURS}
    name, values = min(peers.items(), key=lambda item: item[1]["median_ms"])
    ratio = values["sepconv_over_it"][precision]["median"]
    return name.removesuffix(", QDQ"), values["median_ms"], ratio


def digits(ms):
    """Three digits."""
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def rows(networks):
    """Cells of the table: what is timed, sepconv's ms, the fastest peer and its ms, the ratio."""
    found = {network["network"]: network for network in networks}
    for slug, precision in ROWS:
        network = found[slug]
        if precision == "bf16" and network["defaults"]["OpenVINO"] != "bf16":
            raise SystemExit(f"readme: {slug}: no peer has bf16")
        ours = network["precisions"][precision][OURS]["median_ms"]
        name, theirs, ratio = fastest(network["precisions"], precision)
        yield f"{network['label']}, {NAMES[precision]}", ours, name, theirs, ratio


def by_precision():
    """The table of precisions, with its rule and its losses."""
    path, machine = PRECISIONS
    record = read(path)
    precisions = record["threads"]["1"]["precisions"]
    table = list(rows(precisions["networks"]))
    xception = next(n for n in precisions["networks"] if n["network"] == "xception")["precisions"]
    own = xception["bf16"][OURS]["median_ms"] / xception["f32"][OURS]["median_ms"]
    yield filled(
        f"One thread of an {machine}, {record['date']}: median ms of a picture. The ratio is the median over the "
        "rounds of sepconv's time ÷ that of the fastest of ONNX Runtime, OpenVINO and LiteRT: **below 1, sepconv "
        f"is faster** ([record]({path})).")
    yield ""
    yield "| | sepconv | fastest peer | ratio |"
    yield "|---|---|---|---|"
    for what, ours, name, theirs, ratio in table:
        shown = f"{ratio:.2f}" if ratio < 1 else f"**{ratio:.2f}: a loss**"
        yield f"| {what} | {digits(ours)} | {name}, {digits(theirs)} | {shown} |"
    if own >= 1:
        yield ""
        yield filled(f"A loss, too: bf16 takes {own:.2f} times f32's time there; it is meant for tile units (AMX).")


def in_f32():
    """The sentence about f32."""
    path, machine = F32
    network = read(path)["threads"]["1"]["network"]
    runtimes = network["runtimes"]
    ratios = [ratio(values) for name, values in runtimes.items() if name != OURS]
    share, ms = runtimes[OURS]["peak_share"], runtimes[OURS]["median_ms"]
    won = (
        f"On one thread of an {machine}, Xception in f32 takes {ms:.1f} ms ([record]({path})): {min(ratios):.2f} to "
        f"{max(ratios):.2f} of the others' time, at {100 * share:.0f} % of the FMA peak.")
    lost = []
    for path, machine in OTHERS.items():
        for threads, found in read(RECORDS / path)["threads"].items():
            for name, values in found["network"]["runtimes"].items():
                if name != OURS and ratio(values) >= 1.005:
                    plural = "s" * (int(threads) > 1)
                    lost.append(f"{ratio(values):.2f} to {name} ({machine}, {threads} thread{plural})")
    yield filled(f"{won} Losses in f32 in the other records: {', '.join(lost) or 'none'}.")


def filled(text):
    return textwrap.fill(text, 105, break_long_words=False, break_on_hyphens=False)


def ratio(values):
    """sepconv's time ÷ that of a runtime; later records have its range, too."""
    found = values["ours_over_it"]
    return found["median"] if isinstance(found, dict) else found


def figures():
    lines = [*by_precision(), "", *in_f32()]
    return "\n".join(lines) + "\n"


def main():
    text = README.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"readme: {README.name} has no place for the figures")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}{figures()}{END}{after}"
    if sys.argv[1:] == ["--check"]:
        if new != text:
            sys.exit("readme: the README's figures differ from the records; run benches/readme.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        README.write_text(new)


if __name__ == "__main__":
    main()
