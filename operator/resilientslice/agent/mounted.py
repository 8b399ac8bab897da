"""Follows the mounted ConfigMap, the durable copy: an agent that a push has missed gets there all the same.

Kubernetes replaces the files by switching one link, so what is read is whole. Nothing tells of it but a look: once a
second is far below the minute that Kubernetes itself takes.
"""

import asyncio
from pathlib import Path

import structlog

from resilientslice.agent.installer import Installer
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.store import Loaded, compressed, load_fallback

LOOK_SECONDS = 1.0
_Identity = tuple[tuple[int, int, int] | None, ...]
_log = structlog.get_logger("resilientslice.agent")


async def follow(path: Path, installer: Installer, parser: ConfigParser, *, seconds: float = LOOK_SECONDS) -> None:
    """Offer Envoy what the file holds, each time that it changes and is of a newer epoch. Ends when cancelled."""
    seen = identity(path)
    while True:
        await asyncio.sleep(seconds)
        now = identity(path)
        if now == seen:
            continue
        seen = now
        offer(installer, await asyncio.to_thread(load_fallback, path, parser))


def offer(installer: Installer, loaded: Loaded) -> None:
    """Take a mounted copy up, unless something as new is there."""
    if loaded.problem:
        _log.error("the mounted configuration is left out", problem=loaded.problem)
    if loaded.stored is None or loaded.config is None:
        return
    if loaded.config.epoch <= installer.state.floor:
        return
    epoch, digest = list(loaded.config.epoch), loaded.config.digest
    against = installer.offer(loaded.config)
    if against is None:
        _log.info("mounted configuration taken up", digest=digest, epoch=epoch)
    else:
        _log.warning("the mounted configuration is not taken", digest=digest, epoch=epoch, reason=repr(against))


def identity(path: Path) -> _Identity:
    """Changes whenever the file behind the path, or its compressed form, is another one."""
    return tuple(_of(file) for file in (path, compressed(path)))


def _of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
