#!/usr/bin/env bash
# Run pytest with the project's settings and fail when a test was skipped: a skipped test is a claim nobody checked.
# Prints the seed of everything random; SEED=n repeats a run. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# CI repeats itself, so that a red run is about the change; a person's runs each try something new.
seed=${SEED:-$([[ "${CI:-}" == true ]] && echo 1 || echo $((RANDOM * 32768 + RANDOM)))}
export PYTHONHASHSEED=$seed
report=$(mktemp "${TMPDIR:-/tmp}/rslice-pytest.XXXXXX")
trap 'rm -f "$report"' EXIT
echo "==> SEED=$seed (hypothesis and PYTHONHASHSEED)"
code=0
.venv/bin/python -m pytest --hypothesis-seed="$seed" --junitxml="$report" "$@" || code=$?
if ((code)); then
    echo "error: tests failed; to repeat the run: SEED=$seed $0 $*" >&2
    exit "$code"
fi
if skipped=$(grep -o 'skipped="[1-9][0-9]*"' "$report"); then
    echo "error: tests were skipped or expected to fail ($skipped): make them run, or remove them" >&2
    exit 1
fi
