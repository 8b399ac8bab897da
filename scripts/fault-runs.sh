#!/usr/bin/env bash
# Randomised faults on the real shop, then a count of every cent: see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -x .venv/bin/python ]] || {
    echo "error: there is no .venv; run make install first" >&2
    exit 2
}
exec .venv/bin/python -m scripts.faults "$@"
