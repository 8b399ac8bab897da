"""The Secrets with the agents' keys: read by name when a key is needed or doubted, never watched; made, and replaced.

Nothing of a key is ever logged or told. What is to be done is decided in `envoys.key_rotation`.
"""

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from resilientslice.agent.signing import SigningKeys, UnusableKeyError
from resilientslice.api.reasons import EventReason
from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.expected import annotated, owned
from resilientslice.applying.refusals import RETRY_SECONDS, Refusal, refusal_of
from resilientslice.canary.state import Event
from resilientslice.envoys import new_key
from resilientslice.envoys.key_rotation import (
    MOST_SECONDS,
    ROTATE_ANNOTATION,
    ROTATED_AT_ANNOTATION,
    KeyNote,
    KeyStep,
    Rereading,
    key_step,
)
from resilientslice.envoys.port import KeyNews
from resilientslice.kube.cache import controller_uid
from resilientslice.kube.children import MANAGER
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError
from resilientslice.kube.kinds import SECRET, Object, SliceKey
from resilientslice.planning.timestamps import rfc3339, seconds_of
from resilientslice.render.metadata import Component, labels, metadata
from resilientslice.render.names import agent_key_name

_log = structlog.get_logger("resilientslice.agents")

MINUTES = round(MOST_SECONDS / 60)


@dataclass(frozen=True, slots=True)
class KeySecret:
    """A Secret as it was read or written last."""

    keys: SigningKeys
    note: KeyNote
    uid: str
    version: str


@dataclass(slots=True)
class _Held:
    secret: KeySecret | None = None
    fresh: bool = False
    """`secret` is as stored, as far as is known."""
    rereading: Rereading = field(default_factory=Rereading)
    problem: UnusableKeyError | None = None
    news: tuple[Event, ...] = ()
    """Still to be told."""
    told: str = ""
    """Why there is no new key although one is asked for."""
    refused: Refusal | None = None
    not_before: float = 0.0
    """A refused write is not tried again until then (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class AgentKeys:
    """`monotonic` and `wall` in seconds."""

    client: KubeClient
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _held: dict[SliceKey, _Held] = field(default_factory=dict)

    async def keys(self, key: SliceKey, slice_: ResilientSlice, asked: str, *, doubted: bool) -> SigningKeys:
        """Read once, and again when `doubted`, at most every few seconds. A Secret that is missing is made.

        UnusableKeyError when it holds no key; `asked` is the slice's annotation.
        """
        held = self._held.setdefault(key, _Held())
        if (doubted or not held.fresh) and held.rereading.due(self.monotonic()):
            await self._read(held, slice_, asked)
        if held.problem is not None:
            raise held.problem
        if held.secret is None:
            raise UnusableKeyError(f"Secret {agent_key_name(slice_.name)} was not read yet")
        return held.secret.keys

    def held(self, key: SliceKey) -> SigningKeys | None:
        """As they were read or written last."""
        held = self._held.get(key)
        return held.secret.keys if held is not None and held.secret is not None else None

    def may_read(self, key: SliceKey) -> bool:
        held = self._held.get(key)
        return held is None or held.rereading.due(self.monotonic())

    def waits(self, key: SliceKey) -> bool:
        """It matters whether every proxy knows the current key."""
        held = self._held.get(key)
        return held is not None and held.secret is not None and held.secret.note.ends_at is not None

    async def tend(
        self, key: SliceKey, slice_: ResilientSlice, asked: str, *, without_key: tuple[str, ...] | None, now: float
    ) -> KeyNews:
        """Replace the key, or drop the former one, if it is time. `without_key`: proxies that have not shown that they
        know the current key; None if there is no proxy that could."""
        held = self._held.get(key)
        if held is None or held.secret is None:
            return KeyNews()
        note = held.secret.note
        step = key_step(note, asked, known_by_all=without_key == (), now=now)
        if step in (KeyStep.ROTATE, KeyStep.DROP) and now < held.not_before:
            return self._told(held, held.not_before)
        if step is KeyStep.FOREIGN:
            self._warn(held, f"{_name(slice_)} is not controlled by this slice: rotate its key where it was made.")
        elif step is KeyStep.ROTATE:
            await self._write(held, slice_, _rotated(held.secret, asked, now), _rotation(slice_), now)
        elif step is KeyStep.DROP:
            await self._write(held, slice_, _DROPPED, _completion(slice_, without_key), now)
        due = held.not_before if held.not_before > now else held.secret.note.ends_at
        return self._told(held, due if held.fresh else now)

    def forget(self, key: SliceKey) -> None:
        self._held.pop(key, None)

    async def _read(self, held: _Held, slice_: ResilientSlice, asked: str) -> None:
        before, held.problem = held.secret, None
        secret = await self._found(slice_, asked)
        try:
            found = key_secret(secret, slice_.metadata.uid, self.wall(), before)
        except UnusableKeyError as error:
            held.problem, held.fresh = error, False
            held.rereading = held.rereading.read(self.monotonic(), changed=False)
            return
        changed = before is None or before.keys != found.keys
        held.rereading = held.rereading.read(self.monotonic(), changed=changed)
        held.secret, held.fresh = found, True
        if before is not None and changed:
            _log.info("the agents' key was read again", secret=agent_key_name(slice_.name), new=True)
            held.news += _changes(slice_, before, found)

    async def _found(self, slice_: ResilientSlice, asked: str) -> Object:
        name = agent_key_name(slice_.name)
        secret = await self.client.find(SECRET, slice_.namespace, name)
        if secret is not None:
            return secret
        try:
            return await self.client.create(_made(slice_, name, asked))
        except AlreadyExistsError:
            return await self.client.get(SECRET, slice_.namespace, name)

    async def _write(self, held: _Held, slice_: ResilientSlice, change: Object, event: Event, now: float) -> None:
        """Only over what was read: else someone was quicker, and it is read again."""
        if held.secret is None:
            return
        name = agent_key_name(slice_.name)
        body = {**change, "metadata": {**change["metadata"], "resourceVersion": held.secret.version}}
        try:
            answer = await self.client.merge(SECRET, slice_.namespace, name, body, manager=MANAGER)
        except (ConflictError, NotFoundError):
            held.fresh, held.rereading = False, Rereading()
            return
        except KubeError as error:
            held.refused = refusal = refusal_of((SECRET.kind, name), "", error, now, held.refused)
            if refusal is None:
                raise
            held.not_before = now + RETRY_SECONDS
            self._warn(held, refusal.trouble.message)
            return
        held.secret = key_secret(answer, slice_.metadata.uid, now, held.secret)
        held.news, held.told = (*held.news, event), ""

    def _warn(self, held: _Held, why: str) -> None:
        """Once, however often it is tried."""
        if why != held.told:
            held.told = why
            held.news = (*held.news, Event(EventReason.AGENT_KEY_NOT_ROTATED, why))

    def _told(self, held: _Held, deadline: float | None) -> KeyNews:
        news, held.news = held.news, ()
        return KeyNews(news, deadline)


def key_secret(secret: Object, uid: str, now: float, before: KeySecret | None = None) -> KeySecret:
    """A Secret as stored, of the slice with that UID; `before` as it was read earlier. UnusableKeyError."""
    found, noted = signing_keys(secret), secret["metadata"].get("annotations") or {}
    return KeySecret(
        keys=found,
        note=KeyNote(
            ours=controller_uid(secret) == uid,
            followed=noted.get(ROTATE_ANNOTATION, ""),
            former_since=None if found.previous is None else _former_since(found, noted, now, before),
        ),
        uid=secret["metadata"]["uid"],
        version=secret["metadata"]["resourceVersion"],
    )


def signing_keys(secret: Object) -> SigningKeys:
    """Of a Secret as stored. UnusableKeyError says why it can't be used, never what is in it."""
    data = secret.get("data") or {}
    name = secret["metadata"]["name"]
    if "current" not in data:
        raise UnusableKeyError(f"Secret {name} lacks the key `current`; delete it to have a new one made")
    try:
        found = {key: base64.b64decode(data[key], validate=True) for key in ("current", "previous") if data.get(key)}
    except (binascii.Error, ValueError) as error:
        raise UnusableKeyError(f"Secret {name} is no base64; delete it to have a new one made") from error
    try:
        return SigningKeys.of(found.get("current", b""), found.get("previous"))
    except UnusableKeyError as error:
        raise UnusableKeyError(f"Secret {name}, {error}; delete it to have a new one made") from error


def _former_since(keys: SigningKeys, noted: Object, now: float, before: KeySecret | None) -> float:
    """As noted; of a key that a person put there, since it was seen first."""
    if before is not None and before.keys.current != keys.current:
        return now
    if before is not None and before.keys == keys and before.note.former_since is not None:
        return before.note.former_since
    at = seconds_of(noted.get(ROTATED_AT_ANNOTATION, ""))
    return now if at is None else min(at, now)


def _made(slice_: ResilientSlice, name: str, asked: str) -> Object:
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(slice_, name, labels(slice_, "proxy", Component.PROXY)),
        "type": "Opaque",
        "stringData": {"current": new_key()},
    }
    return owned(slice_, annotated(made, {ROTATE_ANNOTATION: asked}) if asked else made)


def _rotated(secret: KeySecret, asked: str, now: float) -> Object:
    data = {"current": new_key().encode(), "previous": secret.keys.current}
    return {
        "metadata": {"annotations": {ROTATE_ANNOTATION: asked, ROTATED_AT_ANNOTATION: rfc3339(now)}},
        "data": {name: base64.b64encode(key).decode() for name, key in data.items()},
    }


_DROPPED: Object = {"metadata": {"annotations": {ROTATED_AT_ANNOTATION: None}}, "data": {"previous": None}}


def _name(slice_: ResilientSlice) -> str:
    return f"Secret {agent_key_name(slice_.name)}"


def _rotation(slice_: ResilientSlice) -> Event:
    said = f"{_name(slice_)} has a new key. The former one counts until every proxy knows the new one"
    return Event(EventReason.AGENT_KEY_ROTATED, f"{said}, {MINUTES} minutes at most.")


def _completion(slice_: ResilientSlice, without_key: tuple[str, ...] | None) -> Event:
    if without_key == ():
        said = f"Every proxy knows the new key; the former one is gone from {_name(slice_)}."
        return Event(EventReason.AGENT_KEY_ROTATION_COMPLETE, said)
    missing = ", ".join(without_key) if without_key else "no proxy answers"
    said = (
        f"The former key is gone from {_name(slice_)} after {MINUTES} minutes, though not every proxy has shown that "
        f"it knows the new one ({missing}). It will once its node brings it the Secret."
    )
    return Event(EventReason.AGENT_KEY_NOT_CONFIRMED, said)


def _changes(slice_: ResilientSlice, before: KeySecret, found: KeySecret) -> tuple[Event, ...]:
    """What was done to the Secret since it was read: by someone else, or by a write whose answer was lost."""
    if found.uid == before.uid and found.note.followed != before.note.followed:
        return (_rotation(slice_),)
    if found.uid != before.uid:
        said = f"{_name(slice_)} was deleted; there is a new one, with a new key."
        return (Event(EventReason.AGENT_KEY_ROTATED, said),)
    if found.keys.current != before.keys.current:
        said = f"{_name(slice_)} has a new key, which someone else put there."
        return (Event(EventReason.AGENT_KEY_ROTATED, said),)
    if before.keys.previous is not None and found.keys.previous is None:
        said = f"The former key is gone from {_name(slice_)}: someone else took it out."
        return (Event(EventReason.AGENT_KEY_ROTATION_COMPLETE, said),)
    return ()
