"""Puts the reconciler together from its parts. Tests and benchmarks do it with other agents, or another clock."""

import time
from collections.abc import Callable

from resilientslice.claims.claimant import Claims
from resilientslice.controller.agent_access import AgentAccess
from resilientslice.controller.applier import Applier
from resilientslice.controller.deciding import Deciding, Settings, Timings
from resilientslice.controller.reconciler import Reconciler
from resilientslice.controller.report import Report
from resilientslice.controller.standing import Standing
from resilientslice.envoys.port import Agents
from resilientslice.history.store import MemoryStore
from resilientslice.kube.cache import Children
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.rollouts.scheduler import ProxyRollouts
from resilientslice.rollouts.slots import PROXY_ROLLOUTS
from resilientslice.workqueue.queue import Wake


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
