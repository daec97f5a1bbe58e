#!/usr/bin/env python3
"""Networks by precision: in f32, by default, and in 8-bit integers; and the tables of a record.

usage: precisions.py RECORD.json    prints the tables as Markdown

All precisions of all runtimes take turns in the same rounds. By default means what a user gets who
asks for nothing: where that is f32 after all it isn't measured twice. sepconv's default is f32; its
`--arithmetic bf16` stands beside a peer's default of bf16.
"""

import functools
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

import record
import runtimes
from networks import NETWORKS
from turns import (
    OURS,
    TOLERANCE,
    check_level,
    check_sepconv,
    correlation,
    difference,
    in_ms,
    load,
    ratio,
    rounds,
    summary,
)

# Of logits with those of f32. Sums that saturate leave Xception 0.91 on AVX2 (ONNX Runtime).
LEAST_CORRELATION = 0.8
TOOLS = {"ONNX Runtime": "onnxruntime", "OpenVINO": "nncf", "LiteRT (XNNPACK)": "tensorflow-cpu"}


def _ours(sepconv, path, folder, args):
    """sepconv's precisions: model file and options of each. A file of integers is made in `folder`."""
    quantized = Path(folder) / "int8.safetensors"
    sepconv.quantize(path("keras"), path("pictures.npy"), quantized)
    # Others take AMX unasked.
    amx = "amx_bf16" in record.machine()["flags"] and not args.level
    in_bf16 = ["--arithmetic", "bf16", *["--amx"] * amx]
    return {"f32": (path("keras"), []), "bf16": (path("keras"), in_bf16), "int8": (quantized, [])}


def _peers(path, x, args):
    """The peers by (name, precision), and what each computes by default."""
    peers, defaults = {}, {OURS: "f32"}
    for kind in runtimes.PRECISIONS:
        peer = load(kind, path(kind.format), x, args)
        if kind.precision == "f32":
            defaults[kind.name] = "f32"
        if kind.precision == "default":
            defaults[kind.name] = peer.chosen
            if peer.chosen == "f32":
                continue
        peers[kind.name, kind.precision] = peer
    return peers, defaults


def _accuracies(outputs):
    """How far each output is from sepconv's in f32; ends the program if one is too far."""
    expected, accuracies = outputs[OURS, "f32"], {}
    for (name, precision), y in outputs.items():
        found = {"difference": difference(y, expected), "correlation": correlation(y, expected)}
        accuracies[name, precision] = found
        close = found["correlation"] >= LEAST_CORRELATION
        if precision == "f32":
            close = found["difference"] <= TOLERANCE
        if not close:
            sys.exit(f"{name}, {precision}: doesn't compute what sepconv does in f32: {found}")
    return accuracies


def _turns(network, sepconv, args):
    """Loads, checks and times all. Returns the reports of sepconv's, the peers' times, how many rounds
    were dropped, what each computes by default, how accurate it is, and sepconv's options."""
    path = lambda suffix: args.models / f"{network.slug}.{suffix}"
    peers, defaults = _peers(path, np.load(path("x.npy")), args)
    outputs = {key: peer.output() for key, peer in peers.items()}
    with tempfile.TemporaryDirectory() as folder:
        ours, mine = _ours(sepconv, path, folder, args), {}
        for precision, (weights, options) in ours.items():
            outputs[OURS, precision] = sepconv.output(weights, path("x.npy"), *options)
            mine[OURS, precision] = functools.partial(
                _bench, sepconv, weights, path("x.npy"), options
            )
        accuracies = _accuracies(outputs)
        reports, times, dropped = rounds(mine, peers, args.rounds, args.runs)
    options = {precision: options for precision, (_, options) in ours.items()}
    return reports, times, dropped, defaults, accuracies, options


def _bench(sepconv, weights, x, options, runs):
    return sepconv.network(weights, x, runs, *options)


def _network(network, sepconv, args):
    """One network in all precisions."""
    reports, times, dropped, defaults, accuracies, options = _turns(network, sepconv, args)
    for of_rounds in reports.values():
        check_sepconv(of_rounds[0], args)
    report = reports[OURS, "f32"][0]
    in_f32 = {name: ts for (name, precision), ts in times.items() if precision == "f32"}
    peak, result = summary({OURS: reports[OURS, "f32"]}, in_f32, report["multiply_adds"])
    check_level(sepconv, report, result, args)

    found = {}
    results = in_ms(reports, times)
    for (name, precision), values in results.items():
        if name == OURS:
            report = reports[name, precision][0]
            parts = ("weights_bytes", "arena_bytes", "scratch_bytes")
            values["session_bytes"] = sum(report[part] for part in parts)
        else:
            values["sepconv_over_it"] = {}
            for own in options:
                median, extent = ratio(results[OURS, own], values)
                values["sepconv_over_it"][own] = {"median": median, "range": extent}
        values.update(accuracies[name, precision])
        found.setdefault(precision, {})[name] = values
    return {
        "network": network.slug,
        "label": f"{network.label} {network.size}×{network.size}",
        "size": report["size"],
        "batch": 1,
        "level": report["level"],
        "multiply_adds": report["multiply_adds"],
        "peak_gflops": peak,
        "dropped_rounds": dropped,
        "options": options,
        "defaults": defaults,
        "precisions": found,
    }


def measure(sepconv, args):
    """What is recorded."""
    return {
        "rounds": args.rounds,
        "runs": args.runs,
        "quantized_by": {
            name: f"{package} {metadata.version(package)}" for name, package in TOOLS.items()
        },
        "networks": [_network(network, sepconv, args) for network in NETWORKS],
    }


# ---------------------------------------------------------------- tables


def _cell(values, *own):
    """Least and median ms, and the ratios to sepconv in the precisions `own`."""
    text = f"{values['min_ms']:.3g}, {values['median_ms']:.3g}"
    if "sepconv_over_it" in values:
        text += ": " + ", ".join(f"{values['sepconv_over_it'][p]['median']:.2f}" for p in own)
    return text


def _default_cell(name, result):
    """By default: f32, or the type and its figures, with the ratios of sepconv's f32 and bf16."""
    chosen = result["defaults"][name]
    if chosen == "f32":
        return "f32"
    return f"{chosen}: " + _cell(result["precisions"]["default"][name], "f32", "bf16")


def _int8(name, result):
    """The figures of `name` in integers: OpenVINO's are those of the faster of its two files."""
    found = result["precisions"]["int8"]
    names = [name, runtimes.OpenVinoQdq.name] if name == runtimes.OpenVino.name else [name]
    return min((found[n] for n in names), key=lambda values: values["median_ms"])


def _rows(results):
    """The rows of one network, from its results by number of threads: names and cells."""
    names = [OURS, *sorted(results[0]["precisions"]["f32"].keys() - {OURS})]
    rows = {name: [] for name in names}
    in_bf16 = f"{OURS}, `{' '.join(results[0]['options']['bf16'])}`"
    rows[in_bf16] = []
    for result in results:
        for name in names:
            f32, int8 = result["precisions"]["f32"][name], _int8(name, result)
            rows[name] += [_cell(f32, "f32"), _default_cell(name, result), _cell(int8, "int8")]
        bf16 = result["precisions"]["bf16"][OURS]
        rows[in_bf16] += ["", f"bf16: {_cell(bf16)}", ""]
    ours = sorted(rows, key=lambda name: not name.startswith(OURS))
    return {name: rows[name] for name in ours}


def tables(threads):
    """Markdown from a record's `threads` → `precisions`: a table per network, columns per threads."""
    heads = [
        f"{n} thread{'s' * (int(n) > 1)}, {column}" if column == "f32" else column
        for n in threads
        for column in ("f32", "default", "int8")
    ]
    lines = []
    for of_threads in zip(*(result["networks"] for result in threads.values())):
        lines += ["", f"| {of_threads[0]['label']} | " + " | ".join(heads) + " |"]
        lines.append("|---" * (len(heads) + 1) + "|")
        versions = next(iter(threads.values()))["versions"]
        for name, cells in _rows(of_threads).items():
            version = ".".join(versions[name].split(".")[:2]) if name in versions else ""
            title = f"{name} {version}".strip() if name != OURS else name
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    first = next(iter(threads.values()))["networks"]
    return "\n".join([*lines, "", *_accuracy(first), "", *_memory(first)])


def _accuracy(networks):
    """A list: how far the logits of integers and of bf16 are from those of f32."""
    lines = ["Correlation of the logits with sepconv's in f32:", ""]
    for network in networks:
        parts = [
            f"{name} {precision if precision != 'default' else network['defaults'][name]} "
            f"{values['correlation']:.4f}"
            for precision, found in network["precisions"].items()
            if precision != "f32"
            for name, values in found.items()
        ]
        lines.append(f"- {network['label']}: {', '.join(parts)}")
    return lines


def _memory(networks):
    """A list: what sepconv's sessions hold."""
    lines = ["Bytes of sepconv's session (weights, values between layers, scratch) ÷ those of f32:", ""]
    for network in networks:
        found = network["precisions"]
        held = {p: found[p][OURS]["session_bytes"] for p in ("f32", "bf16", "int8")}
        parts = [f"{p} {held[p] / held['f32']:.2f}" for p in ("bf16", "int8")]
        lines.append(f"- {network['label']}: {', '.join(parts)} of {held['f32'] / 1e6:.1f} MB")
    return lines


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    threads = json.loads(Path(sys.argv[1]).read_text())["threads"]
    found = {
        n: subjects["precisions"]
        for n, subjects in sorted(threads.items(), key=lambda item: int(item[0]))
        if "precisions" in subjects
    }
    if not found:
        sys.exit(f"{sys.argv[1]}: nothing measured by precision")
    print(tables(found))


if __name__ == "__main__":
    main()
