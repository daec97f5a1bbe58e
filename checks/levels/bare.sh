#!/usr/bin/env bash
# The kernels without the standard library, compiled for machines without an operating system: AArch64 with NEON, and
# x86-64 without vector registers, which has the level `scalar` alone. Nothing is run. Usage: checks/levels/bare.sh [TARGET]…
set -euo pipefail
source "$(dirname "$0")/common.sh"

(($#)) || set -- aarch64-unknown-none x86_64-unknown-none
unset CARGO_BUILD_TARGET
export CARGO_TARGET_DIR=$PWD/target/bare
for target; do
    build=()
    if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
        standard_library_source "$target"
        build=(-Zbuild-std=core,alloc)
    fi
    cargo build "${build[@]}" --quiet --release --target "$target" -p sepconv-kernels --no-default-features
    printf '== bare: compiled for %s\n' "$target"
done
