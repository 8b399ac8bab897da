#!/usr/bin/env bash
# Check the GitHub workflows: actionlint for what they say, zizmor for what an attacker could make of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$PWD/.venv/bin:$PATH
actionlint=$(python -m scripts.build_actionlint)
"$actionlint" -color=false
zizmor --offline --quiet --color=never --persona=pedantic .github/workflows
