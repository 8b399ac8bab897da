"""Holds what is against what was asked, over and over: what is broken for longer than it may be is a finding.

Times are on the slice's clock, which stands still while something keeps its operator from acting.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import Object
from tests.kube.chaos.asked import Asked
from tests.kube.chaos.findings import Finding, Findings
from tests.kube.chaos.judge_canaries import CanaryRules
from tests.kube.chaos.judge_status import StatusRules
from tests.kube.chaos.judge_traffic import TrafficRules
from tests.kube.chaos.objects import deleting, is_ready, truth
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.world import World


@dataclass
class Judge:
    world: World
    on_finding: Callable[[Finding], None]
    on_news: Callable[[str], None]
    _words: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings = Findings(self.world, self.on_finding)
        self.canaries = CanaryRules(self.world, self.findings)
        self.traffic = TrafficRules(self.world, self.findings)
        self.status = StatusRules(self.world, self.findings)

    def look(self) -> None:
        self.world.tick()
        self.findings.begin()
        for name, asked in self.world.asked.items():
            if asked.edits and self.world.slice(name) is not None:
                self._slice(name, asked)
        self.findings.end()
        for words in self.world.operators.ended:
            if "could not be renewed" not in words:  # a machine that is too busy
                self.findings.find("", "operator ended", words)
        self.world.operators.ended.clear()
        for words in self.world.kubelet.failures:
            self.findings.find("", "harness", words)
        self.world.kubelet.failures.clear()

    def _slice(self, name: str, asked: Asked) -> None:
        found = self.world.slice(name)
        assert found is not None
        status = found.get("status") or {}
        self._note(asked, status)
        envoys = [(pod, proxy) for pod, proxy in self.world.kubelet.proxies(name) if not deleting(pod)]
        self.canaries.born(name, envoys)
        ready = [(pod, proxy) for pod, proxy in envoys if is_ready(pod)]
        self.canaries.look(name, asked, ready)
        self.traffic.look(name, asked, ready)
        self.status.look(name, asked, found, ready)
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
        if truth({"status": status}, "Ready") == "True" and truth({"status": status}, "Reconciling") == "False":
            asked.settled = True
        wanted = asked.valid.revision
        phase = (status.get("canary") or {}).get("phase")
        current = status.get("observedGeneration") == asked.valid.generation
        if wanted is not None and phase == "Aborted" and current:
            asked.aborted.add(wanted.name)
