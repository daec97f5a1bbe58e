#!/usr/bin/env bash
# The tests, as the README has them, on all levels of this machine. Usage: isa/native.sh [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

run native all "$(this_cpu)" cargo test --workspace --release "$@"
