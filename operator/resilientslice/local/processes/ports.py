"""Ports on loopback that nobody else gets in the meantime.

They are taken from below the range that the kernel draws outgoing connections' ports from: a port found free by
binding to 0 can be gone again before the process that it is meant for binds it. And they are taken in turn: else two
runtimes that start at once find the same port free, until a replica of one of them binds it.
"""

import contextlib
import errno
import fcntl
import os
import random
import socket
import stat
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

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
    """Gives out ports, each once until it is given back, and none that another process of this user was just given."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, wanted: int | None = None) -> int:
        """A free port: `wanted` if it is free, else another one. LocalError when the whole range is in use."""
        with contextlib.closing(_candidates(wanted)) as candidates:
            for port in candidates:
                if port not in self._taken and is_free(port):
                    self._taken.add(port)
                    return port
        raise LocalError(f"no free port on {LOOPBACK} between {REPLICA_PORTS.start} and {REPLICA_PORTS.stop - 1}")

    def give_back(self, port: int) -> None:
        self._taken.discard(port)


def turn_file() -> Path:
    """Where the processes of this user keep which port was given out last; a number, and nothing is lost with it."""
    return Path(tempfile.gettempdir()) / f"rslice-ports-{os.getuid()}"


def _candidates(wanted: int | None) -> Generator[int]:
    """`wanted`, then each port of the range once, from the one on that follows what was given out last."""
    if wanted is not None:
        yield wanted
    with _turn() as turn:
        last = _last_given(turn)
        for step in range(1, len(REPLICA_PORTS) + 1):
            port = REPLICA_PORTS[(last + step) % len(REPLICA_PORTS)]
            if turn is not None:
                with contextlib.suppress(OSError):  # a full disk
                    os.pwrite(turn, b"%d" % port, 0)
            yield port


@contextlib.contextmanager
def _turn() -> Iterator[int | None]:
    """The turn file, locked. None where it can't be had or is another's: then ports are random, nearly as good."""
    with contextlib.ExitStack() as stack:
        turn = None
        with contextlib.suppress(OSError):
            opened = os.open(turn_file(), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, opened)
            found = os.fstat(opened)
            # someone else could hold its lock for ever
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid():
                fcntl.flock(opened, fcntl.LOCK_EX)
                turn = opened
        yield turn


def _last_given(turn: int | None) -> int:
    """As an index of the range; a random one when nobody knows."""
    text = b"" if turn is None else os.pread(turn, len(str(REPLICA_PORTS.stop)), 0)
    if text.isdigit() and int(text) in REPLICA_PORTS:
        return REPLICA_PORTS.index(int(text))
    return random.randrange(len(REPLICA_PORTS))  # noqa: S311 - spread, not secrecy


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
