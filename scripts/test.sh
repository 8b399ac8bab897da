#!/usr/bin/env bash
# Every test that needs no cluster. First those of the pure packages, with their branch coverage (pyproject.toml holds the
# list of packages and the least that is accepted); then all others, without its cost and three at a time, since many of
# them start real processes and wait for them. Arguments go to pytest; with any, it is one run without coverage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
elsewhere=(--ignore=tests/apiserver --ignore=tests/kube --ignore=tests/e2e)
if (($#)); then
    exec scripts/pytest.sh "${elsewhere[@]}" "$@"
fi
pure=(tests/unit/{api,applying,canary,claims,envoys,fields,history,kube,planning,render,render_envoy,rollouts,stores,workqueue} tests/unit/test_render_command.py tests/golden)
slowest=(--dist=loadgroup --durations=10 --durations-min=1)
scripts/pytest.sh "${pure[@]}" --numprocesses=2 "${slowest[@]}" --cov --cov-report=term
scripts/pytest.sh tests "${elsewhere[@]}" "${pure[@]/#/--ignore=}" --numprocesses=3 "${slowest[@]}"
