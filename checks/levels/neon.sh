#!/usr/bin/env bash
# All tests on the level `neon`: on this machine if it is an AArch64 one, else under qemu as the CPU models
# `cortex-a72`, which has the baseline alone and faults at anything beyond it, and `max`, which has all.
# Usage: checks/levels/neon.sh [--cpu MODEL]… [cargo test's arguments]
#
# What it needs besides Rust (an AArch64 standard library, a cross linker, qemu) it installs on Debian and
# Ubuntu; elsewhere it says what is missing.
set -euo pipefail
source "$(dirname "$0")/common.sh"

export SEPCONV_LEVEL=neon

if [[ $(uname -m) == aarch64 ]]; then
    run neon neon "$(this_cpu)" cargo test --release -p sepconv-kernels -p sepconv "$@"
    exit
fi

models=()
while [[ ${1-} == --cpu ]]; do
    models+=("$2")
    shift 2
done
((${#models[@]})) || models=(cortex-a72 max)

aarch64_build
if ! installed qemu-aarch64-static aarch64-linux-gnu-gcc; then
    installed apt-get || { echo "error: qemu-aarch64-static or aarch64-linux-gnu-gcc is missing" >&2; exit 1; }
    debian qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
fi
export SEPCONV_TEST_LEVELS=${SEPCONV_TEST_LEVELS:-scalar,neon} SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-5}
status=0
for model in "${models[@]}"; do
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu $model -L /usr/aarch64-linux-gnu"
    # All on the first model; on others what computes: layouts, threads and networks are the same on all, and in
    # networks the digests say all.
    if [[ $model == "${models[0]}" ]]; then
        kernel_tests concurrency
        tests+=(--test element_types --test executor --test xception)
    else
        kernel_tests allocation canaries concurrency digests geometry guard operands packed threads
    fi
    run "neon-$model" neon "qemu's $model" cargo test --release "${NEON_PACKAGES[@]}" \
        "${tests[@]}" "$@" -- --skip agrees_with_keras \
        --skip batches_are_pictures --skip sampled_outputs --skip digests_of_types \
        --skip no_more_threads || status=$? # which starts a process of this architecture
done
exit "$status"
