"""Puts the backend for a cluster together, for as long as this process leads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from resilientslice.controller.reconciler import Reconciler
from resilientslice.envoys import Fleet
from resilientslice.envoys.agents import FleetAgents
from resilientslice.envoys.failures import AgentFailures
from resilientslice.envoys.keys import AgentKeys
from resilientslice.operating.metrics import PREFIX
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
            reconciler = Reconciler(
                world.client,
                world.slices,
                world.children,
                agents,
                images=world.settings.images,
                operator_namespace=world.settings.namespace,
                sleep_action=version >= SLEEP_ACTION,
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
    rollouts, claims = reconciler.rollouts, reconciler.claims
    elsewhere = "Slices that another installation of the operator manages, and this one leaves alone."
    numbers: tuple[tuple[str, str, Callable[[], int]], ...] = (
        ("slices_of_others", elsewhere, lambda: claims.elsewhere),
        ("proxy_rollouts_waiting", "Slices whose proxies wait for their turn in an upgrade.", lambda: rollouts.waiting),
        ("proxy_rollouts_stalled", "Rollouts of proxies that stall, as of the last count.", lambda: rollouts.stalled),
    )
    for name, text, read in numbers:
        Gauge(f"{PREFIX}_{name}", text, registry=world.registry).set_function(read)
