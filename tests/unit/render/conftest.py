"""Slices to render, and a reader of what was rendered."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import changed_services, revision_of
from resilientslice.render.tracks import CanaryTrack

ROOT = Path(__file__).parents[3]

# Everything that a slice can say about pods and their surroundings, once.
EVERYTHING = """
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: all, namespace: team-a}
spec:
  services:
  - name: web
    image: example.org/web:1
    command: [/web]
    args: [--fast]
    env:
    - {name: PLAIN, value: x}
    - {name: FROM_SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}
    - {name: FROM_MAP, valueFrom: {configMapKeyRef: {name: m, key: k, optional: true}}}
    - {name: FROM_FIELD, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    envFrom:
    - {prefix: P_, secretRef: {name: s}}
    - {configMapRef: {name: m, optional: true}}
    resources: {requests: {cpu: 100m}, limits: {cpu: "2", memory: 1Gi}}
    probes:
      readiness: {httpGet: {path: /ready}}
      liveness: {tcpSocket: {port: 9000}}
      startup: {exec: {command: [/check]}, failureThreshold: 60}
    volumes:
    - {name: certs, mountPath: /certs, secret: {name: certs}}
    - {name: conf, mountPath: /conf/app.yaml, subPath: app.yaml, configMap: {name: conf, optional: true}}
    - {name: cache, mountPath: /cache, emptyDir: {sizeLimit: 1Gi, medium: Memory}}
    - {name: data, mountPath: /data, readOnly: false, persistentVolumeClaim: {claimName: web-data}}
    imagePullSecrets: [{name: pull}]
    scheduling:
      nodeSelector: {disk: ssd}
      tolerations: [{key: dedicated, value: web, effect: NoExecute, tolerationSeconds: 60}, {operator: Exists}]
      priorityClassName: high
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
        {matchExpressions: [{key: arch, operator: In, values: [amd64]}]}]}}}
    terminationGracePeriod: 1m30s
    port: 8080
    autoscaling: {minReplicas: 3, maxReplicas: 9, targetCPUUtilizationPercentage: 60}
    expose: {pathPrefix: /}
    dependsOn: [rpc]
    stores: [postgres, redis]
    egress: [{cidr: 203.0.113.0/24, ports: [443, 8443]}, {cidr: 2001:db8::/32}]
  - {name: rpc, image: "example.org/rpc:1", port: 9090, protocol: GRPC, replicas: 1,
     probes: {liveness: {grpc: {service: live}}}}
  - {name: job, image: "example.org/job:1", stores: [redis]}
  front: {type: LoadBalancer, kind: Ingress, hosts: [a.example.org, "*.b.example.org"], class: traefik,
    tls: {secretName: tls}, trustedProxies: [10.0.0.0/8]}
  proxy: {replicas: 3, resources: {limits: {cpu: 2500m, memory: 512Mi}}}
  rateLimit: {tenantHeader: X-Org}
  canary: {header: {name: X-Try}, weight: 10}
  stores: {postgres: {cnpg: {instances: 3}}, redis: {external: {secretName: my-redis}}}
"""


@dataclass(frozen=True)
class Rendered:
    """The objects of a slice by kind and name, with what tests ask of them most."""

    objects: list[dict[str, Any]]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        found = [o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
        assert len(found) <= 1, f"{kind} {name} is there {len(found)} times"
        return found[0] if found else None

    def spec(self, kind: str, name: str) -> dict[str, Any]:
        made = self.get(kind, name)
        assert made is not None, f"no {kind} {name}; there are {self.names(kind)}"
        return made["spec"]

    def names(self, kind: str) -> list[str]:
        return [o["metadata"]["name"] for o in self.objects if o["kind"] == kind]

    def pod(self, name: str, kind: str = "Deployment") -> dict[str, Any]:
        return self.spec(kind, name)["template"]["spec"]

    def container(self, name: str, kind: str = "Deployment") -> dict[str, Any]:
        return self.pod(name, kind)["containers"][0]


def _parse(text: str) -> ResilientSlice:
    return ResilientSlice.model_validate_json(json.dumps(yaml.safe_load(text)))


def _minimal(services: str, rest: str = "") -> ResilientSlice:
    head = "apiVersion: resilientslice.dev/v1alpha1\nkind: ResilientSlice\nmetadata: {name: shop}\n"
    return _parse(f"{head}spec:\n  services:\n{services}\n{rest}")


def _render(
    slice_: ResilientSlice, before: ResilientSlice | None = None, *, services: frozenset[str] | None = None
) -> Rendered:
    if before is None:
        return Rendered(render_objects(slice_, revision_of(slice_), None))
    stable = revision_of(before)
    wanted = revision_of(slice_, after=stable)
    changed = changed_services(stable, wanted) if services is None else services
    return Rendered(render_objects(slice_, stable, CanaryTrack(revision=wanted, services=changed, weight=20)))


@pytest.fixture
def parse() -> Callable[[str], ResilientSlice]:
    """A slice from the text of a whole resource."""
    return _parse


@pytest.fixture
def of_services() -> Callable[..., ResilientSlice]:
    """A slice named `shop` from YAML lines of its services (`  - {…}`), and of the rest of its spec (`  key: …`)."""
    return _minimal


@pytest.fixture
def rendered() -> Callable[..., Rendered]:
    """`rendered(slice)`, or `rendered(new, old)`: old is stable, what changed is a canary."""
    return _render


@pytest.fixture
def shop() -> ResilientSlice:
    return _parse((ROOT / "samples/shop.yaml").read_text())


@pytest.fixture
def everything() -> ResilientSlice:
    return _parse(EVERYTHING)
