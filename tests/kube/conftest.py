"""The operator's own client, watches and Lease against a real kube-apiserver, which the tests may stop for a while."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import kopf
import pytest
import yaml
from scripts.ports import free_port
from tests.apiserver import conftest as servers
from tests.kube.pass_edits import sample
from tests.kube.pass_world import World

from resilientslice.kube.client import KubeClient
from resilientslice.kube.session import Session

programs = servers.programs
FAR = 180.0
"""Seconds after which a condition that must come true is given up: the machine may be busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/kube/" in str(item.path):
            item.add_marker(pytest.mark.apiserver)
            item.add_marker(pytest.mark.timeout(600))


@dataclass(frozen=True, slots=True)
class Api:
    """A running API server that can be frozen."""

    cluster: servers.Cluster
    process: subprocess.Popen[bytes]

    def login(self) -> kopf.ConnectionInfo:
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        reached = config["clusters"][0]["cluster"]
        return kopf.ConnectionInfo(
            server=reached["server"],
            ca_path=reached["certificate-authority"],
            token=config["users"][0]["user"]["token"],
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # each of its threads has stopped
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def _started(stack: ExitStack, programs: servers.Path) -> Api:
    for attempt in range(3):
        with ExitStack() as attempted:
            folder = attempted.enter_context(servers.short_folder())
            token, port = servers.secrets.token_hex(16), free_port()
            tokens = folder / "tokens.csv"
            tokens.touch(mode=0o600)
            tokens.write_text(f"{token},tester,tester,system:masters\n")
            attempted.enter_context(servers.running(servers.etcd_command(programs, folder), folder / "etcd.log"))
            process = attempted.enter_context(
                servers.running(servers.apiserver_command(programs, folder, port), folder / "apiserver.log")
            )
            try:
                servers.wait_ready(process, folder, port, token)
            except servers.PortTakenError:
                if attempt == 2:
                    raise
                continue
            stack.push(attempted.pop_all())
            return Api(servers.Cluster(servers.write_kubeconfig(folder, port, token)), process)
    raise AssertionError("unreachable")


@pytest.fixture(scope="session")
def api(programs: servers.Path) -> Iterator[Api]:
    with ExitStack() as stack:
        api = _started(stack, programs)
        api.cluster.kubectl("apply", "--server-side", f"--filename={servers.ROOT / 'crds'}")
        servers.wait_established(api.cluster)
        yield api


@pytest.fixture
def namespace(api: Api) -> str:
    return servers.new_namespace(api.cluster)


@pytest.fixture
def network(worker_id: str) -> str:
    """Of the fake agents of a stage: workers run at the same time."""
    return f"127.{80 + int(worker_id.removeprefix('gw') if worker_id.startswith('gw') else 0)}"


@pytest.fixture
async def session(api: Api) -> AsyncIterator[Session]:
    async with Session(api.login) as session:
        yield session


@pytest.fixture
def client(session: Session) -> KubeClient:
    return KubeClient(session)


async def until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as `condition` holds."""
    try:
        async with asyncio.timeout(FAR):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"not within {FAR:.0f} s: {what}")


@pytest.fixture
async def world(api, namespace, client) -> AsyncIterator[World]:
    log: list[tuple[str, str]] = []
    async with Session(api.login, observe=lambda verb, kind, status, seconds: log.append((verb, kind))) as session:
        yield World(session, client, namespace, log)


@pytest.fixture
async def shop(world):
    """The sample shop, up and at rest, with a canary section but no canary."""
    document = sample("shop")
    await world.apply(document)
    await world.settle("shop")
    world.document = document
    return world
