#!/usr/bin/env bash
# Write everything that is generated from the models and the samples. scripts/verify.sh runs it on a copy of the tree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# this tree's code, also where the installed package is of another
export PYTHONPATH=$PWD/operator
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
"$python" tests/golden/generate.py
write deploy/helm/resilientslice/templates/crd.yaml "$python" scripts/chart.py crd
write deploy/install.yaml "$python" scripts/chart.py install
write docs/rbac.md "$python" scripts/chart.py rbac
