# Sourced by the scripts here: one run of the tests on one CPU, entered in the ledger.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
LEDGER=${SEPCONV_LEDGER_DIR:-$PWD/target/ledger}
mkdir -p "$LEDGER"

# run NAME LEVEL CPU COMMAND…: runs the command with the tests' entries going to the ledger's page NAME.
# LEVEL is what the run is for; CPU says where it runs. The page ends with the exit status: one without is
# a run that was cut off.
run() {
    local name=$1 level=$2 cpu=$3 page status=0
    shift 3
    page=$LEDGER/$name.tsv
    printf '\n== %s: %s on %s\n' "$name" "$level" "$cpu"
    printf 'run\t%s\t%s\t%s\n' "$name" "$level" "$cpu" >"$page"
    SEPCONV_LEDGER=$page "$@" || status=$?
    printf 'exit\t%s\n' "$status" >>"$page"
    return "$status"
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

# Sets up cargo for the build that the emulated x86-64 CPUs share: static, which is all that one of the
# emulators runs.
static_build() {
    export CARGO_TARGET_DIR=$PWD/target/emulated
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
}

# emulated NAME LEVEL MODEL [cargo test's arguments]: the tests of kernels and executor on an emulated CPU.
# The tests of the command line start processes, which this emulator doesn't do.
emulated() {
    local name=$1 level=$2 model=$3
    shift 3
    isa/emulator/setup.sh
    static_build
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="python3 $PWD/isa/emulator/x86.py --cpu $model"
    export SEPCONV_LEVEL=$level SEPCONV_TEST_EFFORT=${SEPCONV_TEST_EFFORT:-1}
    local tests=(--lib --test allocation --test differential --test digests --test geometry --test numerics
        --test digits --test executor --test xception)
    run "$name" "$level" "Bochs' $model" \
        cargo test --release --target x86_64-unknown-linux-gnu -p sepconv-kernels -p sepconv "${tests[@]}" "$@"
}
