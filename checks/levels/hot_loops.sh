#!/usr/bin/env bash
# The hot loops of all levels by their instructions; see hot_loops.py. Usage: checks/levels/hot_loops.sh [--shared]
#
# --shared takes the builds of native.sh and neon.sh, which ran before. Others build the kernels alone, as users get
# them: the same code, but for tests dependencies have other features.
set -euo pipefail
source "$(dirname "$0")/common.sh"

native=() neon=()
if [[ ${1-} == --shared ]]; then
    native=(--build "test --no-run --workspace --test shapes")
    neon=(--build "test --no-run ${NEON_PACKAGES[*]} --test shapes")
fi
checks/levels/hot_loops.py --levels avx2,avx512 "${native[@]}"
installed aarch64-linux-gnu-objdump || debian binutils-aarch64-linux-gnu
aarch64_build
checks/levels/hot_loops.py --levels neon "${neon[@]}"
