"""Talks to the agents of every slice over TCP, signed both ways. One for the whole operator.

Slices share connections and nothing else: no lock, no queue. A dead agent costs its own slice a time-out and others
nothing.
"""

import asyncio
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import aiohttp

from resilientslice.agent.client import AgentError, Snapshot, snapshot_of
from resilientslice.agent.signing import SigningKeys, Standing
from resilientslice.fleet.merge import FleetView, Member, polled, pushed, pushing, silent, view_of
from resilientslice.fleet.reports import AgentPod, Epoch, Outcome, PushReport, SliceKey, Unreachable
from resilientslice.fleet.wire import Answer, Body, Call, ForeignKeyError, outcome_of, push_body, request

POLL_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 30.0
"""A push finds a connection open while its agent is polled more often than this."""
CONNECTIONS_PER_AGENT = 4
POLLS_AT_ONCE = 16
"""Of one slice."""


def new_key() -> str:
    """A key for a slice's Secret: 64 hexadecimal digits."""
    return secrets.token_hex(32)


@dataclass(slots=True)
class _Slice:
    keys: SigningKeys
    members: dict[str, Member] = field(default_factory=dict)
    polls: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(POLLS_AT_ONCE))


class Fleet:
    """Remembers by slice and pod what was said last. Use as an async context manager."""

    def __init__(self) -> None:
        self._slices: dict[SliceKey, _Slice] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_AGENT, keepalive_timeout=KEEP_ALIVE_SECONDS, use_dns_cache=False
        )
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def set_members(self, key: SliceKey, pods: Sequence[AgentPod], keys: SigningKeys) -> None:
        """The slice's proxies now, those that end left out. What is known of a pod (by UID and address) is kept."""
        before = self._slices.get(key)
        slice_ = before if before is not None else self._slices.setdefault(key, _Slice(keys))
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
            answer = await self._ask(slice_, pod, Call("PUT", "/config", body), seconds)
            outcome = outcome_of(answer.status, answer.body, report.digest)
        except AgentError as error:
            outcome = Unreachable(str(error))
        finally:
            now = slice_.members.get(pod.uid)
            if now is not None and now.asked == started.asked:
                # a push that was begun since knows better; a poll that is under way began before the verdict
                slice_.members[pod.uid] = replace(
                    pushed(now, report.digest, report.epoch, outcome), asked=now.asked + 1
                )
        return outcome

    async def _poll(self, slice_: _Slice, pod: AgentPod) -> None:
        async with slice_.polls:
            asked = slice_.members[pod.uid].asked if pod.uid in slice_.members else 0
            at = time.time()
            try:
                snapshot = await self._snapshot(slice_, pod)
            except AgentError as error:
                if pod.uid in slice_.members:
                    slice_.members[pod.uid] = silent(slice_.members[pod.uid], str(error))
                return
            if pod.uid in slice_.members:
                slice_.members[pod.uid] = polled(slice_.members[pod.uid], snapshot, at, asked)

    async def _snapshot(self, slice_: _Slice, pod: AgentPod) -> Snapshot:
        answer = await self._ask(slice_, pod, Call("GET", "/snapshot"), POLL_SECONDS)
        if answer.status != 200:
            said = answer.body.get("error", "")
            raise AgentError(f"the agent of {pod.name} at {pod.address}: {answer.status}: {said}")
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
