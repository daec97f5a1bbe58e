#!/usr/bin/env python3
"""Times each engine alone and with sepconv, on one thread and on two, and writes the record.

The programs are `examples/bench.rs` of candle/ and tract/; the process is pinned to as many CPUs as
there are threads. The record is benches/record/<cpu>/<date>-adapters.json. test.sh must have run
before: it writes the networks.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "benches" / "peers"))

import record  # noqa: E402

ENGINES = {"candle": "candle-core", "tract": "tract-core"}


def version(engine):
    """Of the engine's package, from the adapter's lock file."""
    lock = (HERE / engine / "Cargo.lock").read_text()
    _, entry = lock.split(f'name = "{ENGINES[engine]}"\nversion = "', 1)
    return entry.split('"', 1)[0]


def build(engine, env):
    """Returns the program."""
    command = ["cargo", "build", "--locked", "--release", "--example", f"bench-{engine}"]
    command += ["--target-dir", HERE / "target"]
    subprocess.run(command, cwd=HERE / engine, env=env, check=True)
    return HERE / "target" / "release" / "examples" / f"bench-{engine}"


def measure(program, threads, args, env):
    """The figures of one program, a list of series."""
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [program, "--threads", str(threads), "--rounds", str(args.rounds)]
        command += ["--runs", str(args.runs), "--report", report]
        command += ["--cpu-time"] * args.cpu_time
        env = env | {"RAYON_NUM_THREADS": str(threads)}
        subprocess.run(
            command, env=env, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus)
        )
        return json.loads(report.read_text())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3, help="timed, in a turn (default: 3)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU time, on a machine in use; one thread"
    )
    args = parser.parse_args()

    env = os.environ | {"SEPCONV_MODELS": str(HERE / "models")}
    programs = {engine: build(engine, env) for engine in args.engines}
    facts, date = record.machine(), datetime.date.today().isoformat()
    path = record.RECORDS / record.slug(facts) / f"{date}-adapters.json"
    for threads in args.threads:
        for engine, program in programs.items():
            series = measure(program, threads, args, env)
            written = json.loads(path.read_text()) if path.exists() else {}
            written.update(date=date, machine=facts)
            figures = {"commit": record.commit(), "version": version(engine), "series": series}
            written.setdefault("threads", {}).setdefault(str(threads), {})[engine] = figures
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
