"""One API server for the tests of this folder; the programs that it is made of come from `make test-apiserver`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.api_server import Cluster, api_server, install_resource, new_namespace

PROGRAMS = "RSLICE_TEST_PROGRAMS"


@pytest.fixture(scope="session")
def programs() -> Path:
    folder = os.environ.get(PROGRAMS)
    if not folder:
        pytest.fail(f"{PROGRAMS} is not set: run these tests by `make test-apiserver`, which builds what they need")
    return Path(folder)


@pytest.fixture(scope="session")
def bare_cluster(programs: Path) -> Iterator[Cluster]:
    """A cluster with nothing in it."""
    with api_server(programs) as server:
        yield server.cluster


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """A cluster that knows the resource."""
    install_resource(bare_cluster)
    return bare_cluster


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    return new_namespace(cluster)


@pytest.fixture(scope="session")
def empty_namespace(cluster: Cluster) -> str:
    """One namespace for all tests that store nothing in it."""
    return new_namespace(cluster)
