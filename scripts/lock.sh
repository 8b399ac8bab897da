#!/usr/bin/env bash
# Renew requirements/*.txt from requirements/*.in: newest versions, with hashes, without the addresses they came from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() { # NAME OPTIONS...
    local name=$1
    shift
    echo "==> requirements/$name.txt"
    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header "$@" "requirements/$name.in" -o "requirements/$name.txt"
}

lock app
for file in requirements/*.in; do
    name=$(basename "$file" .in)
    case $name in
        app) ;;
        # parts of app: an image runs what the tests ran
        operator | services) lock "$name" --constraint requirements/app.txt ;;
        *) lock "$name" ;;
    esac
done
