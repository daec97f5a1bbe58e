#!/usr/bin/env bash
# Builds the WebAssembly of pkg/, which the page needs, too. Usage: web/build.sh [VARIANT…]
#
# pkg/sepconv.js takes the best variant that its engine runs:
#   simd             128-bit vectors, which every current engine has
#   relaxed          relaxed simd, too, whose multiply-adds are fused on most machines
#   simd-threads     threads, too, for workers of isolated pages (serve.py makes the page one)
#   relaxed-threads  all of these
# Without VARIANT: simd and relaxed, or all four with --all. Those with threads have a standard library of their
# own, with atomics.
#
# rustup's target wasm32-unknown-unknown is used if it is there (rustup target add wasm32-unknown-unknown); on Debian
# and Ubuntu, and for threads, the standard library is built here.
set -euo pipefail
source "$(dirname "$0")/../checks/levels/common.sh"

target=wasm32-unknown-unknown
case ${1-} in
    "") variants=(simd relaxed) ;;
    --all) variants=(simd relaxed simd-threads relaxed-threads) ;;
    *) variants=("$@") ;;
esac

# build VARIANT: builds one.
build() {
    local variant=$1 features=+simd128 arguments=() flags
    # Files nest deeply: see src/weights/hdf5.rs.
    flags="-C link-arg=-zstack-size=33554432"
    case $variant in
        simd | simd-threads) ;;
        relaxed | relaxed-threads) features+=,+relaxed-simd ;;
        *)
            echo "error: variant: expected simd, relaxed, simd-threads or relaxed-threads, got $variant" >&2
            return 2
            ;;
    esac
    if [[ $variant == *-threads ]]; then
        features+=,+atomics,+bulk-memory,+mutable-globals
        arguments+=(--features threads)
        # Workers import the memory of the first, up to 2 GiB, and have stacks and thread-local values of their own.
        flags+=" -C link-arg=--import-memory -C link-arg=--shared-memory -C link-arg=--max-memory=2147483648"
        flags+=" -C link-arg=--export=__stack_pointer -C link-arg=--export=__wasm_init_tls"
        flags+=" -C link-arg=--export=__tls_size -C link-arg=--export=__tls_align"
    fi
    if [[ $variant == *-threads || ! -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
        standard_library_source "$target"
        debian lld-22
        flags+=" -C linker=wasm-ld-22"
        arguments+=(-Zbuild-std=std,panic_abort)
    fi
    (
        unset CARGO_BUILD_TARGET
        export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=$features $flags"
        cargo build --locked --release --manifest-path web/Cargo.toml --target "$target" "${arguments[@]}"
    )
    cp "${CARGO_TARGET_DIR:-web/target}/$target/release/sepconv_web.wasm" "web/pkg/sepconv-$variant.wasm"
    ls -l "web/pkg/sepconv-$variant.wasm"
}

for variant in "${variants[@]}"; do
    (build "$variant")
done

# What is there to choose from.
names=$(cd web/pkg && printf '"%s", ' sepconv-*.wasm)
names=${names//sepconv-/}
names=${names//.wasm/}
printf 'export const builds = [%s];\n' "${names%, }" >web/pkg/builds.js
