#!/usr/bin/env bash
# A disposable kind cluster: up [--images], down, load-images, images (docs/development/kind.md). Environment: NODES,
# CLUSTER, TAGS, and NODE_IMAGE, which kindest/node to take where a registry can be reached.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PYTHONPATH=$PWD/tests/kind:$PWD/scripts
exec .venv/bin/python -m kindcluster "$@"
