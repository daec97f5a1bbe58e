#!/usr/bin/env python3
"""Xception and single layers in f32, f16, bf16 and 8-bit integers, in each arithmetic, in turns.

usage: benches/element_types.py SEPCONV [--ways WAY…] [--rounds N] [--threads N]… [--json FILE]

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
        ("bf16", "bf16", "fast"), ("i8", "u8", "int8")]
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
    if arithmetic == "int8":
        return ["--arithmetic", "int8"]
    return ["--weights-type", weights, "--activations-type", values, "--arithmetic", arithmetic]


def words(layer, weights, values, arithmetic):
    return f"{layer} int8" if arithmetic == "int8" else f"{layer} w{weights} a{values}"


def name(way):
    weights, values, arithmetic = way
    return f"{weights}, {values}" + ("" if arithmetic == "exact" else f", {arithmetic}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--ways", nargs="+", default=[name(way) for way in WAYS], metavar="WAY",
                        help="some of them, f32 first (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    ways = [way for way in WAYS if name(way) in args.ways]

    record = []
    for threads in args.threads or [1, 2]:
        for turn in range(args.rounds):
            first = turn % len(ways)
            for way in ways[first:] + ways[:first]:
                (network,) = bench(args.sepconv, threads, 5, options(*way))
                record.append({"what": "Xception 299", "threads": threads, "way": way,
                               "min_ms": network["min_ms"], "median_ms": network["median_ms"]})
                layers = [word for layer in LAYERS for word in ("--layer", words(layer, *way))]
                layers += [] if way[2] == "int8" else ["--arithmetic", way[2]]
                for layer, result in zip(LAYERS, bench(args.sepconv, threads, 9, layers)):
                    record.append({"what": layer, "threads": threads, "way": way,
                                   "min_ms": result["min_ms"], "median_ms": result["median_ms"]})
    if args.json:
        with open(args.json, "w") as file:
            json.dump(record, file, indent=0)
    heads = [name(way) for way in ways]
    print("| weights, values | threads | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for threads in args.threads or [1, 2]:
        for what in ["Xception 299", *LAYERS]:
            times = {way: [r for r in record if (r["what"], r["threads"], r["way"]) == (what, threads, way)]
                     for way in ways}
            base = times[ways[0]]
            cells = []
            for way in ways:
                ratios = [r["median_ms"] / b["median_ms"] for r, b in zip(times[way], base)]
                least = min(r["min_ms"] for r in times[way])
                median = statistics.median(r["median_ms"] for r in times[way])
                ratio = "" if way == ways[0] else f": {statistics.median(ratios):.2f}"
                cells.append(f"{least:.3g}, {median:.3g}{ratio}")
            print(f"| {what} | {threads} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
