"""What the status says is true, and what is refused or fails is in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kube.chaos.api import Object
from tests.kube.chaos.asked import Asked, Edit
from tests.kube.chaos.findings import UNNAMED, Findings
from tests.kube.chaos.objects import VERSION, condition, deleting, is_ready, labels_of, name_of, truth, variable
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.world import World

SETTLE_SECONDS = 3.0
"""Until a status has to follow what it is about."""
POLL_SECONDS = 13.0
"""The same for what only Envoys know and nothing announces: they are asked every ten seconds."""


@dataclass
class StatusRules:
    world: World
    findings: Findings

    def look(self, name: str, asked: Asked, found: Object, envoys: list[tuple[Object, ProxyPod]]) -> None:
        self._claims(name, asked, found, envoys)
        self._weights(name, found.get("status") or {}, envoys)

    def _claims(self, name: str, asked: Asked, found: Object, envoys: list[tuple[Object, ProxyPod]]) -> None:
        status = found.get("status") or {}
        self._generation(name, asked, found)
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        rests = all(
            truth(found, kind) == wanted
            for kind, wanted in (("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False"))
        )
        missing = list(self._not_there(name, asked, status)) if current and rests else []
        self.findings.hold(
            (name, "claims to be current"), not missing, SETTLE_SECONDS, lambda: f"Ready, at rest, but {missing}"
        )
        self._config(name, status, envoys, current=current)
        self._refusals(name, asked, found, status)
        self._named(name, asked, found)

    def _generation(self, name: str, asked: Asked, found: Object) -> None:
        status = found.get("status") or {}
        observed, generation = status.get("observedGeneration", 0), found["metadata"]["generation"]
        ahead = observed > generation
        self.findings.hold((name, "observedGeneration"), not ahead, 0.0, lambda: f"{observed} of {generation}")
        current = observed == generation == asked.last.generation and asked.last.revision is not None
        stalled = truth(found, "Stalled") == "True"
        undone = list(self._undone(name, asked.last)) if current and not stalled else []
        self.findings.hold((name, "observed but not done"), not undone, 1.0, lambda: f"generation {observed}: {undone}")

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
            if labels_of(deployment).get("resilientslice.dev/slice") != name or deleting(deployment):
                continue
            if labels_of(deployment).get("resilientslice.dev/track") == "canary":
                continue
            yield from self._short(deployment)
        for store in self.world.mirror["StatefulSet"].values():
            ours = labels_of(store).get("resilientslice.dev/slice") == name and not deleting(store)
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
        self.findings.hold(
            (name, "config.acked"),
            acked <= holders,
            SETTLE_SECONDS if current else POLL_SECONDS,
            lambda: f"{acked} claimed, {holders} run {digest}",
        )
        other = len(envoys) - holders
        whole = bool(digest) and acked == config.get("total") and not config.get("rejected")
        self.findings.hold(
            (name, "config.total"),
            not (whole and other > 0),
            POLL_SECONDS,
            lambda: f"{acked}/{config.get('total')} claimed, {other} ready Envoys run something else",
        )

    def _weights(self, name: str, status: Mapping[str, Any], envoys: list[tuple[Object, ProxyPod]]) -> None:
        """`canary.weight` is what every Envoy draws."""
        said = (status.get("canary") or {}).get("weight", 0)
        drawn = sorted({proxy.envoy.routing.weight for _, proxy in envoys if proxy.envoy is not None})
        moves = truth({"status": status}, "Reconciling") == "True" or truth({"status": status}, "Stalled") == "True"
        ok = not drawn or drawn == [said]
        patience = POLL_SECONDS if moves else SETTLE_SECONDS
        self.findings.hold((name, "canary.weight"), ok, patience, lambda: f"{said} is claimed, Envoys draw {drawn}")

    def _refusals(self, name: str, asked: Asked, found: Object, status: Mapping[str, Any]) -> None:
        """What is refused, by validation or by Envoys, is said in their words."""
        invalid = asked.last.revision is None
        stalled = condition(found, "Stalled")
        ok = not invalid or (stalled.get("status") == "True" and bool(stalled.get("message")))
        self.findings.hold(
            (name, "invalid and silent"), ok, 5.0, lambda: f"the spec is invalid, Stalled is {dict(stalled)}"
        )
        refused = [
            proxy.envoy.refused
            for pod, proxy in self.world.kubelet.proxies(name)
            if proxy.envoy is not None and proxy.envoy.refused and not deleting(pod) and is_ready(pod)
        ]
        text = " ".join(str(one.get("message", "")) for one in status.get("conditions") or ())
        text += str((status.get("config") or {}).get("rejected", ""))
        ok = not refused or any(words[:40] in text for words in refused)
        self.findings.hold(
            (name, "refused and silent"), ok, POLL_SECONDS, lambda: f"Envoy says {refused}, status {text!r}"
        )
        late = [
            name_of(one)
            for one in self.world.mirror["Deployment"].values()
            if labels_of(one).get("resilientslice.dev/slice") == name
            and labels_of(one).get("resilientslice.dev/track") != "canary"
            and condition(one, "Progressing").get("reason") == "ProgressDeadlineExceeded"
        ]
        quiet = truth(found, "Ready") == "True" and stalled.get("status") != "True"
        self.findings.hold(
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
            self.findings.release(key)
            return
        late = self.findings.overdue(key, self.world.fair.now(), 8.0)
        if late is not None:
            self.findings.find(name, key[1], f"{faults[0].said()!r} for {late:.0f} s, {undone}; status says {text!r}")
