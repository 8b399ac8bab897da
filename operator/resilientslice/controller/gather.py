"""Everything that a plan is made from, put together. Reads caches; asks the API server only why pods don't come up."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.applying.conflict_words import field_conflicts, name_conflicts
from resilientslice.applying.retakes import Contests
from resilientslice.controller.troubles import MESSAGE_LENGTH, workload_troubles
from resilientslice.controller.workloads import observe_workloads
from resilientslice.kube.cache import Child
from resilientslice.kube.children import ChildId
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Envoys, Observed, Queued, Refusal, Trouble, TroubleKind, Volume
from resilientslice.rollouts.progress import is_proxies, rolls, short, stuck
from resilientslice.stores.store_workloads import observe_stores

NOTHING: Mapping[StoreName, Volume] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What earlier passes met with."""

    strangers: tuple[ChildId, ...] = ()
    contests: Contests = field(default_factory=Contests)
    refused: tuple[Trouble, ...] = ()
    pods: tuple[Trouble, ...] = ()
    queued: Queued | None = None
    remade: Collection[str] = ()
    """StatefulSets that are being created again."""


def gather(
    memory: Memory | None,
    children: Iterable[Child],
    uid: str,
    seen: Envoys,
    obstacles: Obstacles,
    *,
    now: float,
    volumes: Mapping[StoreName, Volume] = NOTHING,
) -> Observed:
    known, services = tuple(children), _services(memory)
    proxies = [child for child in known if is_proxies(child, uid)]
    return Observed(
        memory=memory,
        workloads=observe_workloads(known, uid),
        envoys=replace(seen, ejections=tuple(host for host in seen.ejections if host.service in services)),
        proxies_roll=any(rolls(child) for child in proxies),
        proxies_short=any(short(child) for child in proxies),
        proxies_stuck=any(stuck(child) for child in proxies),
        stores=observe_stores(known, uid, obstacles.remade),
        volumes=volumes,
        queued=obstacles.queued,
        troubles=(
            *obstacles.refused,
            *name_conflicts(sorted(obstacles.strangers)),
            *field_conflicts(obstacles.contests.conflicts(now)),
            *workload_troubles(known, uid),
            *obstacles.pods,
            *(_idle(refusal) for refusal in seen.proxies.idle),
        ),
    )


def _services(memory: Memory | None) -> frozenset[str]:
    """Those that the slice has: an agent may name others."""
    tracks = (memory.stable, memory.canary) if memory else ()
    return frozenset(name for revision in tracks if revision is not None for name in revision.services)


def _idle(refusal: Refusal) -> Trouble:
    """Of an Envoy that no caller is sent to: those that serve continue, and its rollout does not."""
    said = f"{refusal.instance}: its Envoy refuses the configuration that others run: {refusal.words}"
    return Trouble(TroubleKind.PODS, Reason.PROXY_CONFIG_REJECTED, said[:MESSAGE_LENGTH])
