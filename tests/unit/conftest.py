"""A cluster in miniature: it carries plans out, lets pods start and Envoys answer, and hands back what it sees."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import pytest

from resilientslice.api.conditions import CONDITIONS, may_give
from resilientslice.api.reasons import Reason
from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Event, Phase
from resilientslice.planning.desired import Desired
from resilientslice.planning.observed import Envoys, Observed, Proxies, Refusal, Workload
from resilientslice.planning.plan import Plan, plan
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.names import Track
from resilientslice.render.proxy import cluster_topology

SPEC: dict[str, Any] = {
    "services": [
        {
            "name": "api",
            "image": "example.org/api:1",
            "port": 8080,
            "expose": {"pathPrefix": "/"},
            "dependsOn": ["payments"],
        },
        {"name": "payments", "image": "example.org/payments:1", "port": 8080, "replicas": 3},
        {"name": "worker", "image": "example.org/worker:1", "replicas": 1},
    ],
    "canary": {},
}
IDLE = Phase.IDLE
KINDS = {kind.type.value: kind for kind in CONDITIONS}
ENVOYS = ("proxy-0", "proxy-1")


@dataclass
class Cluster:
    """`pods_start`: applied templates become ready; `envoys_answer`: each Envoy runs what it is told."""

    spec: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SPEC))
    now: float = 1000.0
    pods_start: bool = True
    envoys_answer: bool = True
    generation: int = 1
    sent: str = ""
    refuses: Callable[[EnvoyConfig], str] = lambda config: ""
    """Words with which every Envoy refuses a configuration; empty for one that it runs."""
    offered: list[EnvoyConfig] = field(default_factory=list)
    """Configurations that the Envoys were handed."""
    ran: Mapping[str, str] = field(default_factory=dict)
    observed: Observed = field(
        default_factory=lambda: Observed(envoys=Envoys(Proxies(total=2, instances=frozenset(ENVOYS)), active=0))
    )
    plan: Plan | None = None
    events: list[Event] = field(default_factory=list)

    def slice_(self) -> ResilientSlice:
        status = self.plan.status.model_dump(mode="json", by_alias=True) if self.plan else {}
        metadata = {"name": "shop", "generation": self.generation}
        document = {
            "apiVersion": "resilientslice.dev/v1alpha1",
            "kind": "ResilientSlice",
            "metadata": metadata,
            "spec": self.spec,
            "status": status,
        }
        return ResilientSlice.model_validate_json(json.dumps(document))

    def edit(self, *, canary: Mapping[str, Any] | None = None, images: Mapping[str, str] | None = None) -> Self:
        """Change fields of `spec.canary` and tags of images."""
        self.generation += 1
        if canary is not None:
            self.spec["canary"] = {**(self.spec.get("canary") or {}), **canary}
        for name, tag in (images or {}).items():
            self.service(name)["image"] = f"example.org/{name}:{tag}"
        return self

    def service(self, name: str) -> dict[str, Any]:
        return next(service for service in self.spec["services"] if service["name"] == name)

    def reconcile(self) -> Plan:
        """One pass, carried out. After a pass in which nothing happened, a second look must change nothing."""
        slice_ = self.slice_()
        untouched = slice_.model_copy(deep=True)
        made = plan(slice_, self.observed, self.now, place=cluster_topology)
        assert slice_ == untouched, "the resource was written to"
        for condition in made.status.conditions:
            kind = KINDS.get(condition.type)
            assert kind is None or may_give(kind, Reason.of(condition.reason)), (
                f"api/conditions.py: {condition.type} does not declare {condition.reason}"
            )
        if not made.events:
            self._look_again(slice_.model_copy(update={"status": made.status}), made)
        self.plan = made
        self.events += made.events
        self.observed = replace(self.observed, memory=made.memory)
        if made.desired is not None:
            self._carry_out(made.desired)
        return made

    def _look_again(self, slice_: ResilientSlice, made: Plan) -> None:
        observed = replace(self.observed, memory=made.memory)
        again = plan(slice_, observed, self.now, place=cluster_topology)
        assert (again.memory, again.events, again.next_deadline) == (made.memory, (), made.next_deadline)

    def settle(self, seconds: float = 0.0) -> Plan:
        """Passes until nothing happens any more, then `seconds` later again."""
        made = self._rest()
        if seconds:
            self.now += seconds
            made = self._rest()
        return made

    def _rest(self) -> Plan:
        for _ in range(30):
            before = self.observed
            made = self.reconcile()
            if self.observed == before:
                return made
        raise AssertionError(f"never settles: {made.status.canary}")

    def _carry_out(self, desired: Desired) -> None:
        wanted = {(name, Track.STABLE): service for name, service in desired.stable.services.items()}
        if desired.canary:
            for name in desired.canary.services:
                wanted[name, Track.CANARY] = desired.canary.revision.services[name]
        workloads = {
            key: self._workload(key, service.digest, service.spec.replicas or 2) for key, service in wanted.items()
        }
        self._hand(desired.envoy)
        self.observed = replace(self.observed, workloads=workloads)

    def _hand(self, config: EnvoyConfig) -> None:
        """To Envoys that have neither run nor refused it."""
        proxies = self.observed.envoys.proxies
        if not proxies.owe(config.digest):
            return
        if config.digest != self.sent:
            proxies = replace(proxies, acked={})
        self.sent = config.digest
        self.offered.append(config)
        if self.envoys_answer and (words := self.refuses(config)):
            refusals = (*proxies.refusals, *(Refusal(name, config.digest, words) for name in ENVOYS))
            proxies = replace(proxies, acked=self.ran, refusals=refusals)
        elif self.envoys_answer:
            proxies = replace(proxies, acked=dict.fromkeys(ENVOYS, config.digest))
            self.ran = proxies.acked
        self.see(proxies=proxies)

    def _workload(self, key: tuple[str, Track], digest: str, desired: int) -> Workload:
        before = self.observed.workloads.get(key)
        if self.pods_start:
            return Workload(desired, desired, desired, digest)
        if before is None:
            return Workload(desired, 0, desired, digest)
        if before.digest != digest:
            return Workload(desired, before.ready, 0, digest, outdated=before.ready)
        return replace(before, desired=desired)

    def see(self, **seen: Any) -> Self:
        """Fields of `Observed`, or of its `Envoys`."""
        of_envoys = {field.name for field in fields(Envoys)}
        envoys = replace(self.observed.envoys, **{name: seen.pop(name) for name in list(seen) if name in of_envoys})
        self.observed = replace(self.observed, envoys=envoys, **seen)
        return self

    def deployments(self) -> dict[str, Any]:
        """Name → pod template of every Deployment of a service that the last plan asked for."""
        assert self.plan is not None
        assert self.plan.desired is not None
        return {
            made["metadata"]["name"]: made["spec"]["template"]
            for made in self.plan.desired.objects
            if made["kind"] == "Deployment" and made["metadata"]["name"] != "shop-proxy"
        }

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        assert self.plan is not None
        found = next(condition for condition in self.plan.status.conditions if condition.type == kind)
        return found.status, found.reason


@pytest.fixture
def fresh() -> Cluster:
    """Nothing has been applied yet."""
    return Cluster()


@pytest.fixture
def cluster() -> Cluster:
    """The first revision is up."""
    made = Cluster()
    made.settle()
    made.events.clear()
    return made


@pytest.fixture(scope="session")
def new_cluster() -> Callable[..., Cluster]:
    return Cluster
