"""A free port for a process that a test or a benchmark starts, which others don't get in the meantime."""

from resilientslice.local.processes.ports import Ports

_PORTS = Ports()


def free_port() -> int:
    """On loopback, below the kernel's range for outgoing connections; each is given out once by this process."""
    return _PORTS.take()
