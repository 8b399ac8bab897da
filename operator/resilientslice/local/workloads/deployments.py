"""Reads a rendered Deployment as what this machine runs for it. Pure: its input has what the files say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resilientslice.local.processes.environment import Pod, Values, Variable, container_variables
from resilientslice.local.workloads.probes import ProbeSet, parse_probe
from resilientslice.local.workloads.procfile import Procfile, command_for, image_tag
from resilientslice.local.workloads.volumes import Mount, read_mounts
from resilientslice.render.names import LABEL_SERVICE, LABEL_TRACK, Track
from resilientslice.render.revision import digest

ADMIN_VARIABLE = "ADMIN_PORT"


@dataclass(frozen=True, slots=True)
class Workload:
    """The replicas of a service on one track.

    `argv` is empty when no command is known for the image; `missing` lists values that are not known either.
    `fingerprint` changes exactly when the replicas have to be replaced: what is in a mounted object is no part of it.
    `grace` in seconds.
    """

    name: str
    service: str
    track: Track
    replicas: int
    image: str
    argv: tuple[str, ...]
    directory: Path
    variables: tuple[Variable, ...]
    missing: tuple[str, ...]
    mounts: tuple[Mount, ...]
    template: Mapping[str, Any] = field(repr=False)
    namespace: str
    grace: float
    fingerprint: str
    digest: str
    """Of the service in its revision, which is what a plan goes by."""

    @property
    def version(self) -> str:
        return image_tag(self.image) or self.image

    @property
    def container(self) -> Mapping[str, Any]:
        return main_container(self.template)

    @property
    def port(self) -> int | None:
        """The port in the container; None for a service that nobody calls."""
        ports = self.container.get("ports", ())
        return int(ports[0]["containerPort"]) if ports else None

    def pod(self, name: str, uid: str) -> Pod:
        metadata = self.template.get("metadata", {})
        return Pod(
            name=name,
            namespace=self.namespace,
            labels=metadata.get("labels", {}),
            annotations=metadata.get("annotations", {}),
            uid=uid,
        )

    def probes(self, port: int, admin_port: int, paths: Mapping[str, str]) -> ProbeSet:
        """The container's probes, asked at the ports of one process. `paths` as in `replace_paths`."""
        container = self.container
        ports: dict[str | int, int] = {}
        for entry in container.get("env", ()):
            if entry["name"] == ADMIN_VARIABLE and str(entry.get("value", "")).isdigit():
                ports[int(entry["value"])] = admin_port
        for declared in container.get("ports", ())[:1]:
            ports[declared["containerPort"]] = port
            ports[declared.get("name", "")] = port
        return ProbeSet(
            startup=parse_probe(container.get("startupProbe"), ports, paths),
            readiness=parse_probe(container.get("readinessProbe"), ports, paths),
            liveness=parse_probe(container.get("livenessProbe"), ports, paths),
        )


Digests = Mapping[tuple[str, Track], str]
"""The digest of each service in the revision that its track runs."""


def main_container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = template["spec"]["containers"][0]
    return container


def read_workloads(
    objects: tuple[Mapping[str, Any], ...], procfile: Procfile, values: Values, directory: Path, digests: Digests
) -> dict[str, Workload]:
    """Every Deployment of a service, by its name. `directory` is where commands run. Nothing scales by itself on one
    machine: what an autoscaler would look after has its fewest replicas."""
    least = {
        one["spec"]["scaleTargetRef"]["name"]: int(one["spec"].get("minReplicas", 1))
        for one in objects
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    found = [one for one in objects if is_service_deployment(one)]
    return {
        one["metadata"]["name"]: _read_workload(
            one,
            procfile,
            values,
            directory,
            replicas=int(one["spec"].get("replicas", least.get(one["metadata"]["name"], 1))),
            digests=digests,
        )
        for one in found
    }


def is_service_deployment(one: Mapping[str, Any]) -> bool:
    return one.get("kind") == "Deployment" and LABEL_TRACK in one["metadata"].get("labels", {})


def _read_workload(
    one: Mapping[str, Any], procfile: Procfile, values: Values, directory: Path, *, replicas: int, digests: Digests
) -> Workload:
    labels = one["metadata"]["labels"]
    service, track = labels[LABEL_SERVICE], Track(labels[LABEL_TRACK])
    template = one["spec"]["template"]
    container = main_container(template)
    argv = command_for(procfile, service, container) or ()
    variables, missing = container_variables(container, values)
    shown = [(name, value if isinstance(value, str) else {"field": value.path}) for name, value in variables]
    return Workload(
        name=one["metadata"]["name"],
        service=service,
        track=track,
        replicas=replicas,
        image=str(container.get("image", "")),
        argv=argv,
        directory=directory,
        variables=tuple(variables),
        missing=tuple(missing),
        mounts=read_mounts(template),
        template=template,
        namespace=str(one["metadata"].get("namespace", "default")),
        grace=float(template["spec"].get("terminationGracePeriodSeconds", 30)),
        fingerprint=digest({"template": template, "argv": argv, "variables": shown}),
        digest=digests[service, track],
    )
