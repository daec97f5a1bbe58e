"""Turns of sepconv and its peers: how each is loaded and timed, and what is checked on the way.

A round gives each its turn, in an order that moves on by one from round to round: one run to warm up,
then the timed ones. A ratio is the median over the rounds of (sepconv's median of the round) / (the
peer's median of the round), so that a clock that wanders from second to second meets both. Rounds whose
FMA peak fell are dropped and counted.
"""

import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import as_avx2

OURS = "sepconv"
REST = 0.05  # seconds between turns, in which the last one's threads go to sleep
LEAST = 0.002  # seconds that a timing lasts at least, as in `sepconv bench`
TOLERANCE = 1e-4  # of the largest magnitude, between any two runtimes
FALLEN = 0.9  # of the best round's peak: a round below it is dropped
LENT = 0.85  # of one thread's peak times their number: 1.7 on two threads
ABOVE_PEAK = 1.1  # times AVX2's: what a clock in motion explains, AVX-512 may have 2


class Sepconv:
    """sepconv's turns: `sepconv bench`, a process per turn."""

    def __init__(self, binary, threads, level=None):
        self.binary, self.threads, self.environment = binary, str(threads), None
        self.highest_peak = 0.0  # of all reports
        if level:
            self.binary, self.environment = as_avx2.sepconv(binary)

    def _call(self, *args):
        command = [self.binary, *map(str, args), "--threads", self.threads]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, env=self.environment
        )
        if done.returncode:
            sys.exit(f"failed: {' '.join(map(str, command))}")
        return done.stdout

    def _bench(self, runs, *options):
        report = json.loads(self._call("bench", *options, "--runs", runs, "--json"))
        self.highest_peak = max(self.highest_peak, report["peak_gflops"])
        return report

    def network(self, weights, x, runs, *options):
        return self._bench(runs, "--weights", weights, "--input", x, *options)

    def layer(self, layer, runs):
        return self._bench(runs, "--layer", layer.spec)

    def output(self, weights, x, *options):
        """What `sepconv run` computes from the array file `x`."""
        with tempfile.TemporaryDirectory() as folder:
            y = Path(folder) / "y.npy"
            self._call("run", "--weights", weights, "--input", x, "--output", y, *options)
            return np.load(y)

    def quantize(self, weights, pictures, output, options=("--keep-until", "0")):
        """Writes the model file `output`, quantized by the pictures in an array file.

        By default all layers are of integers, as the peers' are."""
        files = ["--weights", weights, "--calibrate", pictures, "--output", output]
        self._call("quantize", *files, *options)

    def version(self):
        done = subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, text=True)
        return done.stdout.split()[-1]


def load(kind, path, x, args):
    """A peer that has run once on `x`."""
    with as_avx2.loading(kind) if args.level else contextlib.nullcontext():
        peer = kind(path, args.threads)
        peer.feed(x)
        peer.run()
    if args.level:
        as_avx2.check(kind, peer.run)
    return peer


def check_sepconv(report, args):
    """Ends the program if sepconv used more than the level that was asked for."""
    if args.level and report["level"] != args.level:
        sys.exit(f"--level {args.level}: sepconv ran on {report['level']}")
    kernels = [node["kernel"] for node in report.get("nodes", [report])]
    beyond = [kernel for kernel in kernels if "vnni" in kernel]
    if args.level and beyond:
        sys.exit(f"--level {args.level}: sepconv ran {beyond[0]}")


def check_level(sepconv, report, result, args):
    """Ends the program if sepconv or a peer used more than the level that was asked for.

    Rates are compared with the highest peak of the whole run: where other programs come and go, the
    peak of the same round may be too low."""
    if not args.level:
        return
    check_sepconv(report, args)
    for name, values in result.items():
        times = values["gflops"] / sepconv.highest_peak
        if times > ABOVE_PEAK:
            sys.exit(
                f"--level {args.level}: {name} computes {values['gflops']:.0f} GFLOP/s, "
                f"{times:.2f} times that level's FMA peak: it uses more"
            )


def turn(peer, runs):
    """Times in ms of `runs` timings, after one that isn't counted."""
    repeats, times = 1, []

    def timing():
        start = time.perf_counter()
        for _ in range(repeats):
            peer.run()
        return time.perf_counter() - start

    while timing() < LEAST:
        repeats *= 2
    for _ in range(runs):
        times.append(timing() / repeats * 1e3)
    return times


def rounds(ours, peers, count, runs):
    """Runs the rounds. `ours` is a dict of functions from the number of runs to the report of
    `sepconv bench`, `peers` one of runtimes. Returns sepconv's reports by name, the times of each peer's
    rounds, both of the rounds that count, and how many don't. The first of `ours` measures the peaks."""
    reports, times = {name: [] for name in ours}, {name: [] for name in peers}
    order = [*ours, *peers]
    gc.disable()
    for _ in range(count):
        for name in order:
            time.sleep(REST)
            if name in ours:
                reports[name].append(ours[name](runs))
            else:
                times[name].append(turn(peers[name], runs))
        order.append(order.pop(0))
    gc.enable()
    gc.collect()
    judge, *_ = ours
    kept = of_count(reports[judge])
    of = lambda by_name: {
        name: [values[i] for i in kept] for name, values in by_name.items()
    }
    return of(reports), of(times), count - len(kept)


def of_count(reports):
    """The indices of the rounds that count, by the peaks in sepconv's reports of all rounds.

    The rule is that of `sepconv bench` for its runs: near the best, with as much for each thread as one
    has alone. Where cores are shared in every round, that last part is left out."""
    all_threads = [report["peak_gflops"] for report in reports]
    one = [report["one_thread_peak_gflops"] for report in reports]
    threads = reports[0]["threads"]
    near = [
        i
        for i, (a, b) in enumerate(zip(all_threads, one))
        if a >= FALLEN * max(all_threads) and b >= FALLEN * max(one)
    ]
    lent = [i for i in near if all_threads[i] >= LENT * threads * one[i]]
    return lent or near or list(range(len(reports)))


def dropped_text(dropped, count):
    """For headings."""
    return f"; {dropped} of {count} rounds dropped, as the FMA peak fell" if dropped else ""


def in_ms(reports, times):
    """Per name: the least ms, the median, and the medians of the rounds."""
    minima, medians = {}, {}
    for name, of_rounds in reports.items():
        minima[name] = min(report["min_ms"] for report in of_rounds)
        medians[name] = [report["median_ms"] for report in of_rounds]
    for name, of_rounds in times.items():
        minima[name] = min(min(ts) for ts in of_rounds)
        medians[name] = [statistics.median(ts) for ts in of_rounds]
    return {
        name: {
            "min_ms": minima[name],
            "median_ms": statistics.median(of_rounds),
            "round_medians_ms": of_rounds,
        }
        for name, of_rounds in medians.items()
    }


def ratio(mine, its):
    """Of two results of `in_ms`: the median over the rounds, and the range."""
    ratios = [a / b for a, b in zip(mine["round_medians_ms"], its["round_medians_ms"])]
    return statistics.median(ratios), [min(ratios), max(ratios)]


def summary(reports, times, multiply_adds):
    """Per runtime: ms, GFLOP/s, share of the peak, sepconv's time divided by its."""
    # Each round's time is put beside the peak that sepconv measured in that round.
    peaks = [report["peak_gflops"] for report in reports[OURS]]
    result = in_ms(reports, times)
    for name, values in result.items():
        values["gflops"] = 2e-6 * multiply_adds / values["median_ms"]
        rates = [2e-6 * multiply_adds / ms for ms in values["round_medians_ms"]]
        values["peak_share"] = statistics.median(r / peak for r, peak in zip(rates, peaks))
        if name == OURS:
            values["peak_share"] = statistics.median(r["peak_share"] for r in reports[OURS])
        else:
            median, extent = ratio(result[OURS], values)
            values["ours_over_it"], values["ours_over_it_range"] = median, extent
    return statistics.median(peaks), result


def difference(got, expected):
    """The largest difference as a part of the largest magnitude."""
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def correlation(got, expected):
    """Pearson's, of all elements."""
    return float(np.corrcoef(got.ravel(), expected.ravel())[0, 1])


def agree(outputs):
    """Each output's difference from the first one's; ends the program if one is too large."""
    first, *_ = outputs
    differences = {name: difference(y, outputs[first]) for name, y in outputs.items()}
    wrong = [name for name, d in differences.items() if not d <= TOLERANCE]
    if wrong:
        sys.exit(f"these don't compute what {first} does: {wrong} ({differences})")
    return differences
