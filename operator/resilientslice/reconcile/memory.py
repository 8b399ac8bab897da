"""What one pass leaves to the next, and its JSON: revisions with their rendered templates, and the canary's state.

Kept where it outlives the process (a file on one machine, ControllerRevisions and status in a cluster). Without it a
slice is adopted as it stands: the wanted revision is the stable one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from resilientslice.canary.state import State
from resilientslice.reconcile.policy import Policy, policy_from_json, policy_to_json
from resilientslice.render.revision import Revision, revision_from_json, revision_to_json
from resilientslice.render.transit import Target

VERSION = 1
HISTORY = 10
"""Revisions formerly stable that are remembered."""

_STATE = TypeAdapter(State)
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
    """The JSON is not what `memory_to_json` wrote. Terminal: retrying reads the same again."""


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
    if data.get("version") != VERSION:
        raise UnreadableMemoryError(
            f"remembered state has version {data.get('version')!r}, this program reads {VERSION}; "
            "run the program that wrote it, or remove it to adopt the slice as it stands"
        )
    try:
        return Memory(
            stable=revision_from_json(data["stable"]),
            canary=revision_from_json(data["canary"]) if data["canary"] else None,
            state=_STATE.validate_python(data["state"]),
            history=tuple(revision_from_json(entry) for entry in data["history"]),
            config=data["config"],
            sizes=dict(data["sizes"]),
            served=data["served"],
            accepted=policy_from_json(data.get("accepted")),
            refused=_REFUSED.validate_python(data.get("refused")),
            former=data.get("former", ""),
            sizes_until=data.get("sizes_until"),
            leaving=tuple(revision_from_json(entry) for entry in data.get("leaving", ())),
            rolled_at=data.get("rolled_at"),
            aims=_AIMS.validate_python(data.get("aims", {})),
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise UnreadableMemoryError(
            f"remembered state is damaged ({error}); remove it to adopt the slice as it stands"
        ) from error
