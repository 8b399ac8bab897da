"""What has to stay for a while after the stable revision has moved on, or a canary has ended.

Three things, each until it is certain that nobody needs it: what former pods know of (`leaving`), where the proxies
send to a service that is being moved (`aims`), and how small autoscalers may make either track (`sizes`).
"""

from collections.abc import Mapping
from dataclasses import replace

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Phase, State
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed
from resilientslice.planning.signals import asked_of, mostly_rolled_out, pending
from resilientslice.render.leaving import grace_seconds, in_transit, kept, removed_services
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision, moved_services
from resilientslice.render.transit import Stage, Target, target_of

SIZES_SECONDS = 360.0
"""How long autoscalers keep their floors after a canary. Idle all the while, a track has been recommended few replicas;
autoscalers forget that after 300 s: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/."""
SLACK_SECONDS = 2.0
"""For the last Envoy and kube-proxy to learn that a pod has ended."""


def noticed(before: Memory, observed: Observed) -> Memory:
    """Return `before` with what is plain to see: every Envoy knows where a service has moved to, a track has grown."""
    aims, sizes = before.aims, before.sizes
    if aims and observed.envoys.proxies.all_run(before.config):
        own = {name: target_of(service.spec) for name, service in before.stable.services.items()}
        aims = {name: aim for name, aim in aims.items() if aim != own.get(name)}
    return replace(before, aims=aims, sizes=_grown(sizes, before.state, observed) if before.canary else sizes)


def carried_over(before: Memory, after: Memory, observed: Observed, slice_: ResilientSlice, now: float) -> Memory:
    """Return `after`, whose state and revisions are decided, with what stays. `before` as `noticed`."""
    leaving, rolled_at = _leaving(before, after, observed, slice_, now)
    sizes, until = _sizes(before, after.state, observed, slice_, now)
    return replace(
        after,
        leaving=leaving,
        rolled_at=rolled_at,
        aims=_aims(before, after.stable, observed),
        sizes=sizes,
        sizes_until=until,
    )


def rendered_stable(memory: Memory, now: float) -> Revision:
    """The stable revision as it is to be rendered."""
    floors = memory.sizes if memory.canary is None else {}
    return in_transit(memory.stable, memory.leaving, stage=_stage(memory, now), aims=memory.aims, floors=floors)


def transit_deadline(memory: Memory, now: float) -> float | None:
    """When time alone ends one of these, in seconds since the epoch."""
    times = [] if memory.sizes_until is None else [memory.sizes_until]
    if memory.rolled_at is not None:
        times += [_ending_until(memory, memory.rolled_at), _gone_until(memory, memory.rolled_at)]
    return min((at for at in times if at > now), default=None)


def _protected(before: Memory) -> bool:
    """Pods of the revision that was stable are worth waiting for: it, or one before it, was ready as a whole."""
    return before.state.settled or bool(before.history)


def _leaving(
    before: Memory, after: Memory, observed: Observed, slice_: ResilientSlice, now: float
) -> tuple[tuple[Revision, ...], float | None]:
    stable, candidates, rolled_at = after.stable, before.leaving, before.rolled_at
    if stable.name != before.stable.name:
        older = tuple(revision for revision in before.leaving if revision.name != before.stable.name)
        candidates, rolled_at = ((before.stable, *older) if _protected(before) else older), None
    leaving = kept(stable, candidates) if candidates else ()
    if leaving and rolled_at is None and _all_there(after, observed, slice_):
        rolled_at = now
    if not leaving or (rolled_at is not None and now >= _gone_until(replace(after, leaving=leaving), rolled_at)):
        return (), None
    return leaving, rolled_at


def _all_there(memory: Memory, observed: Observed, slice_: ResilientSlice) -> bool:
    """The stable revision is, and no pod of a former one serves. A canary that is handed over, or drained, may be of
    one."""
    if memory.state.phase in (Phase.PROMOTING, Phase.DRAINING):
        return False
    stable, asked = memory.stable, asked_of(slice_)
    return not pending(observed.workloads, stable, Track.STABLE, stable.services, asked=asked)


def _stage(memory: Memory, now: float) -> Stage:
    if memory.rolled_at is None:
        return Stage.ROLLING
    return Stage.ENDING if now < _ending_until(memory, memory.rolled_at) else Stage.GONE


def _ending_until(memory: Memory, rolled_at: float) -> float:
    """Former pods have ended: Deployments don't count them while they do."""
    return rolled_at + grace_seconds(memory.leaving) + SLACK_SECONDS


def _gone_until(memory: Memory, rolled_at: float) -> float:
    """The pods of removed services have ended, too."""
    ending = _ending_until(memory, rolled_at)
    removed = removed_services(memory.stable, memory.leaving)
    return ending + (grace_seconds(memory.leaving) + SLACK_SECONDS if removed else 0.0)


def _aims(before: Memory, stable: Revision, observed: Observed) -> dict[str, Target]:
    """The former port as long as most pods listen there; then the new one, until every Envoy knows it."""
    aims = dict(before.aims)
    if _protected(before) and stable.name != before.stable.name:
        for name in sorted(moved_services(before.stable, stable)):
            former = target_of(before.stable.services[name].spec)
            if former is not None:
                aims.setdefault(name, former)
    found = {name: _aim(name, aim, stable, observed) for name, aim in sorted(aims.items())}
    return {name: aim for name, aim in found.items() if aim is not None}


def _aim(name: str, aim: Target, stable: Revision, observed: Observed) -> Target | None:
    """A canary carries all requests meanwhile. If it is lost, stable serves with as many pods as can be reached."""
    own = target_of(stable.services[name].spec) if name in stable.services else None
    return own if own is None or mostly_rolled_out(observed.workloads, stable, name) else aim


def _sizes(
    before: Memory, state: State, observed: Observed, slice_: ResilientSlice, now: float
) -> tuple[Mapping[str, int], float | None]:
    if state.canary:
        return _grown(before.sizes, state, observed), None
    until = now + SIZES_SECONDS if before.sizes_until is None else before.sizes_until
    sizes = {name: size for name, size in before.sizes.items() if _autoscaled(slice_, name)}
    return (sizes, until) if sizes and now < until else ({}, None)


def _grown(known: Mapping[str, int], state: State, observed: Observed) -> dict[str, int]:
    """What traffic comes back to must be as large as what carries it, and a promotion's canary carries it all."""
    tracks = tuple(Track) if state.phase is Phase.PROMOTING else (Track.STABLE,)
    found = dict(known)
    for name in sorted(state.services):
        workloads = [observed.workloads.get((name, track)) for track in tracks]
        size = max([known.get(name, 0), *(workload.desired for workload in workloads if workload is not None)])
        found |= {name: size} if size else {}
    return found


def _autoscaled(slice_: ResilientSlice, name: str) -> bool:
    service = slice_.service(name)
    return service is not None and service.autoscaling is not None
