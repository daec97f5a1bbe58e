# Sourced by the scripts here: one run of the tests on one CPU, entered in the ledger.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
LEDGER=${SEPCONV_LEDGER_DIR:-$PWD/target/ledger}
mkdir -p "$LEDGER"
# The tests of the kernels, and those of the executor that are about what kernels compute: not about files, pictures
# and processes, which are the same on all CPUs. Documentation is not tested with them.
KERNEL_TESTS=(activations allocation bf16 bounds canaries concurrency differential digests f16_bf16 geometry guard halves
    int8 lines numerics operands packed pixelwise planes rows shapes threads transposed unfused)
EXECUTOR_TESTS=(--test element_types --test executor --test family --test quantized --test xception)

# kernel_tests [NAME…]: sets `tests` to cargo's arguments for the tests of the kernels, but for those named.
kernel_tests() {
    local name
    tests=()
    for name in "${KERNEL_TESTS[@]}"; do
        [[ " $* " == *" $name "* ]] || tests+=(--test "$name")
    done
}

# Symbols that tell the instances of a kernel apart.
READABLE="-C symbol-mangling-version=v0"

# run NAME LEVEL CPU COMMAND…: runs the command with the tests' entries going to the ledger's page NAME.
# LEVEL is what the run is for; CPU says where it runs. The page ends with the exit status: one without is
# a run that was cut off.
run() {
    local name=$1 level=$2 cpu=$3 page status=0 start=$SECONDS
    shift 3
    page=$LEDGER/$name.tsv
    printf '\n== %s: %s on %s\n' "$name" "$level" "$cpu"
    printf 'run\t%s\t%s\t%s\n' "$name" "$level" "$cpu" >"$page"
    SEPCONV_LEDGER=$page "$@" || status=$?
    printf 'exit\t%s\n' "$status" >>"$page"
    printf '== %s: %d s\n' "$name" $((SECONDS - start))
    return "$status"
}

# impossible NAME LEVEL REASON: enters in the ledger that the run is impossible on this machine, and why.
impossible() {
    printf 'run\t%s\t%s\t%s\nimpossible\t%s\n' "$1" "$2" "$(this_cpu)" "$3" >"$LEDGER/$1.tsv"
    printf '\n== %s: %s NOT RUN: %s\n' "$1" "$2" "$3"
}

# cpu_has FLAG…: whether this machine is an x86-64 CPU with all the flags.
cpu_has() {
    local flag
    for flag; do
        grep -qsw "$flag" /proc/cpuinfo || return 1
    done
}

# The name of this machine's CPU.
this_cpu() {
    local name
    name=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    printf '%s' "${name:-$(uname -m)}"
}

# installed COMMAND…: whether all are there.
installed() {
    local command
    for command; do
        command -v "$command" >/dev/null || return 1
    done
}

# debian PACKAGE…: installs those that are missing.
debian() {
    local package missing=()
    for package; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    if ((${#missing[@]})); then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
}

# Sets up cargo for the build that all runs on x86-64 share: static, which is all that one of the emulators
# runs, and with symbols that hot_loops.py can read. Elsewhere builds are as they are by default. (All are of the
# whole workspace: of some packages alone dependencies have other features, and everything is built again.)
shared_build() {
    [[ $(uname -sm) == "Linux x86_64" ]] || return 0
    export CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static $READABLE"
}

# Tests of very many small plans, besides `shapes`, which has each kernel at least once.
SMALL=(activations lines pixelwise transposed)

# emulated NAME LEVEL MODEL network|kernels|shapes|all [cargo test's arguments]: the tests of the kernels on an
# emulated CPU, with networks, the digests and the large random layers, or without these, or very many small
# layers, or all.
# Left out: the tests of the command line, which start processes, what reads files and pictures, which has no
# vector code, and what takes minutes here by its size: of networks the digests at 71 stay, which say all.
emulated() {
    local name=$1 level=$2 model=$3 what=$4
    shift 4
    checks/levels/emulator/setup.sh
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="python3 $PWD/checks/levels/emulator/x86.py --cpu $model"
    # Of the small shapes there are very many.
    local effort=1
    [[ $what != shapes ]] || effort=0.5
    # For this run alone: another may follow.
    local -x SEPCONV_LEVEL=$level SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-$effort}
    run "$name" "$level" "Bochs' $model" emulated_tests "$level" "$what" "$@"
}

emulated_tests() {
    local level=$1 what=$2 test=(cargo test --release --workspace) tests
    shift 2
    case $what in
        # Without what is the same on all CPUs.
        network) kernel_tests allocation canaries concurrency differential geometry "${SMALL[@]}" packed threads ;;
        kernels) kernel_tests allocation canaries concurrency differential digests geometry "${SMALL[@]}" packed threads ;;
        shapes) tests=(--test halves --test shapes "${SMALL[@]/#/--test=}") ;;
        *) kernel_tests concurrency differential packed threads ;;
    esac
    if [[ $what == shapes ]]; then
        # Dot products of integers, which AVX2 has there, too.
        SEPCONV_TEST_LEVELS=${SEPCONV_TEST_LEVELS:-avx2,$level} "${test[@]}" --test int8 "$@" || return
    elif [[ $what != kernels ]]; then
        tests+=(--test digits --test xception)
        # Random cases give the bits of AVX2, too; the others have those of the tables to go by.
        SEPCONV_TEST_LEVELS=${SEPCONV_TEST_LEVELS:-avx2,$level} \
            "${test[@]}" --test differential "$@" || return
    fi
    SEPCONV_TEST_LEVELS=${SEPCONV_TEST_LEVELS:-$level} "${test[@]}" "${tests[@]}" "$@" -- \
        --skip agrees_with_keras --skip at_150 --skip batches_are_pictures --skip sampled_outputs \
        --skip dot_products # masked vcvtneps2bf16 is wrong on Bochs: see emulator/x86.py
}

# What is built for AArch64, with which features.
NEON_PACKAGES=(-p sepconv-kernels -p sepconv --no-default-features --features sepconv/rayon)

# Sets up cargo for aarch64-unknown-linux-gnu: rustup's target if it is there, else Debian's packages.
aarch64_build() {
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu CARGO_TARGET_DIR=$PWD/target/aarch64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=$READABLE
    if [[ -d $(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu ]]; then
        return
    elif installed apt-get; then
        debian_aarch64_library
        export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
    else
        echo "error: no standard library: rustup target add aarch64-unknown-linux-gnu" >&2
        return 1
    fi
}

# standard_library_source TARGET: sets up cargo to build the standard library: Debian's packages of recent compilers have
# its source, not its build for TARGET.
standard_library_source() {
    installed apt-get || { echo "error: no standard library: rustup target add $1" >&2; return 1; }
    debian rustc-web rust-web-src
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
}

# Debian builds Rust for each of its architectures: the standard library for AArch64 is a package there. The
# compiler must be of the same build. Its files are unpacked beside it, nothing of AArch64 is installed.
debian_aarch64_library() {
    local version lib=/usr/lib/rustlib/aarch64-unknown-linux-gnu folder apt
    debian rustc-web
    version=$(dpkg-query -W -f='${Version}' libstd-rust-web-dev)
    [[ $(cat "$lib/.version" 2>/dev/null) == "$version" ]] && return
    folder=$(mktemp -d)
    chmod 755 "$folder"
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    # An apt of its own that knows both architectures, so that the system's needn't.
    apt=(apt-get -qq -o APT::Architectures::=amd64 -o APT::Architectures::=arm64
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    (cd "$folder" && "${apt[@]}" download "libstd-rust-web-dev:arm64=$version")
    dpkg -x "$folder"/libstd-rust-web-dev_*.deb "$folder/unpacked"
    rm -rf "$lib"
    cp -r "$folder/unpacked$lib" "$lib"
    printf '%s\n' "$version" >"$lib/.version"
    rm -rf "$folder"
}

shared_build
