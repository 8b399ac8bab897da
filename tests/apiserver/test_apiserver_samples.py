"""Every sample against a real API server: the good ones and what is rendered from them get in, the bad ones don't.

An invalid sample says in its first lines who catches it and with which words: `# caught-by: crd` or `operator`, and
`# expect: WORDS`. So the split between the CRD and `rslice validate` stays what it is said to be.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from resilientslice.api.slice import ResilientSlice

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "samples").glob("*.yaml"))
INVALID = sorted((ROOT / "samples" / "invalid").glob("*.yaml"))


def name(path: Path) -> str:
    return path.stem


def header(path: Path, key: str) -> str:
    """The value of a `# key: value` line."""
    found = re.search(rf"^# {key}: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{path} has no line `# {key}: …`"
    return found.group(1).strip()


CAUGHT_BY_CRD = [path for path in INVALID if header(path, "caught-by") == "crd"]
CAUGHT_BY_OPERATOR = [path for path in INVALID if header(path, "caught-by") == "operator"]


def local(path: Path) -> ResilientSlice:
    """The sample as the operator's models read it."""
    return ResilientSlice.model_validate_json(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))


def apply(cluster, namespace: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.run("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", str(path), *arguments)


def test_there_are_samples_of_each_sort() -> None:
    assert {"minimal", "shop", "shop-canary", "external-stores"} <= {path.stem for path in SAMPLES}
    assert CAUGHT_BY_CRD
    assert CAUGHT_BY_OPERATOR
    assert len(CAUGHT_BY_CRD) + len(CAUGHT_BY_OPERATOR) == len(INVALID)


@pytest.mark.parametrize("path", SAMPLES, ids=name)
def test_a_sample_is_accepted_and_comes_back_as_the_models_read_it(cluster, namespace, path: Path) -> None:
    done = apply(cluster, namespace, path)
    assert done.returncode == 0, done.stderr
    wanted = local(path)
    stored = cluster.get("rslice", wanted.name, "-n", namespace)
    assert ResilientSlice.model_validate_json(json.dumps(stored)).spec == wanted.spec


@pytest.mark.parametrize("path", SAMPLES, ids=name)
def test_the_server_fills_in_the_defaults_of_the_models(cluster, namespace, path: Path) -> None:
    wanted = local(path)
    assert apply(cluster, namespace, path).returncode == 0
    stored = cluster.get("rslice", wanted.name, "-n", namespace)["spec"]
    assert filled(stored) == filled(wanted.spec.model_dump(mode="json", by_alias=True))


def filled(value):
    """Without what is absent or empty, which are the same to the models."""
    if isinstance(value, dict):
        kept = {key: filled(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    return [filled(item) for item in value] if isinstance(value, list) else value


def create(cluster, namespace: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Try to store a sample. `create` has the schema's words; `apply` may have those of its merge."""
    return cluster.run("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(path))


@pytest.mark.parametrize("path", CAUGHT_BY_CRD, ids=name)
def test_the_server_refuses_what_the_crd_forbids(cluster, empty_namespace, path: Path) -> None:
    refused = create(cluster, empty_namespace, path)
    assert refused.returncode != 0
    assert header(path, "expect") in refused.stderr


@pytest.mark.parametrize("path", CAUGHT_BY_OPERATOR, ids=name)
def test_the_operator_refuses_what_only_it_can_see(cluster, empty_namespace, path: Path) -> None:
    accepted = create(cluster, empty_namespace, path)
    assert accepted.returncode == 0, accepted.stderr
    rslice = Path(sys.executable).with_name("rslice")
    refused = subprocess.run([rslice, "validate", "-f", path], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert header(path, "expect") in refused.stdout + refused.stderr


@pytest.mark.parametrize("path", SAMPLES, ids=name)
def test_everything_rendered_from_a_sample_is_accepted(cluster, namespace, path: Path) -> None:
    rslice = Path(sys.executable).with_name("rslice")
    # a warning for each workload whose pods the restricted profile would refuse
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
    command = [rslice, "render", "-f", path, "--namespace", namespace]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done = cluster.run("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=rendered)
    assert (done.returncode, done.stderr) == (0, ""), "a warning is a finding too"
    assert len(done.stdout.splitlines()) == len([item for item in yaml.safe_load_all(rendered) if item])
