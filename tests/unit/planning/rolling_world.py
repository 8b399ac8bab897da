"""A cluster whose controllers lag: Deployments roll pod by pod, Envoys answer late, and every pod's calls are traced.

What a pod calls is what its own revision told it, as long as it runs, the time included in which it ends.
"""

import copy
import json
from dataclasses import dataclass, field, replace
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Phase
from resilientslice.planning.observed import Envoys, Observed, Proxies, Workload
from resilientslice.planning.plan import Plan, plan
from resilientslice.planning.wanted_revision import wanted_revision
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.names import Track
from resilientslice.render.proxy import cluster_topology
from resilientslice.render.revision import Revision

SPEC: dict[str, Any] = {
    "services": [
        {"name": "api", "image": "api:1", "port": 8080, "expose": {"pathPrefix": "/"}, "dependsOn": ["payments"]},
        {"name": "payments", "image": "payments:1", "port": 8080, "dependsOn": ["ledger"]},
        {"name": "ledger", "image": "ledger:1", "port": 8080},
        {"name": "worker", "image": "worker:1", "dependsOn": ["payments"]},
    ]
}
LEAST = 2
GRACE = 35.0
Key = tuple[str, Track]


@dataclass
class Pod:
    digest: str
    listens: tuple[int, str] | None
    calls: dict[str, int]
    bad: bool
    ready: bool = False
    ends: float | None = None


@dataclass
class Deployment:
    replicas: int
    digest: str
    template: Pod
    generation: int = 1
    template_generation: int = 1
    observed: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    """Replicas, updated, ready, as of `observed`."""
    pods: list[Pod] = field(default_factory=list)

    def serving(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.ready and pod.ends is None]

    def control(self, now: float) -> None:
        """One look of its controller: count, then one step of a rolling update with a surge of one."""
        there = [pod for pod in self.pods if pod.ends is None]
        new = [pod for pod in there if pod.digest == self.digest]
        old = [pod for pod in there if pod.digest != self.digest]
        if len(new) < self.replicas and len(there) < self.replicas + bool(old):
            new.append(copy.copy(self.template))
            self.pods.append(new[-1])
        elif len(new) > self.replicas:
            min(new, key=lambda pod: pod.ready).ends = now + GRACE
        elif old and (not all(p.ready for p in old) or len(self.serving()) > self.replicas):
            min(old, key=lambda pod: pod.ready).ends = now + GRACE
        there = [pod for pod in self.pods if pod.ends is None]
        updated = [pod for pod in there if pod.digest == self.digest]
        self.observed, self.counts = self.generation, (len(there), len(updated), len(self.serving()))

    def workload(self) -> Workload:
        total, updated, ready = self.counts
        counted = self.observed >= self.template_generation
        return Workload(self.replicas, ready, updated, self.digest, max(0, total - updated), counted)


@dataclass
class World:
    """`deaf` Envoys continue with what they run."""

    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    now: float = 1000.0
    deaf: int = 0
    deployments: dict[Key, Deployment] = field(default_factory=dict)
    envoys: list[EnvoyConfig | None] = field(default_factory=lambda: [None, None])
    observed: Observed = field(default_factory=Observed)
    plan: Plan | None = None
    proven: set[str] = field(default_factory=set)
    """Services that had a ready pod with a port once."""

    def slice_(self) -> ResilientSlice:
        document = {
            "apiVersion": "resilientslice.dev/v1alpha1",
            "kind": "ResilientSlice",
            "metadata": {"name": "shop"},
            "spec": self.spec,
        }
        return ResilientSlice.model_validate_json(json.dumps(document))

    def service(self, name: str) -> dict[str, Any] | None:
        return next((service for service in self.spec["services"] if service["name"] == name), None)

    def wanted(self) -> str:
        return wanted_revision(self.slice_(), self.observed.memory).name

    def reconcile(self) -> Plan:
        """Passes until the Envoys that answer have nothing new to take."""
        for _ in range(4):
            before = self.plan
            acked = {f"proxy-{n}": config.digest for n, config in enumerate(self.envoys) if config is not None}
            workloads = {key: one.workload() for key, one in self.deployments.items()}
            envoys = Envoys(Proxies(len(self.envoys), acked), active=0)
            self.observed = replace(self.observed, workloads=workloads, envoys=envoys)
            self.plan = plan(self.slice_(), self.observed, self.now, place=cluster_topology)
            self._rises(before, self.plan)
            self.observed = replace(self.observed, memory=self.plan.memory)
            config = self.plan.desired.envoy
            self.envoys = [old if n < self.deaf else config for n, old in enumerate(self.envoys)]
            self._apply(self.plan)
            self.check()
            if before is not None and before.desired.envoy.digest == config.digest:
                break
        return self.plan

    def control(self) -> None:
        for deployment in self.deployments.values():
            deployment.control(self.now)
        self.check()

    def start_pods(self) -> None:
        for (name, _), deployment in self.deployments.items():
            for pod in deployment.pods:
                pod.ready = pod.ready or not pod.bad
                if pod.ready and pod.listens is not None:
                    self.proven.add(name)
        self.check()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for deployment in self.deployments.values():
            deployment.pods = [pod for pod in deployment.pods if pod.ends is None or pod.ends > self.now]

    def run(self, rounds: int = 1) -> None:
        """Everybody does what they have to, each in turn."""
        for _ in range(rounds):
            self.reconcile()
            self.control()
            self.start_pods()
            self.control()
            self.wait(1.0)

    def rest(self) -> None:
        """Until nothing happens any more."""
        for _ in range(100):
            before = self.observed
            self.run()
            if self.observed == before and self.observed.memory.state.phase is Phase.IDLE:
                return
        raise AssertionError(f"never rests: {self.observed.memory.state}")

    def scale(self, name: str, wish: int) -> None:
        """An autoscaler's doing, within its bounds."""
        scalers = [one for one in self.plan.desired.objects if one["kind"] == "HorizontalPodAutoscaler"]
        bounds = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in scalers}
        for (service, track), deployment in self.deployments.items():
            limits = bounds.get(f"shop-{service}-{track}")
            if service == name and limits:
                self._scale(deployment, min(max(wish, limits["minReplicas"]), limits["maxReplicas"]))

    def _scale(self, deployment: Deployment, replicas: int) -> None:
        if deployment.replicas != replicas:
            deployment.replicas = replicas
            deployment.generation += 1

    def _apply(self, made: Plan) -> None:
        desired = made.desired
        objects = {one["metadata"]["name"]: one for one in desired.objects if one["kind"] == "Deployment"}
        scalers = {one["metadata"]["name"]: one for one in desired.objects if one["kind"] == "HorizontalPodAutoscaler"}
        found: dict[Key, tuple[Revision, Any]] = {}
        for name in desired.stable.services:
            found[name, Track.STABLE] = desired.stable, objects.get(f"shop-{name}-stable")
        if desired.canary:
            for name in desired.canary.services:
                found[name, Track.CANARY] = desired.canary.revision, objects.get(f"shop-{name}-canary")
        for key, (revision, one) in found.items():
            if one is not None:
                least = scalers.get(one["metadata"]["name"], {"spec": {"minReplicas": None}})["spec"]["minReplicas"]
                self._want(key, revision, one["spec"].get("replicas"), least)
        for key in [key for key in self.deployments if found.get(key, (None, None))[1] is None]:
            del self.deployments[key]

    def _want(self, key: Key, revision: Revision, replicas: int | None, least: int | None) -> None:
        service = revision.services[key[0]]
        spec = service.spec
        content = revision.content.get(key[0]) or _content_of(self.observed.memory.leaving, key[0])
        listens = (spec.port, spec.protocol.value) if spec.port is not None else None
        template = Pod(service.digest, listens, dict(content.get("calls", {})), spec.image.endswith("bad"))
        there = self.deployments.get(key)
        if there is None:
            self.deployments[key] = Deployment(replicas or least or LEAST, service.digest, template)
            return
        if there.digest != service.digest:
            there.digest, there.template = service.digest, template
            there.generation += 1
            there.template_generation = there.generation
        self._scale(there, replicas if replicas is not None else max(there.replicas, least or 0))

    def _rises(self, before: Plan | None, after: Plan) -> None:
        was, now = (_weight(made) if made is not None else 0 for made in (before, after))
        if now > was:
            assert self.observed.envoys.proxies.all_run(self.observed.memory.config), "more weight than Envoys know of"
            canary = after.desired.canary
            for name in canary.services:
                assert len(self.deployments[name, Track.CANARY].serving()) >= LEAST, "more weight than pods"
        if now and after.memory.state.phase is not Phase.PROMOTING:
            assert after.desired.canary.revision.name == self.wanted(), "traffic to what nobody wants"

    def check(self) -> None:
        """Every call of every pod finds pods that listen where it is sent, in every Envoy.

        Not of a slice that never was ready, nor to a service that never was: a plain update starts it beside callers.
        """
        if self.plan is None or not (self.plan.memory.history or self.plan.memory.state.settled):
            return
        edges, calls = _edges(self.plan), {call for call in self._calls() if call[1] in self.proven}
        for config in self.envoys:
            if config is None:
                continue
            lags = config.digest != self.plan.desired.envoy.digest
            self._routed(config, "api", front=True)
            for caller, callee, port in sorted(calls):
                assert (caller, callee, port) in edges, f"{caller} may not call {callee}:{port} any more"
                self._routed(config, callee, lags=lags)

    def _calls(self) -> set[tuple[str, str, int]]:
        """Caller, callee and port, by pods that requests may have come to: no canary that was replaced unseen."""
        return {
            (name, callee, port)
            for (name, track), deployment in self.deployments.items()
            for pod in deployment.pods
            if pod.ready and (track is Track.STABLE or pod.digest == deployment.digest)
            for callee, port in pod.calls.items()
        }

    def _routed(self, config: EnvoyConfig, service: str, *, front: bool = False, lags: bool = False) -> None:
        name = "front" if front else service
        table = next((one for one in config.routes if one["name"] == name), None)
        if table is None:
            assert lags, f"nobody listens for {service}"
            return
        for cluster in _drawn(table, service):
            self._hosts(config, service, cluster)

    def _hosts(self, config: EnvoyConfig, service: str, cluster: str) -> None:
        known = {one["name"]: one for one in config.clusters}
        tracks = [Track.CANARY, Track.STABLE] if cluster.endswith("-failover") else [Track(cluster.rpartition("-")[2])]
        found = 0
        for track in tracks:
            deployment = self.deployments.get((service, track))
            serving = deployment.serving() if deployment else []
            aim = _aim(known[f"{service}-{track}"])
            if track is tracks[0]:
                wrong = [pod.listens for pod in serving if pod.listens != aim]
                assert not wrong, f"{service}-{track} is aimed at {aim}, its pods listen at {wrong}"
            found += sum(pod.listens == aim for pod in serving)
        assert found >= LEAST, f"{cluster} has {found} pods"


def _content_of(revisions: tuple[Revision, ...], name: str) -> dict[str, Any]:
    return next((dict(one.content[name]) for one in revisions if name in one.content), {})


def _weight(made: Plan) -> int:
    canary = made.desired.canary
    return canary.weight if canary is not None and canary.live else 0


def _aim(cluster: dict[str, Any]) -> tuple[int, str]:
    (locality,) = cluster["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    protocol = "GRPC" if "http2_protocol_options" in options["explicit_http_config"] else "HTTP"
    return host["endpoint"]["address"]["socket_address"]["port_value"], protocol


def _drawn(table: dict[str, Any], service: str) -> set[str]:
    """Clusters that requests without any header are sent to."""
    found: set[str] = set()
    for route in table["virtual_hosts"][0]["routes"]:
        name = route.get("name", "")
        if not name.startswith(f"{service}/") or " header " in name or " canary " in name:
            continue
        percent = route["match"].get("runtime_fraction", {}).get("default_value", {}).get("numerator", 100)
        if percent:
            found.add(route["route"]["cluster"])
        if percent == 100 and " drawn " in name:
            return found
    return found


def _edges(made: Plan) -> set[tuple[str, str, int]]:
    """Caller, callee and the port that its Service has, where a NetworkPolicy lets the caller through."""
    objects = {(one["kind"], one["metadata"]["name"]): one for one in made.desired.objects}
    proxies = objects["NetworkPolicy", "shop-proxy"]["spec"]["ingress"]
    allowed = {
        (peer["podSelector"]["matchLabels"].get("resilientslice.dev/service"), port["port"])
        for rule in proxies
        for peer in rule.get("from", ())
        for port in rule["ports"]
    }
    return {
        (caller, name.removeprefix("shop-"), port["port"])
        for (kind, name), one in objects.items()
        if kind == "Service" and one["spec"].get("clusterIP") != "None"
        for port in one["spec"]["ports"]
        for caller, target in allowed
        if target == port["targetPort"] and caller
    }
