# Sourced by the other scripts: makes .venv in the repository's root and installs requirements into it, unless that
# was done already with the same requirements. Sets PYTHON.
#
#     source scripts/environment.sh [requirements-dev.txt]
#
# TAM_VENV puts the environment elsewhere; PYTHON chooses the Python that makes it.

tam_environment() {
    local root requirements venv stamp wanted
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    requirements="$root/${1:-requirements.txt}"
    venv="${TAM_VENV:-$root/.venv}"
    stamp="$venv/.installed-$(basename "$requirements")"
    wanted="$(cat "$root/requirements.txt" "$requirements" | cksum)"
    if [ ! -x "$venv/bin/python" ]; then
        echo "making a virtual environment in $venv"
        "${PYTHON:-python3}" -m venv "$venv" || return 1
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing $(basename "$requirements"): minutes and about 6 GB, once"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || return 1
        printf '%s\n' "$wanted" > "$stamp"
    fi
    PYTHON="$venv/bin/python"
}
tam_environment "$@" || exit 1
