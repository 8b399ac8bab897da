"""How large a slice may be: all that is made of it, and remembered of it, has to fit into objects of the API server.

The API server and etcd take about 1.5 MB an object, and a ConfigMap holds 1 MiB. What is bounded here is what a user
can see and count; tests/unit/planning/test_sizes.py holds every object that comes of it against those limits.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from resilientslice.api.problems import Path, Problem, format_path, missing

MAX_SPEC_BYTES = 512 * 1024
"""Bytes of `spec` as JSON without spaces, as the API server stores it."""
MAX_ROUTES = 256
"""Routes of all services together: while a canary is live, one with a long prefix is 18 KB of Envoy configuration, of
which an agent takes 10 MiB."""
_ESCAPED = str.maketrans(dict.fromkeys("<>&\u2028\u2029", "\\u0000"))
"""Characters that Go's JSON writes with six."""


def size_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Of a document that fits the schema."""
    spec = data["spec"]
    size = stored_bytes(spec)
    if size > MAX_SPEC_BYTES:
        path, largest = max(_parts(spec), key=lambda part: part[1])
        yield missing(
            ("spec",),
            f"is {size:,} bytes as JSON and may be {MAX_SPEC_BYTES:,}",
            f"shrink it: {format_path(path)} alone is {largest:,} bytes. Keep long values in a ConfigMap and name it "
            "in envFrom or volumes, or split the slice",
        )
    routes = sum(len(service.get("routes") or ()) for service in spec["services"])
    if routes > MAX_ROUTES:
        yield missing(
            ("spec", "services"),
            f"have {routes} routes together and may have {MAX_ROUTES}",
            "merge routes under a common prefix, or split the slice",
        )


def stored_bytes(value: Any) -> int:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.translate(_ESCAPED).encode(errors="surrogatepass"))


def _parts(spec: Mapping[str, Any]) -> Iterator[tuple[Path, int]]:
    """The fields of each service, and the sections beside the services."""
    for name, section in spec.items():
        if name != "services":
            yield ("spec", name), stored_bytes(section)
    for index, service in enumerate(spec["services"]):
        for field, value in service.items():
            yield ("spec", "services", index, field), stored_bytes(value)
