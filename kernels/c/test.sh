#!/usr/bin/env bash
# Installs libsepconv to a temporary folder and builds the example in C against it with each compiler that is there:
# shared and static, with AddressSanitizer and without; as C++ the header alone. Usage: kernels/c/test.sh
set -euo pipefail
cd "$(dirname "$0")"

# As users get it, whatever the other tests are built for: there is no shared library with a static libc.
unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
./install.sh "$prefix"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib

count=0
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || { echo "$compiler is not installed: NOT RUN"; continue; }
    for sanitize in "" -fsanitize=address; do
        flags=(-std=c99 -Wall -Wextra -Wpedantic -Werror -O1 $sanitize)
        # shellcheck disable=SC2046 # flags are words
        "$compiler" "${flags[@]}" -o "$prefix/shared" examples/separable.c $(pkg-config --cflags --libs sepconv)
        # shellcheck disable=SC2046
        "$compiler" "${flags[@]}" -o "$prefix/static" examples/separable.c "$prefix/lib/libsepconv.a" \
            $(pkg-config --cflags sepconv) $(sed -n 's/^Libs.private: //p' "$PKG_CONFIG_PATH/sepconv.pc")
        for program in shared static; do
            printf '%s, %s%s: ' "$compiler" "$program" "${sanitize:+, $sanitize}"
            "$prefix/$program"
            count=$((count + 1))
        done
    done
    "$compiler" -x c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only "$prefix/include/sepconv.h"
done
((count > 0)) || { echo "error: no C compiler" >&2; exit 1; }
echo "kernels/c: $count programs right"
