"""What an agent answers, read strictly: it is a tenant's input, however well it is signed.

Whatever doesn't fit (type, size, count, range, form of a name) raises NotUnderstoodError, which names the field and
never what is in it. Fields that are not known are left out. Nothing past this module checks a type again. Pure.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resilientslice.agent.words import words

MOST_ERROR = 500
"""Characters of an error's text."""
MOST_NUMBER = 1 << 53
"""Above it JSON readers disagree about whole numbers; no counter gets there."""
MOST_DEPTH = 16
"""Lists and objects in each other. An agent's answers have five."""
MOST_VALUES = 20_000
"""Lists and objects of one answer. A slice of 64 services with 50 ejected hosts each makes 4,000."""
MOST_OWNERS = 1024
"""Clusters, listeners' prefixes or limits. A slice of 64 services has 128 clusters, and as many again while all of
them change."""
MOST_COUNTERS = 64
"""Numbers of one owner; an agent sends up to twelve."""
MOST_EJECTED = 4096
MOST_NAME = 253
MOST_STREAMS = 1024

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
"""Also one that doesn't end, so that each byte is looked at once."""
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?")
_OWNER = re.compile(r"[A-Za-z0-9_.:/\[\]-]{1,253}")
_COUNTER = re.compile(r"[a-z0-9_]{1,64}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?):[0-9]{1,5}|/[A-Za-z0-9._/-]{1,107}")
"""`address:port`, or the path of a socket."""
_TYPE = re.compile(r"[a-z]{0,32}")

T = TypeVar("T")


class AgentError(Exception):
    """The agent can't be asked, or its answer makes no sense. The text is short and safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(words(message, MOST_ERROR))


class NotUnderstoodError(AgentError):
    """The answer is none that an agent gives: which field, and why, in fixed words."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}" if where else why)


@dataclass(frozen=True, slots=True)
class PushResult:
    """Envoy's verdict on a configuration.

    Rejected: `type` is clusters, endpoints, listeners or routes, `message` Envoy's words (or the parser's, and then
    `path` is the place in the configuration), `serving` the digest of what keeps serving, empty if nothing does.
    `durable` says whether an agent that starts again would find the accepted configuration, else `durable_reason`.
    """

    digest: str
    accepted: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    type: str = ""
    message: str = ""
    path: str = ""
    serving: str = ""
    durable: bool = True
    durable_reason: str = ""


@dataclass(frozen=True, slots=True)
class EnvoyStatus:
    """`connected` counts ADS streams. `uptime` in seconds; `error` says why the admin interface gave nothing."""

    connected: int
    version: str
    uptime: int
    live: bool
    error: str


@dataclass(frozen=True, slots=True)
class Rejection:
    digest: str
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Ejection:
    """A host (`address:port`) that Envoy took out of a cluster."""

    cluster: str
    host: str


Counters = Mapping[str, Mapping[str, int]]
"""Owner (cluster, listener's prefix, limit's prefix) → Envoy's name of the number → value."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the agent offers (`digest`), what Envoy acknowledged last (`acked`), and what Envoy counts."""

    digest: str
    epoch: tuple[int, int]
    acked: str
    rejected: Rejection | None
    durable: bool
    durable_reason: str
    envoy: EnvoyStatus
    clusters: Counters
    http: Counters
    ratelimit: Counters
    ejected: tuple[Ejection, ...]
    p99: Mapping[str, float] = field(default_factory=dict)
    """By cluster of a canary: milliseconds of the slowest hundredth of its answers, in Envoy's last interval."""


def object_of(data: bytes) -> dict[str, Any]:
    """Decode the JSON object in a body."""
    if data.count(b"{") + data.count(b"[") > MOST_VALUES:
        raise NotUnderstoodError("", f"the answer has more than {MOST_VALUES} lists and objects")
    if _depth(data) > MOST_DEPTH:
        raise NotUnderstoodError("", f"the answer is nested deeper than {MOST_DEPTH}")
    try:
        answer = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except NotUnderstoodError:
        raise
    except (ValueError, RecursionError):
        raise NotUnderstoodError("", "the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise NotUnderstoodError("", "the answer is not an object")
    return answer


def push_result_of(answer: Mapping[str, Any]) -> PushResult:
    """Read the answer to a push that Envoy, or the parser, gave a verdict on."""
    return PushResult(
        digest=_known(answer, "digest", _digest, ""),
        accepted=_flag(answer.get("accepted"), "accepted"),
        versions=_known(answer, "versions", _versions, {}),
        type=_known(answer, "type", _type, ""),
        message=_known(answer, "message", _words, ""),
        path=_known(answer, "path", _words, ""),
        serving=_known(answer, "serving", _digest, ""),
        durable=_known(answer, "durable", _flag, True),
        durable_reason=_known(answer, "durable_reason", _words, ""),
    )


def snapshot_of(answer: Mapping[str, Any]) -> Snapshot:
    """Read `GET /snapshot`."""
    counters = _object(answer.get("counters"), "counters")
    return Snapshot(
        digest=_digest(answer.get("digest"), "digest"),
        epoch=epoch_of(answer.get("epoch"), "epoch"),
        acked=_digest(answer.get("acked"), "acked"),
        rejected=_rejection(answer.get("rejected")),
        durable=_flag(answer.get("durable"), "durable"),
        durable_reason=_words(answer.get("durable_reason"), "durable_reason"),
        envoy=_envoy(_object(answer.get("envoy"), "envoy")),
        clusters=_counters(counters, "clusters"),
        http=_counters(counters, "http"),
        ratelimit=_counters(counters, "ratelimit"),
        ejected=_ejected(answer.get("ejected")),
        p99=_known(answer, "p99", _times, {}),
    )


def epoch_of(value: Any, where: str) -> tuple[int, int]:
    """Read `[term, sequence]`."""
    if not isinstance(value, list) or len(value) != 2:
        raise NotUnderstoodError(where, "is not [term, sequence]")
    return _whole(value[0], where), _whole(value[1], where)


def error_of(answer: Mapping[str, Any]) -> str:
    """Read what an answer that is no result says, for people."""
    return _known(answer, "error", _words, "")


def superseded_of(answer: Mapping[str, Any]) -> str:
    """Read the digest of the push that took this one's place; empty if it isn't said."""
    return _known(answer, "superseded_by", _digest, "")


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for bracket in _STRINGS.sub(b"", data).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotUnderstoodError("", "the answer names a field twice")
    return found


def _no_constant(_: str) -> float:
    raise NotUnderstoodError("", "the answer has a number that is not finite")


def _known(answer: Mapping[str, Any], name: str, read: Callable[[Any, str], T], otherwise: T) -> T:
    """A field that may be absent."""
    return read(answer[name], name) if name in answer else otherwise


def _object(value: Any, where: str, most: int = MOST_OWNERS) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotUnderstoodError(where, "is not an object")
    if len(value) > most:
        raise NotUnderstoodError(where, f"has more than {most} entries")
    return value


def _list(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise NotUnderstoodError(where, "is not a list")
    if len(value) > most:
        raise NotUnderstoodError(where, f"has more than {most} entries")
    return value


def _matching(value: Any, where: str, form: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise NotUnderstoodError(where, f"is not {what}")
    return value


def _digest(value: Any, where: str) -> str:
    return _matching(value, where, _DIGEST, "a digest of 64 hexadecimal digits")


def _type(value: Any, where: str) -> str:
    return _matching(value, where, _TYPE, "a type of resource")


def _owner(value: Any, where: str) -> str:
    return _matching(value, where, _OWNER, "a name")


def _words(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise NotUnderstoodError(where, "is not text")
    return words(value)


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise NotUnderstoodError(where, "is not true or false")
    return value


def _whole(value: Any, where: str, most: int = MOST_NUMBER) -> int:
    if type(value) is not int or not 0 <= value < most:
        raise NotUnderstoodError(where, "is not a whole number in range")
    return value


def _time(value: Any, where: str) -> float:
    """Milliseconds."""
    plain = type(value) in (int, float) and 0 <= value < MOST_NUMBER and math.isfinite(value)
    if not plain:
        raise NotUnderstoodError(where, "is not a time in range")
    return float(value)


def _times(value: Any, where: str) -> dict[str, float]:
    return {_owner(name, where): _time(time, where) for name, time in _object(value, where).items()}


def _versions(value: Any, where: str) -> dict[str, str]:
    return {_type(name, where): _words(text, where)[:MOST_NAME] for name, text in _object(value, where, 16).items()}


def _envoy(value: Mapping[str, Any]) -> EnvoyStatus:
    return EnvoyStatus(
        connected=_whole(value.get("connected"), "envoy.connected", MOST_STREAMS),
        version=_words(value.get("version"), "envoy.version")[:MOST_NAME],
        uptime=_whole(value.get("uptime"), "envoy.uptime"),
        live=_flag(value.get("live"), "envoy.live"),
        error=_words(value.get("error"), "envoy.error"),
    )


def _rejection(value: Any) -> Rejection | None:
    if value is None:
        return None
    found = _object(value, "rejected")
    return Rejection(
        digest=_digest(found.get("digest"), "rejected.digest"),
        type=_type(found.get("type"), "rejected.type"),
        message=_words(found.get("message"), "rejected.message"),
    )


def _counters(groups: Mapping[str, Any], name: str) -> dict[str, dict[str, int]]:
    where = f"counters.{name}"
    found = _object(groups.get(name), where)
    return {
        _owner(owner, where): {
            _matching(counter, where, _COUNTER, "a counter's name"): _whole(value, where)
            for counter, value in _object(values, where, MOST_COUNTERS).items()
        }
        for owner, values in found.items()
    }


def _ejected(value: Any) -> tuple[Ejection, ...]:
    found = [_object(one, "ejected") for one in _list(value, "ejected", MOST_EJECTED)]
    return tuple(
        Ejection(
            cluster=_owner(one.get("cluster"), "ejected.cluster"),
            host=_matching(one.get("host"), "ejected.host", _HOST, "ADDRESS:PORT"),
        )
        for one in found
    )
