#!/usr/bin/env bash
# Make .venv what the hash-locked requirements say. Argument: the Python to make it with.
# A virtual environment that is broken, moved or of another Python is made anew; a whole one is only brought up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-}
if [[ -z $python ]]; then
    echo "error: no Python 3.11 or newer with venv on PATH; install one (Debian: python3-venv), or: make install PYTHON=/path/to/python3" >&2
    exit 1
fi
# A user's pip settings for certificates, mirrors and time-outs stay; those that install elsewhere would break a venv.
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_VIRTUALENV PYTHONHOME PYTHONPATH
# uv reads none of pip's settings, so a mirror that pip was told of is handed on.
if [[ -n ${PIP_INDEX_URL:-} ]]; then
    export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
fi
if [[ -n ${PIP_CERT:-} ]]; then
    export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}
fi
export VIRTUAL_ENV=$PWD/.venv

version='import sys; print(sys.version)'
home=.venv/.made-for
made_for=$("$python" -c "$version")$'\n'$PWD
if [[ $(cat "$home" 2>/dev/null) != "$made_for" ]] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "==> making .venv with $python"
    "$python" -m venv --clear .venv
    printf '%s' "$made_for" >"$home"
fi
echo "==> installing into .venv"
if ! .venv/bin/uv --version >/dev/null 2>&1; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
fi
.venv/bin/uv pip sync --quiet --require-hashes requirements/uv.txt requirements/dev.txt
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --no-index --editable .
