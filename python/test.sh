#!/usr/bin/env bash
# Builds the wheel, installs it in a new virtual environment, and runs the tests there. Usage: python/test.sh [PYTHON]
#
# PYTHON is one that has Keras, timm or torch: live models are compared there. Needs Rust and Python 3 with pip. The
# first time it compiles everything, in 3 minutes on two cores.
set -euo pipefail
[[ -z ${1-} ]] || live=$(realpath --no-symlinks "$1")
cd "$(dirname "$0")"

# As users get it, whatever the other tests are built for.
unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
export CARGO_TARGET_DIR=$PWD/target
cargo fmt --check

rm -rf target/wheels target/venv target/live
python3 -m venv target/venv
pip=(target/venv/bin/pip --quiet --disable-pip-version-check)
start=$SECONDS
"${pip[@]}" wheel --no-deps --wheel-dir target/wheels .
wheel=$(echo target/wheels/sepconv-*-abi3-*.whl)
size=$(stat -c %s "$wheel")
echo "$(basename "$wheel"): $size bytes, built in $((SECONDS - start)) s"
((size <= 6 << 20)) || { echo "expected at most 6 MiB" >&2; exit 1; }
"${pip[@]}" install "$wheel[test]"
# From elsewhere: the folder `python` has the sources, without what is compiled.
cd tests
../target/venv/bin/python -m pytest -p no:cacheprovider --ignore test_live.py .

[[ -n ${live-} ]] || { echo "live models of Keras, timm and torch: NOT RUN, since no PYTHON that has them is given"; exit; }
# Beside what that Python has, which stays as it is.
../target/venv/bin/pip --quiet --disable-pip-version-check install --no-deps --target ../target/live "../$wheel" \
    pytest pluggy iniconfig packaging pygments
PYTHONPATH=../target/live "$live" -m pytest -p no:cacheprovider -rs test_live.py
