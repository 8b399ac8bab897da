"""The part of a memory that nothing else shows, kept a second time beside the configuration that Envoys start from.

A slice whose memory is lost is adopted from its Deployments and its status. Neither says which policy the Envoys
accepted, to which port they send while a service moves, or which former revisions may still have pods. Without the
first, no decision acts while the Envoys reject an edit, an abort neither.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from resilientslice.history.packing import packed, unpacked
from resilientslice.planning.memory import aims_from_json
from resilientslice.planning.policy import Policy, policy_from_json
from resilientslice.render.transit import Target

KEY = "decided.json"
"""In the `data` of the ConfigMap with the proxies' configuration."""
_NAMES = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class SecondCopy:
    """Fields as in `Memory`; `leaving` by name."""

    accepted: Policy | None = None
    aims: Mapping[str, Target] = field(default_factory=dict)
    leaving: tuple[str, ...] = ()


def copy_text(named: Mapping[str, Any]) -> str:
    """Return the JSON to store: the same for the same memory. `named` is a memory's JSON, its revisions by name."""
    data = {"accepted": named["accepted"], "aims": named.get("aims", {}), "leaving": named.get("leaving", [])}
    return json.dumps(packed(data), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_copy(config_map: Mapping[str, Any]) -> SecondCopy:
    """Read a stored ConfigMap. Empty where it has no copy, or one that can't be read: adoption does without."""
    try:
        data = unpacked(json.loads(config_map["data"][KEY]))
        aims, leaving = aims_from_json(data["aims"]), _NAMES.validate_python(data["leaving"])
        return SecondCopy(policy_from_json(data["accepted"]), aims, leaving)
    except (KeyError, TypeError, AttributeError, ValueError, ValidationError):
        return SecondCopy()
