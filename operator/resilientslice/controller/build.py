"""The backend for a cluster, for as long as this process leads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from resilientslice.controller.assemble import assemble
from resilientslice.controller.deciding import Settings
from resilientslice.controller.reconciler import Reconciler
from resilientslice.envoys import Fleet
from resilientslice.envoys.agents import FleetAgents
from resilientslice.envoys.failures import AgentFailures
from resilientslice.envoys.keys import AgentKeys
from resilientslice.metrics import PROXY_ROLLOUTS_STALLED, PROXY_ROLLOUTS_WAITING, SLICES_OF_OTHERS, Metric
from resilientslice.operating.world import World

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


def _count(world: World, reconciler: Reconciler) -> None:
    rollouts, claims = reconciler.applier.rollouts, reconciler.standing.claims
    numbers: tuple[tuple[Metric, Callable[[], int]], ...] = (
        (SLICES_OF_OTHERS, lambda: claims.elsewhere),
        (PROXY_ROLLOUTS_WAITING, lambda: rollouts.waiting),
        (PROXY_ROLLOUTS_STALLED, lambda: rollouts.stalled),
    )
    for metric, read in numbers:
        metric.read_by(read, world.registry)
