"""What strangers may take of a service's listeners."""

import resource
from dataclasses import dataclass

# Connections to stores and other services, files, and the listeners themselves.
_OTHER_DESCRIPTORS = 320


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times are in seconds, sizes in bytes."""

    connections: int
    head: float
    """From the first byte of a request to the end of its headers."""
    body: float
    """From the end of the headers to the end of the body."""
    idle: float
    """Longer than the callers' own (Envoy's 4 s, our client's 15 s), so that it is not us who close under a request."""
    send: float
    """For an answer to be taken."""
    head_size: int = 64 * 1024

    def fit_descriptors(self) -> int:
        """As many connections as this process has descriptors for, and at most `connections`."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = self.connections if soft == resource.RLIM_INFINITY else soft - _OTHER_DESCRIPTORS
        return max(16, min(self.connections, spare))
