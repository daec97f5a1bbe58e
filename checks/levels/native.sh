#!/usr/bin/env bash
# The tests, as the README has them, on all levels of this machine, with all random cases.
# Usage: checks/levels/native.sh [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-100}
run native all "$(this_cpu)" cargo test --workspace --release "$@"
