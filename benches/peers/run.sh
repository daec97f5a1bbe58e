#!/usr/bin/env bash
# Measures sepconv and its peers. Needs Rust, Python 3.11 to 3.13 with venv, and git; fetches
# packages by name. Everything that it makes but the record lies under target/.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/benches/peers
work=$root/target/peers

subject=runtimes
case ${1-} in
-h | --help)
    cat <<EOF
usage: run.sh [OPTION…]
       run.sh engines [OPTION…]

Measures whole Xception, three later networks, single layers, and three networks in f32, by default and in
8-bit integers in ONNX Runtime, OpenVINO, LiteRT and sepconv; with "engines", whole Xception in the Rust engines rten,
tract, candle, burn and sepconv. Options go to measure.py: --threads N, --rounds N, --runs N,
--record FOLDER, and without "engines" also --layer-rounds N, --layer-runs N,
--only network|later|layers|precisions, --level avx2 (as a CPU without AVX-512 would run all of them),
--pytorch (PyTorch, too: with the CUDA libraries that its package depends on some 3 GB to download).
PYTHON=… chooses the interpreter.
EOF
    exit
    ;;
engines)
    subject=engines
    shift
    ;;
esac

mkdir -p "$work"
# Installs the packages of a file, unless these very ones are there.
packages() {
    if ! cmp -s "$here/$1" "$work/installed-$1"; then
        "${PYTHON:-python3}" -m venv "$work/venv"
        "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/$1"
        cp "$here/$1" "$work/installed-$1"
    fi
}
packages requirements.txt
for option; do
    if [ "$option" = --pytorch ]; then
        packages requirements-pytorch.txt
    fi
done
python=$work/venv/bin/python

# Written anew when what writes them has changed.
writers=("$here"/{export,layers,networks,quantize,to_onnx}.py "$here/requirements.txt")
if ! cat "${writers[@]}" | cmp -s - "$work/models/complete"; then
    rm -rf "$work/models"
    "$python" "$here/export.py" "$work/models"
    cat "${writers[@]}" > "$work/models/complete"
fi

cd "$root"
if [ $subject = engines ]; then
    # Compiled for this CPU, rten is a tenth faster; the others choose their kernels as they run.
    RUSTFLAGS="-C target-cpu=native ${RUSTFLAGS-}" cargo build --release --locked \
        --manifest-path "$here/engines/Cargo.toml" --target-dir "$work/engines"
    set -- --engines "$work/engines/release/sepconv-engines" "$@"
else
    cargo build --release --locked --bin sepconv --target-dir "$root/target"
    set -- --sepconv "$root/target/release/sepconv" "$@"
fi
record=$("$python" "$here/measure.py" --models "$work/models" "$@" | tee /dev/stderr | tail -n 1)
"$python" "$here/pictures.py" "${record#recorded in }"
