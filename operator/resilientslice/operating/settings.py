"""What the operator is told at its start."""

from dataclasses import dataclass, field

from resilientslice.reconcile.rollouts import PROXY_ROLLOUTS
from resilientslice.render.images import Images


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """`namespaces` empty: the whole cluster. `identity` is unique to this process."""

    lease_namespace: str
    lease_name: str
    identity: str
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
