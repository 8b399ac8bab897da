#!/usr/bin/env bash
# Every test that needs no cluster. First those in one process, with the branch coverage of the pure packages
# (pyproject.toml holds their list and the least that is accepted); then those that start real processes and wait for
# them, without its cost and three at a time. Arguments go to pytest; with any, it is one run without coverage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
elsewhere=(--ignore=tests/apiserver --ignore=tests/kube --ignore=tests/e2e)
if (($#)); then
    exec scripts/pytest.sh "${elsewhere[@]}" "$@"
fi
in_process=(tests/unit tests/golden)
slowest=(--dist=loadgroup --durations=10 --durations-min=1)
scripts/pytest.sh "${in_process[@]}" --numprocesses=2 "${slowest[@]}" --cov --cov-report=term
scripts/pytest.sh tests "${elsewhere[@]}" "${in_process[@]/#/--ignore=}" --numprocesses=3 "${slowest[@]}"
