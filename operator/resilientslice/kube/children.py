"""A child of a slice as a pass must know it, and the text that stands for everything else of it.

Thousands of children are held in memory, so the cache keeps of each only `Child`'s fields. `noted` is what the
differences and the troubles need of the whole object, worked out when it arrives from a watch.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from resilientslice.kube.ownership import applied_fields, owned_shape
from resilientslice.render.names import DOMAIN

MANAGER = "resilientslice"
"""Field manager of everything that is rendered."""
REPLICAS_MANAGER = "resilientslice-replicas"
"""Field manager that holds `replicas` for an autoscaler: a field that its only owner drops falls back to 1."""

DIGEST_ANNOTATION = f"{DOMAIN}/digest"
REVISION_ANNOTATION = f"{DOMAIN}/template"
ASKED_ANNOTATION = f"{DOMAIN}/asked"
"""Digest of what the slice says about its proxies, as of when they were applied last."""

ChildId = tuple[str, str]
"""Kind and name, within the namespace of the slice."""

MESSAGE_LENGTH = 400


class Child(Protocol):
    """`owner_uid` is the UID of its controller, empty without one. `shape` is the text of its `Note`."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def owner_uid(self) -> str: ...
    @property
    def deleting(self) -> bool: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...
    @property
    def replicas(self) -> int | None: ...
    @property
    def shape(self) -> str: ...


class Note(NamedTuple):
    """`fields`: `ownership.owned_shape` of what we applied. `holds_replicas`: `replicas` is among it. `failure`: why
    its controller could not make its pods, if it said so. `stuck`: its controller says that its rollout does not get
    on. `complete`: it says that the rollout has ended, whatever has become of its pods since. `since`: when it said so
    of either, as the API writes times."""

    fields: str = ""
    holds_replicas: bool = False
    failure: str = ""
    stuck: bool = False
    complete: bool = False
    since: str = ""


def noted(live: Mapping[str, Any]) -> str:
    """Of an object as the API server sends it, `managedFields` included."""
    fields = applied_fields(live, MANAGER)
    flags = "".join(flag for flag, is_set in _FLAGS.items() if is_set(live, fields))
    return "\t".join((owned_shape(live, fields), flags, _since(live), _failure(live))).rstrip("\t")


def note_of(child: Child) -> Note:
    fields, flags, since, failure = (*child.shape.split("\t", 3), "", "", "")[:4]
    return Note(fields, "r" in flags, failure, "s" in flags, "c" in flags, since)


def _failure(live: Mapping[str, Any]) -> str:
    found = _condition(live, "ReplicaFailure", "True")
    return str(found.get("message") or found.get("reason") or "its pods are refused")[:MESSAGE_LENGTH] if found else ""


def _stuck(live: Mapping[str, Any]) -> bool:
    """A Deployment whose `progressDeadlineSeconds` are over."""
    return bool(_condition(live, "Progressing", "False"))


def _complete(live: Mapping[str, Any]) -> bool:
    return bool(_condition(live, "Progressing", "True").get("reason") == "NewReplicaSetAvailable")


def _since(live: Mapping[str, Any]) -> str:
    """It is updated no more once a rollout has ended or is stuck."""
    found = _condition(live, "Progressing", "True") or _condition(live, "Progressing", "False")
    return str(found.get("lastUpdateTime", ""))


_FLAGS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "r": lambda _, fields: "f:replicas" in fields.get("f:spec", {}),
    "s": lambda live, _: _stuck(live),
    "c": lambda live, _: _complete(live),
}
"""What `Note` says in one letter each, of an object and the fields that were applied."""


def _condition(live: Mapping[str, Any], kind: str, status: str) -> Mapping[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind and one.get("status") == status), {})
