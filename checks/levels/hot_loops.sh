#!/usr/bin/env bash
# The hot loops of all levels by their instructions; see hot_loops.py. Usage: checks/levels/hot_loops.sh
set -euo pipefail
source "$(dirname "$0")/common.sh"

checks/levels/hot_loops.py --levels avx2,avx512
installed aarch64-linux-gnu-objdump || debian binutils-aarch64-linux-gnu
aarch64_build
checks/levels/hot_loops.py --levels neon
