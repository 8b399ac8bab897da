"""Settings of the operator."""

from dataclasses import dataclass, field
from pathlib import Path

from resilientslice.render.images import Images
from resilientslice.render.names import OPERATOR_NAMESPACE
from resilientslice.rollouts.slots import PROXY_ROLLOUTS

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""In every pod with a service account."""


def own_namespace(file: Path = NAMESPACE_FILE) -> str:
    """The namespace of this pod; the chart's where this is no pod."""
    try:
        return file.read_text().strip() or OPERATOR_NAMESPACE
    except OSError:
        return OPERATOR_NAMESPACE


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """`namespaces` empty: the whole cluster. `identity` is unique to this process."""

    lease_namespace: str
    lease_name: str
    identity: str
    namespace: str = OPERATOR_NAMESPACE
    """The operator's own: agents are reached from there."""
    namespaces: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    port: int = 8080
    workers: int = 8
    proxy_rollouts: int = PROXY_ROLLOUTS
    """Slices whose proxies are replaced at a time when a new version of the operator changes them."""
    images: Images = field(default_factory=Images)
    drain_seconds: float = 10.0
    """How long passes that are under way may take to end when the process is asked to stop."""

    @property
    def watched(self) -> tuple[str | None, ...]:
        """The namespaces that are watched; None: all of them, with one watch."""
        return self.namespaces or (None,)
