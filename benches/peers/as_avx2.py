"""Shows the peers a CPU without AVX-512, so that they run as on one that has only AVX2.

They ask CPUID and can't be told. So their packages are copied to target/peers/as-avx2, each CPUID
instruction of the copied libraries is made one that traps, and as_avx2.c, preloaded, answers. The
same shim samples the instructions that run: `check` ends the program if one is beyond AVX2.

sepconv can be told a level, but takes AVX-VNNI with AVX2 where the CPU has both: so it is shown the
same CPU, as a copy of the program.
"""

import collections
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import record
import runtimes

HERE = Path(__file__).resolve().parent
WORK = record.ROOT / "target" / "peers" / "as-avx2"
CPUID, TRAP = b"\x0f\xa2", b"\xce\xa2"
MODULES = ("onnxruntime", "openvino", "ai_edge_litert")
# glibc's memcpy chooses by CPUID too, and glibc isn't copied.
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD"
SECONDS, SAMPLES = 0.4, 50  # that a check takes, at least

answered = collections.Counter()  # CPUIDs, by package


def _cpuids(library):
    """File offsets of the CPUID instructions: objdump tells them from the same bytes in others."""
    sections = []
    done = subprocess.run(["objdump", "-h", "-w", library], capture_output=True, check=True)
    for line in done.stdout.splitlines():
        if b"CODE" in line:
            size, address, _, offset = (int(field, 16) for field in line.split()[2:6])
            sections.append((address, size, offset))
    command = ["objdump", "-d", "--no-show-raw-insn", library]
    instruction = re.compile(rb"\s*([0-9a-f]+):\s+cpuid\s*")
    offsets = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as objdump:
        for line in objdump.stdout:
            if b"cpuid" in line and (match := instruction.fullmatch(line)):
                at = int(match[1], 16)
                [offset] = [o + at - a for a, size, o in sections if a <= at < a + size]
                offsets.append(offset)
    if objdump.returncode:
        sys.exit(f"objdump can't read {library}")
    return offsets


def _patch(library):
    code = bytearray(library.read_bytes())
    if not code.startswith(b"\x7fELF") or CPUID not in code:
        return 0
    offsets = _cpuids(library)
    for offset in offsets:
        if code[offset : offset + 2] != CPUID:
            sys.exit(f"{library}: no CPUID at {offset:#x}")
        code[offset : offset + 2] = TRAP
    library.write_bytes(code)
    return len(offsets)


def prepare():
    """Makes the copies and the shim, unless they are there for these sources and versions."""
    sources = [(HERE / name).read_bytes() for name in ("as_avx2.py", "as_avx2.c")]
    stamp = [hashlib.sha256(source).hexdigest() for source in sources]
    versions = [runtimes.version(kind) for kind in runtimes.NETWORK]
    stamp = "\n".join([*stamp, *versions, platform.python_version()])
    complete = WORK / "complete"
    if complete.exists() and complete.read_text() == stamp:
        return
    shutil.rmtree(WORK, ignore_errors=True)
    for module in MODULES:
        source = Path(importlib.util.find_spec(module).origin).parent
        shutil.copytree(source, WORK / "site" / module)
        libraries = sorted((WORK / "site" / module).rglob("*.so*"))
        print(f"{module}: {sum(map(_patch, libraries))} CPUID instructions", file=sys.stderr)
    command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-shared", "-fPIC"]
    subprocess.run([*command, HERE / "as_avx2.c", "-o", WORK / "shim.so"], check=True)
    complete.write_text(stamp)


def enter():
    """Starts the program again under the shim, unless that is so already."""
    global shim
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        sys.exit("--level avx2 is for Linux on x86-64")
    shim = ctypes.CDLL(None)
    if hasattr(shim, "as_avx2_sample"):
        del os.environ["LD_PRELOAD"]  # for this process and sepconv alone
        return
    prepare()
    path = [str(WORK / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "LD_PRELOAD": str(WORK / "shim.so"),
        "PYTHONPATH": os.pathsep.join(path),
        "GLIBC_TUNABLES": TUNABLES,
        "SEPCONV_LEVEL": "avx2",
    }
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def sepconv(binary):
    """The copy of the program `binary`, made anew each time, and its environment."""
    copy = WORK / "sepconv"
    shutil.copy2(binary, copy)
    if not _patch(copy):
        sys.exit(f"--level avx2: no CPUID in {binary}")
    return copy, os.environ | {"LD_PRELOAD": str(WORK / "shim.so")}


def _count(name):
    return ctypes.c_ulong.in_dll(shim, f"as_avx2_{name}").value


@contextlib.contextmanager
def loading(kind):
    """Counts the CPUIDs that a runtime asks for while it is loaded and a model is compiled."""
    before = _count("answered")
    yield
    answered[kind.package] += _count("answered") - before


def check(kind, run):
    """Ends the program if the runtime asked no CPUID, or if instructions beyond AVX2 run in `run`."""
    if not answered[kind.package]:
        sys.exit(f"--level avx2: no CPUID of {kind.name} was answered, it knows the real CPU")
    samples, beyond, start = _count("samples"), _count("beyond"), time.perf_counter()
    shim.as_avx2_sample(1)
    while time.perf_counter() - start < SECONDS or _count("samples") - samples < SAMPLES:
        run()
        if time.perf_counter() - start > 100 * SECONDS:
            sys.exit("--level avx2: no samples of what runs")
    shim.as_avx2_sample(0)
    samples, beyond = _count("samples") - samples, _count("beyond") - beyond
    if beyond:
        sys.exit(f"--level avx2: more than AVX2 in {beyond} of {samples} samples of {kind.name}")
