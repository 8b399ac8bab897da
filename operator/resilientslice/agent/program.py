"""The agent as a process: claims its sockets, takes up what it had, serves until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from aiohttp import web

from resilientslice.agent import sockets
from resilientslice.agent.admin import EnvoyAdmin
from resilientslice.agent.ads_server import AdsServer
from resilientslice.agent.ads_state import restored
from resilientslice.agent.api import Api
from resilientslice.agent.installer import Installer
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.settings import AgentSettings
from resilientslice.agent.store import Loaded, load, load_fallback

_log = structlog.get_logger("resilientslice.agent")


async def serve(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. SocketTakenError or OSError when it can't start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        _log.info("agent serves", ads=str(settings.ads_socket), api=str(settings.api_socket))
        await stop.wait()
        _log.info("agent stops")


@contextlib.asynccontextmanager
async def running(settings: AgentSettings) -> AsyncIterator[Installer]:
    """An agent that serves inside the block and leaves no socket behind."""
    for path in (settings.ads_socket, settings.api_socket):
        sockets.claim(path)
    _prepare(settings.state_dir)
    parser = ConfigParser()
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(EnvoyAdmin(settings.admin_socket))
        installer = _restored(settings, parser)
        stack.push_async_callback(installer.close)
        with sockets.private():
            ads = AdsServer(installer, settings.ads_socket)
        await ads.start()
        stack.callback(sockets.release, settings.ads_socket)
        stack.push_async_callback(ads.stop)
        await stack.enter_async_context(_http(Api(installer, admin, parser), settings.api_socket))
        yield installer


@contextlib.asynccontextmanager
async def _http(api: Api, path: Path) -> AsyncIterator[None]:
    runner = web.AppRunner(api.application(), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, sockets.listen(path)).start()
        yield
    finally:
        await runner.cleanup()
        sockets.release(path)


def _restored(settings: AgentSettings, parser: ConfigParser) -> Installer:
    """Take up what was accepted last, or the mounted copy, whichever is newer."""
    kept = load(settings.state_dir, parser)
    mounted = load_fallback(settings.fallback, parser) if settings.fallback else Loaded()
    for loaded in (kept, mounted):
        if loaded.problem:
            _log.error("a stored configuration is left out", problem=loaded.problem)
    floor = (kept.stored.floor, kept.stored.floor_digest) if kept.stored else None
    state = restored(kept.config, mounted.config, floor)
    installer = Installer(state, settings.state_dir, AgentMetrics())
    for loaded in (mounted, kept):
        if loaded.config is not None and loaded.stored is not None:
            installer.remember(loaded.stored, loaded.config.digest, on_disk=loaded is kept)
    if state.target is not None:
        epoch, digest = list(state.target.epoch), state.target.digest
        _log.info("configuration restored", digest=digest, epoch=epoch, mounted=state.target is mounted.config)
    return installer


def _prepare(state_dir: Path) -> None:
    """Without its folder the agent serves all the same; each push then says that it is not durable, and why."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _log.error("the state folder can't be made", path=str(state_dir), reason=error.strerror)
