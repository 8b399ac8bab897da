"""A slice as the API server has it, understood: parsed once for each generation, with the status as last written."""

import json
from dataclasses import dataclass

from pydantic import ValidationError

from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.api.validation import check_change, parse_slice
from resilientslice.controller.slice_state import SliceState
from resilientslice.kube.kinds import Object

_METADATA = ("name", "namespace", "uid", "generation")
MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Understood:
    """`problems` says why there is no slice to go by."""

    status: Status
    slice_: ResilientSlice | None = None
    problems: str = ""


def understand(raw: Object, state: SliceState) -> Understood:
    """The CRD catches nearly all of what is refused here; an older CRD, or none of its rules, does not."""
    status = _status(raw)
    generation = raw["metadata"].get("generation", 0)
    known = state.slice_
    if known is not None and known.metadata.generation == generation:
        return Understood(status, known.model_copy(update={"status": status}))
    try:
        parsed = parse_slice(
            {key: raw.get(key) for key in ("apiVersion", "kind", "spec")} | {"metadata": _metadata(raw)}
        )
        if known is not None:
            check_change(known, parsed, volumes=False)
    except InvalidSliceError as error:
        return Understood(status, problems="; ".join(str(problem) for problem in error.problems[:MOST_PROBLEMS]))
    state.slice_ = parsed
    return Understood(status, parsed.model_copy(update={"status": status}))


def _metadata(raw: Object) -> Object:
    return {key: raw["metadata"][key] for key in _METADATA if key in raw["metadata"]}


def _status(raw: Object) -> Status:
    """A status that can't be read was written by a newer operator, or by hand: what is observed replaces it."""
    try:
        return Status.model_validate_json(json.dumps(raw.get("status") or {}), by_alias=True, by_name=False)
    except ValidationError:
        return Status()
