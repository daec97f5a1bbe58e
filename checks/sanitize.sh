#!/usr/bin/env bash
# The kernels' tests under a tool that watches each access to memory. Usage:
#   checks/sanitize.sh asan     [cargo test's arguments]   AddressSanitizer, all levels of this machine
#   checks/sanitize.sh valgrind [cargo test's arguments]   memcheck, which knows nothing beyond AVX2
# The effort is SEPCONV_TEST_EFFORT, else 10 percent for asan and 0.5 for valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${1-}
shift || true
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=true
# Reports name functions.
export CARGO_PROFILE_RELEASE_STRIP=none
case $tool in
asan)
    # A flag of unstable compilers, which the stable one takes when told to. The program's own memory: what
    # the operating system or the C library allocated and never gave back is not looked for.
    target=$(rustc -vV | sed -n 's/^host: //p')
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS-}" CARGO_TARGET_DIR=$PWD/target/asan
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:halt_on_error=1}
    export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-10}
    # That it ends the process is what makes the run a test.
    probe=$PWD/target/probe-asan
    cat >"$probe.rs" <<'RUST'
fn main() {
    let v = vec![1.0_f32; std::hint::black_box(37)];
    // SAFETY: not safe: it reads one element beyond the vector, and must not get away with it.
    println!("{}", unsafe { v.as_ptr().add(37).read_volatile() });
}
RUST
    rustc -Zsanitizer=address --target "$target" -o "$probe" "$probe.rs"
    if "$probe" >/dev/null 2>&1; then
        echo "error: AddressSanitizer does not see an element read beyond a vector: the run would show nothing" >&2
        exit 1
    fi
    cargo test --release --target "$target" -p sepconv-kernels --tests "$@"
    ;;
valgrind)
    command -v valgrind >/dev/null || { echo "error: valgrind is missing" >&2; exit 1; }
    export CARGO_TARGET_DIR=$PWD/target/valgrind SEPCONV_LEVEL=avx2 SEPCONV_TEST_LEVELS=scalar,avx2
    export SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-0.5}
    target=$(rustc -vV | sed -n 's/^host: //p')
    runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUNNER
    # Children are those that show that guard pages fault.
    export "$runner=valgrind --quiet --error-exitcode=9 --trace-children=no --child-silent-after-fork=yes"
    # Those of many threads are left out: valgrind runs one at a time, which takes minutes and shows nothing.
    tests=()
    for file in kernels/tests/*.rs; do
        [[ $file == */@(allocation|concurrency|digests).rs ]] || tests+=(--test "$(basename "$file" .rs)")
    done
    cargo test --release --target "$target" -p sepconv-kernels "${tests[@]}" "$@" -- --test-threads=1
    ;;
*)
    sed -n '2,5s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
