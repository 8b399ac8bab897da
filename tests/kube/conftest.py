"""The operator's own client, watches and Lease against a real kube-apiserver, which the tests may stop for a while."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.apiserver import conftest as servers

from resilientslice.kube.client import KubeClient
from resilientslice.kube.session import Session
from testkit.api_server import ApiServer, api_server, install_resource, new_namespace
from testkit.files import sample
from testkit.pass_world import World

programs = servers.programs
FAR = 180.0
"""Seconds after which a condition that must come true is given up: the machine may be busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/kube/" in str(item.path):
            item.add_marker(pytest.mark.apiserver)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def api(programs: Path) -> Iterator[ApiServer]:
    with api_server(programs) as server:
        install_resource(server.cluster)
        yield server


@pytest.fixture
def namespace(api: ApiServer) -> str:
    return new_namespace(api.cluster)


@pytest.fixture
def network(worker_id: str) -> str:
    """Of the fake agents of a stage: workers run at the same time."""
    return f"127.{80 + int(worker_id.removeprefix('gw') if worker_id.startswith('gw') else 0)}"


@pytest.fixture
async def session(api: ApiServer) -> AsyncIterator[Session]:
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
