"""What the agents of one slice said, put together into what a plan can be made from. Pure.

What nobody knows is left out, never reported as zero: an Envoy that was sent a configuration and has not answered, or
one that could not be asked.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from resilientslice.agent.answers import Snapshot
from resilientslice.agent.signing import Standing
from resilientslice.canary.state import Attempts
from resilientslice.envoys.reports import (
    NO_ANSWER,
    Accepted,
    AgentPod,
    Epoch,
    Outcome,
    Rejected,
    Stale,
    Unanswered,
    Unheard,
    Unreachable,
    doubt,
)
from resilientslice.planning.observed import (
    EjectedHost,
    Envoys,
    Proxies,
    Refusal,
    SilentAgent,
    with_refusal,
    without_refusal,
)
from resilientslice.render.names import Track

MOST_EJECTED = 512
"""Ejected hosts that are kept of one Envoy; the status shows 256."""
_CANARY = f"-{Track.CANARY}"
_SERVICES = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,30}}[a-z0-9])?-({Track.STABLE}|{Track.CANARY})")
_ACTIVE, _HOSTS = "hosts_rq_active", "membership_total"


@dataclass(frozen=True, slots=True)
class Tally:
    """Tries at one cluster's hosts through one Envoy. `good` and `bad` only grow; `seen` is what Envoy counted last.

    A host that goes takes its counts with it. Envoy then counts less than before, and counting continues from there.
    """

    good: int = 0
    bad: int = 0
    seen: tuple[int, int] | None = None

    def count(self, good: int, bad: int) -> "Tally":
        before = self.seen if self.seen is not None else (0, 0)
        if good < before[0] or bad < before[1]:
            return replace(self, seen=(good, bad))
        return Tally(self.good + good - before[0], self.bad + bad - before[1], (good, bad))


@dataclass(frozen=True, slots=True)
class Member:
    """One agent. `acked` is what its Envoy runs, `offered` what the agent holds, each a digest, empty if unknown.

    `refused` are configurations that its Envoy refused: digest → words, the newest last. `at` is when `snapshot` was
    asked for, in seconds since the epoch. `trouble` is why the last question got no answer, at length, and `reason` the
    same in fixed words. `asked` counts pushes, `fresh` says that the snapshot was asked for after the last one had
    ended. `standing` is of the last answer under the keys that the slice has now; None before there was one.
    """

    pod: AgentPod
    acked: str = ""
    offered: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    held: Epoch = (0, 0)
    snapshot: Snapshot | None = None
    at: float | None = None
    trouble: str = ""
    reason: Unheard = NO_ANSWER
    asked: int = 0
    under_way: bool = False
    """A push that was begun last has not ended."""
    fresh: bool = False
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    hostless: frozenset[str] = frozenset()
    """Services' clusters whose hosts its Envoy has not found, or lost."""
    standing: Standing | None = None
    doubt: Unheard | None = None
    """Why it can't hold the epoch that it claims."""

    @property
    def unheard(self) -> Unheard | None:
        """Why what it says doesn't count now."""
        return self.reason if self.trouble else self.doubt

    @property
    def doubted(self) -> bool:
        """It may know a key that we don't."""
        return self.standing in (Standing.NEWER, Standing.STRANGE)

    @property
    def counted(self) -> bool:
        """Requests reach its Envoy now or soon: the pod is ready, or its agent answers."""
        return self.pod.ready or (self.snapshot is not None and not self.trouble)

    @property
    def idle(self) -> bool:
        """No caller is sent to it, and its Envoy refused what it was offered and has never accepted anything."""
        accepted = self.snapshot is not None and self.snapshot.acked
        return not self.pod.ready and bool(self.refused) and not (accepted or self.acked)

    @property
    def answers(self) -> Snapshot | None:
        """The last snapshot, if the last question was answered and Envoy had told the agent what it counts."""
        known = self.snapshot is not None and not self.trouble and not self.snapshot.envoy.error
        return self.snapshot if known else None


@dataclass(frozen=True, slots=True)
class FleetView:
    """What is known of a slice's Envoys. `newest` is the newest epoch that an agent holds.

    Of `envoys`, `active` only counts snapshots from after the last push, and there must be one of every Envoy.
    `unreachable` says by pod why it could not be asked. `asked_at` is when the
    oldest of the snapshots was asked for (seconds since the epoch), None before there is one of every pod.
    """

    members: tuple[Member, ...] = ()
    envoys: Envoys = field(default_factory=Envoys)
    newest: Epoch = (0, 0)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    asked_at: float | None = None

    @property
    def all_know_key(self) -> bool:
        """Every proxy that is counted, and there is one, has shown that it knows the slice's current key."""
        return self.envoys.proxies.total > 0 and not self.without_key

    @property
    def without_key(self) -> tuple[str, ...]:
        """Pods of those counted that have not."""
        unproven = (m for m in self.members if m.counted and m.standing is not Standing.CURRENT)
        return tuple(member.pod.name for member in unproven)

    def missed(self, digest: str) -> tuple[AgentPod, ...]:
        """Pods whose agents neither hold this configuration nor refused it: they are to be pushed to again."""
        return tuple(
            member.pod
            for member in self.members
            if digest not in (member.acked, member.offered) and digest not in member.refused
        )


def pushing(member: Member) -> Member:
    """From now on nobody knows what its Envoy runs."""
    return replace(member, acked="", fresh=False, asked=member.asked + 1, under_way=True)


def pushed(member: Member, digest: str, epoch: Epoch, outcome: Outcome) -> Member:
    match outcome:
        case Accepted():
            held = max(member.held, epoch)
            refused = without_refusal(member.refused, digest)
            return replace(member, acked=digest, offered=digest, refused=refused, held=held, trouble="")
        case Rejected(words, kind, serving):
            said = f"{kind}: {words}" if kind else words
            refused = with_refusal(member.refused, digest, said)
            return replace(member, acked=serving, offered=serving, refused=refused, trouble="")
        case Unanswered():
            return replace(member, offered=digest, held=max(member.held, epoch), trouble="")
        case Stale(held):
            return replace(member, offered="", held=max(member.held, held), trouble="")
        case _:
            return replace(member, offered="", trouble=outcome.reason, reason=outcome.unheard)


def polled(member: Member, snapshot: Snapshot, at: float, asked: int) -> Member:
    """`asked` is what the member's was when the question was put: a push since then knows better."""
    tallies, hostless = member.tallies, member.hostless
    if not snapshot.envoy.error:
        tallies = {
            cluster: member.tallies.get(cluster, Tally()).count(
                counters.get("hosts_rq_success", 0), counters.get("hosts_rq_error", 0)
            )
            for cluster, counters in snapshot.clusters.items()
            if cluster.endswith(_CANARY) and _SERVICES.fullmatch(cluster)
        }
        hostless = _once(
            frozenset(
                cluster
                for cluster, counters in snapshot.clusters.items()
                if counters.get(_HOSTS) == 0 and _SERVICES.fullmatch(cluster)
            )
        )
    member = replace(member, snapshot=_kept(snapshot), at=at, trouble="", tallies=tallies, hostless=hostless)
    if asked != member.asked:
        return member
    settled = snapshot.digest == snapshot.acked and snapshot.envoy.connected > 0
    why, refused = snapshot.rejected, without_refusal(member.refused, snapshot.acked)
    if why is not None:
        refused = with_refusal(refused, why.digest, f"{why.type}: {why.message}")
    return replace(
        member,
        acked=snapshot.acked if settled else "",
        offered=snapshot.digest,
        refused=refused,
        held=snapshot.epoch,
        fresh=True,
    )


def _kept(snapshot: Snapshot) -> Snapshot:
    """Without what nobody asks for: an Envoy has some fifteen counters for each cluster and listener."""
    active = {
        cluster: {_ACTIVE: counters[_ACTIVE]}
        for cluster, counters in snapshot.clusters.items()
        if cluster.endswith(_CANARY) and _SERVICES.fullmatch(cluster) and counters.get(_ACTIVE)
    }
    p99 = {cluster: time for cluster, time in snapshot.p99.items() if _SERVICES.fullmatch(cluster)}
    ejected = tuple(one for one in snapshot.ejected if _SERVICES.fullmatch(one.cluster))[:MOST_EJECTED]
    return replace(snapshot, clusters=active, http={}, ratelimit={}, p99=p99, ejected=ejected)


@lru_cache(maxsize=1024)
def _once(names: frozenset[str]) -> frozenset[str]:
    """The same object for equal ones: most Envoys of most slices know all hosts but those of a canary."""
    return names


def silent(member: Member, outcome: Unreachable) -> Member:
    """The agent could not be asked. Its Envoy continues with what it had."""
    return replace(member, trouble=outcome.reason, reason=outcome.unheard)


def weighed(member: Member, sent: Epoch) -> Member:
    """With a doubt of what it claims to hold, if there is one. `sent`: the newest epoch that was sent to the slice."""
    found = doubt(member.held, sent) if sent > (0, 0) else None
    return member if found is member.doubt else replace(member, doubt=found)


def view_of(
    members: Sequence[Member], canary: Collection[str] = (), pods: Mapping[str, str] | None = None
) -> FleetView:
    """`canary` are the services that have one; `pods` says which pod a host's address (without port) is."""
    counted, idle = _counted(members)
    clusters = [f"{service}{_CANARY}" for service in canary]
    times = [member.at for member in counted if member.at is not None]
    return FleetView(
        members=tuple(members),
        envoys=Envoys(
            proxies=Proxies(
                total=len(counted),
                acked={member.pod.name: member.acked for member in counted if member.acked},
                refusals=_refusals(counted),
                ready=sum(member.pod.ready for member in counted),
                instances=frozenset(member.pod.name for member in members),
                idle=_refusals(idle),
                pods=tuple(member.pod.name for member in counted),
                silent=_silent(members),
            ),
            attempts=_attempts(counted, clusters) if clusters else None,
            active=_active(counted, clusters) if clusters else None,
            hostless=_once(frozenset().union(*(m.hostless for m in counted if m.pod.ready and m.answers is not None))),
            ejections=merge_ejections((m.answers for m in counted), pods or {}),
        ),
        newest=max((member.held for member in members), default=(0, 0)),
        unreachable={member.pod.name: member.trouble for member in members if member.trouble},
        asked_at=min(times) if times and len(times) == len(counted) else None,
    )


def _counted(members: Sequence[Member]) -> tuple[list[Member], list[Member]]:
    """Those that count, and those that don't since they accept nothing: no requests get to them, so they hold up
    nobody. Where there are no others, they are what there is to tell of."""
    idle = [member for member in members if member.idle]
    serving = [member for member in members if member.counted and not member.idle]
    return (serving, idle) if serving or not idle else (idle, [])


def _refusals(members: Iterable[Member]) -> tuple[Refusal, ...]:
    return tuple(Refusal(m.pod.name, digest, words) for m in members for digest, words in m.refused.items())


def _silent(members: Iterable[Member]) -> tuple[SilentAgent, ...]:
    """One that doesn't answer is no news before its pod was ready: it starts."""
    return tuple(
        SilentAgent(member.pod.name, found.why, broken=found.broken)
        for member in members
        if (found := member.unheard) is not None and (member.counted or found.broken)
    )


def merge_ejections(snapshots: Iterable[Snapshot | None], pods: Mapping[str, str]) -> tuple[EjectedHost, ...]:
    """Each ejected host once, with the number of Envoys that took it out."""
    envoys: dict[tuple[str, str], int] = {}
    for snapshot in snapshots:
        for one in snapshot.ejected if snapshot is not None else ():
            key = (one.cluster.rpartition("-")[0], one.host)
            envoys[key] = envoys.get(key, 0) + 1
    return tuple(
        EjectedHost(service, host, count, pod=pods.get(host.rpartition(":")[0], ""))
        for (service, host), count in sorted(envoys.items())
    )


def _attempts(members: Sequence[Member], clusters: Sequence[str]) -> Attempts | None:
    """The slowest Envoy's p99 stands for all: nobody can add up percentiles."""
    answering = [member.answers for member in members if member.answers is not None]
    if not answering:
        return None
    tallies = [member.tallies[cluster] for member in members for cluster in clusters if cluster in member.tallies]
    slow = [snapshot.p99[cluster] for snapshot in answering for cluster in clusters if cluster in snapshot.p99]
    good, bad = sum(tally.good for tally in tallies), sum(tally.bad for tally in tallies)
    return Attempts(good=good, bad=bad, p99=max(slow, default=None))


def _active(members: Sequence[Member], clusters: Sequence[str]) -> int | None:
    snapshots = [member.answers if member.fresh else None for member in members]
    if not snapshots or any(snapshot is None for snapshot in snapshots):
        return None
    known = [snapshot.clusters for snapshot in snapshots if snapshot is not None]
    return sum(counters.get(cluster, {}).get(_ACTIVE, 0) for counters in known for cluster in clusters)
