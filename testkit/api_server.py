"""A real kube-apiserver over a real etcd, on loopback, gone at the end of the block.

There are no controllers and no kubelet: objects are validated, defaulted and stored, and nothing acts on them.
etcd is reached through a unix socket; the API server makes its own certificate, whose key also signs tokens.
"""

import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kopf
import yaml

from testkit.files import ROOT
from testkit.ports import free_port
from testkit.processes import running, short_folder, tail
from testkit.waiting import StartError

START_SECONDS = 90.0
POLL_SECONDS = 0.1
CRD = "resilientslices.resilientslice.dev"
MASTERS = "system:masters"
TRIES = 3


class PortTakenError(Exception):
    """Between choosing the port and listening on it another process took it."""


class KubectlError(AssertionError):
    """kubectl ended with something else than 0; the message is what it said."""


@dataclass(frozen=True, slots=True)
class User:
    """Known to the API server by a token."""

    name: str
    groups: str = MASTERS
    token: str = field(default_factory=lambda: secrets.token_hex(16))


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
        """Run kubectl and return its output. KubectlError with kubectl's own words when it fails."""
        done = self.run(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise KubectlError(
                f"kubectl {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get` of one object, as stored."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return answer


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API server, which can be frozen. `kubeconfig` is its administrator's."""

    folder: Path
    port: int
    kubeconfig: Path
    process: subprocess.Popen[bytes]

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig)

    def kubeconfig_of(self, user: User) -> Path:
        """Written now, beside the administrator's."""
        return write_kubeconfig(self.folder, self.port, user, "user.kubeconfig")

    def login(self) -> kopf.ConnectionInfo:
        return connection(self.kubeconfig)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # each of its threads has stopped
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def connection(kubeconfig: Path) -> kopf.ConnectionInfo:
    """As a `login` of a session returns it, for a kubeconfig that was written here."""
    config = yaml.safe_load(kubeconfig.read_text())
    reached = config["clusters"][0]["cluster"]
    return kopf.ConnectionInfo(
        server=reached["server"],
        ca_path=reached["certificate-authority"],
        token=config["users"][0]["user"]["token"],
    )


Flags = Callable[[Path], Sequence[str]]
"""Flags of an API server that runs in a folder, and what they name is written there."""


@contextmanager
def api_server(programs: Path, *, users: Sequence[User] = (), flags: Flags = lambda _: ()) -> Iterator[ApiServer]:
    """Start etcd and the API server in a folder of their own; stop both at the end of the block.

    `users` are known beside the administrator. A port that was taken meanwhile is a reason to try again, twice.
    """
    with ExitStack() as stack:
        yield _tried(stack, lambda attempted: _started(attempted, programs, users, flags))


def _tried(stack: ExitStack, start: Callable[[ExitStack], ApiServer]) -> ApiServer:
    for _ in range(TRIES - 1):
        with suppress(PortTakenError), ExitStack() as attempted:
            server = start(attempted)
            stack.push(attempted.pop_all())
            return server
    return start(stack)


def _started(stack: ExitStack, programs: Path, users: Sequence[User], flags: Flags) -> ApiServer:
    folder, port, administrator = stack.enter_context(short_folder()), free_port(), User("tester")
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("".join(f"{one.token},{one.name},{one.name},{one.groups}\n" for one in (administrator, *users)))
    stack.enter_context(running(_etcd_command(programs, folder), folder / "etcd.log"))
    command = [*_apiserver_command(programs, folder, port), *flags(folder)]
    process = stack.enter_context(running(command, folder / "apiserver.log"))
    _wait_ready(process, folder, port, administrator.token)
    return ApiServer(folder, port, write_kubeconfig(folder, port, administrator), process)


def _is_ready(port: int, certificate: Path, token: str) -> bool:
    """Whether /readyz says ok. A server that doesn't listen, or has no certificate yet, is not ready."""
    request = urllib.request.Request(f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {token}"})
    try:
        trust = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def _wait_ready(process: subprocess.Popen[bytes], folder: Path, port: int, token: str) -> None:
    """Return when the API server is ready; fail with the end of both logs when it died or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(port, folder / "certificates" / "apiserver.crt", token):
        log = folder / "apiserver.log"
        said = f"{tail(log)}\n--- etcd:\n{tail(folder / 'etcd.log')}"
        if process.poll() is not None:
            if "address already in use" in log.read_text(errors="replace"):
                raise PortTakenError
            raise StartError(f"kube-apiserver ended with {process.returncode} while starting:\n{said}")
        if time.monotonic() > deadline:
            raise StartError(f"kube-apiserver was not ready within {START_SECONDS:.0f} s:\n{said}")
        time.sleep(POLL_SECONDS)


def _etcd_command(programs: Path, folder: Path) -> list[str]:
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


def _apiserver_command(programs: Path, folder: Path, port: int) -> list[str]:
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


def write_kubeconfig(folder: Path, port: int, user: User, name: str = "kubeconfig") -> Path:
    """A kubeconfig with the user's token, which trusts the server's own certificate and no other."""
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
        "users": [{"name": "test", "user": {"token": user.token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def install_resource(cluster: Cluster) -> None:
    """Return when the API server serves the resource, and discovery and OpenAPI know it, which come later."""
    cluster.kubectl("apply", "--server-side", "--validate=strict", f"--filename={ROOT / 'crds'}")
    wait_established(cluster)
    deadline = time.monotonic() + START_SECONDS
    while (done := cluster.run("explain", "rslice")).returncode != 0:
        if time.monotonic() > deadline:
            raise StartError(f"the resource is not described:\n{done.stderr}{done.stdout}")


def wait_established(cluster: Cluster, crd: str = CRD) -> None:
    """Return when the API server serves the CRD. kubectl gives up while there are no conditions yet."""
    deadline = time.monotonic() + START_SECONDS
    established = """jsonpath={.status.conditions[?(@.type=="Established")].status}=True"""
    while (done := cluster.run("wait", f"--for={established}", "--timeout=60s", f"crd/{crd}")).returncode != 0:
        if "cannot be filtered" not in done.stderr or time.monotonic() > deadline:
            raise StartError(f"crd {crd} is not served:\n{done.stderr}{done.stdout}")


def new_namespace(cluster: Cluster) -> str:
    """A namespace with no other test's objects. Its deletion would never end without controllers."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    return name
