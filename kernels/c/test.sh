#!/usr/bin/env bash
# Installs libsepconv to a temporary folder and builds the examples and the tests in C and C++ against it with each
# compiler that is there: shared and static, with AddressSanitizer and without. Usage: kernels/c/test.sh
set -euo pipefail
cd "$(dirname "$0")"

# As users get it, whatever the other tests are built for: there is no shared library with a static libc.
unset CARGO_BUILD_TARGET CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
./install.sh "$prefix"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib

warnings=(-Wall -Wextra -Werror -O1)
programs=(examples/*.c tests/*.c tests/*.cc)
count=0
for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || { echo "$compiler is not installed: NOT RUN"; continue; }
    for source in "${programs[@]}"; do
        case $source in
            examples/*) language=(-std=c99 -Wpedantic -pthread) library=() ;;
            *.c) language=(-std=c11 -pthread) library=() ;;
            *.cc) language=(-x c++ -std=c++11 -pthread) library=(-lstdc++) ;;
        esac
        for sanitize in "" -fsanitize=address; do
            # The sanitizer's own allocator may hang in a child of a process with threads, and it needs a thread itself.
            [[ -n $sanitize && $source =~ /(fork|no_threads).c$ ]] && continue
            # shellcheck disable=SC2206 # flags are words
            flags=("${warnings[@]}" "${language[@]}" $sanitize "$source" -x none "${library[@]}")
            # shellcheck disable=SC2046 # flags are words
            "$compiler" -o "$prefix/shared" "${flags[@]}" $(pkg-config --cflags --libs sepconv)
            # shellcheck disable=SC2046
            "$compiler" -o "$prefix/static" "${flags[@]}" "$prefix/lib/libsepconv.a" \
                $(pkg-config --cflags sepconv) $(sed -n 's/^Libs.private: //p' "$PKG_CONFIG_PATH/sepconv.pc")
            for program in shared static; do
                printf '%s, %s, %s%s: ' "$source" "$compiler" "$program" "${sanitize:+, $sanitize}"
                timeout 300 "$prefix/$program"
                count=$((count + 1))
            done
        done
    done
done
((count > 0)) || { echo "error: no C compiler" >&2; exit 1; }
echo "kernels/c: $count programs right"
