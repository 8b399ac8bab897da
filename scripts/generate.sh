#!/usr/bin/env bash
# Write everything that is generated from the models and the samples. scripts/verify.sh runs it on a copy of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# this tree's code, also where the installed package is of another
services=$PWD/services
export PYTHONPATH=$PWD/operator:$services/slicekit:$services/api:$services/payments:$services/catalog:$services/worker
python=$PWD/.venv/bin/python

# COMMAND's output goes to FILE only when COMMAND ends well
write() { # FILE COMMAND...
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    "$@" >"$file.new"
    mv "$file.new" "$file"
    echo "wrote $file"
}

rslice() {
    "$python" -c 'from resilientslice.cli import main; main()' "$@"
}

write crds/resilientslice.dev_resilientslices.yaml rslice crd
write docs/reference/resilientslice.md rslice crd --format markdown
write docs/reference/conditions.md rslice crd --format conditions
write docs/reference/metrics.md rslice crd --format metrics
"$python" tests/golden/generate.py
for service in api payments catalog; do
    write "docs/reference/openapi/$service.json" "$python" -m slicekit.openapi "shop_$service.contract"
done
# a worker has only what every service has on its admin port
write docs/reference/openapi/worker.json "$python" -m slicekit.openapi slicekit.admin
write deploy/helm/resilientslice/templates/crd.yaml "$python" scripts/chart.py crd
write deploy/install.yaml "$python" scripts/chart.py install
write docs/rbac.md "$python" scripts/chart.py rbac
