#!/usr/bin/env bash
# Render every sample, and the operator's chart, and let checkov judge the objects. It pins dozens of its own dependencies, so it has a virtual
# environment of its own. What is passed over, and why: .checkov.yaml
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD/operator
python=$PWD/.venv/bin/python
venv=.venv-checkov
marker=$venv/.installed-$(cksum <requirements/checkov.txt | cut -d' ' -f1)
out=build/checkov

if [[ ! -e $marker ]]; then
    echo "==> installing checkov into $venv"
    "$python" -m venv --clear --without-pip "$venv"
    VIRTUAL_ENV=$venv .venv/bin/uv pip sync --quiet --require-hashes requirements/checkov.txt
    touch "$marker"
fi

rm -rf "$out"
mkdir -p "$out"
for sample in samples/*.yaml; do
    # in a namespace of its own, as it would be applied: the default one is for nobody's production
    "$python" -c 'from resilientslice.cli import main; main()' \
        render -f "$sample" --namespace "$(basename "$sample" .yaml)" >"$out/$(basename "$sample")" 2>"$out/notes.txt" ||
        { cat "$out/notes.txt" >&2 && exit 1; }
done
rm "$out/notes.txt"
"$python" scripts/chart.py render "$out"
"$venv/bin/checkov" --config-file .checkov.yaml --directory "$out"
