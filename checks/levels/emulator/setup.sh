#!/bin/sh
# Fetches and builds what x86.py needs, into target/emulator (or $SEPCONV_EMULATOR_DIR).
# Needs python3 with pip, and a C compiler. Does nothing when all is there already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${SEPCONV_EMULATOR_DIR:-$here/../../../target/emulator}
python=${PYTHON:-python3}
cc=${CC:-cc}

# What the target was made from: the package is built for one version of Python.
wanted=$(
    "$python" -c 'import sys; print(sys.implementation.cache_tag)'
    cat "$here/requirements.txt" "$here/shim.c"
)
if [ -f "$target/made-from" ] && [ "$(cat "$target/made-from")" = "$wanted" ]; then
    exit 0
fi

rm -rf "$target/python" "$target/made-from"
mkdir -p "$target"
# Without its dependencies, which are the package's build tools.
"$python" -m pip install --quiet --no-deps --only-binary :all: --target "$target/python" \
    --requirement "$here/requirements.txt"
"$cc" -std=c11 -O2 -ffp-contract=off -shared -fPIC -o "$target/shim.so" "$here/shim.c"
printf '%s\n' "$wanted" >"$target/made-from"
