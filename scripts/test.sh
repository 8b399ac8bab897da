#!/usr/bin/env bash
# Every test that needs no cluster, on two cores, with the branch coverage of the pure packages (pyproject.toml holds
# their list and the least that is accepted). Arguments go to pytest; with any, coverage is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if (($#)); then
    exec scripts/pytest.sh --ignore=tests/apiserver --ignore=tests/kube --ignore=tests/e2e "$@"
fi
exec scripts/pytest.sh tests --ignore=tests/apiserver --ignore=tests/kube --ignore=tests/e2e \
    --numprocesses=2 --dist=loadgroup --durations=10 --durations-min=1 --cov --cov-report=term
