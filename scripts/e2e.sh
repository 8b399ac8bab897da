#!/usr/bin/env bash
# The operator in a real cluster, with traffic whose failures are counted. Without E2E_KUBECONFIG a kind cluster is
# brought up first, and left up for the next run: `make cluster-down` removes it. Arguments: smoke, and what pytest takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

chosen=(-m e2e)
if [[ ${1:-} == smoke ]]; then
    chosen=(-m smoke)
    shift
fi
if [[ -z ${E2E_KUBECONFIG:-} ]]; then
    export TAGS=${TAGS:-1.1.0}
    tests/kind/cluster.sh up
    tests/kind/cluster.sh load-images
fi
exec scripts/pytest.sh tests/e2e "${chosen[@]}" --timeout=600 --durations=0 --durations-min=5 -s "$@"
