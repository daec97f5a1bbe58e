#!/usr/bin/env bash
# Every level, on this machine's CPU and on emulated ones, then the hot loops by their instructions and the
# ledger of what ran. Two runs at a time: an emulated CPU is one thread here. What the runs print goes to
# target/ledger/NAME.log; here come their closing lines, and all of it where one failed.
# Usage: checks/levels/all.sh (from a clean checkout about 20 minutes on two cores)
set -uo pipefail
source "$(dirname "$0")/common.sh"

rm -f "$LEDGER"/*.tsv "$LEDGER"/*.log
failed=0

# lane SCRIPT…: runs one after the other.
lane() {
    local script name log status=0
    for script; do
        name=${script//[^a-z0-9_]/-}
        log=$LEDGER/$name.log
        if checks/levels/$script >"$log" 2>&1; then
            grep -E '^(== |test result: )' "$log" | sed "s/^/$name: /"
        else
            status=1
            sed "s/^/$name: /" "$log"
        fi
    done
    return "$status"
}

# What can be built once is built before the lanes, which would wait for each other's locks.
lane "neon.sh --no-run" "avx512.sh --cpu sapphire_rapids --no-run" "fallback.sh --no-run" || failed=1
rm -f "$LEDGER"/*.tsv

lane neon.sh wasm.sh scalar.sh fallback.sh &
# Where AVX2 is the best level, the last run is this one.
avx2=()
cpu_has avx512f && avx2=(avx2.sh)
lane "avx512.sh --cpu corei7_skylake_x --cpu sapphire_rapids" "${avx2[@]}" amx.sh \
    "bare.sh x86_64-unknown-none" || failed=1
wait $! || failed=1
# With all tests and their counts, on both cores. Where no level is chosen it is the best of this machine.
lane native.sh "hot_loops.sh --shared" || failed=1
exit "$failed"
