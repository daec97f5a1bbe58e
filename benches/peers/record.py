"""Records: `benches/record/<cpu>/<date>.json`, one entry per number of threads and subject.

With `--level` the folder is `<cpu>-as-<level>`, so that what the CPU really does stays by itself.
"""

import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "benches" / "record"
# What the heading of a table or picture says about a run with `--level`.
SHOWN = {"avx2": "all on AVX2: the peers were shown a CPU without AVX-512"}


def _cpuinfo():
    """The first processor's fields; none where there is no /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    fields = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in fields}


def _caches():
    """Size and sharing of each cache of the first processor."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size, shared = (
                (index / name).read_text().strip()
                for name in ("level", "type", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found[f"L{level}{letter}"] = {"size": size, "shared_by_cpus": shared}
    return found


def machine():
    """What a reader needs to know about the machine."""
    info = _cpuinfo()
    wanted = {"avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"}
    wanted |= {"amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16"}
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "cpu": info.get("model name", platform.machine()),
        "family": info.get("cpu family"),
        "model": info.get("model"),
        "flags": sorted(wanted & flags),
        "processors": os.cpu_count(),
        "caches": _caches(),
        "kernel": platform.release(),
    }


def slug(facts):
    """A folder name: CPUs that share a marketing name differ in family and model."""
    parts = [facts["cpu"], facts["family"], facts["model"]]
    text = " ".join(part for part in parts if part)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def commit():
    """The commit that is measured, with `+` if tracked files differ from it."""
    def git(*args):
        done = subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "HEAD") or "unknown") + ("+" if changed else "")


def save(args, subject, result):
    """Adds a result to today's record, replacing an earlier one of the same kind.

    `args` are measure.py's. Returns the path of the record.
    """
    facts = machine()
    date = datetime.date.today().isoformat()
    cpu = slug(facts) + (f"-as-{args.level}" if args.level else "")
    path = Path(args.record or RECORDS) / cpu / f"{date}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    record.update(date=date, machine=facts)
    if args.level:
        record["as_level"] = args.level
    result = {"commit": commit(), **result}
    record.setdefault("threads", {}).setdefault(str(args.threads), {})[subject] = result
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path
