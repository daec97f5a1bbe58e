#!/usr/bin/env bash
# The tests of the x86-64 build under qemu as a CPU without AVX2: it must fall back to `sse`, run no
# instruction that this CPU lacks, and give the same bits by emulated fused multiply-adds.
# Usage: checks/levels/fallback.sh [--cpu MODEL] [cargo test's arguments]
set -euo pipefail
source "$(dirname "$0")/common.sh"

model=Nehalem # x86-64-v2
if [[ ${1-} == --cpu ]]; then
    model=$2
    shift 2
fi
installed qemu-x86_64-static || debian qemu-user-static
SEPCONV_TEST_RUNNER="qemu-x86_64-static -cpu $model"

# That it ends where such an instruction comes is what makes the run a test.
probe=$PWD/target/probe-avx2
cat >"$probe.rs" <<'RUST'
fn main() {
    // SAFETY: ymm0 is declared; where AVX2 is missing the process ends, which is what is probed.
    unsafe { std::arch::asm!("vpaddd ymm0, ymm0, ymm0", out("ymm0") _) };
}
RUST
rustc -C target-feature=+avx2 -o "$probe" "$probe.rs"
if $SEPCONV_TEST_RUNNER "$probe" 2>/dev/null; then
    echo "error: the emulated CPU $model runs AVX2: the test would show nothing" >&2
    exit 1
fi

unset SEPCONV_LEVEL SEPCONV_TEST_LEVELS
export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-1}
# An emulated fused multiply-add takes dozens of times as long: of networks and layers only small ones.
large=(--skip digests_at --skip digests_of_types --skip agrees_with --skip batches_are_pictures --skip deep_layers
    --skip sampled_outputs --skip parts_of_layers_of_xception --skip large_layers)
# The same on all CPUs, and the digests, which this machine gives with `sse` and `scalar`, too.
kernel_tests allocation canaries concurrency digests packed threads
# By the second one the test of the command line starts it.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$SEPCONV_TEST_RUNNER SEPCONV_TEST_RUNNER
fallback_tests() {
    # Without random networks, which run no code for a CPU but their layers'.
    cargo test --release --workspace "${tests[@]}" --test element_types --test family --test xception "$@" \
        -- "${large[@]}" &&
        cargo test --release --workspace --test cli "$@" -- reports_the_level
}
run "fallback-$model" sse "qemu's $model" fallback_tests "$@"
