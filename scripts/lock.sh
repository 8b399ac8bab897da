#!/usr/bin/env bash
# Renew requirements/*.txt from requirements/*.in: newest versions, with hashes, without the addresses they came from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for file in requirements/*.in; do
    echo "==> ${file%.in}.txt"
    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header "$file" -o "${file%.in}.txt"
done
