"""What an Event says and how long it may be; `kubectl describe` shows it beside the object."""

import datetime
import secrets
from collections.abc import Mapping
from typing import Any, Literal

from resilientslice.kube.kinds import EVENT, Object

EventType = Literal["Normal", "Warning"]

NOTE_LIMIT = 1024
"""The API server's, in bytes."""
_CONTROLLER_LIMIT = 128
_NAMESPACE_OF_CLUSTER_OBJECTS = "default"


def event_object(
    regarding: Mapping[str, Any],
    *,
    reason: str,
    note: str,
    action: str,
    type_: EventType,
    controller: str,
    instance: str,
    at: datetime.datetime,
) -> Object:
    """`reason` and `action` are CamelCase words; a note that is too long is cut, and ends in an ellipsis."""
    metadata = regarding["metadata"]
    namespace = metadata.get("namespace") or _NAMESPACE_OF_CLUSTER_OBJECTS
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": namespace},
        "eventTime": at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": controller,
        "reportingInstance": instance[:_CONTROLLER_LIMIT],
        "action": action,
        "reason": reason,
        "type": type_,
        "note": shortened(note),
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }


def shortened(note: str, limit: int = NOTE_LIMIT) -> str:
    data = note.encode()
    if len(data) <= limit:
        return note
    return data[: limit - len("…".encode())].decode(errors="ignore") + "…"
