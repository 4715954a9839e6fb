#!/usr/bin/env bash
# Builds aecrnet_infer in build/ and prints its path.
#   bash build.sh              builds the program with the MindSpore Lite in MSLITE_ROOT, or of fetch_lite.sh
#   bash build.sh --tests      the same in build_tests/, with run_raw, which tests/ need; compiler warnings are errors
#   bash build.sh --sanitize   builds the GoogleTest tests with address and undefined-behaviour sanitizers in
#                              build_sanitize/, and runs them; needs no MindSpore Lite
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() { echo "error: $*" >&2; exit "${code:-1}"; }

build=$here/build
options=()
case "${1:-}" in
    "") ;;
    --tests) build=$here/build_tests; options=(-DAECRNET_TESTS=ON -DAECRNET_WERROR=ON) ;;
    --sanitize) build=$here/build_sanitize; options=(-DAECRNET_TESTS=ON -DAECRNET_WERROR=ON -DAECRNET_SANITIZE=ON) ;;
    *) code=2 fail "build.sh: unknown argument $1" ;;
esac
[ $# -le 1 ] || code=2 fail "build.sh: more than one argument"

install="apt-get install -y $(tr '\n' ' ' < "$here/packages.txt")"
for tool in cmake g++ make; do
    command -v "$tool" >/dev/null || fail "build.sh: $tool is missing; on Debian or Ubuntu: $install"
done
if [ "${1:-}" != --sanitize ]; then
    root=${MSLITE_ROOT:-$(bash "$here/fetch_lite.sh")}
    options+=("-DMSLITE_ROOT=$root")
fi

log=$build/build.log
mkdir -p "$build"
cmake -S "$here" -B "$build" "${options[@]}" >"$log" 2>&1 \
    || { tail -n 20 "$log" >&2; fail "build.sh: cmake failed; if a library is missing, on Debian or Ubuntu: $install"; }
cmake --build "$build" --parallel "${JOBS:-$(nproc)}" >>"$log" 2>&1 \
    || { tail -n 40 "$log" >&2; fail "build.sh: the compiler failed, see $log"; }
if [ "${1:-}" = --sanitize ]; then
    "$build/aecrnet_tests" --gtest_brief=1
else
    echo "$build/aecrnet_infer"
fi
