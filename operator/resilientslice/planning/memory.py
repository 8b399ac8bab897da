"""What one pass leaves to the next, and its JSON: revisions with their rendered templates, and the canary's state.

Kept where it outlives the process (a file on one machine, ControllerRevisions and a ConfigMap in a cluster). When it is
lost, a slice is adopted as it runs: `history.adoption`. Fields that are missing have their defaults, and fields of
later versions are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from resilientslice.canary.state import State
from resilientslice.planning.policy import Policy, policy_from_json, policy_to_json
from resilientslice.render.revision import Revision, revision_from_json, revision_to_json
from resilientslice.render.transit import Target

VERSION = 1
HISTORY = 10
"""Revisions formerly stable that are remembered."""

_STATE = TypeAdapter(State)
_TIME = TypeAdapter(float | None)
_AIMS = TypeAdapter(dict[str, Target])


@dataclass(frozen=True, slots=True)
class Refused:
    """What Envoys refused last: `basis` stands for it, whatever weight it drew; `words` are Envoy's, `by` the instances
    that refused it."""

    basis: str
    words: str
    by: tuple[str, ...]


_REFUSED = TypeAdapter(Refused | None)


class UnreadableMemoryError(ValueError):
    """A later version of the program wrote it. Terminal: reading again gives the same, and writing would destroy it."""


class DamagedMemoryError(UnreadableMemoryError):
    """It is not what `memory_to_json` wrote, and as good as lost."""


@dataclass(frozen=True, slots=True)
class Memory:
    stable: Revision
    state: State
    canary: Revision | None = None
    history: tuple[Revision, ...] = ()
    """Revisions formerly stable, newest first."""
    config: str = ""
    """Digest of the Envoy configuration that the last plan asked for."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Most stable replicas of the canary's services since the canary started: neither track gets smaller meanwhile, nor
    for a while afterwards."""
    sizes_until: float | None = None
    """When `sizes` are forgotten, in seconds since the epoch; None while there is a canary."""
    leaving: tuple[Revision, ...] = ()
    """Revisions formerly stable whose pods may still run, newest first."""
    rolled_at: float | None = None
    """When no pod of those was left that serves, in seconds since the epoch."""
    aims: Mapping[str, Target] = field(default_factory=dict)
    """Where the proxies send to the stable track of a service that is being moved; until every Envoy knows the end."""
    served: bool = False
    """The slice was once ready as a whole."""
    accepted: Policy | None = None
    """The policy that every Envoy accepted last; None before the first."""
    refused: Refused | None = None
    """Set while the wanted configuration is refused."""
    former: str = ""
    """Revision that was stable before; empty if it never was as a whole, and pods of several may be left."""


def memory_to_json(memory: Memory) -> dict[str, Any]:
    """Plain JSON values, the same for the same memory."""
    return {
        **others_to_json(memory),
        "stable": revision_to_json(memory.stable),
        "canary": revision_to_json(memory.canary) if memory.canary else None,
        "history": [revision_to_json(revision) for revision in memory.history],
        **({"leaving": [revision_to_json(revision) for revision in memory.leaving]} if memory.leaving else {}),
    }


def others_to_json(memory: Memory) -> dict[str, Any]:
    """The same without the revisions."""
    return {
        "version": VERSION,
        "state": _STATE.dump_python(memory.state, mode="json"),
        "config": memory.config,
        "sizes": dict(sorted(memory.sizes.items())),
        "served": memory.served,
        "accepted": policy_to_json(memory.accepted) if memory.accepted else None,
        "refused": _REFUSED.dump_python(memory.refused, mode="json"),
        "former": memory.former,
        **_transit_to_json(memory),
    }


def _transit_to_json(memory: Memory) -> dict[str, Any]:
    """Only what there is: at rest, a memory is what it was before there was any of this."""
    aims = _AIMS.dump_python(dict(sorted(memory.aims.items())), mode="json")
    found = {"sizes_until": memory.sizes_until, "rolled_at": memory.rolled_at, "aims": aims or None}
    return {name: value for name, value in found.items() if value is not None}


def memory_from_json(data: Mapping[str, Any]) -> Memory:
    """Raises UnreadableMemoryError, which says what is wrong with it."""
    check_version(data)
    try:
        return Memory(
            stable=revision_from_json(data["stable"]),
            canary=revision_from_json(data["canary"]) if data.get("canary") else None,
            history=tuple(revision_from_json(entry) for entry in data.get("history", ())),
            leaving=tuple(revision_from_json(entry) for entry in data.get("leaving", ())),
            **others_from_json(data),
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise damaged(error) from error


def others_from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Memory but the revisions. Raises KeyError, TypeError, AttributeError or ValidationError."""
    return {
        "state": _STATE.validate_python(data["state"]),
        "config": str(data.get("config", "")),
        "sizes": {str(name): int(size) for name, size in data.get("sizes", {}).items()},
        "served": data.get("served", False) is True,
        "accepted": policy_from_json(data.get("accepted")),
        "refused": _REFUSED.validate_python(data.get("refused")),
        "former": str(data.get("former", "")),
        "sizes_until": _TIME.validate_python(data.get("sizes_until")),
        "rolled_at": _TIME.validate_python(data.get("rolled_at")),
        "aims": aims_from_json(data.get("aims") or {}),
    }


def aims_from_json(data: Any) -> dict[str, Target]:
    """Raises ValidationError."""
    return _AIMS.validate_python(data)


def check_version(data: Mapping[str, Any]) -> None:
    """Raises UnreadableMemoryError for what a later version of the program wrote."""
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UnreadableMemoryError(
            f"remembered state has version {version}, this program reads {VERSION}; run the program that wrote it"
        )
    if version != VERSION:
        raise DamagedMemoryError(f"remembered state has version {version!r}, this program reads {VERSION}")


def damaged(error: Exception) -> DamagedMemoryError:
    return DamagedMemoryError(f"remembered state is damaged ({error})")
