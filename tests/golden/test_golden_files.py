"""The golden files are what rendering gives, and they are what Kubernetes and Envoy accept."""

import difflib
import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

GOLDEN = Path(__file__).parent
ROOT = GOLDEN.parents[1]
SAMPLES = sorted(path.stem for path in (ROOT / "samples").glob("*.yaml"))
NAMES = [*SAMPLES, "shop-next"]
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
FOREIGN_KINDS = {"postgresql.cnpg.io/v1"}


def _generator():
    spec = importlib.util.spec_from_file_location("golden_generate", GOLDEN / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wanted():
    return _generator().golden_files()


@pytest.fixture(scope="module")
def schemas():
    """The library reads each schema from disk for every object; once is enough."""
    original = kubernetes_validate.utils.schema_contents
    kubernetes_validate.utils.schema_contents = functools.cache(original)
    yield
    kubernetes_validate.utils.schema_contents = original


def objects(name):
    return list(yaml.load_all((GOLDEN / f"{name}.objects.yaml").read_text(), yaml.CSafeLoader))


def test_every_sample_has_its_files_and_nothing_else_is_there(wanted):
    present = {path.name for path in GOLDEN.glob("*.yaml")}
    assert present == set(wanted), "run `make generate` and commit the result"
    assert present == {f"{name}.{kind}.yaml" for name in NAMES for kind in ("objects", "envoy")}


@pytest.mark.parametrize("name", [f"{name}.{kind}.yaml" for name in NAMES for kind in ("objects", "envoy")])
def test_golden_file_is_fresh(wanted, name):
    stored = (GOLDEN / name).read_text()
    changes = difflib.unified_diff(stored.splitlines(), wanted[name].splitlines(), "stored", "rendered", lineterm="")
    shown = "\n".join(list(changes)[:200])
    assert not shown, f"tests/golden/{name} is stale: run `make generate` and look at the difference\n{shown}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(schemas, name, version):
    checked = [made for made in objects(name) if made["apiVersion"] not in FOREIGN_KINDS]
    assert len(checked) > 5
    for made in checked:
        try:
            kubernetes_validate.validate(made, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = "/".join(map(str, error.path))
            pytest.fail(f"{made['kind']} {made['metadata']['name']} for {version}: {place}: {error.message}")


@pytest.mark.parametrize("name", NAMES)
def test_the_real_envoy_takes_it(name):
    envoy = Path(sys.executable).parent / "envoy"
    command = [envoy, "--mode", "validate", "--log-level", "error", "-c", GOLDEN / f"{name}.envoy.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_names_are_unique_and_short_enough_for_a_service(name):
    keys = [(made["kind"], made["metadata"]["name"]) for made in objects(name)]
    assert len(set(keys)) == len(keys)
    assert max(len(named) for _, named in keys) <= 63


@pytest.mark.parametrize("name", NAMES)
def test_whatever_has_a_port_is_asked_for_its_health(name):
    pods = [made["spec"]["template"]["spec"] for made in objects(name) if made["kind"] in ("Deployment", "StatefulSet")]
    containers = [c for pod in pods for c in (*pod["containers"], *pod.get("initContainers", ())) if c.get("ports")]
    assert len(containers) > 1
    for container in containers:
        assert {"readinessProbe", "livenessProbe"} <= container.keys(), container["name"]


def test_the_same_bytes_in_another_process():
    program = f"import sys; sys.argv[1:] = ['render', '-f', {str(ROOT / 'samples/shop.yaml')!r}]; "
    program += "from resilientslice.cli import main; main()"
    streams = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    ]
    assert streams[0] == streams[1]
    assert streams[0].count(b"\n---\n") > 20
