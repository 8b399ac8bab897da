"""A real kube-apiserver over a real etcd on loopback, with an audit log: who asked what is counted where it arrives.

Nothing else of a cluster is here. What controllers and kubelets would do, `simulation` does.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kopf

from testkit.api_server import MASTERS, User, api_server, connection, install_resource
from testkit.audit_log import Asked, read

POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
"""
OPERATOR = "system:serviceaccount:resilientslice-system:resilientslice-operator"
"""As the chart names its service account."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """`kubeconfig` is the administrator's."""

    kubeconfig: Path
    operators: Path
    """The operator's kubeconfig: it is another user, so that its requests can be told from everybody else's."""
    audit: Path
    process: subprocess.Popen[bytes]
    """Of the API server."""

    def login(self) -> kopf.ConnectionInfo:
        return connection(self.kubeconfig)

    def mark(self) -> int:
        """A place in the audit log: what comes after it is what happens from now on."""
        return self.audit.stat().st_size if self.audit.exists() else 0

    def requests(self, since: int = 0) -> list[Asked]:
        """The operator's, that ended since; a watch ends with its operator."""
        with self.audit.open() as log:
            log.seek(since)
            return [request for request in read(log) if request.user == OPERATOR]


@contextmanager
def control_plane(programs: Path, *, groups: str = MASTERS, flags: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Running, and knowing the resource. `programs` is the folder with kube-apiserver and etcd.

    `groups` are the operator's: as one of MASTERS it may do everything. `flags`: more of the API server's.
    """
    operator = User(OPERATOR, groups)
    with api_server(programs, users=[operator], flags=lambda folder: [*_audited(folder), *flags]) as server:
        install_resource(server.cluster)
        operators = server.kubeconfig_of(operator)
        yield ControlPlane(server.kubeconfig, operators, _audit_log(server.folder), server.process)


def _audited(folder: Path) -> list[str]:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={_audit_log(folder)}",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-wait=200ms",
        "--audit-log-maxsize=0",
    ]


def _audit_log(folder: Path) -> Path:
    return folder / "audit.log"
