# Sourced by the other scripts: makes a virtual environment and installs requirements into it, unless that was done
# already with the same requirements. Sets PYTHON to the environment's Python.
#
#     source scripts/environment.sh [requirements-dev.txt]
#
# It is steered by these variables:
#   PYTHON=python3.12     the Python that makes the environment (default: python3, or else the newest that is supported)
#   TAM_VENV=DIR          where the environment is (default: .venv in the repository). One that is there already is
#                         used, and a torch that is in it is kept: TAM_VENV="$VIRTUAL_ENV" takes the active one
#   TAM_TORCH=cpu         take torch from PyTorch's own index: cpu, cu126, …, or the URL of another index
#   TAM_VERSIONS=newest   take the newest versions that requirements.txt allows, not those of constraints.txt
#
# pip's own settings (pip.conf, PIP_INDEX_URL, PIP_CONSTRAINT, …) hold as always.

TAM_OLDEST_PYTHON=11  # 3.11
TAM_NEWEST_PYTHON=13

tam_fail() {
    echo "error: $1" >&2
    return 2
}

# tam_supports PYTHON: whether it runs and is new enough
tam_supports() {
    "$1" -c "import sys; sys.exit(sys.version_info < (3, $TAM_OLDEST_PYTHON))" > /dev/null 2>&1
}

# tam_python: prints the Python that makes the environment
tam_python() {
    local minor name
    if [ -n "${PYTHON-}" ]; then
        name="$PYTHON"
    else
        name=python3
        for ((minor = TAM_NEWEST_PYTHON; minor >= TAM_OLDEST_PYTHON; minor--)); do
            tam_supports "$name" && break
            name="python3.$minor"
        done
        tam_supports "$name" || name=python3
    fi
    tam_supports "$name" || tam_fail "Python 3.$TAM_OLDEST_PYTHON or newer is needed, and $name is $(
        "$name" --version 2>&1 | head -n 1 || true
    ): name one, as in PYTHON=/usr/bin/python3.12 bash $0" || return
    printf '%s\n' "$name"
}

# tam_torch PYTHON: prints the version of the torch that this Python finds, if there is one
tam_torch() {
    "$1" -c 'import importlib.metadata as m; print(m.version("torch"))' 2> /dev/null || true
}

# tam_make VENV: makes the environment; a torch of the Python that makes it is used there too
tam_make() {
    local venv="$1" python
    python="$(tam_python)" || return
    echo "making a virtual environment in $venv with $("$python" --version)"
    if [ -n "$(tam_torch "$python")" ]; then
        "$python" -m venv --system-site-packages "$venv"
    else
        "$python" -m venv "$venv"
    fi
}

# tam_constraints ROOT TORCH: prints the versions to install; with TORCH, the version of a torch that stays as it is
tam_constraints() {
    [ "${TAM_VERSIONS:-pinned}" = newest ] || if [ -n "$2" ] || [ -n "${TAM_TORCH-}" ]; then
        grep -v -E '^(torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)==' "$1/constraints.txt"
        [ -n "$2" ] || grep -E '^(torch|torchvision)==' "$1/constraints.txt"
    else
        cat "$1/constraints.txt"
    fi
    [ -z "$2" ] || echo "torch==$2"
}

# tam_install ROOT VENV REQUIREMENTS
tam_install() {
    local root="$1" python="$2/bin/python" constraints="$2/.constraints.txt" own="$2/.own_torch" upgrade index torch
    upgrade="$([ "${TAM_VERSIONS:-pinned}" != newest ] || echo --upgrade)"
    pip() { "$python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" $upgrade "$@"; }
    "$python" -m pip --version > /dev/null 2>&1 || "$python" -m ensurepip > /dev/null || return
    torch="$(tam_torch "$python")"
    [ "$torch" != "$(cat "$own" 2> /dev/null)" ] || torch=""  # installed here, from constraints.txt: not the user's choice
    tam_constraints "$root" "$torch" > "$constraints" || return
    if [ -n "$torch" ]; then
        echo "installing $(basename "$3") beside torch $torch, which is there already: minutes, once"
    elif [ -n "${TAM_TORCH-}" ]; then
        case "$TAM_TORCH" in
            *:*) index="$TAM_TORCH" ;;
            *) index="https://download.pytorch.org/whl/$TAM_TORCH" ;;
        esac
        echo "installing torch from $index, and $(basename "$3"): minutes, once"
        pip --index-url "$index" --no-deps torch torchvision || return
    else
        echo "installing $(basename "$3"): minutes and about 6 GB, once (TAM_TORCH=cpu: without CUDA, about 1.5 GB)"
    fi
    if ! pip -r "$3"; then
        tam_fail "the versions of constraints.txt could not be installed; TAM_VERSIONS=newest bash $0 leaves the choice to pip"
        return
    fi
    if ! "$python" -c 'import torchvision' > /dev/null 2>&1; then
        tam_fail "torchvision does not load beside torch $(tam_torch "$python"): install both from one index (TAM_TORCH)"
        return
    fi
    [ -n "$torch${TAM_TORCH-}" ] || tam_torch "$python" > "$own"
    pip -r "$root/requirements-optional.txt" \
        || echo "going on without requirements-optional.txt: only tools/app.py, tools/explain.py, tools/export.py and runtimes other than PyTorch need it" >&2
}

tam_environment() {
    local root requirements venv stamp wanted
    root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
    requirements="$root/${1:-requirements.txt}"
    venv="${TAM_VENV:-$root/.venv}"
    [ -x "$venv/bin/python" ] || tam_make "$venv" || return
    tam_supports "$venv/bin/python" || tam_fail "Python 3.$TAM_OLDEST_PYTHON or newer is needed, and $venv is of $(
        "$venv/bin/python" --version 2>&1 || true
    ): remove that folder, or name another in TAM_VENV" || return
    stamp="$venv/.installed-$(basename "$requirements")"
    wanted="$(cat "$root"/requirements*.txt "$root/constraints.txt" | cksum) ${TAM_VERSIONS:-pinned}"
    if [ "$(cat "$stamp" 2> /dev/null)" != "$wanted" ]; then
        tam_install "$root" "$venv" "$requirements" || return
        printf '%s\n' "$wanted" > "$stamp"
    fi
    PYTHON="$venv/bin/python"
}
tam_environment "$@" || exit
