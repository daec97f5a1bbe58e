#!/usr/bin/env bash
# Builds the wheel, installs it in a new virtual environment, and runs the tests there. Needs Rust and Python 3 with
# pip; the first time it compiles everything, in some minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")"

# As users get it, whatever the other tests are built for.
unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
export CARGO_TARGET_DIR=$PWD/target
cargo fmt --check

rm -rf target/wheels target/venv
python3 -m venv target/venv
pip=(target/venv/bin/pip --quiet --disable-pip-version-check)
"${pip[@]}" wheel --no-deps --wheel-dir target/wheels .
wheel=$(echo target/wheels/sepconv-*-abi3-*.whl)
size=$(stat -c %s "$wheel")
echo "$(basename "$wheel"): $size bytes"
((size <= 6 << 20)) || { echo "expected at most 6 MiB" >&2; exit 1; }
"${pip[@]}" install "$wheel[test]"
# From elsewhere: the folder `python` has the sources, without what is compiled.
cd tests
../target/venv/bin/python -m pytest -p no:cacheprovider .
