#!/usr/bin/env bash
# Tests examples/ray_classify.py on a Ray cluster of two workers on this machine. Usage: python/test_ray.sh [WHEEL]
#
# Without WHEEL it builds one. Ray is fetched: 70 MB. Takes 5 minutes besides.
set -euo pipefail
[[ -z ${1-} ]] || wheel=$(realpath "$1")
cd "$(dirname "$0")"

unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
export CARGO_TARGET_DIR=$PWD/target
rm -rf target/ray
python3 -m venv target/ray
pip=(target/ray/bin/pip --quiet --disable-pip-version-check)
if [[ -z ${wheel-} ]]; then
    "${pip[@]}" wheel --no-deps --wheel-dir target/ray/wheels .
    wheel=$(echo "$PWD"/target/ray/wheels/sepconv-*.whl)
fi
"${pip[@]}" install "$wheel" "ray[data]" pytest
cd examples
RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 RAY_USAGE_STATS_ENABLED=0 \
    ../target/ray/bin/python -m pytest -q -p no:cacheprovider test_ray_classify.py
