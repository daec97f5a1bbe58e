#!/usr/bin/env bash
# The kernels' tests on 32-bit x86, which has 8 vector registers: on `scalar`, `sse` and, if this machine has it,
# `avx2`. The addresses have 32 bits. `all.sh` leaves it out: it builds everything once more, some minutes long.
# Usage: checks/levels/i686.sh [cargo test's arguments]
#
# rustup's target i686-unknown-linux-gnu is used if it is there; on Debian and Ubuntu it is built here. Programs run
# on this machine, or under qemu where its system runs none of 32 bits.
set -euo pipefail
source "$(dirname "$0")/common.sh"

target=i686-unknown-linux-gnu
build=()
if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
    standard_library_source "$target"
    build=(-Zbuild-std=std,panic_unwind,test)
fi
installed i686-linux-gnu-gcc || debian gcc-i686-linux-gnu libc6-dev-i386-cross
export CARGO_TARGET_DIR=$PWD/target/i686 CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
where=$(this_cpu)
mkdir -p "$CARGO_TARGET_DIR"
echo 'int main(void) { return 0; }' | i686-linux-gnu-gcc -static -x c -o "$CARGO_TARGET_DIR/probe" -
if ! "$CARGO_TARGET_DIR/probe" 2>/dev/null; then
    installed qemu-i386-static || debian qemu-user-static
    export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_RUNNER="qemu-i386-static -cpu max"
    where="qemu's max"
fi
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-2}
# Each kernel, and the digests: what the compiler makes of 8 registers.
tests=(--test bf16 --test digests --test halves --test int8 --test numerics --test shapes --test unfused)
run i686 sse "$where, 32 bits" cargo test "${build[@]}" --release --target "$target" -p sepconv-kernels \
    --no-default-features --features std,bf16,int8,unfused "${tests[@]}" "$@"
