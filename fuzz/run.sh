#!/usr/bin/env bash
# Fuzzes: fuzz/run.sh [--seconds N] [--jobs N] [TARGET…]
#
# Each target (default: all) runs for N seconds (default 60), --jobs of them at a time (default 1). Needs Rust
# on Linux or macOS; the stable compiler will do. Corpora grow in fuzz/corpus and go on from there the next
# time. Prints executions, coverage and crashes by target; ends with 1 if there was a crash. To see one
# again: fuzz/run.sh --again TARGET FILE
set -euo pipefail
cd "$(dirname "$0")/.."

# The sanitizer and coverage are flags of the compiler that stable has but does not offer.
export RUSTC_BOOTSTRAP=1
export ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=32:allocator_may_return_null=1:${ASAN_OPTIONS:-}"

seconds=60 jobs=1 again=
while [[ ${1:-} == --* ]]; do
    case $1 in
    --seconds) seconds=$2 && shift 2 ;;
    --jobs) jobs=$2 && shift 2 ;;
    --again) again=$3 && set -- "$2" ;;
    *) echo "fuzz/run.sh [--seconds N] [--jobs N] [TARGET…]" >&2 && exit 2 ;;
    esac
done
mapfile -t all < <(sed -n 's|^path = "targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
(($#)) || set -- "${all[@]}"
for target; do
    [[ " ${all[*]} " == *" $target "* ]] || { echo "no target $target among: ${all[*]}" >&2 && exit 2; }
done
# Which does little itself, and is compiled in half the time without optimization.
cargo fuzz --version > /dev/null 2>&1 || cargo install --debug --locked cargo-fuzz@0.13.2
# The sanitizer's checks as calls and not inline, which vector kernels take minutes to compile with; and both cores
# for them. Targets run no slower.
export RUSTFLAGS="-C llvm-args=-asan-instrumentation-with-call-threshold=0 ${RUSTFLAGS:-}"
build=(--codegen-units 16)
# One build for all: what targets share is compiled once.
cargo fuzz build "${build[@]}"

logs=fuzz/target/logs fixtures=fuzz/target/fixtures
mkdir -p "$logs" "$fixtures/picture" "$fixtures/npy"
python3 -m zipfile -e tests/keras/fixtures/models.zip "$fixtures/keras"
cp tests/model/tiny.keras "$fixtures/keras"
for kind in tflite tfjs; do
    python3 -m zipfile -e "tests/keras/fixtures/$kind.zip" "$fixtures/unpacked"
done
mkdir -p "$fixtures/tflite" "$fixtures/tfjs"
cp "$fixtures"/unpacked/*.tflite "$fixtures/tflite"
cp "$fixtures"/unpacked/{memory.json,float32/model.json,module/model.min.js} "$fixtures/tfjs"
# Large files are slow to mutate, and nothing when cut.
find "$fixtures/keras" -type f -size +48k -delete
cp tests/images/*.jpg tests/images/*.png "$fixtures/picture"
cp tests/model/*.npy "$fixtures/npy"

# What libFuzzer is told about a target: the longest input, the largest single allocation.
limits() {
    case $1 in
    keras) echo -max_len=49152 -malloc_limit_mb=128 ;;
    tflite | tfjs) echo -max_len=32768 -malloc_limit_mb=64 ;;
    safetensors) echo -max_len=16384 -malloc_limit_mb=64 ;;
    picture) echo -max_len=4096 -malloc_limit_mb=512 ;;
    npy | cli) echo -max_len=2048 -malloc_limit_mb=64 ;;
    plan) echo -max_len=256 -malloc_limit_mb=64 ;;
    *) echo -max_len=128 -malloc_limit_mb=64 ;;
    esac
}

fuzz() {
    local target=$1 options folder
    options=(-rss_limit_mb=1024 -timeout=10 $(limits "$target"))
    if [[ -n $again ]]; then
        cargo fuzz run "${build[@]}" "$target" "$again" -- "${options[@]}"
        return
    fi
    [[ ! -f fuzz/$target.dict ]] || options+=("-dict=fuzz/$target.dict")
    mkdir -p "fuzz/corpus/$target"
    local folders=("fuzz/corpus/$target")
    for folder in "fuzz/seeds/$target" "$fixtures/$target"; do
        [[ ! -d $folder ]] || folders+=("$folder")
    done
    cargo fuzz run "${build[@]}" "$target" "${folders[@]}" -- "${options[@]}" \
        "-max_total_time=$seconds" -print_final_stats=1 -close_fd_mask=1 > "$logs/$target" 2>&1
}

if [[ -n $again ]]; then fuzz "$1"; exit; fi
one() {
    local status=0
    fuzz "$1" || status=$?
    echo "$status" > "$logs/$1.status"
}
# Every minute, on stderr: what runs how fast, and how long all will take.
progress() {
    local begin=$SECONDS all=$((($# + jobs - 1) / jobs * seconds)) target finished running rate
    while sleep 60; do
        finished=0 running=
        for target; do
            if [[ -f $logs/$target.status ]]; then
                finished=$((finished + 1))
            elif [[ -f $logs/$target ]]; then
                rate=$(grep -ao 'exec/s: [0-9]*' "$logs/$target" | tail -n 1) || rate="exec/s: 0"
                running+="$target ${rate#exec/s: }/s, "
            fi
        done
        printf '%d of %d targets done, %sabout %d min left\n' \
            "$finished" $# "$running" $(((all - SECONDS + begin + 59) / 60)) >&2
    done
}

for target; do rm -f "$logs/$target" "$logs/$target.status"; done
progress "$@" &
watcher=$!
disown # not one of the jobs that are counted and waited for
trap 'kill $watcher' EXIT
pids=()
for target; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
    one "$target" &
    pids+=($!)
done
wait "${pids[@]}"

failed=0
printf '%-11s %12s %8s %9s %9s  %s\n' target executions a\ second coverage new crashes
for target; do
    log=$logs/$target
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    before=$(sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p' "$log" | head -1)
    after=$(sed -n 's/^#[0-9]*.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    crashes=0
    if (($(cat "$log.status") != 0)); then
        crashes=1 failed=1
    fi
    printf '%-11s %12s %8s %9s %9s  %s\n' "$target" "${executions:-?}" "${rate:-?}" "${after:-?}" \
        "$((${after:-0} - ${before:-0}))" "$crashes"
    if ((crashes)); then
        grep -aE '^(ERROR|==[0-9]+== ?ERROR|thread .* panicked)|libFuzzer: |Test unit written' -A1 "$log" | tail -12 | sed 's/^/    /'
    fi
done
exit $failed
