"""Ports on loopback that nobody else gets in the meantime.

They are taken from below the range that the kernel draws outgoing connections' ports from: a port found free by
binding to 0 can be gone again before the process that it is meant for binds it.
"""

import contextlib
import errno
import random
import socket
from collections.abc import Iterator

import psutil

from resilientslice.local.errors import LocalError

LOOPBACK = "127.0.0.1"
REPLICA_PORTS = range(20_000, 32_000)
"""Above the listeners of services in Envoy (10000-19999), below Linux' outgoing ports (from 32768)."""


def is_free(port: int) -> bool:
    """Whether a process could listen on the port now. A connection that lingers from before doesn't count."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


class Ports:
    """Gives out ports, each once until it is given back."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, wanted: int | None = None) -> int:
        """A free port: `wanted` if it is free, else another one. LocalError when the whole range is in use."""
        for port in self._candidates(wanted):
            if port not in self._taken and is_free(port):
                self._taken.add(port)
                return port
        raise LocalError(f"no free port on {LOOPBACK} between {REPLICA_PORTS.start} and {REPLICA_PORTS.stop - 1}")

    def give_back(self, port: int) -> None:
        self._taken.discard(port)

    @staticmethod
    def _candidates(wanted: int | None) -> Iterator[int]:
        if wanted is not None:
            yield wanted
        offset = random.randrange(len(REPLICA_PORTS))  # noqa: S311 - spread, not secrecy
        yield from (REPLICA_PORTS[(offset + i) % len(REPLICA_PORTS)] for i in range(len(REPLICA_PORTS)))


def take_front_port(ports: Ports, wanted: int, previous: int | None) -> int:
    """The front's port. With 0 the one it had before, if that is free, else any. LocalError names who has it."""
    if wanted == 0:
        return ports.take(previous)
    if not is_free(wanted):
        raise LocalError(
            f"port {wanted} on {LOOPBACK} is in use{_holder(wanted)}; stop that, or choose another port with --port"
            " (0 takes a free one)"
        )
    return ports.take(wanted)


def _holder(port: int) -> str:
    """` by NAME (PID n)`, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN and port in tuple(connection.laddr)
            if listening and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (PID {connection.pid})"
    return ""
