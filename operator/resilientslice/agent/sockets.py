"""Unix sockets that belong to one agent: a dead one's is replaced, a live one's is not."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

PATH_LIMIT = 107
"""Bytes; the kernel's limit with the final zero left out."""


class SocketTakenError(Exception):
    """The path can't be listened on. The message says why and what to do."""


def claim(path: Path) -> None:
    """Make sure that `path` can be listened on: remove what a dead process left; SocketTakenError if one is alive."""
    if len(bytes(path)) > PATH_LIMIT:
        size = len(bytes(path))
        raise SocketTakenError(f"{path}: {size} bytes, a socket's path has at most {PATH_LIMIT}; use a relative path")
    if not path.parent.is_dir():
        raise SocketTakenError(f"{path}: the folder {path.parent} does not exist")
    if not path.exists():
        return
    if not path.is_socket():
        raise SocketTakenError(f"{path}: exists and is not a socket; remove it or choose another path")
    if _answers(path):
        raise SocketTakenError(f"{path}: another process listens on it; stop it first")
    path.unlink(missing_ok=True)


def listen(path: Path) -> socket.socket:
    """A listening socket at a claimed path, for its owner only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with private():
            listener.bind(str(path))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def release(path: Path) -> None:
    """Leave nothing behind, whether or not the library that listened has cleaned up."""
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def private() -> Iterator[None]:
    """Files and sockets made inside are their owner's only, also those made by a library."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        code = probe.connect_ex(str(path))
    # EAGAIN: its queue is full, so someone holds it
    return code not in (errno.ECONNREFUSED, errno.ENOENT)
