#!/usr/bin/env bash
# All tests on the level `avx2`: on this machine if it has AVX2, else emulated (kernels and executor only).
# Usage: checks/levels/avx2.sh [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

if cpu_has avx2 fma; then
    export SEPCONV_LEVEL=avx2 SEPCONV_TEST_LEVELS=scalar,avx2 SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-5}
    kernel_tests
    run avx2 avx2 "$(this_cpu)" cargo test --release --workspace \
        "${tests[@]}" "${EXECUTOR_TESTS[@]}" "$@"
else
    emulated avx2 avx2 corei7_haswell_4770 all "$@"
fi
