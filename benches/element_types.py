#!/usr/bin/env python3
"""Xception and single layers in f32, f16, bf16, in each arithmetic, in turns.

usage: benches/element_types.py SEPCONV [--rounds N] [--threads N]… [--json FILE]

Each round runs `SEPCONV bench` once for every way of storing and multiplying, one after the other, each round
beginning with the next one, so that whatever else the machine does meets all alike. Prints the least and the
median ms and the median over rounds of the time ÷ that of f32 in the same round, as Markdown; --json keeps
every round.
"""

import argparse
import json
import statistics
import subprocess
import sys

# Weights, values between layers, arithmetic.
WAYS = [("f32", "f32", "exact"), ("f16", "f32", "exact"), ("f16", "f16", "exact"), ("bf16", "f32", "exact"),
        ("bf16", "bf16", "exact"), ("bf16", "f32", "bf16"), ("bf16", "bf16", "bf16"), ("bf16", "f32", "fast"),
        ("bf16", "bf16", "fast")]
# The entry flow's largest, the middle flow, the exit flow, the strided projection; depthwise alone; the classes of some
# pictures.
LAYERS = ["sep 1x147x147x64 o128 k3", "sep 1x19x19x728 o728 k3", "sep 1x10x10x1536 o2048 k3",
          "pw 1x147x147x64 o128 s2", "dw 1x147x147x128 k3", "dw 1x19x19x728 k3", "pw 1x1x1x2048 o1000",
          "pw 1x1x4x2048 o1000", "pw 1x1x16x2048 o1000"]


def bench(sepconv, threads, runs, arguments):
    command = [sepconv, "bench", "--json", "--threads", str(threads), "--runs", str(runs), *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def options(weights, values, arithmetic):
    return ["--weights-type", weights, "--activations-type", values, "--arithmetic", arithmetic]


def words(layer, weights, values):
    return f"{layer} w{weights} a{values}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()

    record = []
    for threads in args.threads or [1, 2]:
        for turn in range(args.rounds):
            first = turn % len(WAYS)
            for way in WAYS[first:] + WAYS[:first]:
                (network,) = bench(args.sepconv, threads, 5, options(*way))
                record.append({"what": "Xception 299", "threads": threads, "way": way,
                               "min_ms": network["min_ms"], "median_ms": network["median_ms"]})
                *types, arithmetic = way
                layers = [word for layer in LAYERS for word in ("--layer", words(layer, *types))]
                layers += ["--arithmetic", arithmetic]
                for layer, result in zip(LAYERS, bench(args.sepconv, threads, 9, layers)):
                    record.append({"what": layer, "threads": threads, "way": way,
                                   "min_ms": result["min_ms"], "median_ms": result["median_ms"]})
    if args.json:
        with open(args.json, "w") as file:
            json.dump(record, file, indent=0)
    heads = [f"{w}, {v}" + ("" if a == "exact" else f", {a}") for w, v, a in WAYS]
    print("| weights, values | threads | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for threads in args.threads or [1, 2]:
        for what in ["Xception 299", *LAYERS]:
            times = {way: [r for r in record if (r["what"], r["threads"], r["way"]) == (what, threads, way)]
                     for way in WAYS}
            base = times[WAYS[0]]
            cells = []
            for way in WAYS:
                ratios = [r["median_ms"] / b["median_ms"] for r, b in zip(times[way], base)]
                least = min(r["min_ms"] for r in times[way])
                median = statistics.median(r["median_ms"] for r in times[way])
                ratio = "" if way == WAYS[0] else f": {statistics.median(ratios):.2f}"
                cells.append(f"{least:.3g}, {median:.3g}{ratio}")
            print(f"| {what} | {threads} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
