"""Everything that a slice's spec may change: its objects, Envoy's resources, and the plans of a canary's life."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.unit.conftest import Cluster

from resilientslice.api.slice import ResilientSlice
from resilientslice.api.validation import parse_slice
from resilientslice.canary.state import Attempts
from resilientslice.planning.observed import Observed
from resilientslice.planning.plan import Plan, plan
from resilientslice.render.proxy import cluster_topology

REVISION = re.compile(r"\b[0-9a-f]{10}\b")
"""Names of revisions and digests of services: they change with every word, whether it does anything or not."""
NEXT_IMAGE = "example.org/next:2"
SECONDS = (4.0, 600.0)
"""Pauses between the looks at a canary: past the hold of the examples, and past their deadline."""


def document(spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "shop", "namespace": "default", "uid": "0", "generation": 1},
        "spec": spec,
    }


def parsed(spec: Any) -> ResilientSlice:
    """Raises InvalidSliceError."""
    return parse_slice(document(spec))


def of_first_pass(spec: Any) -> str:
    """Objects and Envoy's resources of a slice that is new."""
    return _plain(plan(parsed(spec), Observed(), 0.0, place=cluster_topology))


def of_a_canary(spec: Any) -> str:
    """What is planned while a canary of the first service lives: unasked, answering well, badly and slowly."""
    return "\n".join(_life(spec, attempts) for attempts in (None, Attempts(30, 0, 700.0), Attempts(28, 2, 2.0)))


def canary_of(spec: Any) -> str:
    """Name of the revision that `of_a_canary` brings out."""
    cluster = _settled(spec)
    _bring_out(cluster)
    cluster.reconcile()
    assert cluster.plan is not None
    assert cluster.plan.memory is not None
    return cluster.plan.memory.state.canary


def _life(spec: Any, attempts: Attempts | None) -> str:
    cluster = _settled(spec)
    _bring_out(cluster)
    if attempts is not None:
        cluster.see(attempts=Attempts(0, 0, 0.0))
    cluster.settle()
    cluster.see(attempts=attempts)
    return "\n".join(_plain(plan) for plan in _looks(cluster))


def _looks(cluster: Cluster) -> Iterator[Plan]:
    for seconds in SECONDS:
        cluster.now += seconds
        yield cluster.reconcile()


def _settled(spec: Any) -> Cluster:
    without = {key: value for key, value in spec.get("canary", {}).items() if key not in {"promote", "abort"}}
    cluster = Cluster(spec={**json.loads(json.dumps(spec)), "canary": without})
    cluster.settle()
    cluster.spec = json.loads(json.dumps(spec))
    return cluster


def _bring_out(cluster: Cluster) -> None:
    cluster.generation += 1
    cluster.spec["services"][0]["image"] = NEXT_IMAGE


def _plain(made: Plan) -> str:
    """As text, without names of revisions."""
    if made.desired is None:
        return "suspended"
    state = replace(made.memory.state, since=0.0) if made.memory else None
    parts = (made.desired.objects, made.desired.envoy.text, state, made.events, made.next_deadline)
    return REVISION.sub("REVISION", json.dumps(parts, sort_keys=True, default=repr))
