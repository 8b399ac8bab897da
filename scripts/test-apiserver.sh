#!/usr/bin/env bash
# Run tests/apiserver and tests/kube against a real kube-apiserver and etcd, built on first use and cached outside the
# checkout.
# Three at a time, each with API servers of its own: most of them wait most of the time. Arguments go to pytest; with
# any, one after the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=$(.venv/bin/python scripts/build_apiserver.py)
export RSLICE_TEST_PROGRAMS=$programs
if (($#)); then
    exec scripts/pytest.sh tests/apiserver tests/kube --durations=5 "$@"
fi
exec scripts/pytest.sh tests/apiserver tests/kube --durations=5 --numprocesses=3 --dist=worksteal
