"""Memory as Kubernetes objects: a ControllerRevision for each revision, and a ConfigMap with the rest.

A ControllerRevision can't be changed once it is there, so the templates in it stay as they were first rendered. What of
a revision does change (replicas, routes: fields that are not compared) is in the ConfigMap, as are the canary's state
and the names of the revisions that count. The ConfigMap names revisions only after they were stored, so whatever is
found is whole. See ADR 0013.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.reconcile.memory import Memory, UnreadableMemoryError, memory_from_json, others_to_json
from resilientslice.render.metadata import Object, metadata, slice_labels
from resilientslice.render.names import state_name
from resilientslice.render.revision import Revision, revision_to_json, spec_to_json

STATE_KEY = "state.json"
_REVISIONS = ("stable", "canary")


@dataclass(frozen=True, eq=False)
class Record:
    """What a memory is stored as. `revisions` first, then `state`; revisions that are not in here may go after that."""

    slice_: ResilientSlice
    known: Mapping[str, Revision]
    """By name, in the order of names."""
    state: Object

    def revision(self, name: str) -> Object:
        """Rendered when asked for: hardly ever, since what is stored of one never changes."""
        return _revision_object(self.slice_, self.known[name])


def record_of(slice_: ResilientSlice, memory: Memory) -> Record:
    """The same memory gives the same bytes."""
    current = [memory.stable, *([memory.canary] if memory.canary else []), *memory.leaving]
    named = others_to_json(memory) | {
        "stable": memory.stable.name,
        "canary": memory.canary.name if memory.canary else None,
        "history": [revision.name for revision in memory.history],
        **({"leaving": [revision.name for revision in memory.leaving]} if memory.leaving else {}),
        "lately": {revision.name: _lately(revision) for revision in reversed(current)},
    }
    text = json.dumps(named, sort_keys=True, indent=1) + "\n"
    revisions = {revision.name: revision for revision in reversed([*current, *memory.history])}
    return Record(
        slice_=slice_,
        known=dict(sorted(revisions.items())),
        state={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(slice_, state_name(slice_.name), slice_labels(slice_)),
            "data": {STATE_KEY: text},
        },
    )


def memory_of(state: Mapping[str, Any], revisions: Iterable[Mapping[str, Any]]) -> Memory:
    """The memory of a stored ConfigMap and ControllerRevisions. UnreadableMemoryError says what is wrong with them."""
    try:
        named = json.loads(state["data"][STATE_KEY])
        stored = {found["metadata"]["name"]: found["data"] for found in revisions}
        lately = named.pop("lately")
        data = named | {key: named[key] and _with_lately(stored[named[key]], lately) for key in _REVISIONS}
        data["history"] = [stored[name] for name in named["history"]]
        data["leaving"] = [_with_lately(stored[name], lately) for name in named.get("leaving", ())]
    except KeyError as error:
        raise UnreadableMemoryError(
            f"remembered state lacks {error}; restore the ControllerRevision or the ConfigMap of that name, or delete "
            f"the ConfigMap to adopt the slice as it stands"
        ) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise _damaged(error) from error
    return memory_from_json(data)


def revision_names(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the ControllerRevisions that a stored ConfigMap refers to. UnreadableMemoryError as `memory_of`."""
    try:
        named = json.loads(state["data"][STATE_KEY])
        names = {named["stable"], *([named["canary"]] if named["canary"] else []), *named["history"]}
        names |= set(named.get("leaving", ()))
        return tuple(sorted(names))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(error) from error


def same_templates(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a stored ControllerRevision may stand for the wanted one. One that doesn't is of a revision that nothing
    refers to any more: it was tried once, given up, and is now rendered otherwise."""
    return bool(_kept(stored.get("data", {})) == _kept(wanted["data"]))


def _kept(data: Mapping[str, Any]) -> Any:
    services = data.get("services", {})
    return data.get("content"), {name: service.get("template") for name, service in services.items()}


def _revision_object(slice_: ResilientSlice, revision: Revision) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(slice_, revision.name, slice_labels(slice_)),
        "revision": 1,
        "data": revision_to_json(revision),
    }


def _lately(revision: Revision) -> Object:
    """What may have changed since the revision was stored."""
    return {
        name: {"spec": spec_to_json(service), "internalPort": service.internal_port}
        for name, service in revision.services.items()
    }


def _with_lately(revision: Mapping[str, Any], lately: Mapping[str, Any]) -> Object:
    newer = lately.get(revision["name"], {})
    services = {name: service | newer.get(name, {}) for name, service in revision["services"].items()}
    return {**revision, "services": services}


def _damaged(error: Exception) -> UnreadableMemoryError:
    return UnreadableMemoryError(
        f"remembered state is damaged ({error}); delete the ConfigMap to adopt the slice as it stands"
    )
