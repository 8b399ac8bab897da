"""Puts the backend for a cluster together, for as long as this process leads."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from resilientslice.claims.claimant import Claims
from resilientslice.controller.agent_access import AgentAccess
from resilientslice.controller.applier import Applier
from resilientslice.controller.deciding import Deciding, Settings, Timings
from resilientslice.controller.reconciler import Reconciler
from resilientslice.controller.report import Report
from resilientslice.controller.standing import Standing
from resilientslice.envoys import Fleet
from resilientslice.envoys.agents import FleetAgents
from resilientslice.envoys.failures import AgentFailures
from resilientslice.envoys.keys import AgentKeys
from resilientslice.envoys.port import Agents
from resilientslice.history.store import MemoryStore
from resilientslice.kube.cache import Children
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.metrics import PROXY_ROLLOUTS_STALLED, PROXY_ROLLOUTS_WAITING, SLICES_OF_OTHERS, Metric
from resilientslice.operating.world import World
from resilientslice.rollouts.scheduler import ProxyRollouts
from resilientslice.rollouts.slots import PROXY_ROLLOUTS
from resilientslice.workqueue.queue import Wake

SLEEP_ACTION = (1, 30)
"""Kubernetes that knows the preStop action `sleep` (ADR 0010)."""


@asynccontextmanager
async def reconciling(world: World) -> AsyncIterator[Reconciler]:
    """The reconciler of a `World`. Raises KubeError when the API server doesn't say which version it is."""
    version = await world.client.version()
    failures = AgentFailures(world.registry)
    async with Fleet(failures.failed) as fleet, asyncio.TaskGroup() as group:
        agents = FleetAgents(
            AgentKeys(world.client),
            fleet,
            term=lambda: world.election.term,
            check=world.election.check,
            wake=world.wake,
            failed=failures.failed,
        )
        asking = group.create_task(agents.run(), name="agents")
        try:
            reconciler = assemble(
                world.client,
                world.slices,
                world.children,
                agents,
                settings=Settings(world.settings.images, world.settings.namespace, version >= SLEEP_ACTION),
                instance=world.settings.identity,
                installation=f"{world.settings.lease_namespace}/{world.settings.lease_name}",
                proxy_rollouts=world.settings.proxy_rollouts,
                wake=world.wake,
            )
            _count(world, reconciler)
            yield reconciler
        finally:
            asking.cancel()


def assemble(
    client: KubeClient,
    slices: Slices,
    children: Children,
    agents: Agents,
    *,
    settings: Settings | None = None,
    instance: str = "resilientslice",
    installation: str = "",
    clock: Callable[[], float] = time.time,
    proxy_rollouts: int = PROXY_ROLLOUTS,
    wake: Wake[SliceKey] = lambda key, *, after=0.0: None,  # noqa: ARG005
) -> Reconciler:
    """`installation` as in `Claims`. `clock` gives seconds since the epoch. `proxy_rollouts`: number of slices whose
    proxies roll out at the same time after an operator upgrade; `wake` has a slice processed again."""
    timings, store = Timings(), MemoryStore(client, children)
    rollouts = ProxyRollouts(slices, children, places=proxy_rollouts, wake=wake, clock=clock)
    claims, report = Claims(client, children, installation), Report(client, slices, instance)
    return Reconciler(
        slices,
        children,
        Standing(claims, report),
        AgentAccess(agents, children),
        Deciding(children, agents, store, settings or Settings(), timings),
        Applier(client, children, store, rollouts, timings),
        report,
        wake,
        clock,
    )


def _count(world: World, reconciler: Reconciler) -> None:
    rollouts, claims = reconciler.applier.rollouts, reconciler.standing.claims
    numbers: tuple[tuple[Metric, Callable[[], int]], ...] = (
        (SLICES_OF_OTHERS, lambda: claims.elsewhere),
        (PROXY_ROLLOUTS_WAITING, lambda: rollouts.waiting),
        (PROXY_ROLLOUTS_STALLED, lambda: rollouts.stalled),
    )
    for metric, read in numbers:
        metric.read_by(read, world.registry)
