"""What an API server was asked, as its audit log tells it: one line of JSON a request, written when that had ended."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

READS = frozenset({"get", "list", "watch"})
LEASES = "leases"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Of no resource: it asked what the API server can do, or how it is."""

    verb: str
    group: str
    resource: str
    """With its subresource, as RBAC writes it: `resilientslices/status`."""
    code: int
    uri: str
    user: str
    source: str
    """Address of the process that asked."""

    @property
    def kind(self) -> str:
        """The resource without its subresource, or the path where there is none."""
        return self.resource.partition("/")[0] or self.uri

    @property
    def writes(self) -> bool:
        """Something else than the Lease."""
        return self.verb not in READS and self.resource != LEASES

    @property
    def continues(self) -> bool:
        """The next page of a list that another request began."""
        return "continue=" in self.uri


def read(lines: Iterable[str]) -> Iterator[Asked]:
    for line in lines:
        event = json.loads(line)
        about = event.get("objectRef", {})
        yield Asked(
            verb=event["verb"],
            group=about.get("apiGroup", ""),
            resource="/".join(about[key] for key in ("resource", "subresource") if about.get(key)),
            code=event.get("responseStatus", {}).get("code", 0),
            uri=event["requestURI"],
            user=event["user"]["username"],
            source=event.get("sourceIPs", [""])[0],
        )


def writes(requests: Iterable[Asked]) -> list[Asked]:
    return [request for request in requests if request.writes]


def lists(requests: Iterable[Asked]) -> Counter[str]:
    """How often each resource was listed. A list in pages is one."""
    return Counter(request.kind for request in requests if request.verb == "list" and not request.continues)


def counted(requests: Iterable[Asked]) -> Counter[tuple[str, str]]:
    """By verb and resource. A list in pages counts once."""
    return Counter((request.verb, request.kind) for request in requests if not request.continues)


def words(requests: Iterable[Asked]) -> str:
    """What was asked, and how often, in a line."""
    return ", ".join(f"{verb} {kind} {count}" for (verb, kind), count in sorted(counted(requests).items()))
