#!/usr/bin/env bash
# All tests on the level `scalar`, on this machine. Usage: checks/levels/scalar.sh [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

export SEPCONV_LEVEL=scalar SEPCONV_TEST_LEVELS=scalar SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-5}
kernel_tests
run scalar scalar "$(this_cpu)" cargo test --release --workspace \
    "${tests[@]}" "${EXECUTOR_TESTS[@]}" "$@" -- --skip at_299 --skip at_224 --skip v3_agrees
