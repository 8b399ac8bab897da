"""Holds what is against what was asked, over and over: what is broken for longer than it may be is a finding.

Times are on the slice's clock, which stands still while something keeps its operator from acting.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import Object
from tests.kube.chaos.asked import Asked, Edit
from tests.kube.chaos.objects import (
    SLICE,
    condition,
    deleting,
    is_ready,
    labels_of,
    listens,
    name_of,
    serving,
    uid_of,
    variable,
)
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.routing import Routing
from tests.kube.chaos.world import World

SETTLE_SECONDS = 3.0
"""Until a status has to follow what it is about."""
POLL_SECONDS = 13.0
"""The same for what only Envoys know and nothing announces: they are asked every ten seconds."""
VERSION = "RSLICE_VERSION"
UNNAMED = "API's refusal unnamed"


@dataclass(frozen=True, slots=True)
class Finding:
    at: float
    slice_: str
    rule: str
    words: str


@dataclass
class _Reached:
    """Of one service: replicas that served at most since it was asked for that many."""

    capacity: int = 0
    served: bool = False


@dataclass
class Judge:
    world: World
    on_finding: Callable[[Finding], None]
    on_news: Callable[[str], None]
    excused: dict[tuple[str, str], float] = field(default_factory=dict)
    """Slice and service → until when (fair seconds) its pods may be missing: somebody else took them away."""
    _since: dict[tuple[str, ...], float] = field(default_factory=dict)
    _told: set[tuple[str, ...]] = field(default_factory=set)
    _asked: set[tuple[str, ...]] = field(default_factory=set)
    """What was looked at in this round."""
    _reached: dict[tuple[str, str], _Reached] = field(default_factory=dict)
    _born: dict[str, float] = field(default_factory=dict)
    aborts: list[tuple[float, str]] = field(default_factory=list)
    """Seconds on the slice's clock from each abort of a canary that was routed to until no Envoy did, and its name."""
    _words: dict[tuple[str, str], str] = field(default_factory=dict)
    _aborting: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self) -> None:
        self.world.tick()
        self._asked.clear()
        for name, asked in self.world.asked.items():
            if asked.edits and self.world.slice(name) is not None:
                self._slice(name, asked)
        for key in [key for key in self._since if key not in self._asked and key[1] != UNNAMED]:
            del self._since[key]  # what it was about is gone
        for words in self.world.operators.ended:
            if "could not be renewed" not in words:  # a machine that is too busy
                self._find("", "operator ended", words)
        self.world.operators.ended.clear()
        for words in self.world.kubelet.failures:
            self._find("", "harness", words)
        self.world.kubelet.failures.clear()

    def _find(self, slice_: str, rule: str, words: str) -> None:
        self.on_finding(Finding(self.world.fair.now(), slice_, rule, words))

    def _hold(self, key: tuple[str, ...], ok: bool, seconds: float, words: Callable[[], str]) -> None:
        """A finding once `ok` was false for longer than `seconds` without a break; told once until it is true again."""
        now = self.world.now(key[0])
        self._asked.add(key)
        if ok:
            self._since.pop(key, None)
            self._told.discard(key)
            return
        since = self._since.setdefault(key, now)
        if now - since >= seconds and key not in self._told:
            self._told.add(key)
            self._find(key[0], key[1], f"{' '.join(key[2:])}: {words()} (for {now - since:.1f} s)")

    def _slice(self, name: str, asked: Asked) -> None:
        found = self.world.slice(name)
        assert found is not None
        status = found.get("status") or {}
        self._note(asked, status)
        envoys = [(pod, proxy) for pod, proxy in self.world.kubelet.proxies(name) if not deleting(pod)]
        for pod, _ in envoys:
            self._born.setdefault(uid_of(pod), self.world.now(name))
        ready = [(pod, proxy) for pod, proxy in envoys if is_ready(pod)]
        self._canaries(name, asked, ready)
        self._promoted(name, asked)
        self._served(name, asked, ready)
        self._capacity(name, asked, ready)
        self._claims(name, asked, found, ready)
        self._weights(name, status, ready)
        self._tell(name, status, ready)

    def _tell(self, name: str, status: Mapping[str, Any], envoys: list[tuple[Object, ProxyPod]]) -> None:
        """Each change of what matters, in a line each, for whoever reads the account."""
        canary, revision = status.get("canary") or {}, status.get("revision") or {}
        truths = [f"{one['type']}={one['status']}/{one['reason']}" for one in status.get("conditions") or ()]
        said = (
            f"{status.get('observedGeneration')} {status.get('phase')} stable {revision.get('stable')} canary"
            f" {revision.get('canary') or 'none'} {canary.get('phase')} {canary.get('weight')}: {canary.get('message')}"
            f" [{' '.join(truths[:3])}]"
        )
        routes = {proxy.envoy.routing.said() for _, proxy in envoys if proxy.envoy is not None}
        for kind, words in (("status", said), ("Envoys", " | ".join(sorted(routes)))):
            if self._words.get((name, kind)) != words:
                self._words[(name, kind)] = words
                self.on_news(f"{name} {kind}: {words}")

    def _note(self, asked: Asked, status: Mapping[str, Any]) -> None:
        """What the operator is known to have seen and done."""
        if "observedGeneration" in status:
            asked.observed.add(status["observedGeneration"])
        stable = (status.get("revision") or {}).get("stable", "")
        if stable and stable not in asked.stable[-1:]:
            asked.stable = [*(one for one in asked.stable if one != stable), stable]
            asked.settled = False
        if _truth({"status": status}, "Ready") == "True" and _truth({"status": status}, "Reconciling") == "False":
            asked.settled = True
        wanted = asked.valid.revision
        phase = (status.get("canary") or {}).get("phase")
        current = status.get("observedGeneration") == asked.valid.generation
        if wanted is not None and phase == "Aborted" and current:
            asked.aborted.add(wanted.name)

    # --- which canary gets what

    def _canaries(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        now, routed = self.world.now(name), set[str]()
        for pod, proxy in envoys:
            if proxy.envoy is None or now - self._born[uid_of(pod)] < 2.0:
                continue
            routing = proxy.envoy.routing
            for cluster in sorted(routing.canaries()):
                for target in routing.targets[cluster]:
                    service = _service_of(name, target.host)
                    versions = {variable(one, VERSION) for one in serving(self.world.kubelet.behind(target))}
                    for version in sorted(versions):
                        routed.add(version)
                        words = self._unwanted(name, asked, service, version, routing.weight)
                        key = (name, "unwanted canary", service, version, name_of(pod))
                        self._hold(key, not words, 0.3, lambda words=words: words)

        self._time_aborts(name, asked, routed)

    def _time_aborts(self, name: str, asked: Asked, routed: set[str]) -> None:
        """`routed`: versions of services that canary lanes lead to."""
        abort = str((asked.valid.canary or {}).get("abort", ""))
        revision = asked.revisions().get(abort)
        if revision is None or abort in asked.stable[-1:]:
            return
        others = {
            service.digest
            for other in asked.revisions().values()
            if other.name != abort
            for service in other.services.values()
        }
        left = {service.digest for service in revision.services.values()} - others
        if routed & left:
            began = max(edit.at for edit in asked.edits if (edit.canary or {}).get("abort") == abort)
            self._aborting.setdefault((name, abort), began)
        elif (name, abort) in self._aborting:
            self.aborts.append((self.world.now(name) - self._aborting.pop((name, abort)), abort))

    def _unwanted(self, name: str, asked: Asked, service: str, version: str, weight: int) -> str:
        """Why this version may not have this weight; empty if it may."""
        now = self.world.now(name)
        stable = self._stable_versions(name).get(service)
        if version == stable:
            return ""  # it was promoted: the canary goes on serving until stable has followed
        owners = [
            revision.name
            for revision in asked.revisions().values()
            if service in revision.services and revision.services[service].digest == version
        ]
        promotes = _phase(self.world.slice(name) or {}) == "Promoting"
        if promotes and any(asked.may_be_stable(owner) for owner in owners):
            return ""  # it was promoted, and another one since: it goes on serving until stable has followed that
        most = [found for found in (asked.most_weight(owner, now) for owner in owners) if found is not None]
        if not most:
            return f"an Envoy routes to {version} (of {', '.join(owners) or 'nobody knows'}), which nobody asks for"
        if weight > max(most):
            return f"an Envoy draws {weight} % for {version} of {', '.join(owners)}, at most {max(most)} was asked for"
        return ""

    def _stable_versions(self, name: str) -> dict[str, str]:
        """What the stable Deployments are to run, by service."""
        found = {}
        for deployment in self.world.mirror["Deployment"].values():
            labels = labels_of(deployment)
            if labels.get(SLICE) == name and labels.get("resilientslice.dev/track") == "stable":
                found[labels["resilientslice.dev/service"]] = variable(deployment["spec"]["template"], VERSION)
        return found

    def _promoted(self, name: str, asked: Asked) -> None:
        for service, version in self._stable_versions(name).items():
            owners = [
                revision.name
                for revision in asked.revisions().values()
                if service in revision.services and revision.services[service].digest == version
            ]
            ok = any(asked.may_be_stable(owner) for owner in owners)
            said = ", ".join(owners) or "nobody knows"
            self._hold(
                (name, "promoted by nobody", service, version),
                ok,
                0.0,
                lambda said=said, version=version: f"stable is to run {version} (of {said}), which nobody promoted",
            )

    # --- whether requests are served

    def _excused(self, name: str, service: str) -> bool:
        now = self.world.fair.now()
        return any(self.excused.get(key, 0.0) > now for key in ((name, service), (name, "")))

    def _served(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        lanes = {lane for _, proxy in envoys if proxy.envoy is not None for lane in proxy.envoy.routing.lanes}
        for key in [key for key in self._reached if key[0] == name and " " not in key[1] and key[1] not in lanes]:
            del self._reached[key]
        for pod, proxy in envoys:
            if proxy.envoy is None:
                continue
            routing = proxy.envoy.routing
            for lane, members in sorted(routing.lanes.items()):
                targets = [target for member in members for target in routing.targets.get(member, ())]
                if not targets:
                    continue
                service = _service_of(name, targets[0].host)
                good = any(
                    self.world.kubelet.serves(one, target)
                    for member in members
                    for target in routing.targets.get(member, ())
                    for address in proxy.envoy.hosts.get(member, ())
                    if (one := self.world.kubelet.at(address)) is not None
                )
                reached = self._reached.setdefault((name, lane), _Reached())
                reached.served |= good
                drawn_away = routing.weight == 100 and lane in routing.stables() and _has_canary(routing, name, service)
                idle = drawn_away or _replicas(asked.valid, service) == 0 or self._given_up(name, asked, service)
                ok = good or not reached.served or idle or self._excused(name, service)
                patience = 4.0 if lane.endswith("-canary") else 1.0
                self._hold(
                    (name, "nobody serves", lane, name_of(pod)),
                    ok,
                    patience,
                    lambda targets=targets, proxy=proxy, members=members: self._hosts(proxy, members, targets),
                )

    def _given_up(self, name: str, asked: Asked, service: str) -> bool:
        """The slice has that service no more, and none of its pods calls it."""
        callers = (pod for pod in self.world.mirror["Pod"].values() if labels_of(pod).get(SLICE) == name)
        url = f"{service.upper().replace('-', '_')}_URL"
        return _entry(asked.valid, service) is None and not any(variable(pod, url) for pod in callers)

    def _hosts(self, proxy: ProxyPod, members: tuple[str, ...], targets: list[Any]) -> str:
        assert proxy.envoy is not None
        found = [
            f"{address} {name_of(one) if one else 'gone'} {listens(one) if one else ''}"
            for member in members
            for address in sorted(proxy.envoy.hosts.get(member, ()))
            for one in (self.world.kubelet.at(address),)
        ]
        return f"requests go to {[f'{one.host}:{one.port} {one.protocol}' for one in targets]}, hosts are {found}"

    def _capacity(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        if not envoys:
            return
        for service, version in self._stable_versions(name).items():
            entry = _entry(asked.valid, service)
            if entry is None or entry.get("port") is None:
                continue
            wanted = self._wanted_replicas(name, asked, service)
            counts = [found for _, proxy in envoys if (found := self._serving(name, service, proxy)) is not None]
            if not counts:
                continue
            count = min(counts)
            reached = self._reached.setdefault((name, f"{service} capacity"), _Reached())
            if self._excused(name, service):
                reached.capacity = 0
            reached.capacity = max(min(reached.capacity, wanted), min(count, wanted))
            self._hold(
                (name, "capacity", service),
                count >= min(reached.capacity, wanted),
                1.0,
                lambda count=count, wanted=wanted, reached=reached, version=version: (
                    f"{count} pods serve, {wanted} are asked for and {reached.capacity} served before"
                    f" (stable is to run {version})"
                ),
            )

    def _serving(self, name: str, service: str, proxy: ProxyPod) -> int | None:
        """Pods that take the bulk of a service's requests; None where it isn't routed."""
        assert proxy.envoy is not None
        routing = proxy.envoy.routing
        all_drawn = routing.weight == 100
        clusters = routing.canaries() if all_drawn else routing.stables()
        found = self._count(name, service, proxy, clusters)
        if all_drawn and found is None:
            return self._count(name, service, proxy, routing.stables())
        return found

    def _count(self, name: str, service: str, proxy: ProxyPod, clusters: frozenset[str]) -> int | None:
        assert proxy.envoy is not None
        found: set[str] | None = None
        for cluster in clusters:
            for target in proxy.envoy.routing.targets.get(cluster, ()):
                if _service_of(name, target.host) != service:
                    continue
                found = found or set()
                behind = self.world.kubelet.behind(target)
                found |= {
                    uid_of(one)
                    for one in behind
                    if is_ready(one) and not deleting(one) and self.world.kubelet.serves(one, target)
                }
        return None if found is None else len(found)

    def _wanted_replicas(self, name: str, asked: Asked, service: str) -> int:
        """The fewest of what may be in force."""
        now = self.world.now(name)
        found = []
        for edit in asked.in_force(now):
            entry = _entry(edit, service)
            if entry is None:
                continue
            scaling = entry.get("autoscaling")
            if scaling:
                load = self.world.autoscalers.load.get(f"{name}-{service}-stable", 0)
                found.append(max(scaling.get("minReplicas", 2), min(load, scaling["maxReplicas"])))
            else:
                found.append(entry.get("replicas", 2))
        return min(found, default=0)

    # --- what the status says

    def _claims(self, name: str, asked: Asked, found: Object, envoys: list[tuple[Object, ProxyPod]]) -> None:
        status = found.get("status") or {}
        self._generation(name, asked, found)
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        rests = all(
            _truth(found, kind) == truth
            for kind, truth in (("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False"))
        )
        missing = list(self._not_there(name, asked, status)) if current and rests else []
        self._hold(
            (name, "claims to be current"), not missing, SETTLE_SECONDS, lambda: f"Ready, at rest, but {missing}"
        )
        self._config(name, status, envoys, current=current)
        self._refusals(name, asked, found, status)
        self._named(name, asked, found)

    def _generation(self, name: str, asked: Asked, found: Object) -> None:
        status = found.get("status") or {}
        observed, generation = status.get("observedGeneration", 0), found["metadata"]["generation"]
        ahead = observed > generation
        self._hold((name, "observedGeneration"), not ahead, 0.0, lambda: f"{observed} of {generation}")
        current = observed == generation == asked.last.generation and asked.last.revision is not None
        stalled = _truth(found, "Stalled") == "True"
        undone = list(self._undone(name, asked.last)) if current and not stalled else []
        self._hold((name, "observed but not done"), not undone, 1.0, lambda: f"generation {observed}: {undone}")

    def _undone(self, name: str, edit: Edit) -> Iterator[str]:
        """Plain fields that differ from the Deployments that they are for."""
        proxy = self.world.mirror["Deployment"].get(f"{name}-proxy")
        wanted = edit.spec.get("proxy") or {}
        if proxy is not None and proxy["spec"]["replicas"] != wanted.get("replicas", 2):
            yield f"{name}-proxy has {proxy['spec']['replicas']} replicas"
        for service in edit.spec["services"]:
            stable = self.world.mirror["Deployment"].get(f"{name}-{service['name']}-stable")
            if stable is None or service.get("autoscaling"):
                continue
            if stable["spec"]["replicas"] != service.get("replicas", 2):
                yield f"{name_of(stable)} has {stable['spec']['replicas']} replicas, not {service.get('replicas', 2)}"

    def _not_there(self, name: str, asked: Asked, status: Mapping[str, Any]) -> Iterator[str]:
        """What a slice that is ready and at rest lacks."""
        wanted = asked.valid.revision
        stable = (status.get("revision") or {}).get("stable")
        phase = (status.get("canary") or {}).get("phase")
        if wanted is not None and stable != wanted.name and phase in ("Idle", None):
            yield f"{wanted.name} is asked for, {stable} is stable, and there is no canary"
        for deployment in self.world.mirror["Deployment"].values():
            if labels_of(deployment).get(SLICE) != name or deleting(deployment):
                continue
            if labels_of(deployment).get("resilientslice.dev/track") == "canary":
                continue
            yield from self._short(deployment)
        for store in self.world.mirror["StatefulSet"].values():
            ours = labels_of(store).get(SLICE) == name and not deleting(store)
            if ours and (store.get("status") or {}).get("readyReplicas", 0) < store["spec"]["replicas"]:
                yield f"{name_of(store)} is not ready"

    def _short(self, deployment: Object) -> Iterator[str]:
        version = variable(deployment["spec"]["template"], VERSION)
        selector = deployment["spec"]["selector"]["matchLabels"]
        pods = [
            pod
            for pod in self.world.mirror["Pod"].values()
            if all(labels_of(pod).get(key) == value for key, value in selector.items())
            and is_ready(pod)
            and not deleting(pod)
            and (not version or variable(pod, VERSION) == version)
        ]
        if len(pods) < deployment["spec"]["replicas"]:
            yield f"{name_of(deployment)} has {len(pods)} of {deployment['spec']['replicas']} ready with its template"

    def _config(
        self, name: str, status: Mapping[str, Any], envoys: list[tuple[Object, ProxyPod]], *, current: bool
    ) -> None:
        config = status.get("config") or {}
        digest, acked = config.get("digest", ""), config.get("acked", 0)
        holders = sum(
            proxy.installer is not None
            and proxy.installer.state.good is not None
            and proxy.installer.state.good.digest == digest
            for _, proxy in self.world.kubelet.proxies(name)
        )
        self._hold(
            (name, "config.acked"),
            acked <= holders,
            SETTLE_SECONDS if current else POLL_SECONDS,
            lambda: f"{acked} claimed, {holders} run {digest}",
        )
        other = len(envoys) - holders
        whole = bool(digest) and acked == config.get("total") and not config.get("rejected")
        self._hold(
            (name, "config.total"),
            not (whole and other > 0),
            POLL_SECONDS,
            lambda: f"{acked}/{config.get('total')} claimed, {other} ready Envoys run something else",
        )

    def _weights(self, name: str, status: Mapping[str, Any], envoys: list[tuple[Object, ProxyPod]]) -> None:
        """`canary.weight` is what every Envoy draws."""
        said = (status.get("canary") or {}).get("weight", 0)
        drawn = sorted({proxy.envoy.routing.weight for _, proxy in envoys if proxy.envoy is not None})
        moves = _truth({"status": status}, "Reconciling") == "True" or _truth({"status": status}, "Stalled") == "True"
        ok = not drawn or drawn == [said]
        patience = POLL_SECONDS if moves else SETTLE_SECONDS
        self._hold((name, "canary.weight"), ok, patience, lambda: f"{said} is claimed, Envoys draw {drawn}")

    def _refusals(self, name: str, asked: Asked, found: Object, status: Mapping[str, Any]) -> None:
        """What is refused, by validation or by Envoys, is said in their words."""
        invalid = asked.last.revision is None
        stalled = condition(found, "Stalled")
        ok = not invalid or (stalled.get("status") == "True" and bool(stalled.get("message")))
        self._hold((name, "invalid and silent"), ok, 5.0, lambda: f"the spec is invalid, Stalled is {dict(stalled)}")
        refused = [
            proxy.envoy.refused
            for pod, proxy in self.world.kubelet.proxies(name)
            if proxy.envoy is not None and proxy.envoy.refused and not deleting(pod) and is_ready(pod)
        ]
        text = " ".join(str(one.get("message", "")) for one in status.get("conditions") or ())
        text += str((status.get("config") or {}).get("rejected", ""))
        ok = not refused or any(words[:40] in text for words in refused)
        self._hold((name, "refused and silent"), ok, POLL_SECONDS, lambda: f"Envoy says {refused}, status {text!r}")
        late = [
            name_of(one)
            for one in self.world.mirror["Deployment"].values()
            if labels_of(one).get(SLICE) == name
            and labels_of(one).get("resilientslice.dev/track") != "canary"
            and condition(one, "Progressing").get("reason") == "ProgressDeadlineExceeded"
        ]
        quiet = _truth(found, "Ready") == "True" and stalled.get("status") != "True"
        self._hold(
            (name, "failed rollout"), not (late and quiet), 5.0, lambda: f"{late} don't get on, and the slice is Ready"
        )

    def _named(self, name: str, asked: Asked, found: Object) -> None:
        """A refusal by the API server that lasts is in the status. By fair time: this slice's clock stands still."""
        faults = [fault for fault in self.world.gateway.faults if fault.share == 1.0 and fault.said()]
        undone = list(self._undone(name, asked.valid)) if faults and self.world.leader else []
        key = (name, UNNAMED)
        text = " ".join(
            str(one.get("message", ""))
            for one in (found.get("status") or {}).get("conditions") or ()
            if one["type"] in ("Stalled", "Reconciling", "Ready")
        )
        if not undone or any(fault.said()[20:60] in text for fault in faults):
            self._since.pop(key, None)
            self._told.discard(key)
            return
        now = self.world.fair.now()
        since = self._since.setdefault(key, now)
        if now - since > 8.0 and key not in self._told:
            self._told.add(key)
            self._find(name, key[1], f"{faults[0].said()!r} for {now - since:.0f} s, {undone}; status says {text!r}")


def _phase(found: Mapping[str, Any]) -> str:
    """Of the canary, as the status says."""
    return str(((found.get("status") or {}).get("canary") or {}).get("phase", ""))


def _truth(found: Mapping[str, Any], kind: str) -> str:
    return str(condition(found, kind).get("status", ""))


def _service_of(name: str, host: str) -> str:
    """`s0-api-canary.chaos.svc…` → `api`."""
    return host.partition(".")[0].removeprefix(f"{name}-").rpartition("-")[0]


def _has_canary(routing: Routing, name: str, service: str) -> bool:
    """A lane of the service leads to a canary, which takes all that is drawn at 100."""
    hosts = {target.host for cluster in routing.canaries() for target in routing.targets[cluster]}
    return any(_service_of(name, host) == service for host in hosts)


def _entry(edit: Edit, service: str) -> Mapping[str, Any] | None:
    return next((one for one in edit.spec["services"] if one["name"] == service), None)


def _replicas(edit: Edit, service: str) -> int | None:
    entry = _entry(edit, service)
    return entry.get("replicas", 2) if entry is not None else None
