"""A real kube-apiserver over a real etcd on loopback, with an audit log: who asked what is counted where it arrives.

Nothing else of a cluster is here. What controllers and kubelets would do, `simulation` does.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import kopf
import yaml
from scripts.audit_log import Asked, read
from scripts.build_apiserver import cache_folder, programs
from scripts.ports import free_port
from tests.apiserver import conftest as servers

POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
"""
OPERATOR = "system:serviceaccount:resilientslice-system:resilientslice-operator"
"""As the chart names its service account."""
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    folder: Path
    kubeconfig: Path
    operators: Path
    """The operator's kubeconfig: it is another user, so that its requests can be told from everybody else's."""
    audit: Path
    process: subprocess.Popen[bytes]

    def login(self) -> kopf.ConnectionInfo:
        config = yaml.safe_load(self.kubeconfig.read_text())
        reached = config["clusters"][0]["cluster"]
        return kopf.ConnectionInfo(
            server=reached["server"],
            ca_path=reached["certificate-authority"],
            token=config["users"][0]["user"]["token"],
        )

    def mark(self) -> int:
        """A place in the audit log: what comes after it is what happens from now on."""
        return self.audit.stat().st_size if self.audit.exists() else 0

    def requests(self, since: int = 0) -> list[Asked]:
        """The operator's, that ended since; a watch ends with its operator."""
        with self.audit.open() as log:
            log.seek(since)
            return [request for request in read(log) if request.user == OPERATOR]


@contextmanager
def control_plane(*, groups: str = MASTERS, flags: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Running, and knowing the resource. Built first, where it isn't in the cache (about five minutes).

    `groups` are the operator's: as one of MASTERS it may do everything. `flags`: more of the API server's.
    """
    built = programs(cache_folder(os.environ))
    with ExitStack() as stack:
        plane = _tried(stack, built, groups, flags)
        cluster = servers.Cluster(plane.kubeconfig)
        cluster.kubectl("apply", "--server-side", f"--filename={servers.ROOT / 'crds'}")
        servers.wait_established(cluster)
        yield plane


def _tried(stack: ExitStack, built: Path, groups: str, flags: Sequence[str], attempts: int = 3) -> ControlPlane:
    """A port that was taken between its choice and its use is a reason to try again."""
    with ExitStack() as attempted:
        try:
            plane = _started(attempted, built, groups, flags)
        except servers.PortTakenError:
            if attempts == 1:
                raise
        else:
            stack.push(attempted.pop_all())
            return plane
    return _tried(stack, built, groups, flags, attempts - 1)


def _started(stack: ExitStack, built: Path, groups: str, flags: Sequence[str]) -> ControlPlane:
    folder = stack.enter_context(servers.short_folder())
    token, port = secrets.token_hex(16), free_port()
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    operators = secrets.token_hex(16)
    tokens.write_text(f"{token},bench,bench,{MASTERS}\n{operators},{OPERATOR},operator,{groups}\n")
    policy, audit = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(POLICY)
    stack.enter_context(servers.running(servers.etcd_command(built, folder), folder / "etcd.log"))
    command = [
        *servers.apiserver_command(built, folder, port),
        f"--audit-policy-file={policy}",
        f"--audit-log-path={audit}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-wait=200ms",
        "--audit-log-maxsize=0",
        *flags,
    ]
    process = stack.enter_context(servers.running(command, folder / "apiserver.log"))
    servers.wait_ready(process, folder, port, token)
    apart = folder / "operator"
    apart.mkdir()
    (apart / "certificates").symlink_to(folder / "certificates")
    theirs = servers.write_kubeconfig(apart, port, operators)
    return ControlPlane(folder, servers.write_kubeconfig(folder, port, token), theirs, audit, process)
