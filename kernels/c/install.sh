#!/usr/bin/env bash
# Builds libsepconv and installs it, static and shared, with its header and its pkg-config file.
# Usage: kernels/c/install.sh PREFIX [cargo build's arguments]
set -euo pipefail
[[ $# -ge 1 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")"

version=$(cargo pkgid -p sepconv-c)
version=${version##*[#@]}
# What cargo says it built, wherever that is; and what a static library needs besides, in the linker's words.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
built=$(cargo rustc --release -p sepconv-c --lib --message-format=json-render-diagnostics "$@" \
    -- --print native-static-libs 2>"$log") || { cat "$log" >&2; exit 1; }
files=$(sed -n '/"name":"sepconv_c"/s/.*"filenames":\[\([^]]*\)\].*/\1/p' <<<"$built" | tr -d '"' | tr ',' '\n')
private=$(sed -n 's/^note: native-static-libs: //p' "$log")

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
cp include/sepconv.h "$prefix/include/"
for file in $files; do
    case $file in
        *.a | *.so | *.dylib)
            name=$(basename "$file")
            cp "$file" "$prefix/lib/${name/sepconv_c/sepconv}"
            ;;
    esac
done
sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" -e "s|@private@|$private|" sepconv.pc.in \
    >"$prefix/lib/pkgconfig/sepconv.pc"
