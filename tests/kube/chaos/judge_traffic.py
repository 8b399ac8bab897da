"""Whether requests are served: each lane of each Envoy by a pod at least, and by as many as were asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import Object
from tests.kube.chaos.asked import Asked, Edit
from tests.kube.chaos.findings import Findings
from tests.kube.chaos.objects import SLICE, deleting, is_ready, labels_of, listens, name_of, uid_of, variable
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.routing import Routing, service_of
from tests.kube.chaos.world import World


@dataclass
class _Reached:
    """Of one service: replicas that served at most since it was asked for that many."""

    capacity: int = 0
    served: bool = False


@dataclass
class TrafficRules:
    world: World
    findings: Findings
    excused: dict[tuple[str, str], float] = field(default_factory=dict)
    """Slice and service → until when (fair seconds) its pods may be missing: someone else took them away."""
    _reached: dict[tuple[str, str], _Reached] = field(default_factory=dict)

    def look(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        self._served(name, asked, envoys)
        self._capacity(name, asked, envoys)

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
                service = service_of(name, targets[0].host)
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
                self.findings.hold(
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
        for service, version in self.world.stable_versions(name).items():
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
            self.findings.hold(
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
                if service_of(name, target.host) != service:
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


def _has_canary(routing: Routing, name: str, service: str) -> bool:
    """A lane of the service leads to a canary, which takes all that is drawn at 100."""
    hosts = {target.host for cluster in routing.canaries() for target in routing.targets[cluster]}
    return any(service_of(name, host) == service for host in hosts)


def _entry(edit: Edit, service: str) -> Mapping[str, Any] | None:
    return next((one for one in edit.spec["services"] if one["name"] == service), None)


def _replicas(edit: Edit, service: str) -> int | None:
    entry = _entry(edit, service)
    return entry.get("replicas", 2) if entry is not None else None
