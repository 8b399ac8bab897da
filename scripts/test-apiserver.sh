#!/usr/bin/env bash
# Run tests/apiserver and tests/kube against a real kube-apiserver and etcd, built on first use and cached outside the
# checkout.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=$(.venv/bin/python scripts/build_apiserver.py)
export RSLICE_TEST_PROGRAMS=$programs
exec scripts/pytest.sh tests/apiserver tests/kube --durations=5 "$@"
