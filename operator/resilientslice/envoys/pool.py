"""Talks to the agents of every slice over TCP, signed both ways. One for the whole operator.

Slices share connections and nothing else: no lock, no queue. A dead agent costs its own slice a time-out and others
nothing.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from resilientslice.agent.answers import (
    MOST_ERROR,
    AgentError,
    NotUnderstoodError,
    Snapshot,
    error_of,
    snapshot_of,
)
from resilientslice.agent.signing import SigningKeys, Standing
from resilientslice.agent.words import words
from resilientslice.envoys.merge import FleetView, Member, polled, pushed, pushing, silent, view_of, weighed
from resilientslice.envoys.reports import (
    DEFECT,
    FOREIGN_KEY,
    NO_ANSWER,
    AgentPod,
    Epoch,
    Outcome,
    PushReport,
    SliceKey,
    Unheard,
    Unreachable,
)
from resilientslice.envoys.wire import (
    Answer,
    Body,
    BrokenAnswerError,
    Call,
    ForeignKeyError,
    outcome_of,
    push_body,
    request,
)

POLL_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 30.0
"""A push finds a connection open while its agent is polled more often than this."""
CONNECTIONS_PER_AGENT = 4
POLLS_AT_ONCE = 16
"""Of one slice."""
NEVER = -1
"""No number of pushes: of such a snapshot only what Envoy counts is taken."""

T = TypeVar("T")
Failed = Callable[[SliceKey, str, Exception], None]
"""Told of a slice, a pod and why the pod's agent was not heard, each time that this changes."""


def new_key() -> str:
    """A key for a slice's Secret: 64 hexadecimal digits."""
    return secrets.token_hex(32)


@dataclass(slots=True)
class _Slice:
    key: SliceKey
    keys: SigningKeys
    sent: Epoch = (0, 0)
    """The newest epoch that this operator has sent, or could have."""
    members: dict[str, Member] = field(default_factory=dict)
    polls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(POLLS_AT_ONCE))


class Fleet:
    """Remembers by slice and pod what was said last. Use as an async context manager.

    Whatever goes wrong with one agent, an error of our own included, is remembered of that agent, told to `failed`, and
    keeps nobody from hearing the others.
    """

    def __init__(self, failed: Failed = lambda *_: None) -> None:
        self._failed = failed
        self._slices: dict[SliceKey, _Slice] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_AGENT, keepalive_timeout=KEEP_ALIVE_SECONDS, use_dns_cache=False
        )
        # what is packed may be a thousand times as large: nothing is unpacked before it is counted
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def set_members(self, key: SliceKey, pods: Sequence[AgentPod], keys: SigningKeys, *, term: int = 0) -> None:
        """The slice's proxies now, those that end left out. What is known of a pod (by UID and address) is kept.

        `term` is ours: a claim to hold a later one is doubted.
        """
        before = self._slices.get(key)
        slice_ = before if before is not None else self._slices.setdefault(key, _Slice(key, keys))
        slice_.sent = max(slice_.sent, (term, 0))
        self.set_keys(key, keys)
        slice_.members = {pod.uid: _kept(slice_.members.get(pod.uid), pod) for pod in pods}

    def set_keys(self, key: SliceKey, keys: SigningKeys) -> None:
        """The slice's keys now. What its agents have shown to know of other keys is forgotten, and so are doubts."""
        slice_ = self._slices.get(key)
        if slice_ is None:
            return
        other = keys != slice_.keys
        slice_.keys = keys
        for uid, member in slice_.members.items():
            if other or member.doubted:
                slice_.members[uid] = replace(member, standing=None)

    def doubted(self, key: SliceKey) -> bool:
        """An agent of the slice has answered as if the key had been replaced."""
        slice_ = self._slices.get(key)
        return slice_ is not None and any(member.doubted for member in slice_.members.values())

    async def push(
        self,
        key: SliceKey,
        config: Mapping[str, Any] | str,
        digest: str,
        epoch: Epoch,
        timeout: float = 3.0,  # noqa: ASYNC109 - the agents count it too, and answer when it is over
        *,
        only: Collection[str] | None = None,
    ) -> PushReport:
        """Hand a configuration to all agents of the slice at once, or to those pods whose names are in `only`.

        `config` is `EnvoyConfig.to_json()` or its text, `digest` its digest, `timeout` in seconds. Raises nothing but a
        cancellation: what went wrong at which pod is in the report.
        """
        slice_ = self._slices.get(key)
        members = [] if slice_ is None else list(slice_.members.values())
        asked = [member for member in members if only is None or member.pod.name in only]
        if slice_ is None or not asked:
            return PushReport(digest, epoch, {})
        slice_.sent = max(slice_.sent, epoch)
        body, report = push_body(config, epoch, timeout), PushReport(digest, epoch, {})
        outcomes = await asyncio.gather(*(self._push(slice_, member.pod, body, report, timeout) for member in asked))
        named = {member.pod.name: outcome for member, outcome in zip(asked, outcomes, strict=True)}
        return replace(report, outcomes=named)

    async def poll(self, key: SliceKey) -> None:
        """Ask every agent of the slice for its snapshot and remember it, also that one did not answer."""
        slice_ = self._slices.get(key)
        if slice_ is not None:
            await asyncio.gather(*(self._poll(slice_, member.pod) for member in slice_.members.values()))

    def view(self, key: SliceKey, *, canary: Collection[str] = (), pods: Mapping[str, str] | None = None) -> FleetView:
        """What is known, without asking. `canary`: services that have one; `pods`: address of a host → its pod."""
        slice_ = self._slices.get(key)
        return FleetView() if slice_ is None else view_of(list(slice_.members.values()), canary, pods)

    def forget(self, key: SliceKey) -> None:
        self._slices.pop(key, None)

    async def _push(self, slice_: _Slice, pod: AgentPod, body: Body, report: PushReport, seconds: float) -> Outcome:
        started = pushing(slice_.members[pod.uid])
        slice_.members[pod.uid] = started
        outcome: Outcome = Unreachable("the push was given up")
        try:
            outcome = await self._heard(slice_, pod, self._verdict(slice_, pod, body, report, seconds))
        finally:
            now = slice_.members.get(pod.uid)
            if now is not None and now.asked == started.asked:
                # a push that was begun since knows better; a poll that is under way began before the verdict
                told = pushed(now, report.digest, report.epoch, outcome)
                told = replace(told, asked=now.asked + 1, under_way=False)
                slice_.members[pod.uid] = weighed(told, slice_.sent)
        return outcome

    async def _verdict(self, slice_: _Slice, pod: AgentPod, body: Body, report: PushReport, seconds: float) -> Outcome:
        answer = await self._ask(slice_, pod, Call("PUT", "/config", body), seconds)
        return outcome_of(answer.status, answer.body, report.digest)

    async def _poll(self, slice_: _Slice, pod: AgentPod) -> None:
        async with slice_.polls:
            member = slice_.members.get(pod.uid)
            # what is seen while a push is under way may be over by the time it is heard
            asked = member.asked if member is not None and not member.under_way else NEVER
            at = time.time()

            async def told() -> Member | None:
                snapshot = await self._snapshot(slice_, pod)
                now = slice_.members.get(pod.uid)
                return None if now is None else weighed(polled(now, snapshot, at, asked), slice_.sent)

            found = await self._heard(slice_, pod, told())
            member = slice_.members.get(pod.uid)
            if member is not None and found is not None:
                slice_.members[pod.uid] = silent(member, found) if isinstance(found, Unreachable) else found

    async def _heard(self, slice_: _Slice, pod: AgentPod, asking: Awaitable[T]) -> T | Unreachable:
        """What came of asking. Nothing but a cancellation gets past here: a slice's agents are the slice's business."""
        before = slice_.members.get(pod.uid)
        try:
            return await asking
        except NotUnderstoodError as error:
            failure: Exception = BrokenAnswerError(pod, error)
        except Exception as error:
            failure = error
        said = str(failure) if isinstance(failure, AgentError) else words(repr(failure), MOST_ERROR)
        found = Unreachable(said, _unheard(failure))
        if before is None or before.unheard != found.unheard:
            self._failed(slice_.key, pod.name, failure)
        return found

    async def _snapshot(self, slice_: _Slice, pod: AgentPod) -> Snapshot:
        answer = await self._ask(slice_, pod, Call("GET", "/snapshot"), POLL_SECONDS)
        if answer.status != 200:
            raise AgentError(f"the agent of {pod.name} at {pod.address}: {answer.status}: {error_of(answer.body)}")
        return snapshot_of(answer.body)

    async def _ask(self, slice_: _Slice, pod: AgentPod, call: Call, seconds: float) -> Answer:
        """Remembers what the answer says of the keys that were asked with, if they are still the slice's."""
        keys, found = slice_.keys, None
        try:
            answer = await request(self._session, keys, pod, call, seconds=seconds)
            found = answer.standing
        except ForeignKeyError:
            found = Standing.STRANGE
            raise
        finally:
            member = slice_.members.get(pod.uid)
            if found is not None and member is not None and member.standing is not found and slice_.keys is keys:
                slice_.members[pod.uid] = replace(member, standing=found)
        return answer


def _kept(known: Member | None, pod: AgentPod) -> Member:
    if known is None or known.pod.address != pod.address:
        return Member(pod)
    return replace(known, pod=pod)


def _unheard(error: Exception) -> Unheard:
    """The same for the same fault, whatever an agent has put into it."""
    match error:
        case BrokenAnswerError():
            return Unheard(f"answers what is not understood: {error.said}", broken=True)
        case ForeignKeyError():
            return FOREIGN_KEY
        case AgentError():
            return NO_ANSWER
        case _:
            return DEFECT
