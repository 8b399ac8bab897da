"""Memory as Kubernetes objects: a ControllerRevision for each revision, and a ConfigMap with the rest.

A ControllerRevision can't be changed once it is there, so the templates in it stay as they were first rendered. What of
a revision does change (replicas, routes: fields that are not compared) is in the ConfigMap, as are the canary's state
and the names of the revisions that count. The ConfigMap names revisions only after they were stored, so whatever is
found is whole. What is large is packed. See ADR 0013 and ADR 0021.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.history.packing import LARGEST_TEXT, NewerFormatError, compressed, decompressed, packed, unpacked
from resilientslice.history.second_copy import copy_text
from resilientslice.planning.memory import (
    DamagedMemoryError,
    Memory,
    UnreadableMemoryError,
    check_version,
    damaged,
    memory_from_json,
    others_to_json,
)
from resilientslice.render.metadata import Object, metadata, slice_labels
from resilientslice.render.names import state_name
from resilientslice.render.revision import (
    POD_FIELDS,
    Revision,
    revision_from_json,
    revision_to_json,
    spec_to_json,
)

STATE_KEY = "state.json"
PACKED_KEY = "state.json.xz"
"""Of `binaryData`, in place of `state.json`."""
_POD_KEYS = frozenset(Service.model_fields[name].alias or name for name in POD_FIELDS)


@dataclass(frozen=True, eq=False)
class Record:
    """What a memory is stored as. `revisions` first, then `state`; revisions that are not in here may go after that."""

    slice_: ResilientSlice
    known: Mapping[str, Revision]
    """By name, in the order of names."""
    state: Object
    copy: str = ""
    """As `second_copy.copy_text` makes it."""

    def revision(self, name: str) -> Object:
        """Rendered when asked for: hardly ever, since what is stored of one never changes."""
        return revision_object(self.slice_, self.known[name])


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored ConfigMap as read: `fields` refer to revisions by name."""

    fields: Mapping[str, Any]
    stable: str
    canary: str
    """Empty without one."""
    history: tuple[str, ...]
    leaving: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """UID of the slice that it was written for; empty where the writer didn't say."""
        return str(self.fields.get("slice", ""))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all revisions that count."""
        return tuple(sorted({self.stable, *([self.canary] if self.canary else []), *self.history, *self.leaving}))


def record_of(slice_: ResilientSlice, memory: Memory) -> Record:
    """The same memory gives the same bytes."""
    current = [memory.stable, *([memory.canary] if memory.canary else []), *memory.leaving]
    named = others_to_json(memory) | {
        "slice": slice_.metadata.uid,
        "stable": memory.stable.name,
        "canary": memory.canary.name if memory.canary else None,
        "history": [revision.name for revision in memory.history],
        **({"leaving": [revision.name for revision in memory.leaving]} if memory.leaving else {}),
        "lately": {revision.name: _lately(revision) for revision in reversed(current)},
    }
    revisions = {revision.name: revision for revision in reversed([*current, *memory.history])}
    return Record(
        slice_=slice_,
        known=dict(sorted(revisions.items())),
        state={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(slice_, state_name(slice_.name), slice_labels(slice_)),
            **_state_data(named),
        },
        copy=copy_text(named),
    )


def read_state(state: Mapping[str, Any]) -> Stored:
    """A stored ConfigMap. Raises DamagedMemoryError, or UnreadableMemoryError for one of a later version."""
    try:
        fields = json.loads(_read_text(state))
        check_version(fields)
        stable, canary = fields["stable"], fields.get("canary") or ""
        found = Stored(fields, stable, canary, tuple(fields.get("history", ())), tuple(fields.get("leaving", ())))
        "".join((stable, *found.names))  # a TypeError unless they are text
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UnreadableMemoryError):
            raise
        raise damaged(error) from error
    return found


def state_text(state: Mapping[str, Any]) -> str:
    """As it is stored, readable or not."""
    data = {**(state.get("binaryData") or {}), **(state.get("data") or {})}
    return str(data.get(STATE_KEY) or data.get(PACKED_KEY) or "")


def memory_of(stored: Stored, revisions: Mapping[str, Revision]) -> Memory:
    """The memory of a stored ConfigMap. Revisions of the history that are missing are left out; without the stable one
    or the canary DamagedMemoryError says which is missing."""
    lately = stored.fields.get("lately", {})

    def known(name: str) -> Object:
        if name not in revisions:
            raise DamagedMemoryError(f"ControllerRevision {name} is missing")
        return revision_to_json(revisions[name])

    try:
        data = {**stored.fields, "stable": _with_lately(known(stored.stable), lately)}
        data["canary"] = _with_lately(known(stored.canary), lately) if stored.canary else None
        data["history"] = [known(name) for name in stored.history if name in revisions]
        data["leaving"] = [_with_lately(known(name), lately) for name in stored.leaving if name in revisions]
    except (TypeError, AttributeError) as error:
        raise damaged(error) from error
    return memory_from_json(data)


def revision_object(slice_: ResilientSlice, revision: Revision) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(slice_, revision.name, slice_labels(slice_)),
        "revision": 1,
        "data": packed(revision_to_json(revision)),
    }


def revision_of_object(stored: Mapping[str, Any]) -> Revision:
    """Of a ControllerRevision. Raises DamagedMemoryError, or UnreadableMemoryError for one of a later version."""
    name = stored["metadata"]["name"]
    try:
        found = revision_from_json(unpacked(stored["data"]))
    except NewerFormatError as error:
        raise UnreadableMemoryError(f"ControllerRevision {name} {error}; run the operator that wrote it") from error
    except (KeyError, TypeError, AttributeError, ValidationError, ValueError) as error:
        raise DamagedMemoryError(f"ControllerRevision {name} is damaged ({error})") from error
    if found.name != name:
        raise DamagedMemoryError(f"ControllerRevision {name} holds the revision {found.name}")
    return found


def same_templates(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a stored ControllerRevision may stand for the wanted one. One that doesn't is of a revision that nothing
    refers to any more: it was tried once, given up, and is now rendered otherwise."""
    try:
        return bool(_kept(unpacked(stored.get("data", {}))) == _kept(unpacked(wanted["data"])))
    except (AttributeError, TypeError, ValueError):
        return False


def _kept(data: Mapping[str, Any]) -> Any:
    services = data.get("services", {})
    return data.get("content"), {name: service.get("template") for name, service in services.items()}


def _state_data(named: Object) -> Object:
    """In full where that is small. What the revisions hold too is left out of a large one, and it is packed if that is
    not enough."""
    text = json.dumps(named, sort_keys=True, indent=1) + "\n"
    if len(text) > LARGEST_TEXT:
        lately = {name: _without_pods(revision) for name, revision in named["lately"].items()}
        text = json.dumps(named | {"lately": lately}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= LARGEST_TEXT:
        return {"data": {STATE_KEY: text}}
    return {"binaryData": {PACKED_KEY: compressed(text.encode())}}


def _read_text(state: Mapping[str, Any]) -> str | bytes:
    if PACKED_KEY in (state.get("binaryData") or {}):
        return decompressed(state["binaryData"][PACKED_KEY])
    return str(state["data"][STATE_KEY])


def _lately(revision: Revision) -> Object:
    """What may have changed since the revision was stored."""
    return {
        name: {"spec": spec_to_json(service), "internalPort": service.internal_port}
        for name, service in revision.services.items()
    }


def _without_pods(lately: Object) -> Object:
    return {name: entry | {"spec": _policy(entry["spec"])} for name, entry in lately.items()}


def _policy(spec: Mapping[str, Any]) -> Object:
    """Fields of a service that are not compared."""
    return {key: value for key, value in spec.items() if key not in _POD_KEYS}


def _with_lately(revision: Object, lately: Mapping[str, Any]) -> Object:
    newer = lately.get(revision["name"], {})
    services = {name: _newer(service, newer.get(name)) for name, service in revision["services"].items()}
    return {**revision, "services": services}


def _newer(service: Object, newer: Mapping[str, Any] | None) -> Object:
    """What is compared is the same in both, so it is taken from the revision."""
    if newer is None:
        return service
    pods = {key: value for key, value in service["spec"].items() if key in _POD_KEYS}
    return {**service, **newer, "spec": pods | _policy(newer["spec"])}
