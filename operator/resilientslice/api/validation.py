"""Reads a document into a `ResilientSlice`, or says everything that is wrong with it: schema and rules together."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from resilientslice.api.problems import InvalidSliceError, Problem, missing, problem
from resilientslice.api.rules import broken_rules
from resilientslice.api.rules.draft import draft_of, partial_draft
from resilientslice.api.rules.transitions import forbidden_changes, lasting_changes
from resilientslice.api.schema_problems import null_paths, schema_problems
from resilientslice.api.size import size_problems
from resilientslice.api.slice import API_VERSION, KIND, ResilientSlice


def parse_slice(data: Any) -> ResilientSlice:
    """The resource that `data` (of JSON: mappings, lists, strings, numbers) describes.

    Raises InvalidSliceError with all problems at once: those of the schema, and those of the rules as far as what they
    speak of could be read. A document of another kind is only told so.
    """
    stranger = tuple(_stranger(data))
    if stranger:
        raise InvalidSliceError(stranger)
    try:
        slice_ = ResilientSlice.model_validate_json(json.dumps(data), by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(data, schema_problems(error.errors(include_url=False), data)) from None
    if any(null_paths(data)):
        raise _invalid(data, schema_problems((), data))
    problems = (*broken_rules(draft_of(slice_)), *size_problems(data))
    if problems:
        raise InvalidSliceError(_named(problems, data))
    return slice_


def check_change(old: ResilientSlice, new: ResilientSlice, *, volumes: bool = True) -> None:
    """Raises InvalidSliceError with every change that can't be made to a slice that exists.

    Without `volumes` sizes are left to the caller that knows the volumes.
    """
    problems = tuple(forbidden_changes(old, new) if volumes else lasting_changes(old, new))
    if problems:
        raise InvalidSliceError(problems)


def _stranger(data: Any) -> Iterator[Problem]:
    if not isinstance(data, Mapping):
        kind = "a list" if isinstance(data, list) else "a single value"
        yield missing((), f"must be a mapping, not {kind}", f"begin with apiVersion: {API_VERSION}")
        return
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if field not in data:
            yield missing((field,), "is required", f"add {field}: {wanted}")
        elif data[field] != wanted:
            yield problem((field,), data[field], f"must be {wanted}", "")


def _invalid(data: Mapping[str, Any], found: Iterable[Problem]) -> InvalidSliceError:
    """The schema's problems, then those of the rules about what is readable."""
    problems = tuple(found)
    draft = partial_draft(data, frozenset(problem.path for problem in problems))
    return InvalidSliceError(_named((*problems, *broken_rules(draft)), data))


def _named(problems: Iterable[Problem], data: Mapping[str, Any]) -> Iterator[Problem]:
    """With the name of the service that a problem is in: nobody counts to `services[17]`."""
    for found in problems:
        name = _service_name(found, data)
        yield replace(found, subject=f"service {name}") if name else found


def _service_name(found: Problem, data: Mapping[str, Any]) -> str:
    match found.path:
        case ("spec", "services", int(index), *_):
            service = data["spec"]["services"][index]
            name = service.get("name") if isinstance(service, Mapping) else None
            return name if isinstance(name, str) else ""
        case _:
            return ""
