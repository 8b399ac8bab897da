#!/usr/bin/env bash
# A disposable kind cluster: up, down, load-images, images. Environment: NODES, CLUSTER, TAGS (docs/development/kind.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PYTHONPATH=$PWD/tests/kind:$PWD/scripts
exec .venv/bin/python -m kindcluster "$@"
