#!/usr/bin/env python3
"""Applies the bugs of `mutants.toml`, one at a time, to a copy of the tree and demands that a test fails.

Usage: checks/mutants.py [--only PART-OF-NAME]… [--no-baseline] [--features FEATURE,…]

Prints which test kills which mutant, and NOT RUN for one that is none on this CPU. Exits with 1 if one
survives, with 2 if the table is wrong: a text that does not occur exactly once, a mutant that does not compile,
tests that fail without any.
The effort of the tests is SEPCONV_TEST_EFFORT, else 10 percent.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "target" / "mutants"
TREE = BUILD / "tree"
# Seconds; no test takes nearly as long.
TIMEOUT = 300

KERNELS = ["numerics", "operands", "geometry", "guard", "halves", "differential", "bounds", "canaries",
           "digests", "rows", "concurrency", "shapes", "packed", "planes", "bf16", "amx", "int8", "unfused"]
EXECUTOR = ["lib", "executor", "element_types", "quantized", "tflite_files", "tfjs_files"]


def cargo_arguments(test):
    if test in EXECUTOR:
        which = ["--lib"] if test == "lib" else ["--test", test]
        return ["-p", "sepconv", "--no-default-features", "--features", "keras,rayon,tflite", *which]
    return ["-p", "sepconv-kernels", "--test", test]


def environment():
    env = dict(os.environ)
    env["CARGO_TARGET_DIR"] = str(BUILD / "cargo")
    env["CARGO_INCREMENTAL"] = "1"
    env["CARGO_PROFILE_RELEASE_DEBUG"] = "0"
    env.setdefault("SEPCONV_TEST_EFFORT", "10")
    # That a case fails is enough: no smaller one is wanted, nor a note of it.
    env["PROPTEST_MAX_SHRINK_TIME"] = "1"
    env["PROPTEST_DISABLE_FAILURE_PERSISTENCE"] = "true"
    env.pop("SEPCONV_LEDGER", None)
    return env


def copy_tree():
    """The files that git knows or would, in the copy; unchanged ones stay, so that builds are incremental."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    names = {name for name in listed if name and (ROOT / name).is_file()}
    for old in list(TREE.rglob("*")):
        if old.is_file() and str(old.relative_to(TREE)) not in names:
            old.unlink()
    for name in names:
        new, old = (ROOT / name).read_bytes(), TREE / name
        if not old.is_file() or old.read_bytes() != new:
            old.parent.mkdir(parents=True, exist_ok=True)
            old.write_bytes(new)
            shutil.copymode(ROOT / name, old)


def run(command):
    """Status and output. It is ended at the first test that fails, status `failed`, or when it takes too long,
    status `timeout`: a mutant may loop."""
    process = subprocess.Popen(
        command, cwd=TREE, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )
    ended = []

    def end(why):
        ended.append(why)
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(TIMEOUT, end, ["timeout"])
    timer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.match(r"test \S+ \.\.\. FAILED", line) and not ended:
            end("failed")
    timer.cancel()
    status = process.wait()
    return ended[0] if ended else status, "".join(lines)


def builds(test):
    status, output = run(["cargo", "test", "--release", "--quiet", "--no-run", *cargo_arguments(test)])
    return status == 0, output


def outcome(test):
    """None if the tests pass, else what failed."""
    status, output = run(["cargo", "test", "--release", *cargo_arguments(test)])
    if status == 0:
        return None
    if status == "timeout":
        return f"{test}: no end in {TIMEOUT} s"
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", output, re.MULTILINE)
    killed = re.search(r"signal: \d+, (\w+)", output)
    return f"{test}: " + (", ".join(failed) or (killed and killed[1]) or f"status {status}")


def survives(mutant):
    """(whether it survives, what killed it or why it is invalid)."""
    others = [*EXECUTOR] if mutant["file"].startswith("src/") else [*KERNELS, *EXECUTOR]
    order = mutant["tests"] + [test for test in others if test not in mutant["tests"]]
    for test in order:
        compiled, output = builds(test)
        if not compiled:
            error = re.search(r"^error.*", output, re.MULTILINE)
            return None, error[0] if error else output[-200:]
        killer = outcome(test)
        if killer:
            return False, killer
    return True, ""


def cpu_features():
    """Those that Linux lists, and "", which every CPU has."""
    listed = Path("/proc/cpuinfo")
    return {"", *(listed.read_text().split() if listed.exists() else [])}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--no-baseline", action="store_true", help="trust that the tests pass without mutants")
    parser.add_argument("--features", help="of the CPU that cargo's runner emulates, instead of this CPU's")
    arguments = parser.parse_args()
    features = {"", *arguments.features.split(",")} if arguments.features else cpu_features()
    mutants = tomllib.loads((ROOT / "checks" / "mutants.toml").read_text())["mutant"]
    known = {test for test in KERNELS + EXECUTOR}
    wrong = [m["name"] for m in mutants if (ROOT / m["file"]).read_text().count(m["old"]) != 1]
    wrong += [m["name"] for m in mutants if not set(m["tests"]) <= known]
    if wrong:
        print("error: not exactly one place in the file, or an unknown test:", *wrong, sep="\n  ")
        return 2
    if arguments.only:
        mutants = [m for m in mutants if any(part in m["name"] for part in arguments.only)]
    TREE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    if not arguments.no_baseline:
        for test in KERNELS + EXECUTOR:
            failed = outcome(test)
            if failed:
                print(f"error: fails without a mutant: {failed}")
                return 2
    survivors, invalid, not_run = [], [], []
    for number, mutant in enumerate(mutants, 1):
        if mutant.get("needs", "") not in features:
            print(f"{number:3} NOT RUN  {mutant['name']:66} this CPU has no {mutant['needs']}", flush=True)
            not_run.append(mutant["name"])
            continue
        path = TREE / mutant["file"]
        original = path.read_text()
        start = time.monotonic()
        path.write_text(original.replace(mutant["old"], mutant["new"]))
        try:
            survived, what = survives(mutant)
        finally:
            path.write_text(original)
        verdict = {None: "INVALID", True: "SURVIVES", False: "killed"}[survived]
        seconds = time.monotonic() - start
        print(f"{number:3} {verdict:8} {mutant['name']:66} {what} ({seconds:.0f} s)", flush=True)
        if survived is None:
            invalid.append(mutant["name"])
        elif survived:
            survivors.append(mutant["name"])
    killed = len(mutants) - len(survivors) - len(invalid) - len(not_run)
    print(f"{len(mutants)} mutants: {killed} killed, {len(survivors)} survive, {len(invalid)} invalid, "
          f"{len(not_run)} not run")
    return 2 if invalid else 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
