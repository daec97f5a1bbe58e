#!/usr/bin/env python3
"""Measures sepconv and its peers in turns: whole networks, single layers, networks by precision.

turns.py has the rules. The process is pinned to as many CPUs as there are threads. run.sh does
everything around it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import as_avx2
import precisions
import record
import runtimes
from layers import KINDS, LAYERS
from networks import LATER, XCEPTION
from turns import OURS, Sepconv, agree, check_level, dropped_text, load, rounds, summary


def pin(threads):
    """Keeps this process and its children on the first `threads` CPUs that it may use."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < threads:
        sys.exit(f"{threads} threads need as many CPUs, and this process may use {cpus}")
    os.sched_setaffinity(0, cpus[:threads])
    return cpus[:threads]


def bandwidth(threads, size=1 << 27):
    """GB/s read and written by copies of arrays of `size` bytes, one in each thread, the best of five.

    By default they are far larger than the caches."""
    # Small ones are copied so often that the start of the threads hardly counts.
    repeats = max(1, (1 << 27) // size)
    arrays = [(np.ones(size // 4, np.float32), np.empty(size // 4, np.float32)) for _ in range(threads)]

    def copy(source, target):
        for _ in range(repeats):
            np.copyto(target, source)

    best = 0.0
    for _ in range(5):
        workers = [threading.Thread(target=copy, args=pair) for pair in arrays]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - start
        best = max(best, 2 * threads * repeats * arrays[0][0].nbytes / seconds / 1e9)
    return best


def cache_bandwidths(threads):
    """The same of arrays that lie in L2, and in L3 if they are too large for L2: two take half of the cache."""
    sizes = {}
    for name, facts in record.machine()["caches"].items():
        unit = {"K": 1 << 10, "M": 1 << 20}.get(facts["size"][-1])
        if name in ("L2", "L3") and unit:
            sizes[name] = int(facts["size"][:-1]) * unit
    each = {"L2": sizes.get("L2", 0) // 4}
    # Others in the machine take their part of a large L3.
    third = min(sizes.get("L3", 0) // 4 // threads, 4 << 20)
    if third > each["L2"]:
        each["L3"] = third
    return {name: bandwidth(threads, size) for name, size in each.items() if size}


def whole(network, sepconv, args):
    """A whole network in f32."""
    path = lambda suffix: args.models / f"{network.slug}.{suffix}"
    x = np.load(path("x.npy"))
    peers, outputs = {}, {OURS: sepconv.output(path("keras"), path("x.npy"))}
    outputs["Keras (TensorFlow)"] = np.load(path("keras.npy"))
    for kind in runtimes.NETWORK:
        peer = load(kind, path(kind.format), x, args)
        outputs[kind.name] = peer.output()
        peers[kind.name] = peer
    differences = agree(outputs)
    ours = {OURS: lambda runs: sepconv.network(path("keras"), path("x.npy"), runs)}
    by_name, times, dropped = rounds(ours, peers, args.rounds, args.runs)
    reports = by_name[OURS]
    peak, result = summary(by_name, times, reports[0]["multiply_adds"])
    check_level(sepconv, reports[0], result, args)
    for name, values in result.items():
        values["difference"] = differences[name]
    steps = [
        {
            **{key: node[key] for key in ("name", "layers", "kernel", "output", "multiply_adds")},
            **{
                key: statistics.median(report["nodes"][i][key] for report in reports)
                for key in ("median_ms", "gflops", "peak_share", "share")
            },
        }
        for i, node in enumerate(reports[0]["nodes"])
    ]
    return {
        "network": network.slug,
        "label": network.label,
        "size": reports[0]["size"],
        "batch": 1,
        "level": reports[0]["level"],
        "multiply_adds": reports[0]["multiply_adds"],
        "peak_gflops": peak,
        "rounds": args.rounds,
        "dropped_rounds": dropped,
        "runs": args.runs,
        "keras_difference": differences["Keras (TensorFlow)"],
        "runtimes": result,
        "steps": steps,
    }


def single_layer(layer, sepconv, models, args):
    """One layer: the peers' outputs are compared with each other, sepconv makes its own weights."""
    shape = (1, layer.size, layer.size, layer.channels)
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")
    peers, outputs = {}, {}
    for kind in runtimes.LAYER:
        peer = load(kind, models / f"{layer.slug}.{kind.format}", x, args)
        outputs[kind.name] = peer.output()
        peers[kind.name] = peer
    differences = agree(outputs)
    ours = {OURS: lambda runs: sepconv.layer(layer, runs)}
    by_name, times, dropped = rounds(ours, peers, args.layer_rounds, args.layer_runs)
    reports = by_name[OURS]
    if reports[0]["multiply_adds"] != layer.multiply_adds:
        sys.exit(f"{layer.spec}: {reports[0]['multiply_adds']} multiply-adds in sepconv")
    peak, result = summary(by_name, times, layer.multiply_adds)
    check_level(sepconv, reports[0], result, args)
    for name, values in result.items():
        if name != OURS:
            values["difference"] = differences[name]
    return {
        "layer": layer.spec,
        "label": layer.label,
        "kind": layer.kind,
        "kernel": reports[0]["kernel"],
        "multiply_adds": layer.multiply_adds,
        "bytes": layer.bytes,
        "peak_gflops": peak,
        "dropped_rounds": dropped,
        "runtimes": result,
    }


def best_onnx(results):
    """ONNX Runtime's faster configuration for a layer."""
    names = runtimes.OnnxRuntime.name, runtimes.OnnxRuntimePlain.name
    return min((results[name] for name in names), key=lambda r: r["median_ms"])


def shown(args):
    """For headings."""
    return "; " + record.SHOWN[args.level] if args.level else ""


def print_network(result, versions, args):
    """The table of a whole network."""
    (height, width), threads = result["size"], args.threads
    print(
        f"\n{result['label']} {height}×{width}, batch 1, f32, {threads} thread{'s' * (threads > 1)}; "
        f"{result['rounds']} rounds of {result['runs']} runs; "
        f"FMA peak {result['peak_gflops']:.1f} GFLOP/s ({result['level']}){shown(args)}"
        f"{dropped_text(result['dropped_rounds'], result['rounds'])}\n"
    )
    print(
        f"{'runtime':18} {'version':10} {'min ms':>8} {'median':>8} {'GFLOP/s':>8} {'of peak':>8}"
        f"   {'sepconv ÷ it (range)':22} max|Δ|/max|y|"
    )
    for name, r in sorted(result["runtimes"].items(), key=lambda item: item[1]["median_ms"]):
        ratio = ""
        if "ours_over_it" in r:
            low, high = r["ours_over_it_range"]
            ratio = f"{r['ours_over_it']:.3f} ({low:.3f}–{high:.3f})"
        print(
            f"{name:18} {versions[name]:10} {r['min_ms']:8.1f} {r['median_ms']:8.1f} "
            f"{r['gflops']:8.1f} {r['peak_share']:8.1%}   {ratio:22} {r['difference']:.1e}"
        )
    print(f"max|Δ|/max|y|: from sepconv's logits; Keras's own: {result['keras_difference']:.1e}")


def print_layer_heading(threads, args):
    print(
        f"\nSingle layers, {threads} thread{'s' * (threads > 1)}; {args.layer_rounds} rounds of "
        f"{args.layer_runs} runs; ms are medians, in brackets sepconv's time ÷ the peer's"
        f"{shown(args)}\n"
    )
    heads = ["LiteRT", "ONNX Runtime", ".. from NHWC", "OpenVINO", *["PyTorch"] * args.pytorch]
    print(
        f"{'layer':28} {'sepconv':>8} {'GFLOP/s':>8} {'of peak':>8}"
        + "".join(f"  {head:>14}" for head in heads)
    )


def print_layer(result):
    """One row."""
    rs = result["runtimes"]
    ours = rs[OURS]
    name = f"{KINDS[result['kind']]} {result['label']}"
    row = f"{name:28} {ours['median_ms']:8.3f} {ours['gflops']:8.1f} {ours['peak_share']:8.1%}"
    others = [
        rs[runtimes.LiteRT.name],
        best_onnx(rs),
        rs[runtimes.OnnxRuntimeNhwc.name],
        rs[runtimes.OpenVino.name],
        rs.get(runtimes.PyTorch.name),
    ]
    for r in filter(None, others):
        row += f"  {r['median_ms']:7.3f} ({r['ours_over_it']:.2f})"
    print(row, flush=True)


def measure_network(sepconv, versions, args):
    result = whole(XCEPTION, sepconv, args)
    print_network(result, versions, args)
    return result


def measure_later(sepconv, versions, args):
    results = []
    for network in LATER:
        results.append(whole(network, sepconv, args))
        print_network(results[-1], versions, args)
        sys.stdout.flush()
    return {"networks": results}


def measure_layers(sepconv, _versions, args):
    print_layer_heading(args.threads, args)
    results = []
    for layer in LAYERS:
        results.append(single_layer(layer, sepconv, args.models, args))
        print_layer(results[-1])
    dropped = sum(result["dropped_rounds"] for result in results)
    print(f"layers{dropped_text(dropped, len(results) * args.layer_rounds)}" if dropped else "")
    return {
        "rounds": args.layer_rounds,
        "runs": args.layer_runs,
        "peak_gflops": statistics.median(r["peak_gflops"] for r in results),
        "bandwidth_gbytes": bandwidth(args.threads),
        "cache_bandwidth_gbytes": cache_bandwidths(args.threads),
        "layers": results,
    }


def measure_precisions(sepconv, versions, args):
    result = precisions.measure(sepconv, args)
    print(precisions.tables({str(args.threads): result | {"versions": versions}}))
    return result


# Of a record, in the order in which they are measured; each returns what is recorded.
SUBJECTS = {
    "network": measure_network,
    "later": measure_later,
    "layers": measure_layers,
    "precisions": measure_precisions,
}


def engines(program, models, args):
    """Runs the program with the Rust engines, which prints its own table, and returns its report."""
    threads = str(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [program, models, "--threads", threads, "--report", report]
        command += ["--rounds", str(args.rounds), "--runs", str(args.runs)]
        if subprocess.run(command, env=os.environ | {"RAYON_NUM_THREADS": threads}).returncode:
            sys.exit("the engines failed")
        return json.loads(report.read_text())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True, help="what export.py wrote")
    program = parser.add_mutually_exclusive_group(required=True)
    program.add_argument("--sepconv", type=Path, help="the sepconv program")
    program.add_argument("--engines", type=Path, help="measure the Rust engines with this program")
    parser.add_argument("--threads", type=int, default=1, choices=range(1, 65), metavar="N")
    parser.add_argument("--rounds", type=int, default=10, help="of a network (default: 10)")
    parser.add_argument("--runs", type=int, default=3, help="timed, in a turn (default: 3)")
    parser.add_argument("--layer-rounds", type=int, default=5, help="of a layer (default: 5)")
    parser.add_argument("--layer-runs", type=int, default=7, help="in a turn (default: 7)")
    parser.add_argument("--only", choices=SUBJECTS, help="measure one of these alone")
    parser.add_argument("--record", type=Path, help="folder of records (default: benches/record)")
    parser.add_argument(
        "--level",
        choices=record.SHOWN,
        help="measure all as a CPU without AVX-512 runs them; needs objdump and cc",
    )
    parser.add_argument("--pytorch", action="store_true", help="measure PyTorch, too")
    args = parser.parse_args()
    if args.pytorch and (args.level or args.engines):
        parser.error("--pytorch is for neither --level nor the engines")
    if args.pytorch:
        runtimes.NETWORK.append(runtimes.PyTorch)
        runtimes.LAYER.append(runtimes.PyTorch)
    if args.level and args.engines:
        parser.error("--level is for the runtimes, not for the engines")
    if args.level:
        as_avx2.enter()
    cpus = pin(args.threads)
    common = {"cpus": cpus, "python": platform.python_version()}

    if args.engines:
        result = engines(args.engines.resolve(), args.models, args)
        path = record.save(args, "engines", common | result)
        print(f"\nrecorded in {path}")
        return
    sepconv = Sepconv(args.sepconv.resolve(), args.threads, args.level)
    versions = {kind.name: runtimes.version(kind) for kind in runtimes.NETWORK}
    versions[OURS] = sepconv.version()
    common["versions"] = versions
    for subject in [args.only] if args.only else SUBJECTS:
        result = SUBJECTS[subject](sepconv, versions, args)
        path = record.save(args, subject, common | result)
    print(f"\nrecorded in {path}")


if __name__ == "__main__":
    main()
