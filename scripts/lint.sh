#!/usr/bin/env bash
# Every static check, each with its time. All of them run, also after one has failed; the slowest beside the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/.venv/bin:$PATH

failed=()
step() { # NAME COMMAND...
    local name=$1 started=$SECONDS output
    shift
    if output=$("$@" 2>&1); then
        printf 'ok      %-16s %3d s\n' "$name" $((SECONDS - started))
    else
        printf 'FAILED  %-16s %3d s\n%s\n' "$name" $((SECONDS - started)) "$output"
        failed+=("$name")
    fi
}

beside=$(mktemp "${TMPDIR:-/tmp}/rslice-checkov.XXXXXX")
trap 'rm -f "$beside"' EXIT
scripts/checkov.sh >"$beside" 2>&1 &
checkov=$!
checkov_said() {
    cat "$beside"
    return "$checkov_code"
}

mapfile -t shell < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
mapfile -t yaml < <(git ls-files --cached --others --exclude-standard '*.yaml' '*.yml' .yamllint)
mapfile -t dockerfiles < <(git ls-files --cached --others --exclude-standard '*Dockerfile' 'Dockerfile.*')

step ruff ruff check .
step format ruff format --check .
step mypy mypy
step mypy-scripts mypy scripts testkit
step mypy-kind env MYPYPATH=tests/kind:scripts:operator mypy -p kindcluster
step imports lint-imports --no-logo
step sizes python scripts/check_sizes.py
step house python scripts/check_house.py
step shellcheck shellcheck --external-sources "${shell[@]}"
step yamllint yamllint --strict "${yaml[@]}"
step hadolint hadolint "${dockerfiles[@]}"
step workflows scripts/workflows.sh
step helm python scripts/chart.py lint
started=$SECONDS checkov_code=0
wait "$checkov" || checkov_code=$?
step "checkov (+$((SECONDS - started)) s)" checkov_said

if ((${#failed[@]})); then
    echo "error: failed: ${failed[*]}" >&2
    exit 1
fi
