#!/usr/bin/env bash
# Builds the package, packs it, and tests in Node what was packed. Usage: web/test.sh [--browser] [VARIANT…]
#
# Variants are those of build.sh. --browser tests the page in Chromium, too (Debian's package): isolated, as serve.py
# serves it, and not. Needs Node 20 or newer with npm.
set -euo pipefail
cd "$(dirname "$0")"

browser=
[[ ${1-} != --browser ]] || { browser=yes; shift; }
cargo fmt --check
./build.sh "$@"

mkdir -p target
# What npm would publish, where `import "sepconv"` finds it.
cp ../LICENSE-* pkg/
archive=$(cd pkg && npm pack --silent --pack-destination ../target)
rm -rf node_modules/sepconv
mkdir -p node_modules/sepconv
tar -xzf "target/$archive" -C node_modules/sepconv --strip-components 1
ls -l "target/$archive"
(cd node_modules/sepconv && ls -l)

# Until V8 11.4, which Node 20 is just older than.
relaxed=--experimental-wasm-relaxed-simd
node --v8-options | grep -qe "$relaxed" || relaxed=
node --no-warnings $relaxed --test test/package.test.mjs

if [[ $browser ]]; then
    (source ../checks/levels/common.sh && debian chromium fonts-dejavu-core)
    # Since Node 22 it needs no flag.
    for isolation in "" --not-isolated; do
        node --no-warnings --experimental-websocket test/browser.mjs --shots target/shots $isolation
    done
fi
