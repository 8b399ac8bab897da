#!/usr/bin/env bash
# The operator in a real cluster, with traffic whose failures are counted. Without E2E_KUBECONFIG a kind cluster is
# brought up first, and left up for the next run: `make cluster-down` removes it. Arguments: smoke, and what pytest takes.
#
# What a cluster must have beyond the API is tested where it has it, and said where it has not:
#   E2E_NETWORK_POLICY=enforced  NetworkPolicies have an effect, as in a cluster that is made here
#   E2E_AUDIT=kept               its API server keeps the audit log that tests/e2e/audit.py reads
# The loss of a node is tested in a second cluster, of three nodes, that is removed afterwards; E2E_NODES=no leaves it out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=e2e
if [[ ${1:-} == smoke ]]; then
    suite=smoke
    shift
fi
missing=()

bring_up() {
    tests/kind/cluster.sh up --images
}

run_tests() { # EXPRESSION PYTEST-ARGUMENTS...
    local chosen=$1
    shift
    scripts/pytest.sh tests/e2e -m "$chosen" --timeout=900 --durations=0 --durations-min=5 -s "$@"
}

if [[ -z ${E2E_KUBECONFIG:-} ]]; then
    export TAGS=${TAGS:-1.1.0}
    bring_up
    export E2E_NETWORK_POLICY=enforced
    if docker exec "resilientslice-${CLUSTER:-e2e}-control-plane" test -e /var/log/kubernetes/audit/audit.log; then
        export E2E_AUDIT=kept
    fi
fi

chosen=$suite
if [[ $suite == e2e ]]; then
    if [[ ${E2E_NETWORK_POLICY:-} == enforced ]]; then
        chosen="$chosen or isolation"
    else
        missing+=("isolation by NetworkPolicies: this cluster is not known to enforce them (E2E_NETWORK_POLICY=enforced)")
    fi
    [[ ${E2E_AUDIT:-} == kept ]] ||
        missing+=("the count of requests at rest: this cluster's API server keeps no audit log (E2E_AUDIT=kept)")
fi
run_tests "$chosen" "$@"

if [[ $suite == e2e && $# -eq 0 ]]; then
    if [[ -n ${E2E_KUBECONFIG:-} || ${E2E_NODES:-} == no ]]; then
        missing+=("the loss of a node: it needs a cluster of three nodes that this script makes")
    else
        CLUSTER=nodes NODES=3 bring_up
        E2E_KUBECONFIG=$PWD/build/kind/nodes.kubeconfig run_tests nodes
        CLUSTER=nodes tests/kind/cluster.sh down
    fi
fi
for each in "${missing[@]}"; do
    echo "NOT TESTED: $each"
done
