"""The five slices of a run as they begin, and edits of their specs: plain changes of plain data, chosen by a seed."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kube.chaos.api import NAMESPACE, Object
from tests.kube.chaos.proxies import ANYWHERE_REFUSED, NEW_ONLY, OLD_ONLY
from tests.kube.chaos.stateful import FIXED, GROWS

from resilientslice.api.slice import API_VERSION, KIND
from resilientslice.api.validation import parse_slice
from resilientslice.render.revision import revision_of

TIMEOUT = "800ms"
GRACE = "2s"
"""Of all pods: what they call outlives them by as much."""
STEPS = [{"weight": 10, "hold": "2s"}, {"weight": 50, "hold": "2s"}]


def service(name: str, **fields: object) -> Object:
    some: Object = {"name": name, "image": f"example.org/{name}:1", "port": 8080, "replicas": 2}
    return {**some, "terminationGracePeriod": GRACE, **fields}


def beginnings() -> dict[str, Object]:
    """Specs by name. They differ in how a revision gets its traffic, in stores, protocol and autoscaling."""
    web = service("web", expose={"pathPrefix": "/"}, dependsOn=["api"])
    worker: Object = {"name": "worker", "image": "example.org/worker:1", "replicas": 1, "terminationGracePeriod": GRACE}
    one: Object = {"proxy": {"replicas": 2}, "resilience": {"timeout": TIMEOUT}}
    redis = {"redis": {"managed": {"storage": "1Gi", "storageClassName": GROWS}}}
    postgres = {"postgres": {"managed": {"storage": "1Gi", "storageClassName": FIXED}}}
    scaled = service("api", autoscaling={"minReplicas": 2, "maxReplicas": 6})
    scaled.pop("replicas")
    found = {
        "pin": {**one, "services": [web, service("api"), worker], "canary": {"weight": 0}},
        "steps": {
            **one,
            "services": [web, service("api")],
            "canary": {"steps": STEPS, "analysis": {"minRequests": 0, "maxErrorPercent": 100}},
        },
        "plain": {**one, "services": [web, service("api", stores=["redis"])], "stores": redis},
        "hpa": {**one, "services": [web, scaled], "canary": {"weight": 0}},
        "store": {
            **one,
            "services": [web, service("api", stores=["postgres"], protocol="GRPC"), worker],
            "stores": postgres,
            "canary": {"weight": 0},
        },
    }
    return {name: json.loads(json.dumps(spec)) for name, spec in found.items()}  # nothing is shared


def revision_name(name: str, spec: Object) -> str:
    metadata = {"name": name, "namespace": NAMESPACE}
    return revision_of(parse_slice({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})).name


@dataclass
class Editor:
    """Edits of one slice's spec. Each returns what it did, or an empty text where it has nothing to do."""

    name: str
    spec: Object
    rng: random.Random
    count: list[int]
    """Shared by all slices, so that no image is named twice."""
    revisions: list[str] = field(default_factory=list)
    """Newest last."""

    def edits(self) -> list[tuple[int, Callable[[], str]]]:
        """With how often each is taken."""
        return [
            (8, self.image),
            (3, self.bad_image),
            (4, self.image_back),
            (6, self.replicas),
            (4, self.port),
            (2, self.protocol),
            (4, self.proxy_image),
            (2, self.proxy_replicas),
            (4, self.refused),
            (3, self.split),
            (4, self.accepted),
            (10, self.weight),
            (6, self.promote),
            (7, self.abort),
            (2, self.pause),
            (2, self.pinless),
            (2, self.canary),
            (2, self.restart),
            (3, self.storage),
            (3, self.extra),
            (2, self.load),
            (2, self.environment),
        ]

    def note(self) -> None:
        """The revision that the spec asks for now."""
        current = revision_name(self.name, self.spec)
        if current not in self.revisions[-1:]:
            self.revisions.append(current)

    def _number(self) -> int:
        self.count[0] += 1
        return self.count[0]

    def _some(self) -> Object:
        found: Object = self.rng.choice(self.spec["services"])
        return found

    def _ported(self) -> Object:
        found: Object = self.rng.choice([one for one in self.spec["services"] if "port" in one])
        return found

    def image(self) -> str:
        one = self._some()
        tag = self.rng.choice(("", "", "slow-"))
        one["image"] = f"example.org/{one['name']}:{tag}{self._number()}"
        return f"{one['name']}'s image is {one['image']}"

    def bad_image(self) -> str:
        one = self._some()
        one["image"] = f"example.org/{one['name']}:{self.rng.choice(('bad', 'missing'))}-{self._number()}"
        return f"{one['name']}'s image is {one['image']}"

    def image_back(self) -> str:
        for one in self.spec["services"]:
            one["image"] = f"example.org/{one['name']}:1"
        return "all images as at first"

    def environment(self) -> str:
        one = self._some()
        one["env"] = [{"name": "COUNT", "value": str(self._number())}]
        return f"{one['name']}'s COUNT is {one['env'][0]['value']}"

    def replicas(self) -> str:
        one = self._some()
        if "autoscaling" in one:
            one["autoscaling"] = {"minReplicas": self.rng.randint(1, 3), "maxReplicas": 6}
            return f"{one['name']}'s minReplicas is {one['autoscaling']['minReplicas']}"
        one["replicas"] = self.rng.choice((1, 2, 2, 3, 4))
        return f"{one['name']} has {one['replicas']} replicas"

    def port(self) -> str:
        one = self._ported()
        one["port"] = self.rng.choice([port for port in (8080, 8081, 8082) if port != one["port"]])
        return f"{one['name']}'s port is {one['port']}"

    def protocol(self) -> str:
        one = next(one for one in self.spec["services"] if one["name"] == "api")
        one["protocol"] = "HTTP" if one.get("protocol") == "GRPC" else "GRPC"
        return f"api speaks {one['protocol']}"

    def proxy_image(self) -> str:
        self.spec["proxy"]["image"] = f"example.org/envoy:{self._number()}-{self.rng.choice(('old', 'new'))}"
        return f"the proxies' image is {self.spec['proxy']['image']}"

    def proxy_replicas(self) -> str:
        self.spec["proxy"]["replicas"] = self.rng.choice((1, 2, 2, 3))
        return f"{self.spec['proxy']['replicas']} proxies"

    def refused(self) -> str:
        self.spec["resilience"]["timeout"] = ANYWHERE_REFUSED
        return f"time-out {ANYWHERE_REFUSED}, which every Envoy refuses"

    def split(self) -> str:
        self.spec["resilience"]["timeout"] = self.rng.choice((NEW_ONLY, OLD_ONLY))
        return f"time-out {self.spec['resilience']['timeout']}, which some Envoys refuse"

    def accepted(self) -> str:
        if self.spec["resilience"]["timeout"] == TIMEOUT:
            return ""
        self.spec["resilience"]["timeout"] = TIMEOUT
        return f"time-out {TIMEOUT} again"

    def weight(self) -> str:
        if "canary" not in self.spec:
            return ""
        self.spec["canary"]["weight"] = self.rng.choice((0, 1, 5, 30, 50, 90, 100))
        return f"weight {self.spec['canary']['weight']}"

    def pinless(self) -> str:
        if "weight" not in self.spec.get("canary", {}):
            return ""
        del self.spec["canary"]["weight"]
        self.spec["canary"]["steps"] = self.spec["canary"].get("steps") or [dict(step) for step in STEPS]
        return "no weight, steps"

    def promote(self) -> str:
        if "canary" not in self.spec:
            return ""
        return self._name("promote", self.rng.choice(self.revisions[-2:]), "abort")

    def abort(self) -> str:
        if "canary" not in self.spec:
            return ""
        return self._name("abort", self.rng.choice((*self.revisions[-1:], *self.revisions[-2:])), "promote")

    def _name(self, field_: str, revision: str, other: str) -> str:
        """Both may not name the same one."""
        self.spec["canary"][field_] = revision
        if self.spec["canary"].get(other) == revision:
            del self.spec["canary"][other]
        return f"{field_} {revision}"

    def pause(self) -> str:
        if "canary" not in self.spec:
            return ""
        self.spec["canary"]["paused"] = not self.spec["canary"].get("paused", False)
        return f"paused {self.spec['canary']['paused']}"

    def canary(self) -> str:
        if "canary" in self.spec:
            del self.spec["canary"]
            return "no canary any more"
        self.spec["canary"] = {"weight": 0}
        return "a canary, weight 0"

    def restart(self) -> str:
        number = self._number()
        self.spec["restartedAt"] = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        return f"restarted at {self.spec['restartedAt']}"

    def storage(self) -> str:
        for store in self.spec.get("stores", {}).values():
            size = int(store["managed"]["storage"].removesuffix("Gi")) + 1
            store["managed"]["storage"] = f"{size}Gi"
            return f"storage {size}Gi"
        return ""

    def extra(self) -> str:
        """A service that others call comes or goes."""
        services, web = self.spec["services"], self.spec["services"][0]
        if any(one["name"] == "extra" for one in services):
            self.spec["services"] = [one for one in services if one["name"] != "extra"]
            web["dependsOn"] = ["api"]
            return "no extra service any more"
        services.append(service("extra", replicas=1))
        web["dependsOn"] = ["api", "extra"]
        return "an extra service"

    def load(self) -> str:
        """Turn autoscaling on or off."""
        one = next(one for one in self.spec["services"] if one["name"] == "api")
        if "autoscaling" in one:
            del one["autoscaling"]
            one["replicas"] = self.rng.choice((2, 3))
            return f"api has {one['replicas']} replicas and no autoscaling"
        one.pop("replicas", None)
        one["autoscaling"] = {"minReplicas": 2, "maxReplicas": 6}
        return "api is scaled by load"

    def mended(self) -> None:
        """Make it all good: what is asked for can be had."""
        for one in self.spec["services"]:
            if ":bad" in one["image"] or ":missing" in one["image"]:
                one["image"] = f"example.org/{one['name']}:{self._number()}"
        self.spec["resilience"]["timeout"] = TIMEOUT
        self.spec["proxy"].pop("image", None)
        self.restart()
        if "canary" in self.spec:
            self.spec["canary"] = {"weight": 100, "promote": revision_name(self.name, self.spec)}
