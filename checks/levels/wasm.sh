#!/usr/bin/env bash
# The kernels' tests as WebAssembly with simd128 and relaxed simd, in Node or wasmtime: on the levels `scalar`,
# `simd128`, which has no fused multiply-add and computes it by other instructions, and `relaxed_simd`, if the
# engine turns out to fuse. The addresses have 32 bits, and there are no threads.
# Usage: checks/levels/wasm.sh [cargo test's arguments]
#        checks/levels/wasm.sh --time [ROUNDS [LEVEL…]]    the times of a layer (kernels/examples/without_fma.rs)
#
# rustup's target wasm32-wasip1 is used if it is there; on Debian and Ubuntu it is built here.
set -euo pipefail
source "$(dirname "$0")/common.sh"

target=wasm32-wasip1
flags="-C target-feature=+simd128,+relaxed-simd"
build=()
if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
    standard_library_source "$target"
    debian wasi-libc lld-22
    build=(-Zbuild-std=std,panic_abort,test)
    # This C library is older than the standard library expects: it lacks the threads that no program has.
    flags+=" -C linker=wasm-ld-22 -C link-self-contained=no -L native=/usr/lib/wasm32-wasi"
    flags+=" -C link-arg=/usr/lib/wasm32-wasi/crt1-command.o -C link-arg=--unresolved-symbols=ignore-all"
fi
if installed wasmtime; then
    runner="wasmtime run --wasm relaxed-simd --dir=/"
    runner+=" --env SEPCONV_LEDGER --env SEPCONV_TEST_EFFORT"
elif installed node; then
    # By its fast calls Node 20 hands WASI's functions a wrong object and crashes.
    relaxed=--experimental-wasm-relaxed-simd # until V8 11.4
    node --v8-options | grep -qe "$relaxed" || relaxed=
    runner="node --no-warnings --no-turbo-fast-api-calls $relaxed $PWD/checks/levels/wasi.mjs"
else
    echo "error: neither wasmtime nor node is installed" >&2
    exit 1
fi

export CARGO_TARGET_DIR=$PWD/target/wasm
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=$flags CARGO_TARGET_WASM32_WASIP1_RUNNER=$runner
kernels=("${build[@]}" --release --target "$target" -p sepconv-kernels --no-default-features)
if [[ ${1-} == --time ]]; then
    shift
    exec cargo run "${kernels[@]}" --features std,bf16,int8,unfused --example without_fma -- "$@"
fi
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-2}
kernel_tests allocation concurrency guard packed threads # threads, and a system's memory protection
run wasm all "WebAssembly, ${runner%% *}" \
    cargo test "${kernels[@]}" --features std,bf16,int8,unfused "${tests[@]}" "$@"
