"""What may be there once everything has settled: what the spec asks for, and nothing else."""

from collections.abc import Iterator

from tests.kube.chaos.objects import SLICE, controller_of, deleting, labels_of, name_of, uid_of
from tests.kube.chaos.world import World

from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of

_RENDERED = (
    "Deployment",
    "StatefulSet",
    "Service",
    "ServiceAccount",
    "NetworkPolicy",
    "ConfigMap",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
)
HISTORY = 12
"""Revisions that may be remembered: ten that were stable, the stable one and a canary."""


def leftovers(world: World) -> Iterator[tuple[str, str]]:
    """Slice, and what is wrong with what there is."""
    for name in world.asked:
        yield from ((name, words) for words in _objects(world, name))
        yield from ((name, words) for words in _history(world, name))
    for kind, owning in (("ReplicaSet", ("Deployment",)), ("Pod", ("ReplicaSet", "StatefulSet"))):
        owners = {uid_of(one) for each in owning for one in world.mirror[each].values()}
        for one in world.mirror[kind].values():
            if controller_of(one) not in owners and not deleting(one):
                yield labels_of(one).get(SLICE, ""), f"{kind} {name_of(one)} has no owner"


def _objects(world: World, name: str) -> Iterator[str]:
    slice_ = world.asked[name].valid.slice_
    assert slice_ is not None
    wanted = {(one["kind"], one["metadata"]["name"]) for one in render_objects(slice_, revision_of(slice_), None)}
    wanted |= {("ConfigMap", f"{name}-state")}
    there = {
        (kind, name_of(one))
        for kind in _RENDERED
        for one in world.mirror[kind].values()
        if labels_of(one).get(SLICE) == name and not deleting(one)
    }
    missing = sorted(one for one in wanted - there if one[0] in _RENDERED)
    if missing:
        yield f"missing: {missing}"
    if there - wanted:
        yield f"left over: {sorted(there - wanted)}"


def _history(world: World, name: str) -> Iterator[str]:
    found = [one for one in world.mirror["ControllerRevision"].values() if labels_of(one).get(SLICE) == name]
    found = [one for one in found if one["metadata"].get("ownerReferences", [{}])[0].get("kind") != "StatefulSet"]
    state = world.mirror["ConfigMap"].get(f"{name}-state")
    text = "" if state is None else "".join((state.get("data") or {}).values())
    unknown = [name_of(one) for one in found if name_of(one) not in text]
    if unknown:
        yield f"ControllerRevisions that the memory doesn't name: {unknown}"
    if len(found) > HISTORY:
        yield f"{len(found)} ControllerRevisions"
