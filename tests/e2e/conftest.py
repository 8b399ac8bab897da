"""The cluster under test, the operator in it, a namespace a test, and what is kept of a test that failed."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from operators import DEPLOYMENT, OPERATORS, SYSTEM  # noqa: E402

from testkit.disposable import is_disposable  # noqa: E402
from testkit.live_cluster import Cluster, KubectlError, Slice, envoy_command  # noqa: E402

KEPT = ROOT / "build" / "e2e"
DEFAULT = ROOT / "build" / "kind" / "kubeconfig"
INSTALL = ROOT / "deploy" / "install.yaml"
LABEL = "resilientslice.dev/e2e"

_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        _failed.add(item.nodeid)
    return report


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of KUBECONFIG, or of `make cluster-up`. Refused unless it is marked as disposable."""
    path = Path(os.environ.get("E2E_KUBECONFIG") or DEFAULT)
    if not path.is_file():
        pytest.exit(f"{path}: no such file; `make cluster-up` makes a cluster", returncode=2)
    if not is_disposable(yaml.safe_load(path.read_text())):
        pytest.exit(
            f"{path} is not marked as disposable: these tests destroy what a cluster holds; use `make cluster-up`",
            returncode=2,
        )
    return Cluster(path)


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Cluster:
    """The same cluster once the operator of this tree runs in it."""

    async def install() -> None:
        # what an earlier run left would act while the new operator is installed
        with contextlib.suppress(KubectlError):
            await cluster.kubectl("delete", "namespace", "-l", LABEL, "--wait=true")
        await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(INSTALL))
        # the image has the same name after an edit of the code
        await cluster.kubectl("-n", SYSTEM, "rollout", "restart", f"deployment/{DEPLOYMENT}")
        await cluster.kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{DEPLOYMENT}", "--timeout=180s")

    asyncio.run(install())
    return cluster


@pytest.fixture
async def namespace(operator: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace of this test, restricted, gone afterwards; logs and objects are kept when the test failed."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    labels = {LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    await operator.apply(body)
    yield name
    if request.node.nodeid in _failed:
        await keep(operator, name, KEPT / name)
    # slices first: what they leave behind on purpose goes with the namespace
    await operator.kubectl("delete", "rslice", "--all", "-n", name, "--wait=true")
    await operator.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def a_slice(operator: Cluster, namespace: str) -> Callable[[str], Slice]:
    return lambda name: operator.slice(namespace, name)


async def keep(cluster: Cluster, namespace: str, folder: Path) -> None:
    """Logs, events, objects, status, and what each Envoy runs, in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    scope = ("-n", namespace)

    async def save(file: str, *arguments: str) -> None:
        try:
            text = await cluster.kubectl(*arguments)
        except KubectlError as error:
            text = f"{error}\n"
        (folder / file).write_text(text)

    await save("slices.yaml", "get", "rslice", *scope, "-o", "yaml")
    await save("events.txt", "get", "events", *scope, "--sort-by=.lastTimestamp")
    await save("objects.yaml", "get", "deploy,sts,svc,cm,pdb,hpa,netpol,controllerrevision", *scope, "-o", "yaml")
    await save("pods.txt", "describe", "pods", *scope)
    await save("operator.log", "logs", "-n", SYSTEM, "-l", OPERATORS, "--tail=4000")
    for pod in await cluster.list("pods", namespace):
        name = pod["metadata"]["name"]
        await save(f"{name}.log", "logs", *scope, name, "--all-containers", "--prefix", "--tail=2000")
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "proxy":
            await save(f"{name}.envoy.json", *envoy_command(pod, "/config_dump?include_eds"))
    print(f"kept in {folder}")
