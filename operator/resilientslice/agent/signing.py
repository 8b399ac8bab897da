"""How the operator and an agent prove to each other who they are: what is signed, and when a signature counts. Pure.

Signed are requests and answers alike, with HMAC-SHA256 over lines joined by a line feed:

    rslice-agent-1, request, METHOD, path with query, pod UID, milliseconds since the epoch, nonce, SHA-256 of the body
    rslice-agent-1, answer, status, METHOD, path with query, pod UID, the request's nonce, SHA-256 of the body

The pod's UID keeps a request for one agent from counting at another. The time bounds how long a recorded request could
count, the nonce makes it count once, and ties an answer to the one request that it answers. The body's SHA-256 is a
header too, so that a stranger's body is refused before it is read.

While a key is replaced, each side may know the next key earlier than the other. So both sign with every key they have,
current and previous, and one match is enough.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

TIME_HEADER = "X-Rslice-Time"
NONCE_HEADER = "X-Rslice-Nonce"
DIGEST_HEADER = "X-Rslice-Digest"
SIGNATURE_HEADER = "X-Rslice-Signature"
"""One or two signatures of 64 hexadecimal digits, with a comma between."""
MAX_SKEW_MS = 60_000
MIN_KEY_BYTES = 32
MAX_KEY_BYTES = 1024
REMEMBERED_NONCES = 8192
"""More requests than this within two minutes are refused: an operator asks each agent a few times a second at most."""

_VERSION = "rslice-agent-1"
_NONCE = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIGNATURES = re.compile(r"[0-9a-f]{64}(?:,[0-9a-f]{64})?")
_TIME = re.compile(r"[0-9]{1,16}")


class UnusableKeyError(ValueError):
    """The slice's key can't be used. The message says why, and never what the key is."""


class Refused(StrEnum):
    """Why a request does not count. The value is the reason in metrics and answers."""

    NO_KEY = "no_key"
    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    SIGNATURE = "signature"
    CLOCK = "clock"
    REPLAYED = "replayed"
    BUSY = "busy"
    OVERSIZED = "oversized"
    BODY = "body"


class Standing(StrEnum):
    """What the signatures of an answer say of the keys that its agent has, beside our own. An agent signs with its
    current key first."""

    CURRENT = "current"
    """Its current key is ours."""
    FORMER = "former"
    """Its current key is our previous one: it has not learned of the new one yet."""
    NEWER = "newer"
    """Its current key is none of ours, its previous one is: it has learned of a key that we don't know."""
    STRANGE = "strange"
    """No signature is by a key of ours: nothing of the answer counts."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The slice's key, and the one before it while agents learn of the new one."""

    current: bytes = field(repr=False)
    previous: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, current: bytes, previous: bytes | None = None) -> "SigningKeys":
        """From what a Secret holds, white space around it left out; an empty `previous` is none. UnusableKeyError."""
        before = previous.strip() if previous is not None else b""
        return cls(_checked("current", current.strip()), _checked("previous", before) if before else None)

    @property
    def all(self) -> tuple[bytes, ...]:
        return (self.current,) if self.previous is None else (self.current, self.previous)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is signed. `path` includes the query, as it is sent; `time_ms` counts from the epoch."""

    method: str
    path: str
    uid: str
    time_ms: int
    nonce: str
    digest: str

    @property
    def signed(self) -> bytes:
        parts = (_VERSION, "request", self.method, self.path, self.uid, str(self.time_ms), self.nonce, self.digest)
        return "\n".join(parts).encode()

    def answer(self, status: int, body: bytes) -> bytes:
        """What is signed of the answer to this request."""
        parts = (_VERSION, "answer", str(status), self.method, self.path, self.uid, self.nonce, body_digest(body))
        return "\n".join(parts).encode()


def body_digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def signatures(keys: SigningKeys, signed: bytes) -> str:
    """The value of the signature header."""
    return ",".join(hmac.new(key, signed, hashlib.sha256).hexdigest() for key in keys.all)


def matches(keys: SigningKeys, signed: bytes, offered: str) -> bool:
    """One of the signatures is by one of the keys. Takes as long whether it is or not."""
    return standing(keys, signed, offered) is not Standing.STRANGE


def standing(keys: SigningKeys, signed: bytes, offered: str) -> Standing:
    """Takes as long whatever it is, of signatures that are well-formed."""
    if not _SIGNATURES.fullmatch(offered):
        return Standing.STRANGE
    wanted = [hmac.new(key, signed, hashlib.sha256).hexdigest() for key in keys.all]
    found = [[hmac.compare_digest(one, two) for two in offered.split(",")] for one in wanted]
    first = [row[0] for row in found]
    if not any(any(row) for row in found):
        return Standing.STRANGE
    if first[0]:
        return Standing.CURRENT
    return Standing.FORMER if any(first) else Standing.NEWER


def request_headers(keys: SigningKeys, asked: Asked) -> dict[str, str]:
    return {
        TIME_HEADER: str(asked.time_ms),
        NONCE_HEADER: asked.nonce,
        DIGEST_HEADER: asked.digest,
        SIGNATURE_HEADER: signatures(keys, asked.signed),
    }


def read_request(method: str, path: str, uid: str, headers: Mapping[str, str]) -> Asked | Refused:
    """What a request says of itself; nothing of it is proven yet."""
    values = [headers.get(name) for name in (TIME_HEADER, NONCE_HEADER, DIGEST_HEADER, SIGNATURE_HEADER)]
    time, nonce, digest, offered = (value or "" for value in values)
    if not offered:
        return Refused.UNSIGNED
    wellformed = _TIME.fullmatch(time) and _NONCE.fullmatch(nonce) and _DIGEST.fullmatch(digest)
    if not wellformed or not _SIGNATURES.fullmatch(offered):
        return Refused.MALFORMED
    return Asked(method, path, uid, int(time), nonce, digest)


@dataclass(slots=True)
class Nonces:
    """The nonces of requests that counted, for as long as their time would still pass."""

    limit: int = REMEMBERED_NONCES
    _expiries: dict[str, int] = field(default_factory=dict)

    def take(self, nonce: str, time_ms: int, now_ms: int) -> Refused | None:
        """Remember a nonce; or why its request must not count. Only proven requests may come here."""
        if nonce in self._expiries:
            return Refused.REPLAYED
        if len(self._expiries) >= self.limit:
            self._expiries = {known: until for known, until in self._expiries.items() if until >= now_ms}
            if len(self._expiries) >= self.limit:
                return Refused.BUSY
        self._expiries[nonce] = time_ms + MAX_SKEW_MS
        return None


def judge(keys: SigningKeys, asked: Asked, offered: str, nonces: Nonces, now_ms: int) -> Refused | None:
    """Why a request must not count; None if it does. Its nonce is used up then."""
    if not matches(keys, asked.signed, offered):
        return Refused.SIGNATURE
    if abs(now_ms - asked.time_ms) > MAX_SKEW_MS:
        return Refused.CLOCK
    return nonces.take(asked.nonce, asked.time_ms, now_ms)


def _checked(name: str, key: bytes) -> bytes:
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        limits = f"{MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes"
        raise UnusableKeyError(f"{name}: the key has {len(key)} bytes, and must have {limits}")
    return key
