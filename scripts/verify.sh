#!/usr/bin/env bash
# Fail if anything generated is stale: generate again in a copy of the tree, uncommitted changes included, and compare.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
copy=$(mktemp -d "${TMPDIR:-/tmp}/rslice-verify.XXXXXX")
trap 'rm -rf "$copy"' EXIT

# a file that was removed but not yet committed is still listed
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
    tar --create --null --files-from=- | tar --extract --directory="$copy"
ln -sfn "$root/.venv" "$copy/.venv"

cd "$copy"
# in a git hook these point at the repository, which the copy must not touch
mapfile -t local_variables < <(git rev-parse --local-env-vars)
unset "${local_variables[@]}"
git init --quiet
git add --all
scripts/generate.sh >/dev/null
# new files are a difference too
git add --intent-to-add --all
if ! git --no-pager diff --exit-code; then
    echo "error: what is generated is stale (the difference is above): run \`make generate\` and commit the result" >&2
    exit 1
fi
echo "everything generated is up to date"
