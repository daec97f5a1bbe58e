#!/usr/bin/env python3
"""Predicts a network's time on more threads than a machine has, from a record of 1 and 2 threads.

    benches/many_threads.py RECORD.json [--threads 1,2,4,16,64] [--clock S]

For each step of Xception, on n threads:

    time(n) = max(time(1) ÷ (n · balance · S), bytes ÷ bandwidth(n)) + joins · join(n)

balance     what the plan's tasks leave of n threads: tiles of pixels × parts of the columns for a GEMM, as
            kernels/src/gemm/blocking.rs divides them, rows for all else
bytes       operand and result once, and the weights once for each tile of pixels: what leaves L2
bandwidth   of L3: n · that of one thread · e^log2(n), where e is what a second thread loses
join        of two threads: the median over MobileNetV3's steps of what they take beyond half of one
            thread's time; of n threads log2(n) times as long
S           the clock with all cores busy ÷ that of one (default: 1, which no machine of many cores keeps)

Xception on two threads checks it: MobileNetV3 gives the only number taken from two threads but the
bandwidth. Prints a table as Markdown.
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path

MR, NR = 12, 32  # of AVX-512
KC, MAX_MC, MIN_SHARED_MC, TILE_FLOATS = 768, 128, 64, 384 * 1024 // 4


def channels(step, taps):
    """Of the operand, from the multiply-adds: `taps` of a depthwise stage before the GEMM."""
    _, h, w, c = step["output"]
    return max(1, round(step["multiply_adds"] / (h * w * (taps + c))))


def tiles_and_parts(pixels, k, c, threads):
    """Tiles of pixels and parts of the columns, as the plan makes them."""
    mc = min(max(TILE_FLOATS // (min(k, KC) * MR) * MR, MR), MAX_MC // MR * MR)
    tiles = math.ceil(math.ceil(pixels / MR) / (mc // MR))
    equal = math.ceil(tiles / threads) * threads
    if threads > 1 and tiles < 8 * threads and pixels // equal >= MIN_SHARED_MC:
        tiles = equal
    panels, produced = math.ceil(c / NR), 1
    if tiles >= 8 * threads:
        return tiles, 1
    most = max(1, min(threads, panels))
    time = lambda parts: math.ceil(tiles * parts / threads) * (math.ceil(panels / parts) + produced)
    return tiles, min(range(1, most + 1), key=lambda parts: (time(parts), parts))


class Step:
    """A step of a record: its time on one thread, its tasks and its bytes."""

    def __init__(self, step):
        self.ms = step["median_ms"]
        n, h, w, self.c = step["output"]
        self.pixels, self.rows = n * h * w, n * h
        self.is_gemm = "gemm" in step["kernel"] and step["multiply_adds"] > 0
        taps = 9 if "+gemm" in step["kernel"] else 0
        self.k = channels(step, taps) if self.is_gemm else self.c
        self.weights = self.k * (taps + self.c) if self.is_gemm else 0

    def balance(self, threads):
        """The share of `threads` that has work, 1 if all have until the end."""
        if not self.is_gemm:
            return self.rows / (math.ceil(self.rows / threads) * threads)
        tiles, parts = tiles_and_parts(self.pixels, self.k, self.c, threads)
        panels = math.ceil(self.c / NR)
        longest = math.ceil(tiles * parts / threads) * math.ceil(panels / parts)
        return min(1.0, tiles * panels / threads / longest)

    def bytes(self, threads):
        tiles = tiles_and_parts(self.pixels, self.k, self.c, threads)[0] if self.is_gemm else 1
        return 4 * (self.pixels * (self.k + self.c) + tiles * self.weights)


class Model:
    def __init__(self, record):
        one, two = (record["threads"][n] for n in ("1", "2"))
        self.steps = [Step(step) for step in one["network"]["steps"]]
        bandwidths = [of["layers"]["cache_bandwidth_gbytes"]["L3"] for of in (one, two)]
        self.bandwidth = bandwidths[0]
        self.second = min(1.0, bandwidths[1] / (2 * bandwidths[0]))
        self.join = self._join(one, two)

    def _join(self, one, two):
        """ms of two threads."""
        beyond = []
        for a, b in zip(*(of["later"]["networks"][0]["steps"] for of in (one, two))):
            step = Step(a)
            beyond.append(b["median_ms"] - step.ms / (2 * step.balance(2)))
        return max(0.0, statistics.median(beyond))

    def parts(self, threads, clock):
        """ms: of steps whose tasks, and of those whose bytes take longer, and of joins."""
        tasks = from_l3 = 0.0
        loss = self.second ** math.log2(threads)
        for step in self.steps:
            computing = step.ms / (threads * step.balance(threads) * clock)
            reading = step.bytes(threads) / (threads * self.bandwidth * loss * 1e6)
            if computing >= reading or threads == 1:
                tasks += computing
            else:
                from_l3 += reading
        return tasks, from_l3, len(self.steps) * self.join * math.log2(threads)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", type=Path)
    parser.add_argument("--threads", default="1,2,4,16,64")
    parser.add_argument("--clock", type=float, default=1.0, metavar="S")
    args = parser.parse_args()
    record = json.loads(args.record.read_text())
    lacking = [n for n in ("1", "2") for s in ("network", "later", "layers")
               if s not in record["threads"].get(n, {})]
    if lacking:
        sys.exit(f"{args.record}: needs network, later and layers of 1 and 2 threads")
    model = Model(record)
    print(
        f"L3 {model.bandwidth:.1f} GB/s for one thread, a second one adds {2 * model.second - 1:.2f} of that; "
        f"a join of two takes {model.join * 1e3:.1f} µs\n"
    )
    print("| threads | ms | of n threads | bound by tasks, ms | by L3, ms | joins, ms | measured, ms |")
    print("|---|---|---|---|---|---|---|")
    alone = sum(step.ms for step in model.steps)
    for threads in map(int, args.threads.split(",")):
        parts = model.parts(threads, args.clock)
        ms = sum(parts)
        measured = record["threads"].get(str(threads), {}).get("network")
        seen = f"{measured['runtimes']['sepconv']['median_ms']:.1f}" if measured else "NOT MEASURED"
        cells = " | ".join(f"{part:.2f}" for part in parts)
        print(f"| {threads} | {ms:.2f} | {alone / ms / threads:.2f} | {cells} | {seen} |")


if __name__ == "__main__":
    main()
