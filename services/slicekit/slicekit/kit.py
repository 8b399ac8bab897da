"""What a service holds while it runs: settings, log, metrics, readiness, faults, its stores and its way to others."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from slicekit.bodies import Model, read_json
from slicekit.client import Client, Upstream
from slicekit.faults import Faults
from slicekit.health import Check, Need, Readiness
from slicekit.logs import service_logger
from slicekit.metrics import Metrics
from slicekit.settings import Environment, Settings

if TYPE_CHECKING:
    from slicekit.limits.limiter import Limiter


class Store(Protocol):
    """Something the service connects to at start. `open` may be called again after it failed."""

    @property
    def name(self) -> str: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def check(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """Work beside the requests. `work` should return soon after `kit.stopping` is set."""

    name: str
    work: Callable[[], Awaitable[None]]


class Kit:
    """Everything a handler may need. One a service; several can live in one process."""

    KEY: ClassVar[web.AppKey["Kit"]]

    def __init__(
        self,
        settings: Settings,
        env: Environment,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.env = env
        self.clock = clock
        self.log = service_logger(settings)
        self.metrics = Metrics(settings)
        self.readiness = Readiness(clock=clock)
        self.faults = Faults(clock=clock, draw=draw)
        self.client = Client(settings, self.metrics, clock=clock)
        self.limiter: Limiter | None = None
        """Charges tenants, where this service has their limits."""
        self.stores: list[tuple[Store, Need]] = []
        self.jobs: list[Job] = []
        self.stopping = asyncio.Event()
        self._crowded_at = float("-inf")
        self.accepting = True
        """False while the listener is closed."""
        self.busy: set[BaseProtocol] = set()
        """The connections that a request is being served on."""

    @classmethod
    def from_env(cls, name: str, env: Environment, *, needs_port: bool = True) -> Self:
        """SettingError for a variable that is missing or wrong. FAIL_MODE and SLOW_MODE count from now."""
        kit = cls(Settings.read(env, name=name, needs_port=needs_port), env)
        for fault in kit.settings.faults:
            kit.faults.put(fault)
        if kit.settings.charges:
            # where nobody is charged, nobody needs a client of Redis
            from slicekit.limits.limiter import Limiter  # noqa: PLC0415

            kit.limiter = Limiter.from_env(kit.settings, env, registry=kit.metrics.registry, log=kit.log)
            # Redis is tried before the first request is charged; whether it answers is reported only
            kit.add_store(kit.limiter, Need.AT_START)
        return kit

    def add_store(self, store: Store, need: Need = Need.ALWAYS) -> None:
        """Connects `store` at start, with back-off, closes it at the end, and checks it for readiness meanwhile."""
        self.stores.append((store, need))
        self.readiness.add(store.name, store.check, need)

    def add_check(self, name: str, check: Check, need: Need = Need.ALWAYS) -> None:
        self.readiness.add(name, check, need)

    def add_job(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` once the stores are there; started again, with back-off, should it fail."""
        self.jobs.append(Job(name, work))

    def upstream(self, target: str, base_url: str) -> Upstream:
        """Another service. `target` is its name in metrics and errors."""
        return Upstream(self.client, target, base_url)

    async def read_json(self, request: web.Request, model: type[Model]) -> Model:
        return await read_json(request, model, limit=self.settings.body_limit, seconds=self.settings.bounds.body)

    def on_crowded(self) -> None:
        """A connection came when all were taken. Said once a second at most, however many come."""
        self.metrics.crowded.inc()
        if self.clock() - self._crowded_at >= 1.0:
            self._crowded_at = self.clock()
            self.log.warning("too many connections", most=self.settings.bounds.fit_descriptors())


Kit.KEY = web.AppKey("slicekit", Kit)


def kit_of(request: web.Request) -> Kit:
    """The kit of the service that serves this request."""
    return request.config_dict[Kit.KEY]
