"""What is known of slices' children without asking: fed by watches and by the answers to our own writes, and trimmed.

Whole objects would cost some 50 KB each. Of each child stay a few fields and `shape`, whatever the owner of the cache
wants to know of the whole object, as a short text. Nothing may be concluded from an object's absence before `synced`.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import structlog

from resilientslice.kube.children import REVISION_ANNOTATION, note_of
from resilientslice.kube.kinds import CHILD_KINDS, POD, REPLICA_SET, Kind, Object, SliceKey, described
from resilientslice.render.names import DOMAIN, LABEL_COMPONENT, LABEL_SLICE

_log = structlog.get_logger("resilientslice.watch")

NOTHING: Mapping[str, str] = MappingProxyType({})
ChildKey = tuple[str, str]
"""Kind and name."""
MOST_LABELS = 1000
"""Sets of labels that are remembered, so that each is kept once."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a workload's controller counted, as of `observed_generation`. What a kind doesn't count is 0."""

    observed_generation: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    succeeded: int = 0
    failed: int = 0


NONE_COUNTED = Counts()


@dataclass(frozen=True, slots=True)
class Child:
    """One watched child. `owner_uid` is that of the owner reference that controls it, empty if none does."""

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    owner_uid: str
    deleting: bool
    labels: Mapping[str, str]
    """Those of the project, and the component's; without the slice's, which is how children are looked up."""
    annotations: Mapping[str, str]
    """Those of the project."""
    replicas: int | None
    """`spec.replicas`; None where the kind has none."""
    counts: Counts
    shape: str
    """What the `shape` function made of the whole object."""
    template_generation: int = 0
    """Generation by which its pod template was what it is: counts of that one or a later one are of this template, even
    while others, such as an autoscaler, keep changing `replicas`."""

    @property
    def key(self) -> ChildKey:
        return self.kind, self.name


class Owner(NamedTuple):
    """Controller of an object, by its owner reference."""

    kind: str = ""
    name: str = ""
    uid: str = ""


NOBODY = Owner()


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod that is labelled as one of a slice's proxies. `ip` is empty before it has one."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    ip: str
    ready: bool
    deleting: bool
    phase: str
    restarts: int
    """Of all its containers: counters begin anew after each."""
    owner: Owner = NOBODY


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """What stands between a proxy's pod and its Deployment."""

    name: str
    uid: str
    resource_version: str
    owner: Owner


@dataclass(slots=True)
class _Slice:
    children: dict[ChildKey, Child] = field(default_factory=dict)
    proxies: dict[str, ProxyPod] = field(default_factory=dict)
    replica_sets: dict[str, ReplicaSet] = field(default_factory=dict)

    def of(self, kind: str) -> dict[Any, Any]:
        """Where objects of a kind are kept: pods and ReplicaSets by their names, children by kind and name."""
        apart: dict[str, dict[Any, Any]] = {POD.kind: self.proxies, REPLICA_SET.kind: self.replica_sets}
        return apart.get(kind, self.children)


class Children:
    """`on_change` gets the slice of each change; it must not block. `shape`: see `Child.shape`."""

    def __init__(
        self,
        *,
        on_change: Callable[[SliceKey], None],
        shape: Callable[[Object], str],
        kinds: Iterable[Kind] = CHILD_KINDS,
        namespaces: Iterable[str | None] = (None,),
    ) -> None:
        self._on_change = on_change
        self._shape = shape
        self._slices: dict[SliceKey, _Slice] = {}
        self._known_labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self.unread = 0
        """Objects that could not be read, so far."""
        self._missing = {(kind.kind, namespace) for kind in (*kinds, REPLICA_SET, POD) for namespace in namespaces}

    def of(self, key: SliceKey) -> Mapping[ChildKey, Child]:
        """The children with the slice's label, whatever owns them. The mapping changes as the world does."""
        known = self._slices.get(key)
        return MappingProxyType(known.children) if known else MappingProxyType({})

    def proxies(self, key: SliceKey) -> tuple[ProxyPod, ...]:
        """Pods with the labels of the slice's proxies, whatever owns them, by name; those that end too."""
        known = self._slices.get(key)
        return tuple(known.proxies[name] for name in sorted(known.proxies)) if known else ()

    def replica_sets(self, key: SliceKey) -> tuple[ReplicaSet, ...]:
        """Those with the labels of the slice's proxies, whatever owns them."""
        known = self._slices.get(key)
        return tuple(known.replica_sets.values()) if known else ()

    def synced(self) -> bool:
        """Everything was listed at least once: what is not here does not exist, or was made a moment ago."""
        return not self._missing

    def missing(self) -> tuple[str, ...]:
        """What was not listed yet, for people: `Deployment`, or `Deployment in shop`."""
        return tuple(sorted(f"{kind} in {namespace}" if namespace else kind for kind, namespace in self._missing))

    def count(self) -> int:
        return sum(len(known.children) + len(known.proxies) for known in self._slices.values())

    def saw(self, obj: Object) -> bool:
        """An object as it is now, from the answer to a write of our own; whether that was news. Older news than known
        is left out."""
        key = slice_key(obj)
        if key is None:
            return False
        entry = self._entry(obj)
        there, place = self._slices.setdefault(key, _Slice()).of(obj["kind"]), _place(obj)
        before = there.get(place)
        if (
            before is not None
            and before.uid == entry.uid
            and not newer(entry.resource_version, before.resource_version)
        ):
            return False
        if isinstance(entry, Child) and isinstance(before, Child) and _same_template(entry, before):
            entry = replace(entry, template_generation=before.template_generation)
        there[place] = entry
        # of a ReplicaSet only the owner counts, and its status changes with every pod
        known = (before.uid, before.owner) if isinstance(before, ReplicaSet) else None
        return not isinstance(entry, ReplicaSet) or known != (entry.uid, entry.owner)

    def told(self, obj: Object) -> None:
        """The same from a list or a watch: someone else's doing, which its slice is looked at for.

        An object that can't be read is a defect, and its slice's alone: the watch continues for all others.
        """
        try:
            key = slice_key(obj)
            news = key is not None and self.saw(obj)
        except Exception:
            self.unread += 1
            _log.exception("a defect: an object that is watched can't be read", object=described(obj))
            return
        if key is not None and news:
            self._on_change(key)

    def gone(self, obj: Object) -> None:
        """An object that was deleted, or has lost its label. Another one of its name stays."""
        key = slice_key(obj)
        known = self._slices.get(key) if key else None
        if key is None or known is None:
            return
        there, place = known.of(obj["kind"]), _place(obj)
        if place in there and there[place].uid == obj["metadata"]["uid"]:
            self._drop(key, there, place)

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:
        """A whole list has been told. What is not in it is gone, unless it is newer than the list."""
        for key, known in list(self._slices.items()):
            if namespace is not None and key.namespace != namespace:
                continue
            there = known.of(kind.kind)
            gone = [
                place
                for place, entry in there.items()
                if (there is not known.children or entry.kind == kind.kind)
                and entry.uid not in uids
                and not newer(entry.resource_version, resource_version)
            ]
            for place in gone:
                self._drop(key, there, place)
        self._missing.discard((kind.kind, namespace))

    def _drop(self, key: SliceKey, there: dict[Any, Any], place: Any) -> None:
        del there[place]
        known = self._slices[key]
        if not known.children and not known.proxies and not known.replica_sets:
            del self._slices[key]
        self._on_change(key)

    def _entry(self, obj: Object) -> Child | ProxyPod | ReplicaSet:
        if obj["kind"] == POD.kind:
            return _proxy(obj)
        return _replica_set(obj) if obj["kind"] == REPLICA_SET.kind else self._child(obj)

    def _child(self, obj: Object) -> Child:
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        return Child(
            kind=sys.intern(obj["kind"]),
            namespace=sys.intern(metadata.get("namespace", "")),
            name=sys.intern(metadata["name"]),
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            generation=metadata.get("generation", 0),
            owner_uid=sys.intern(controller_uid(obj)),
            deleting="deletionTimestamp" in metadata,
            labels=self._labels(metadata.get("labels") or {}),
            annotations=_ours(metadata.get("annotations") or {}),
            replicas=spec.get("replicas") if obj["kind"] in _TEMPLATED else None,
            counts=_counts(obj.get("status") or {}),
            shape=self._shape(obj),
            template_generation=metadata.get("generation", 0),
        )

    def _labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Many children have the same ones, whatever their slices are called."""
        ours = _ours({name: value for name, value in labels.items() if name != LABEL_SLICE})
        if len(self._known_labels) > MOST_LABELS:
            self._known_labels.clear()
        return self._known_labels.setdefault(tuple(ours.items()), ours)


_TEMPLATED = frozenset({"Deployment", "StatefulSet"})


def slice_key(obj: Mapping[str, Any]) -> SliceKey | None:
    """The slice that an object is labelled with."""
    metadata = obj["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_SLICE)
    return SliceKey(metadata.get("namespace", ""), name) if name else None


def controller_uid(obj: Mapping[str, Any]) -> str:
    """UID of the owner that controls it; empty if none does."""
    return controller(obj).uid


def controller(obj: Mapping[str, Any]) -> Owner:
    """The owner that controls it; NOBODY if none does."""
    owners = obj["metadata"].get("ownerReferences") or ()
    found = (one for one in owners if one.get("controller"))
    return next((Owner(str(one.get("kind", "")), str(one.get("name", "")), str(one["uid"])) for one in found), NOBODY)


def _place(obj: Object) -> ChildKey | str:
    name: str = obj["metadata"]["name"]
    return name if obj["kind"] in (POD.kind, REPLICA_SET.kind) else (obj["kind"], name)


def _same_template(entry: Child, before: Child) -> bool:
    """What we applied last is the same template, and no field of it was taken by others, or taken back, in between."""
    return (
        entry.uid == before.uid
        and entry.annotations.get(REVISION_ANNOTATION) == before.annotations.get(REVISION_ANNOTATION)
        and note_of(entry).fields == note_of(before).fields
    )


def newer(version: str, than: str) -> bool:
    """Resource versions of one kind grow, since Kubernetes 1.35 by contract and in etcd always. Others: assume so."""
    try:
        return int(version) > int(than)
    except ValueError:
        return version != than


def _ours(noted: Mapping[str, str]) -> Mapping[str, str]:
    """Names and values repeat over thousands of objects: each is kept once."""
    kept = {
        sys.intern(name): sys.intern(value)
        for name, value in noted.items()
        if name.startswith(DOMAIN) or name == LABEL_COMPONENT
    }
    return kept or NOTHING


def _counts(status: Mapping[str, Any]) -> Counts:
    def number(*names: str) -> int:
        return next((value for name in names if isinstance(value := status.get(name), int)), 0)

    if not status:
        return NONE_COUNTED
    return Counts(
        observed_generation=number("observedGeneration"),
        replicas=number("replicas", "instances", "currentReplicas"),
        updated=number("updatedReplicas"),
        ready=number("readyReplicas", "readyInstances", "ready"),
        available=number("availableReplicas"),
        succeeded=number("succeeded"),
        failed=number("failed"),
    )


def _proxy(obj: Object) -> ProxyPod:
    metadata, status = obj["metadata"], obj.get("status") or {}
    conditions = status.get("conditions") or ()
    containers = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return ProxyPod(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        ip=status.get("podIP") or "",
        ready=any(found.get("type") == "Ready" and found.get("status") == "True" for found in conditions),
        deleting="deletionTimestamp" in metadata,
        phase=status.get("phase") or "",
        restarts=sum(found.get("restartCount", 0) for found in containers),
        owner=controller(obj),
    )


def _replica_set(obj: Object) -> ReplicaSet:
    metadata = obj["metadata"]
    return ReplicaSet(metadata["name"], metadata["uid"], metadata["resourceVersion"], controller(obj))
