#!/usr/bin/env bash
# The kernels' tests where `scalar` is the only level, its tiles wider for it: on RISC-V (riscv64gc), which has fused
# multiply-adds, and on 32-bit Arm (armv7, on a CPU without them), both under qemu. `all.sh` leaves it out: it builds
# everything twice more, and runs for up to an hour: without them an exact multiply-add takes some 60 instructions.
# Usage: checks/levels/others.sh [--target riscv64|armv7] [cargo test's arguments]
#
# rustup's targets riscv64gc-unknown-linux-gnu and armv7-unknown-linux-gnueabihf are used if they are there; on Debian
# and Ubuntu they are built here.
set -euo pipefail
source "$(dirname "$0")/common.sh"

targets=(riscv64 armv7)
if [[ ${1-} == --target ]]; then
    targets=("$2")
    shift 2
fi
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-2}
# Each kernel, the digests, and how single values are rounded: what the compiler makes of one lane.
tests=(--test bf16 --test digests --test halves --test int8 --test lines --test numerics --test pixelwise --test shapes)
tests+=(--test unfused)

# on NAME TARGET CROSS DEBIAN QEMU CPU [cargo test's arguments]: the tests for a target, which is DEBIAN's architecture
# of that name, and whose programs CROSS-gcc links, on qemu's CPU.
on() {
    local name=$1 target=$2 cross=$3 debian=$4 qemu=$5 cpu=$6 build=() variable
    shift 6
    if [[ ! -d $("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target ]]; then
        standard_library_source "$target"
        build=(-Zbuild-std=std,panic_unwind,test)
    fi
    installed "$cross-gcc" "$qemu" || debian "gcc-$cross" "libc6-dev-$debian-cross" qemu-user-static
    variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")
    export "${variable}_LINKER=$cross-gcc" "${variable}_RUSTFLAGS=-C target-feature=+crt-static"
    export "${variable}_RUNNER=$qemu -cpu $cpu" CARGO_TARGET_DIR=$PWD/target/$name
    run "$name" scalar "qemu's $cpu" cargo test "${build[@]}" --release --target "$target" -p sepconv-kernels \
        --no-default-features --features std,bf16,int8,unfused "${tests[@]}" "$@"
}

for target in "${targets[@]}"; do
    case $target in
        riscv64) on riscv64 riscv64gc-unknown-linux-gnu riscv64-linux-gnu riscv64 qemu-riscv64-static rv64 "$@" ;;
        armv7) on armv7 armv7-unknown-linux-gnueabihf arm-linux-gnueabihf armhf qemu-arm-static cortex-a9 "$@" ;;
        *)
            echo "error: --target: expected riscv64 or armv7, got $target" >&2
            exit 1
            ;;
    esac
done
