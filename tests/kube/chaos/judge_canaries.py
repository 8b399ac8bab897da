"""Which version gets which share of requests, and which becomes stable: no more than someone asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import Object
from tests.kube.chaos.asked import Asked
from tests.kube.chaos.findings import Findings
from tests.kube.chaos.objects import VERSION, name_of, serving, uid_of, variable
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.routing import service_of
from tests.kube.chaos.world import World


@dataclass
class CanaryRules:
    world: World
    findings: Findings
    aborts: list[tuple[float, str]] = field(default_factory=list)
    """Seconds on the slice's clock from each abort of a canary that was routed to until no Envoy did, and its name."""
    _born: dict[str, float] = field(default_factory=dict)
    _aborting: dict[tuple[str, str], float] = field(default_factory=dict)

    def born(self, name: str, envoys: list[tuple[Object, ProxyPod]]) -> None:
        """Envoys that are there, ready or not: a new one is given a moment."""
        for pod, _ in envoys:
            self._born.setdefault(uid_of(pod), self.world.now(name))

    def look(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        self._canaries(name, asked, envoys)
        self._promoted(name, asked)

    def _canaries(self, name: str, asked: Asked, envoys: list[tuple[Object, ProxyPod]]) -> None:
        now, routed = self.world.now(name), set[str]()
        for pod, proxy in envoys:
            if proxy.envoy is None or now - self._born[uid_of(pod)] < 2.0:
                continue
            routing = proxy.envoy.routing
            for cluster in sorted(routing.canaries()):
                for target in routing.targets[cluster]:
                    service = service_of(name, target.host)
                    versions = {variable(one, VERSION) for one in serving(self.world.kubelet.behind(target))}
                    for version in sorted(versions):
                        routed.add(version)
                        words = self._unwanted(name, asked, service, version, routing.weight)
                        key = (name, "unwanted canary", service, version, name_of(pod))
                        self.findings.hold(key, not words, 0.3, lambda words=words: words)

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
        stable = self.world.stable_versions(name).get(service)
        if version == stable:
            return ""  # it was promoted: the canary keeps serving until stable has followed
        owners = [
            revision.name
            for revision in asked.revisions().values()
            if service in revision.services and revision.services[service].digest == version
        ]
        promotes = _phase(self.world.slice(name) or {}) == "Promoting"
        if promotes and any(asked.may_be_stable(owner) for owner in owners):
            return ""  # it was promoted, and another one since: it keeps serving until stable has followed that
        most = [found for found in (asked.most_weight(owner, now) for owner in owners) if found is not None]
        if not most:
            return f"an Envoy routes to {version} (of {', '.join(owners) or 'nobody knows'}), which nobody asks for"
        if weight > max(most):
            return f"an Envoy draws {weight} % for {version} of {', '.join(owners)}, at most {max(most)} was asked for"
        return ""

    def _promoted(self, name: str, asked: Asked) -> None:
        for service, version in self.world.stable_versions(name).items():
            owners = [
                revision.name
                for revision in asked.revisions().values()
                if service in revision.services and revision.services[service].digest == version
            ]
            ok = any(asked.may_be_stable(owner) for owner in owners)
            said = ", ".join(owners) or "nobody knows"
            self.findings.hold(
                (name, "promoted by nobody", service, version),
                ok,
                0.0,
                lambda said=said, version=version: f"stable is to run {version} (of {said}), which nobody promoted",
            )


def _phase(found: Mapping[str, Any]) -> str:
    """Of the canary, as the status says."""
    return str(((found.get("status") or {}).get("canary") or {}).get("phase", ""))
