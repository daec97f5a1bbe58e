#!/usr/bin/env bash
# Line coverage of the kernel package by its tests: the files that decide (geometry, planning, packing, views)
# must each be covered to 95 percent. Usage: checks/coverage.sh [cargo test's arguments]
#
# The kernel bodies are listed and not judged: what one of their instances runs counts for all.
# The effort is SEPCONV_TEST_EFFORT, else 10 percent.
set -euo pipefail
cd "$(dirname "$0")/.."

# llvm-cov and llvm-profdata: of rustup's llvm-tools, else Debian's of rustc's LLVM version, which reads what
# rustc wrote.
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')
for tools in "$(rustc --print sysroot)/lib/rustlib/$host/bin" "/usr/lib/llvm-$major/bin" ''; do
    [[ -x $tools/llvm-cov && -x $tools/llvm-profdata ]] && break
done
if [[ -z $tools ]]; then
    echo "error: no llvm-cov of LLVM $major: rustup component add llvm-tools, or apt-get install llvm-$major" >&2
    exit 1
fi

export CARGO_TARGET_DIR=$PWD/target/coverage RUSTFLAGS="-C instrument-coverage ${RUSTFLAGS-}"
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-10} PROPTEST_DISABLE_FAILURE_PERSISTENCE=true
export CARGO_PROFILE_RELEASE_STRIP=none
profiles=$CARGO_TARGET_DIR/profiles
# Those of many threads, which count in the same places, take minutes.
tests=()
for file in kernels/tests/*.rs; do
    [[ $file == */@(concurrency|digests).rs ]] || tests+=(--test "$(basename "$file" .rs)")
done
test=(cargo test --release -p sepconv-kernels "${tests[@]}" "$@")
rm -rf "$profiles"
export LLVM_PROFILE_FILE=$profiles/%p-%4m.profraw
binaries=$("${test[@]}" --no-run --message-format=json |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["executable"])')
"${test[@]}"
"$tools/llvm-profdata" merge --sparse "$profiles"/*.profraw -o "$profiles/all.profdata"

objects=()
for binary in $binaries; do
    objects+=(--object "$binary")
done
"$tools/llvm-cov" export --instr-profile "$profiles/all.profdata" --format=lcov \
    --ignore-filename-regex '(/\.cargo/|/rustc/|/tests/)' "${objects[@]}" >"$profiles/lines.lcov"
python3 - "$profiles/lines.lcov" <<'PYTHON'
import collections
import re
import sys

JUDGED = r"kernels/src/(activation|geometry|view|error|memory|threads|level|detect|options|params|pixels|layers/\w+|depthwise/plan|pool/plan|rows/plan|tensor|gemm/(blocking|driver|im2row|pack|plan|producer|weights))\.rs$"
LEAST = 95.0

lines = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    if line.startswith("SF:"):
        name = line[3:].strip()
        name = name[name.rfind("kernels/src/"):] if "kernels/src/" in name else None
    elif line.startswith("DA:") and name:
        number, count = map(int, line[3:].split(",")[:2])
        lines[name][number] = lines[name].get(number, 0) + count
low = 0
for name, counts in sorted(lines.items()):
    missed = [number for number, count in sorted(counts.items()) if count == 0]
    percent = 100 * (1 - len(missed) / len(counts))
    judged = re.search(JUDGED, name) is not None
    low += judged and percent < LEAST
    mark = "" if not judged else "ok" if percent >= LEAST else "LOW"
    print(f"{name:36} {len(counts):4} lines {percent:6.1f} % {mark:4} not run: {missed if missed else '-'}")
if not any(re.search(JUDGED, name) for name in lines):
    sys.exit("error: no coverage was read")
print(f"{low} of the judged files below {LEAST} %")
sys.exit(1 if low else 0)
PYTHON
