#!/usr/bin/env bash
# The packages as they would be published, and the program of the kernels' README in a project of its own, outside this
# tree, with the packaged kernels. Usage: checks/packages.sh [--verify]
#
# --verify also builds every package from its archive, as `cargo publish --dry-run` does.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# As users get it, whatever the other tests are built for.
unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS CARGO_PROFILE_{DEV,RELEASE}_DEBUG
export CARGO_TARGET_DIR=$root/target/outside
packages=(-p sepconv-kernels -p sepconv-c -p sepconv)
if [[ ${1-} == --verify ]]; then
    cargo publish --dry-run --allow-dirty "${packages[@]}"
fi
cargo package --quiet --no-verify --allow-dirty "${packages[@]}"
# The adapters, which need packages that must be published before them: as if these were.
before=(--config "patch.crates-io.sepconv-kernels.path = \"$root/kernels\"")
for adapter in plans candle tract; do
    (cd "adapters/$adapter" && cargo package --quiet --no-verify --allow-dirty "${before[@]}")
    [[ $adapter == plans ]] && before+=(--config "patch.crates-io.sepconv-plans.path = \"$root/adapters/plans\"")
done

project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
tar -xzf "$CARGO_TARGET_DIR"/package/sepconv-kernels-[0-9]*.crate -C "$project"
kernels=$(echo "$project"/sepconv-kernels-*)
# block LANGUAGE: the README's block of code of that language.
block() { awk -v start="\`\`\`$1" '$0 == "```" { on = 0 } on; $0 == start { on = 1 }' "$kernels/README.md"; }
mkdir -p "$project/layer/src"
block toml >"$project/layer/Cargo.toml"
block rust >"$project/layer/src/main.rs"
# The only thing that users would not have: they get the package from the registry.
published=(--config "patch.crates-io.sepconv-kernels.path = \"$kernels\"")

cd "$project/layer"
export CARGO_TARGET_DIR=$project/target
cargo "${published[@]}" fetch --quiet
start=$(date +%s.%N)
cargo "${published[@]}" build --quiet --release -p sepconv-kernels
seconds=$(date +%s.%N | awk -v start="$start" '{ printf "%.1f", $1 - start }')
count=$(cargo "${published[@]}" tree --quiet -p sepconv-kernels -e normal --prefix none | sort -u | wc -l)
printed=$(cargo "${published[@]}" run --quiet --release)
printf 'outside: %s packages, %s s from nothing; %s\n' "$count" "$seconds" "$printed"
((count < 20)) || { echo "error: 20 packages or more" >&2; exit 1; }
# 4 and 9 taps × 0.5, then 728 channels × 0.25.
[[ $printed == *": 364 in the corner, 819 inside" ]] || { echo "error: wrong numbers" >&2; exit 1; }
