"""The right shape of a value that has the wrong one: advice that, when it is followed, leads to no other refusal.

Most wrong shapes come from somewhere: a number where another tool takes seconds or megabytes, a list that is a mapping
elsewhere, a field of a Deployment.
"""

import json
import shlex
from typing import Any

from resilientslice.api.problems import Path, nearest
from resilientslice.api.scalars import DURATION_PATTERN, POSITIVE_DURATION_PATTERN, QUANTITY_PATTERN, SIZE_PATTERN
from resilientslice.api.schema import Schema, schema_at

FOREIGN = {
    "containers": "a service is one container: write its image, port and env here",
    "environment": "write it as env",
    "imagePullPolicy": "remove it: images are pulled as their tag asks",
    "labels": "remove it: objects have the slice's labels",
    "livenessProbe": "write it as probes.liveness",
    "ports": "write the port that it listens on as port",
    "readinessProbe": "write it as probes.readiness",
    "selector": "remove it: pods are selected by the slice's labels",
    "startupProbe": "write it as probes.startup",
    "template": "write what is in its spec.containers[0] here",
    "volumeMounts": "write it into volumes, each with its mountPath",
}
"""Fields of a Deployment, or of other tools, and what they are here."""
_AMOUNTS = ("memory", "storage", "ephemeral-storage")


def right_shape(path: Path, value: Any, wanted: str) -> str:
    """What to write instead, empty where that can't be told. `wanted` as in messages: `a string`, `a list` …"""
    node = schema_at(path)
    if wanted == "a string":
        return _text(path, value, str(node.get("pattern", "")))
    if wanted in ("a whole number", "true or false"):
        return f"write {value} without quotes" if isinstance(value, str) and _is_plain(value, wanted) else ""
    if wanted == "a list":
        return _list(path, value, node)
    if wanted == "a mapping":
        return _mapping(value, node)
    return ""


def meant_by(name: str) -> str:
    """What a field of another tool's is here, empty for one that is known nowhere."""
    known = nearest(name, FOREIGN)
    return FOREIGN[known] if known else ""


def _text(path: Path, value: Any, pattern: str) -> str:
    if not isinstance(value, bool | int | float):
        return ""
    if pattern in (DURATION_PATTERN, POSITIVE_DURATION_PATTERN) and isinstance(value, int):
        return f"write {value}ms, or {value}s"
    amount = pattern == SIZE_PATTERN or (pattern == QUANTITY_PATTERN and path[-1] in _AMOUNTS)
    if (amount or path[-1] in _AMOUNTS) and isinstance(value, int):
        return f"write {value}Mi, or another unit"
    return f'put it in quotes: "{json.dumps(value)}"'


def _is_plain(text: str, wanted: str) -> bool:
    return text.lower() in ("true", "false") if wanted == "true or false" else text.isdecimal()


def _list(path: Path, value: Any, node: Schema) -> str:
    items = node.get("items", {}).get("properties", {})
    if isinstance(value, dict):
        if not value or "name" not in items:
            return ""
        first, inside = next(iter(value.items()))
        own = {"value": inside} if "value" in items and not isinstance(inside, dict) else {}
        own |= inside if isinstance(inside, dict) else {}
        return f"write it as a list: - {_flow({'name': first, **own})}"
    if isinstance(value, str) and path[-1] in ("command", "args"):
        return f"write {_flow(_words(value))}"
    return f"write {_flow([value])}"


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


def _mapping(value: Any, node: Schema) -> str:
    fields = node.get("properties", {})
    if not isinstance(value, bool) or not fields or node.get("required"):
        return ""
    defaults = {name: child["default"] for name, child in fields.items() if isinstance(child.get("default"), str)}
    first = dict(list(defaults.items())[:1])
    return f"write {_flow(first)}" if value else "remove it"


def _flow(value: Any) -> str:
    """YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inside)}" for name, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inside) for inside in value) + "]"
    if isinstance(value, str) and value and all(letter.isalnum() or letter in "._-/" for letter in value):
        quoted = value.replace(".", "", 1).isdecimal() or value.lower() in ("true", "false", "null", "yes", "no")
        return json.dumps(value) if quoted else value
    return json.dumps(value, ensure_ascii=False)
