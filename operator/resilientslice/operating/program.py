"""The operator as a process: watches always, acts only while it leads, and ends in order.

A standby keeps the same caches and writes nothing. Who loses the Lease ends at once, without tidying up: everything it
could still do would be another one's business by now.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import kopf
import structlog
import uvloop

from resilientslice import metrics
from resilientslice.handlers import operator_registry, operator_settings
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError, UnauthorizedError
from resilientslice.kube.kinds import RESILIENT_SLICE, SliceKey
from resilientslice.kube.lease import LeadershipLostError, LeaseElection
from resilientslice.kube.login import Login, log_in
from resilientslice.kube.session import Session
from resilientslice.kube.slices import Slices
from resilientslice.operating.following import Following
from resilientslice.operating.health import HealthServer, LoopLag, State
from resilientslice.operating.metrics import OperatorMetrics
from resilientslice.operating.passes import Passes, patience
from resilientslice.operating.settings import OperatorSettings
from resilientslice.operating.world import Build, World
from resilientslice.workqueue.queue import WorkQueue

CHILD_SECONDS = 0.02
"""A rollout changes several children at once: they are looked at together."""

_log = structlog.get_logger("resilientslice.operator")


class StartError(Exception):
    """The operator can't start: what is missing, and what to do about it."""


async def operate(settings: OperatorSettings, build: Build, *, login: Login = log_in) -> None:
    """Run until SIGTERM or SIGINT. Raises StartError, OSError (the address is taken) or LeadershipLostError."""
    numbers = OperatorMetrics()
    async with Session(login, observe=numbers.called) as session:
        await _check_api(KubeClient(session))
        operator = _assembled(settings, session, numbers)
        async with operator.health().serving(settings.host, settings.port) as port:
            _log.info("operator starts", identity=settings.identity, port=port, namespaces=list(settings.namespaces))
            await operator.run(build, login)


def run(settings: OperatorSettings, build: Build) -> int:
    """Run until it is over; returns the exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(operate(settings, build))
    except LeadershipLostError as error:
        _log.error("the operator ends, another one may lead", reason=str(error))
        return 1
    except (StartError, OSError) as error:
        _log.critical("the operator can't run", reason=str(error))
        return 2
    except Exception as error:
        _log.critical("the operator ends by an error", reason=str(error), exc_info=not isinstance(error, KubeError))
        return 1
    return 0


def _assembled(settings: OperatorSettings, session: Session, metrics: OperatorMetrics) -> "Operator":
    passes = Passes(metrics)
    queue: WorkQueue[SliceKey] = WorkQueue(workers=settings.workers, patience=patience, on_failure=passes.failed)
    slices = Slices(on_change=lambda key: queue.add(key, urgent=True), namespaces=settings.watched)
    children = Children(
        on_change=lambda key: queue.add(key, after=CHILD_SECONDS), shape=noted, namespaces=settings.watched
    )
    election = LeaseElection(
        KubeClient(session),
        namespace=settings.lease_namespace,
        name=settings.lease_name,
        identity=settings.identity,
    )
    world = World(
        settings=settings,
        client=KubeClient(session, guard=election.check),
        slices=slices,
        children=children,
        election=election,
        wake=queue.add,
        registry=metrics.registry,
    )
    following = Following.of(session, slices, children, settings.watched)
    return Operator(world, queue, passes, following, metrics, LoopLag())


@dataclass(slots=True)
class Operator:
    world: World
    queue: WorkQueue[SliceKey]
    passes: Passes
    following: Following
    metrics: OperatorMetrics
    lag: LoopLag

    def __post_init__(self) -> None:
        read: tuple[tuple[metrics.Metric, Callable[[], float]], ...] = (
            (metrics.LEADING, lambda: float(self.world.election.still_leading())),
            (metrics.LEASE_TERM, lambda: float(self.world.election.term)),
            (metrics.QUEUE_DEPTH, lambda: float(self.queue.depth)),
            (metrics.QUEUE_OLDEST_SECONDS, self.queue.oldest),
            (metrics.RECONCILING, lambda: float(self.queue.working)),
            (metrics.SLICES, lambda: float(len(self.world.slices))),
            (metrics.CHILDREN, lambda: float(self.world.children.count())),
            (metrics.UNREAD_OBJECTS, lambda: self.world.children.unread),
            (metrics.LOOP_LAG_SECONDS, self.lag.seconds),
        )
        for metric, one in read:
            metric.read_by(one, self.metrics.registry)
        ages = metrics.WATCH_AGE_SECONDS.gauge(self.metrics.registry)
        for follower in self.following.reflectors:
            ages.labels(str(follower.heard)).set_function(follower.age)

    def health(self) -> HealthServer:
        return HealthServer(self.state, self.metrics.text)

    def state(self) -> State:
        longest = self.queue.longest()
        election = self.world.election
        leads = election.still_leading()
        return State(
            role="leader" if leads else "standby",
            term=election.term if leads else 0,
            holder=election.holder,
            lag=round(self.lag.seconds(), 3),
            queue_depth=self.queue.depth,
            queue_oldest=round(self.queue.oldest(), 3),
            pass_longest=round(longest[1], 3) if longest else 0.0,
            watches=self.following.states(),
            unsynced=(*(() if self.world.slices.synced() else (RESILIENT_SLICE.kind,)), *self.world.children.missing()),
        )

    async def run(self, build: Build, login: Login) -> None:
        """Run until SIGTERM or SIGINT. Whatever ends by itself before that ends everything, with its reason."""
        stop, end_kopf = asyncio.Event(), asyncio.Event()
        _listen(stop)
        tasks = [
            asyncio.create_task(self.following.run(), name="watches"),
            asyncio.create_task(self.lag.run(), name="lag"),
            asyncio.create_task(self._lead(build, stop), name="leader"),
        ]
        # kopf ends every task that is younger than itself when it ends, so it is the last to start and to stop
        watcher = asyncio.create_task(self._watch_slices(login, stop, end_kopf), name="kopf")
        asking = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([*tasks, watcher, asking], return_when=asyncio.FIRST_COMPLETED)
            _raise_first([*tasks, watcher])
            stop.set()
            await self._stop(tasks[-1])
        finally:
            end_kopf.set()
            await _cancelled([*tasks, asking])
            await _ended(watcher)

    async def _stop(self, leader: asyncio.Task[None]) -> None:
        """Finish what is under way, then let go of the Lease, so that another one takes over at once."""
        limit = self.world.settings.drain_seconds
        _log.info("operator stops", under_way=self.queue.working)
        if not await self.queue.drain(limit):
            _log.warning("passes did not end in time and are given up", seconds=limit, under_way=self.queue.working)
        await _cancelled([leader])
        try:
            await self.world.election.release()
        except (KubeError, LeadershipLostError) as error:
            _log.warning("the Lease was not released; others wait until it has run out", reason=str(error))

    async def _lead(self, build: Build, stop: asyncio.Event) -> None:
        """Wait for the Lease, then work for as long as it is held. Raises LeadershipLostError."""
        term = await self.world.election.acquire()
        _log.info("this process leads", term=term)
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self.world.election.hold(), name="lease")
            async with build(self.world) as reconciler:
                await self.following.synced()
                _settle_heap()
                for key in self.world.slices.keys():  # noqa: SIM118 - not a mapping
                    self.queue.add(key)
                await self.queue.run(lambda key: self.passes.one(key, reconciler))
            await stop.wait()  # only a drained queue ends; the Lease is held until it is released
            holding.cancel()

    async def _watch_slices(self, login: Login, stop: asyncio.Event, end: asyncio.Event) -> None:
        ready = asyncio.Event()
        # kopf takes the signals for itself while it starts
        listening = asyncio.create_task(_listen_when(ready, stop), name="signals")
        overheard = self.following.overheard
        registry = operator_registry(self.world.slices, lambda: overheard.session(login()))
        namespaces = self.world.settings.namespaces
        try:
            await kopf.operator(
                registry=registry,
                settings=operator_settings(),
                standalone=True,
                # else kopf looks up the user's name, which an arbitrary UID in a container has none of
                identity=cast(Any, self.world.settings.identity),
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=end,
                ready_flag=ready,
            )
        finally:
            listening.cancel()
            await overheard.close()


def _settle_heap() -> None:
    """Leave what was imported and listed to no further search for cycles, and search less often.

    A search of all of it takes 60 ms and more, in the middle of a pass that someone waits for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _check_api(client: KubeClient) -> None:
    """Say what is wrong with the cluster at once, rather than wait for it in silence."""
    try:
        served = await client.serves(RESILIENT_SLICE)
    except UnauthorizedError as error:
        raise StartError(f"{error}") from error
    except KubeError as error:
        raise StartError(f"the Kubernetes API can't be used: {error}") from error
    if not served:
        missing = f"{RESILIENT_SLICE.plural}.{RESILIENT_SLICE.group}/{RESILIENT_SLICE.version}"
        raise StartError(
            f"the API server has no {missing}: install the CRD first (`rslice crd | kubectl apply --server-side -f -`)"
        )


def _listen(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _listen_when(ready: asyncio.Event, stop: asyncio.Event) -> None:
    await ready.wait()
    _listen(stop)


def _raise_first(tasks: list[asyncio.Task[None]]) -> None:
    """The reason of a task that ended by itself."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise _single(error)


def _single(error: BaseException) -> BaseException:
    """The one error in a group of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _ended(watcher: asyncio.Task[None], seconds: float = 2.0) -> None:
    with contextlib.suppress(TimeoutError, asyncio.CancelledError, Exception):
        await asyncio.wait_for(watcher, seconds)
