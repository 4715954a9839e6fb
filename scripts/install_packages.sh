# setup_venv.sh sources this file. It installs Debian packages if that needs no password.
#     install_packages FILE...        a file lists one package on each line

install_packages() {
    local package missing=() log run=()
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || return 0
    for package in $(sort -u "$@"); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 0  # the tests name what is missing
        run=(sudo -n)
    fi
    echo "installing ${missing[*]}"
    log=$(mktemp)
    if ! "${run[@]}" apt-get update >"$log" 2>&1 || ! "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        tail -n 5 "$log" >&2
        echo "warning: not all packages could be installed; tests that need them are skipped" >&2
    fi
    rm -f "$log"
}
