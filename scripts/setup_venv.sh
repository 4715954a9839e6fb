# The other scripts source this file. It creates .venv with the packages of the given requirements files. A second call
# does nothing unless a requirements file has changed.
#     setup_venv requirements.txt [more.txt ...]      then use "$PYTHON"

source "$(dirname "${BASH_SOURCE[0]}")/install_packages.sh"

find_python() {
    local candidate
    for candidate in "${AECRNET_PYTHON:-}" python3.11 python3.12 python3.10 python3.9 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "error: Python 3.9 to 3.12 is needed (MindSpore 2.8.0 on CPU), found" \
        "$(python3 --version 2>/dev/null || echo none); set AECRNET_PYTHON to the path of one" >&2
    return 1
}

# MindSpore's wheel loads one library that comes with no Python package and that a minimal Debian lacks.
need_openmp() {
    local root has='import ctypes; ctypes.CDLL("libgomp.so.1")'
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    "$1" -c "$has" 2>/dev/null && return
    install_packages "$root/scripts/packages.txt"
    "$1" -c "$has" 2>/dev/null && return
    echo "error: MindSpore needs libgomp.so.1; on Debian or Ubuntu: apt-get install -y libgomp1" >&2
    return 1
}

setup_venv() {
    local root stamps log file missing=()
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    PYTHON="$root/.venv/bin/python"
    stamps="$root/.venv/installed"
    if [ ! -x "$root/.venv/bin/pip" ]; then  # which comes last: half of a .venv is finished
        local python
        python=$(find_python) || return 1
        echo "making .venv with $("$python" --version)"
        "$python" -m venv "$root/.venv" || return 1
    fi
    need_openmp "$PYTHON" || return 1
    mkdir -p "$stamps"
    for file in "$@"; do
        cmp -s "$root/$file" "$stamps/$file" || missing+=("$file")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]} (minutes the first time)"
    log=$root/.venv/install.log  # pip prints many warnings that do not matter
    # all files, not only the missing ones: onnx alone would replace the numpy 1 that MindSpore needs
    if ! (cd "$root" && "$PYTHON" -m pip install -q --disable-pip-version-check "${@/#/-r}") >"$log" 2>&1; then
        grep -v '^WARNING' "$log" >&2
        return 1
    fi
    for file in "${missing[@]}"; do
        cp "$root/$file" "$stamps/$file"
    done
}
