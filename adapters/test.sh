#!/usr/bin/env bash
# Writes the networks that the adapters are tested on, and runs the tests of all packages here, from a clean
# checkout: some 15 minutes on two cores, most of it building tract. Needs Rust 1.95 and Python 3 with pip.
set -euo pipefail
cd "$(dirname "$0")"

# One build for all packages.
export CARGO_TARGET_DIR=$PWD/target
export SEPCONV_MODELS=$PWD/models

if [[ ! -f $SEPCONV_MODELS/xception.onnx ]]; then
    python3 -m venv target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
    target/venv/bin/python export.py "$SEPCONV_MODELS"
fi

for package in plans measure candle tract; do
    printf '\n== %s\n' "$package"
    (
        cd "$package"
        cargo fmt --check
        cargo clippy --locked --release --quiet --all-targets -- -D warnings
        RUSTDOCFLAGS="-D warnings" cargo doc --locked --release --quiet --no-deps
        cargo test --locked --release
    )
done
