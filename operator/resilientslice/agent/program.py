"""The agent as a process: claims its sockets, takes up what it had, serves until SIGTERM."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from resilientslice.agent import sockets
from resilientslice.agent.admin import EnvoyAdmin
from resilientslice.agent.ads_server import AdsServer
from resilientslice.agent.ads_state import restored
from resilientslice.agent.api import Api
from resilientslice.agent.drain import drain
from resilientslice.agent.guard import Guard
from resilientslice.agent.installer import Installer
from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.mounted import follow
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.settings import AgentSettings, Remote
from resilientslice.agent.store import Loaded, load, load_fallback

_log = structlog.get_logger("resilientslice.agent")


async def serve(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT, and until Envoy is drained, or a second signal. SocketTakenError or OSError when it
    can't start."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with running(settings) as (installer, admin):
        # protobuf's modules stay for life: a search for cycles among them takes longer than a push
        gc.collect()
        gc.freeze()
        _log.info("agent serves", ads=str(settings.ads_socket), api=str(settings.api_socket))
        await signals.get()
        if settings.drain is not None:
            installer.begin_draining()
            await _first(drain(admin, settings.drain), signals.get())
        _log.info("agent stops")


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Until one of them is done; the others are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@contextlib.asynccontextmanager
async def running(settings: AgentSettings) -> AsyncIterator[tuple[Installer, EnvoyAdmin]]:
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
        if settings.ready_file is not None:
            stack.enter_context(_beacon(installer, settings.ready_file))
        api = Api(installer, admin, parser)
        runner = await stack.enter_async_context(_http(api.application()))
        stack.callback(sockets.release, settings.api_socket)
        await web.SockSite(runner, sockets.listen(settings.api_socket)).start()
        if settings.remote is not None:
            await _listen(stack, api, installer, settings.remote)
        if settings.fallback is not None:
            await stack.enter_async_context(_background(follow(settings.fallback, installer, parser)))
        yield installer, admin


async def _listen(stack: contextlib.AsyncExitStack, api: Api, installer: Installer, remote: Remote) -> None:
    """Signed requests over TCP."""
    ring = KeyRing(remote.key_dir)
    ring.keys()  # the log says now what is wrong with them, not at the first request
    guard = Guard(ring, remote.uid, installer.metrics)
    runner = await stack.enter_async_context(_http(api.application(guard.middleware)))
    await web.TCPSite(runner, remote.host, remote.port).start()


@contextlib.asynccontextmanager
async def _http(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs beside what is inside. An error of its own ends the agent, for it would be one that nobody thought of."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@contextlib.contextmanager
def _beacon(installer: Installer, path: Path) -> Iterator[None]:
    """A file that exists while the agent is ready: a probe that looks for it costs next to nothing."""

    def show(ready: bool) -> None:
        try:
            path.touch() if ready else path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("the agent can't say that it is ready", ready=ready, path=str(path), reason=error.strerror)

    show(ready=False)
    installer.on_ready = show
    try:
        yield
    finally:
        show(ready=False)


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
    if kept.stored is not None:
        installer.remember(kept.stored)
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
