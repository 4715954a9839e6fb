# The other scripts source this file. It creates .venv with the packages of the given requirements files. A second call
# does nothing unless a requirements file has changed.
#     setup_venv requirements.txt [more.txt ...]      then use "$PYTHON"
#     need_mindspore                                  before it, where the packages must include MindSpore

source "$(dirname "${BASH_SOURCE[0]}")/install_packages.sh"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FETCHED=3.12  # the version of Python that uv fetches

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; }
takes_mindspore() { "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

# The user's choice, else a Python that MindSpore takes, else a newer one.
find_python() {
    local candidate newer= candidates=(python3.11 python3.12 python3.10 python3.9 python3 python)
    [ -z "${AECRNET_PYTHON:-}" ] || candidates=("$AECRNET_PYTHON")
    for candidate in "${candidates[@]}"; do
        candidate=$(command -v "$candidate") && is_python "$candidate" || continue
        if takes_mindspore "$candidate" || [ -n "${AECRNET_PYTHON:-}" ]; then
            echo "$candidate"
            return
        fi
        newer=${newer:-$candidate}
    done
    [ -n "$newer" ] && echo "$newer" && return
    echo "error: Python 3.9 or newer is needed, found ${AECRNET_PYTHON:-$(python3 --version 2>/dev/null || echo none)};" \
        "set AECRNET_PYTHON to the path of one" >&2
    return 1
}

# Choose a Python that MindSpore takes for .venv: one of the machine, or one that uv fetches. If there is neither, one
# line says so, and .venv gets all packages but MindSpore.
need_mindspore() {
    local python=$ROOT/.venv/bin/python
    [ -n "${AECRNET_PYTHON:-}" ] || { [ -x "$python" ] && takes_mindspore "$python"; } && return
    python=$(find_python) || return 1
    takes_mindspore "$python" || python=$(fetch_python "$python") || return 0
    AECRNET_PYTHON=$python
    [ ! -d "$ROOT/.venv/installed" ] || rm -r "$ROOT/.venv"  # which these scripts made with another Python
}

fetch_python() {
    local uv=$ROOT/.python/bin/uv log
    log=$(mktemp)
    echo "fetching Python $FETCHED, which MindSpore takes, with uv" >&2
    export UV_PYTHON_INSTALL_DIR=$ROOT/.python/versions UV_HTTP_TIMEOUT=30
    if "$1" -m venv "$ROOT/.python" >"$log" 2>&1 && "$ROOT/.python/bin/pip" install -q uv >"$log" 2>&1 &&
        "$uv" python install "$FETCHED" >"$log" 2>&1 && "$uv" python find -q --managed-python "$FETCHED"; then
        rm "$log"
        return
    fi
    echo "warning: MindSpore 2.8.0 takes Python 3.9 to 3.12, here is $("$1" --version), and uv could fetch no other" \
        "($(tail -n 1 "$log" | sed "s/^ *cause: *//" | cut -c 1-160)); what needs MindSpore is left out" >&2
    rm "$log"
    return 1
}

# MindSpore's wheel loads one library that comes with no Python package and that a minimal Debian lacks.
need_openmp() {
    local has='import ctypes; ctypes.CDLL("libgomp.so.1")'
    "$1" -c "$has" 2>/dev/null && return
    install_packages "$ROOT/scripts/packages.txt"
    "$1" -c "$has" 2>/dev/null && return
    echo "error: MindSpore needs libgomp.so.1; on Debian or Ubuntu: apt-get install -y libgomp1" >&2
    return 1
}

setup_venv() {
    local stamps=$ROOT/.venv/installed log file wanted missing=() earlier=()
    PYTHON="$ROOT/.venv/bin/python"
    if [ ! -x "$ROOT/.venv/bin/pip" ]; then  # which comes last: half of a .venv is finished
        local python
        python=$(find_python) || return 1
        echo "making .venv with $("$python" --version)"
        "$python" -m venv "$ROOT/.venv" || return 1
    fi
    wanted=($(cd "$ROOT" && printf '%s\n' "$@" && sed -n 's/^-r //p' "$@"))
    if [[ " ${wanted[*]} " == *" requirements/mindspore.txt "* ]] && takes_mindspore "$PYTHON"; then
        need_openmp "$PYTHON" || return 1
    fi
    mkdir -p "$stamps"
    for file in "${wanted[@]}"; do
        cmp -s "$ROOT/$file" "$stamps/$file" || missing+=("$file")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]} (minutes the first time)"
    log=$ROOT/.venv/install.log  # pip prints many warnings that do not matter
    # with the files of earlier calls: onnx alone would replace the numpy 1 that MindSpore needs
    for file in $(cd "$stamps" && find . -name '*.txt' | sed 's|^\./||'); do
        [ ! -f "$ROOT/$file" ] || earlier+=("-r$file")
    done
    if ! (cd "$ROOT" && "$PYTHON" -m pip install -q --disable-pip-version-check ${earlier[@]+"${earlier[@]}"} \
            "${wanted[@]/#/-r}") >"$log" 2>&1; then
        grep -v '^WARNING' "$log" >&2
        return 1
    fi
    for file in "${missing[@]}"; do
        mkdir -p "$(dirname "$stamps/$file")"
        cp "$ROOT/$file" "$stamps/$file"
    done
}
