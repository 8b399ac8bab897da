"""The life of a service: listen, connect to stores, serve, drain, finish, end. Signals decide when."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import NoReturn

from aiohttp import web

from slicekit.admin import add_probes, build_admin
from slicekit.faults import FaultKind
from slicekit.health import Need, Phase, reason_of
from slicekit.kit import Job, Kit, Store
from slicekit.listener import Door, Listener, ListenError
from slicekit.logs import configure_logs
from slicekit.middleware import record_refusal, request_middleware, sign_response
from slicekit.problems import StoreUnavailableError
from slicekit.settings import Environment, SettingError, Settings

# A job that ran this long before it failed starts again with the shortest pause.
_STEADY_SECONDS = 10.0

Build = Callable[[Kit], web.Application | None]
"""Makes the application of a service; None when it serves nobody (a worker)."""


class Server:
    """One service in this event loop. `start` returns once it listens; it is ready when its stores are."""

    def __init__(self, kit: Kit, app: web.Application | None) -> None:
        self._kit = kit
        if app is None and kit.settings.port is not None:
            app = web.Application()
        door = Door(kit.settings.bounds, partial(record_refusal, kit), kit.on_crowded)
        self._admin = Listener(build_admin(kit), "127.0.0.1", kit.settings.admin_port, door=door, variable="ADMIN_PORT")
        self._public: Listener | None = None
        if app is not None and kit.settings.port is not None:
            equip(kit, app)
            self._public = Listener(
                app, kit.settings.host, kit.settings.port, door=door, variable="PORT", shutdown=kit.settings.shutdown
            )
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int | None:
        """The application's port, also when 0 was asked for."""
        return self._public.port if self._public else None

    @property
    def admin_port(self) -> int:
        return self._admin.port

    async def start(self) -> None:
        """ListenError if a port can't be had."""
        async with AsyncExitStack() as undo:
            await self._kit.client.open()
            undo.push_async_callback(self._kit.client.close)
            await self._admin.open()
            undo.push_async_callback(self._admin.end)
            if self._public:
                await self._public.open()
            undo.pop_all()
        if self._public:
            self._tasks.append(asyncio.create_task(self._obey_refusals(self._public), name="refusals"))
        self._tasks.append(asyncio.create_task(self._connect(), name="connect"))
        self._kit.log.info("listening", port=self.port, admin_port=self.admin_port)

    async def stop(self, *, hurry: asyncio.Event | None = None) -> None:
        """Says "draining", waits, closes the listener, lets requests in flight finish, then lets go of everything.

        `hurry` cuts the wait short.
        """
        kit = self._kit
        kit.readiness.phase = Phase.DRAINING
        kit.stopping.set()
        kit.log.info("draining", seconds=kit.settings.drain if self._public else 0)
        if self._public:
            with suppress(TimeoutError):
                await asyncio.wait_for((hurry or asyncio.Event()).wait(), kit.settings.drain)
        await _end(self._tasks)
        if self._public:
            await self._public.end()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=kit.settings.shutdown)
            await _end(self._jobs)
        for store, _ in kit.stores:
            await store.close()
        await kit.client.close()
        await self._admin.end()
        kit.log.info("stopped")

    async def _connect(self) -> None:
        kit = self._kit
        async with asyncio.TaskGroup() as group:
            opening = [(group.create_task(self._open_store(store)), need) for store, need in kit.stores]
            for task, need in opening:
                if need is not Need.NEVER:
                    await task
            kit.readiness.phase = Phase.SERVING
            kit.log.info("ready")
            self._jobs = [asyncio.create_task(self._run_job(job), name=job.name) for job in kit.jobs]

    async def _open_store(self, store: Store) -> None:
        kit = self._kit
        kit.readiness.wait_for(store.name, "connecting")
        for pause in _backoff():
            try:
                await store.open()
                break
            except Exception as exc:
                kit.readiness.wait_for(store.name, reason_of(exc))
                kit.log.warning(
                    "waiting for a store", store=store.name, reason=reason_of(exc), again_in_s=round(pause, 2)
                )
                await asyncio.sleep(pause)
        kit.readiness.arrived(store.name)

    async def _run_job(self, job: Job) -> None:
        kit = self._kit
        pauses, begun = _backoff(), kit.clock()
        while not kit.stopping.is_set():
            if kit.clock() - begun > _STEADY_SECONDS:
                pauses = _backoff()
            pause, begun = next(pauses), kit.clock()
            try:
                await job.work()
            except StoreUnavailableError as exc:
                kit.metrics.observe_store_error(exc.store)
                kit.log.warning("a job waits for a store", job=job.name, store=exc.store, reason=exc.reason)
            except Exception:
                kit.log.exception("a job failed", job=job.name)
            with suppress(TimeoutError):
                await asyncio.wait_for(kit.stopping.wait(), pause)

    async def _obey_refusals(self, public: Listener) -> None:
        """Level-triggered: whatever changed, the listener ends up as the faults want it."""
        kit = self._kit
        while True:
            kit.faults.changed.clear()
            remaining = kit.faults.remaining(FaultKind.REFUSE)
            if kit.accepting and remaining > 0:
                kit.accepting = False
                await public.refuse(busy=kit.busy)
                kit.log.warning("refusing connections", seconds=round(remaining, 3))
            if not kit.accepting and remaining <= 0:
                kit.accepting = await self._reopen(public)
                remaining = 0.0 if kit.accepting else 0.5
            with suppress(TimeoutError):
                await asyncio.wait_for(kit.faults.changed.wait(), remaining or None)

    async def _reopen(self, public: Listener) -> bool:
        try:
            await public.accept()
        except ListenError as exc:
            self._kit.log.warning("cannot listen again yet", reason=str(exc))
            return False
        self._kit.log.info("accepting connections again")
        return True


def equip(kit: Kit, app: web.Application) -> None:
    """Gives an application the probes, the middleware and the kit."""
    app[Kit.KEY] = kit
    app.middlewares.insert(0, request_middleware(kit))
    app.on_response_prepare.append(sign_response)
    add_probes(app)


def run(
    app: web.Application | Build, *, name: str, env: Mapping[str, str] | None = None, needs_port: bool = True
) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then ends the process: 0, or 2 with one line on stderr for a wrong setting."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(app, name, Environment(os.environ if env is None else env), needs_port))
    except (SettingError, ListenError) as exc:
        sys.stderr.write(f"error: {name}: {exc}\n")
        sys.exit(2)
    sys.exit(0)


async def _serve(app: web.Application | Build, name: str, env: Environment, needs_port: bool) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    configure_logs(Settings.read(env, name=name, needs_port=needs_port))
    kit = Kit.from_env(name, env, needs_port=needs_port)
    server = Server(kit, app if isinstance(app, web.Application) else app(kit))
    await server.start()
    await stop.wait()
    await server.stop(hurry=hurry)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop


def _backoff() -> Iterator[float]:
    """Seconds to wait: from 0.1 doubling to 5, each with a quarter of jitter. Never ends."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, 5.0)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
