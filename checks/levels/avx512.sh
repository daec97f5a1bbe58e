#!/usr/bin/env bash
# All tests on the level `avx512`: on this machine if it has AVX-512; and kernels and executor on emulated
# CPUs, one without VNNI and BF16 (Skylake-X) and one with both (Sapphire Rapids).
# Usage: checks/levels/avx512.sh [--cpu native|MODEL]… [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

models=()
while [[ ${1-} == --cpu ]]; do
    models+=("$2")
    shift 2
done
((${#models[@]})) || models=(native corei7_skylake_x sapphire_rapids)

native() {
    if ! cpu_has avx512f avx512bw avx512cd avx512dq avx512vl; then
        echo "this CPU has no AVX-512: native NOT RUN"
        return
    fi
    SEPCONV_LEVEL=avx512 SEPCONV_TEST_LEVELS=scalar,avx512 SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-5} \
        run avx512 avx512 "$(this_cpu)" cargo test --release --workspace "$@"
}

# Networks have no vector code of their own, and small layers are the same on all: each on one of several.
# Where this CPU has the level, it runs networks and random layers by itself.
count=0 status=0 what=all
for model in "${models[@]}"; do
    [[ $model == native ]] || ((count += 1))
done
if ((count > 1)); then
    what=network
    ! cpu_has avx512f avx512bw avx512cd avx512dq avx512vl || what=kernels
fi
for model in "${models[@]}"; do
    if [[ $model == native ]]; then
        native "$@" || status=$?
    else
        emulated "avx512-$model" avx512 "$model" "$what" "$@" || status=$?
        [[ $what == all ]] || what=shapes
    fi
done
exit "$status"
