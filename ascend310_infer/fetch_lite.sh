#!/usr/bin/env bash
# Fetches MindSpore Lite 2.0.0 for x86-64 Linux from PyPI (169 MB, 530 MB unpacked) and prints its folder, which is the
# MSLITE_ROOT of build.sh. The first call keeps it in MSLITE_CACHE, by default .mslite/ beside this script.
# On an Ascend 310 host, set MSLITE_ROOT to the release package that matches the driver instead.
set -euo pipefail

version=2.0.0
wheel=mindspore_lite-$version-cp37-cp37m-manylinux1_x86_64.whl
sha256=199cd0605cc985b88eddb273db9dfe9000a585ba10ca2292b6b36ebfff07b3ec

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MSLITE_CACHE:-$here/.mslite}
root=$cache/$version/mindspore_lite

fail() { echo "error: $*" >&2; exit 1; }

if [ -f "$root/lib/libmindspore-extendrt_python.so" ]; then
    echo "$root"
    exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "fetch_lite.sh: PyPI has MindSpore Lite $version for x86-64 Linux only; set MSLITE_ROOT to a release package"

# pip must have --platform, to fetch a wheel for another Python
python=${PYTHON:-}
for candidate in "$here/../.venv/bin/python" python3 python; do
    [ -n "$python" ] && break
    if "$candidate" -m pip --version >/dev/null 2>&1; then python=$candidate; fi
done
[ -n "$python" ] || fail "fetch_lite.sh: needs a Python with pip"

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 37 --platform manylinux1_x86_64 --dest "$work" "mindspore-lite==$version" >&2 \
    || fail "fetch_lite.sh: mindspore-lite $version cannot be fetched from PyPI; is there a network?"
echo "$sha256  $work/$wheel" | sha256sum --check --status ||
    fail "fetch_lite.sh: $wheel has another sha256 than $sha256"
"$python" -m zipfile -e "$work/$wheel" "$work/unpacked"
rm -rf "${cache:?}/$version"
mv "$work/unpacked" "$cache/$version"
echo "$root"
