#!/usr/bin/env bash
# The arithmetic bf16 and 8-bit integers by tile registers (AMX): by those of this CPU, or emulated by a handler of the
# signal that tile instructions raise elsewhere, and these alone. So the CPU must have AVX-512, and for integers VNNI, as
# every CPU with AMX has: the same kernels use it, to make rows of tiles and to finish sums.
# Usage: checks/levels/amx.sh [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

if ! cpu_has avx512f avx512bw avx512cd avx512dq avx512vl; then
    impossible amx amx "no AVX-512, which these kernels use besides tile instructions"
    exit
fi
if cpu_has amx_bf16 amx_int8; then how="$(this_cpu)"; else how="$(this_cpu), tile instructions emulated"; fi
export SEPCONV_AMX=1 SEPCONV_LEVEL=avx512 SEPCONV_TEST_LEVELS=${SEPCONV_TEST_LEVELS:-avx512}
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-5}

tests() {
    cargo test --release --workspace --test amx --test bf16 --test int8 --test digests --test guard --test threads \
        --test allocation --test canaries --test packed "$@"
    cargo test --release --workspace --test shapes "$@" -- arithmetic_bf16
    cargo test --release --workspace --test element_types --test quantized "$@" -- digests
}
run amx amx "$how" tests "$@"
