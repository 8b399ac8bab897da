"""The life of slices, played to an operator: what makes it use every right that it has."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from resilientslice.kube.kinds import (
    CNPG_CLUSTER,
    DEPLOYMENT,
    EVENT,
    RESILIENT_SLICE,
    SECRET,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
    Object,
)
from testkit.files import ROOT
from testkit.slice_editor import MERGE
from testkit.stage import Stage
from testkit.waiting import StartError, eventually

SPACE, NAME = "shop", "shop"
Status = Mapping[str, Any]


def shop() -> Object:
    """The sample with a front, an autoscaler and a disruption budget."""
    made: Object = yaml.safe_load(Path(ROOT / "samples" / "shop.yaml").read_text())
    made["metadata"]["namespace"] = SPACE
    made["spec"]["front"] = {"kind": "Ingress", "hosts": ["shop.example.org"]}
    payments = _service(made["spec"]["services"], "payments")
    del payments["replicas"]
    payments["autoscaling"] = {"minReplicas": 2, "maxReplicas": 4, "targetCPUUtilizationPercentage": 70}
    return made


def clustered() -> Object:
    """One whose PostgreSQL is CloudNativePG's."""
    service = {"name": "web", "image": "example.org/web:1", "port": 8000, "expose": {}, "stores": ["postgres"]}
    return {
        "apiVersion": RESILIENT_SLICE.api_version,
        "kind": RESILIENT_SLICE.kind,
        "metadata": {"name": "ledger", "namespace": SPACE},
        "spec": {
            "services": [service],
            "proxy": {"replicas": 1},
            "stores": {"postgres": {"cnpg": {"instances": 3, "storage": "1Gi"}}},
        },
    }


def cnpg_crd() -> str:
    """As much of CloudNativePG as the API server needs."""
    kind = CNPG_CLUSTER
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind.kind, "listKind": "ClusterList", "plural": kind.plural, "singular": "cluster"}
    made = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    return yaml.safe_dump(made)


class Life:
    """Edits slices as people do, and waits until their status says that it was done."""

    def __init__(self, at: Stage) -> None:
        self.at = at

    async def live(self) -> None:
        """The whole of it, up to the slice's end; the operator is restarted on the way."""
        await self.stores_follow_the_policy()
        await self.canaries()
        await self.children_are_kept()
        await self.becomes_less()
        await self.another_store()
        await self.restart()
        await self.at.client.delete(RESILIENT_SLICE, SPACE, NAME)
        await self._until(lambda: self.at.operator.metric("slices") == 1, "the slice is forgotten")

    async def stores_follow_the_policy(self) -> None:
        volume = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"namespace": SPACE, "name": f"data-{NAME}-postgres-0"}
        claim = {"apiVersion": "v1", "kind": VOLUME_CLAIM.kind, "metadata": metadata, "spec": volume}
        await self.at.client.create(claim)
        for policy, owners in (("Delete", 1), ("Retain", 0)):
            await self.edit({"deletionPolicy": policy})
            for kind, name in ((SECRET, f"{NAME}-postgres"), (VOLUME_CLAIM, metadata["name"])):
                await self._owned(kind, name, owners)

    async def canaries(self) -> None:
        await self.new_image("payments", "2.0.0")
        await self.edit({"canary": {"weight": 30}})
        await self.until(lambda status: status["canary"]["weight"] == 30, "30 % go to the canary")
        canary = (await self.status())["revision"]["canary"]
        await self.edit({"canary": {"abort": canary}})
        await self.until(lambda status: status["canary"]["phase"] == "Aborted", "the canary was aborted")
        await self.new_image("payments", "3.0.0")
        canary = (await self.status())["revision"]["canary"]
        await self.edit({"canary": {"promote": canary}})
        await self.until(lambda status: status["revision"]["stable"] == canary, "the canary was promoted")
        await self.until(ready, "the slice is at rest again")

    async def children_are_kept(self) -> None:
        name = f"{NAME}-api-stable"
        await self.patch(DEPLOYMENT, name, {"spec": {"replicas": 7}})
        await self._until_object(DEPLOYMENT, name, lambda found: found["spec"]["replicas"] == 2)
        before = (await self.at.client.get(SERVICE, SPACE, f"{NAME}-payments"))["metadata"]["uid"]
        await self.at.client.delete(SERVICE, SPACE, f"{NAME}-payments")
        await self._until_object(SERVICE, f"{NAME}-payments", lambda found: found["metadata"]["uid"] != before)

    async def becomes_less(self) -> None:
        """Without front, canary, autoscaler, budget, Redis, and two of its services."""
        services = shop()["spec"]["services"]
        api, payments = _service(services, "api"), _service(services, "payments")
        api |= {"dependsOn": ["payments"], "stores": [], "replicas": 1}
        del payments["autoscaling"]
        payments |= {"replicas": 1}
        less = {"services": [api, payments], "front": None, "canary": None, "stores": {"redis": None}}
        await self.edit(less)
        await self.until(lambda status: len(status["services"]) == 2 and ready(status), "it became less")

    async def another_store(self) -> None:
        name = "ledger-postgres"
        await self.at.client.create(clustered())
        await self._until_object(CNPG_CLUSTER, name, lambda found: found["spec"]["instances"] == 3)
        service = {**clustered()["spec"]["services"][0], "stores": []}
        await self.edit({"services": [service], "stores": None}, of="ledger")

        async def gone() -> bool:
            return await self.at.client.find(CNPG_CLUSTER, SPACE, name) is None

        await self._wait(gone, "the cluster of the store that was removed is gone")

    async def restart(self) -> None:
        await asyncio.to_thread(self.at.operator.stop)
        await asyncio.to_thread(self.at.operator.start)
        await self._until(lambda: self.at.operator.passes() >= 2, "each slice was looked at")

    async def new_image(self, of: str, tag: str) -> None:
        """Returns when a canary of it is live."""
        spec = (await self.at.client.get(RESILIENT_SLICE, SPACE, NAME))["spec"]
        known = (await self.status()).get("revision", {}).get("canary")
        _service(spec["services"], of)["image"] = f"example.org/shop/{of}:{tag}"
        await self.edit({"services": spec["services"], "canary": {"abort": None, "weight": 0}})

        def live(status: Status) -> bool:
            canary = status["revision"].get("canary")
            return bool(canary) and canary != known and any(s.get("canaryReady") for s in status["services"])

        await self.until(live, f"a canary of {of}:{tag} is live")

    async def edit(self, spec: Object, of: str = NAME) -> None:
        await self.patch(RESILIENT_SLICE, of, {"spec": spec})

    async def patch(self, kind: Kind, name: str, change: Object) -> None:
        path = kind.path(SPACE, name)
        await self.at.session.request("PATCH", path, kind=kind, what=name, body=change, content_type=MERGE)

    async def status(self) -> Status:
        found: Status = (await self.at.client.get(RESILIENT_SLICE, SPACE, NAME)).get("status") or {}
        return found

    async def until(self, holds: Callable[[Status], bool], what: str) -> None:
        """Of a status of the slice's current generation."""

        async def now() -> bool:
            found = await self.at.client.get(RESILIENT_SLICE, SPACE, NAME)
            status = found.get("status") or {}
            return status.get("observedGeneration") == found["metadata"]["generation"] and holds(status)

        await self._wait(now, what)

    async def _owned(self, kind: Kind, name: str, owners: int) -> None:
        what = f"{owners} owner(s)"
        await self._until_object(
            kind, name, lambda found: len(found["metadata"].get("ownerReferences") or ()) == owners, what
        )

    async def _until_object(
        self, kind: Kind, name: str, holds: Callable[[Object], bool], what: str = "as it should be"
    ) -> None:
        async def now() -> bool:
            found = await self.at.client.find(kind, SPACE, name)
            return found is not None and holds(found)

        await self._wait(now, f"{kind} {name}: {what}")

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        await self._wait(lambda: asyncio.to_thread(holds), what)

    async def _wait(self, probe: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            await eventually(probe, what)
        except StartError as error:
            raise AssertionError(f"{error}\n{await self.status()}\n{self.at.operator.said()}") from error

    async def told(self) -> int:
        """Events about the slices."""
        return len(await self.at.client.list_all(EVENT, SPACE))


def ready(status: Status) -> bool:
    return bool(status.get("phase") == "Ready")


def _service(services: list[Object], name: str) -> Object:
    return next(service for service in services if service["name"] == name)
