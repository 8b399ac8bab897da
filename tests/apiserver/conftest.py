"""A real kube-apiserver over a real etcd for the tests of this folder, on loopback, gone when they end.

There are no controllers and no kubelet: objects are validated, defaulted and stored, and nothing acts on them.
etcd is reached through a unix socket; the API server makes its own certificate, whose key also signs tokens.
"""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = "RSLICE_TEST_PROGRAMS"
START_SECONDS = 90.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
CRD = "resilientslices.resilientslice.dev"


class PortTakenError(Exception):
    """Between choosing the port and listening on it somebody else took it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running API server and the kubectl that talks to it as its administrator."""

    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return what it said and its exit code."""
        kubectl = Path(sys.executable).with_name("kubectl")
        return subprocess.run(
            [kubectl, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.kubeconfig.parent / 'cache'}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output; fails the test with kubectl's own words when it fails."""
        done = self.run(*arguments, stdin=stdin)
        if done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get` of one object, as stored."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return answer


def tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log`; asked to end at the end of the block, and killed if it won't."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def is_ready(port: int, certificate: Path, token: str) -> bool:
    """Whether /readyz says ok. A server that doesn't listen, or has no certificate yet, is not ready."""
    request = urllib.request.Request(f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {token}"})
    try:
        trust = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def wait_ready(process: subprocess.Popen[bytes], folder: Path, port: int, token: str) -> None:
    """Return when the API server is ready; fail with the end of both logs when it died or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(port, folder / "certificates" / "apiserver.crt", token):
        log = folder / "apiserver.log"
        said = f"{tail(log)}\n--- etcd:\n{tail(folder / 'etcd.log')}"
        if process.poll() is not None:
            if "address already in use" in log.read_text(errors="replace"):
                raise PortTakenError
            pytest.fail(f"kube-apiserver ended with {process.returncode} while starting:\n{said}")
        if time.monotonic() > deadline:
            pytest.fail(f"kube-apiserver was not ready within {START_SECONDS:.0f} s:\n{said}")
        time.sleep(POLL_SECONDS)


def etcd_command(programs: Path, folder: Path) -> list[str]:
    # its peer listener can't be turned off nor be a socket, so it gets a port of the kernel's choice
    nowhere = "http://127.0.0.1:0"
    return [
        str(programs / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=unix://{folder / 'etcd.sock'}",
        f"--advertise-client-urls={nowhere}",
        f"--listen-peer-urls={nowhere}",
        f"--initial-advertise-peer-urls={nowhere}",
        f"--initial-cluster=default={nowhere}",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
    ]


def apiserver_command(programs: Path, folder: Path, port: int) -> list[str]:
    certificates = folder / "certificates"
    return [
        str(programs / "kube-apiserver"),
        f"--etcd-servers=unix://{folder / 'etcd.sock'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        # the key of the serving certificate, which the server makes before it reads this one
        f"--service-account-signing-key-file={certificates / 'apiserver.key'}",
        f"--service-account-key-file={certificates / 'apiserver.key'}",
        "--service-cluster-ip-range=10.0.0.0/16",
        # a loopback address can't be an endpoint of the Service `kubernetes`
        "--endpoint-reconciler-type=none",
        # nobody here creates the `default` service accounts that it waits for
        "--disable-admission-plugins=ServiceAccount",
    ]


def write_kubeconfig(folder: Path, port: int, token: str) -> Path:
    """A kubeconfig for the administrator's token, which trusts the server's own certificate and no other."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {
                "name": "test",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority": str(folder / "certificates" / "apiserver.crt"),
                },
            }
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def api_server(programs: Path, folder: Path) -> Iterator[Cluster]:
    """Start etcd and the API server in `folder`; stop both at the end of the block."""
    token = secrets.token_hex(16)
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token},tester,tester,system:masters\n")
    port = free_port()
    with (
        running(etcd_command(programs, folder), folder / "etcd.log"),
        running(apiserver_command(programs, folder, port), folder / "apiserver.log") as process,
    ):
        wait_ready(process, folder, port, token)
        yield Cluster(write_kubeconfig(folder, port, token))


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for a unix socket, unlike many of pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="rslice-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def programs() -> Path:
    folder = os.environ.get(PROGRAMS)
    if not folder:
        pytest.fail(f"{PROGRAMS} is not set: run these tests by `make test-apiserver`, which builds what they need")
    return Path(folder)


@pytest.fixture(scope="session")
def bare_cluster(programs: Path) -> Iterator[Cluster]:
    """A cluster with nothing in it. A port that was taken meanwhile is a reason to try again, twice."""
    for attempt in range(3):
        with short_folder() as folder:
            try:
                with api_server(programs, folder) as cluster:
                    yield cluster
                    return
            except PortTakenError:
                if attempt == 2:
                    raise


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """A cluster that knows the resource."""
    bare_cluster.kubectl("apply", "--server-side", "--validate=strict", f"--filename={ROOT / 'crds'}")
    wait_established(bare_cluster)
    return bare_cluster


def wait_established(cluster: Cluster, crd: str = CRD) -> None:
    """Return when the API server serves the CRD. kubectl gives up while there are no conditions yet."""
    deadline = time.monotonic() + START_SECONDS
    established = """jsonpath={.status.conditions[?(@.type=="Established")].status}=True"""
    while (done := cluster.run("wait", f"--for={established}", "--timeout=60s", f"crd/{crd}")).returncode != 0:
        if "cannot be filtered" not in done.stderr or time.monotonic() > deadline:
            pytest.fail(f"crd {crd} is not served:\n{done.stderr}{done.stdout}")


def new_namespace(cluster: Cluster) -> str:
    """A namespace with no other test's objects. Its deletion would never end without controllers."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    return new_namespace(cluster)


@pytest.fixture(scope="session")
def empty_namespace(cluster: Cluster) -> str:
    """One namespace for all tests that store nothing in it."""
    return new_namespace(cluster)
