"""Who of several operators acts: leader election by a Lease, safe also for a leader that was frozen or cut off.

A follower takes over when it has seen no change of the Lease for `duration`, on its own clock. A leader counts on the
Lease only for `deadline` after it *sent* the last renewal that succeeded, and the difference is longer than any write
may take (kube/session.py). So two never write at once, whatever is delayed, as long as clocks run at about one speed.
Time is measured by a monotonic clock and the wall clock, and whichever went further counts: the one stops while a
machine is suspended, the other may be set.
"""

import asyncio
import datetime
import math
import random
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError, NotLeadingError
from resilientslice.kube.kinds import LEASE, Object
from resilientslice.kube.session import WRITE_SECONDS

Clock = Callable[[], float]

_log = structlog.get_logger("resilientslice.lease")
_FIRST_TERM = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()


class LeadershipLostError(Exception):
    """The Lease is someone else's, or could not be renewed in time: the process must end at once."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds. Raises ValueError when a write of a leader that has just lost could still be under way afterwards."""

    duration: float = 15.0
    """How long others wait for a change before they take over."""
    deadline: float = 10.0
    """How long after the last renewal a leader may act."""
    period: float = 2.0
    """Between two renewals, and how often a follower looks."""

    def __post_init__(self) -> None:
        if not 0 < self.period < self.deadline <= self.duration - WRITE_SECONDS:
            raise ValueError(
                f"Lease: period {self.period:g} < deadline {self.deadline:g} <= duration {self.duration:g} - "
                f"{WRITE_SECONDS:g} (the longest write) does not hold"
            )


@dataclass(frozen=True, slots=True)
class _Instant:
    """A moment on both clocks."""

    monotonic: float
    wall: float

    def since(self, earlier: "_Instant") -> float:
        return max(self.monotonic - earlier.monotonic, self.wall - earlier.wall)


def new_identity() -> str:
    """Of this process and no other, also not of the same pod's next container."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class LeaseElection:
    """`acquire`, then `hold` for as long as the process lives; `still_leading` before anything that others can see.

    `term` grows with every leader: it is the Lease's `leaseTransitions`. A Lease that has to be made, because someone
    deleted it, begins with the minutes since 2026, so that it is above any earlier one.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
        monotonic: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._where = f"{namespace}/{name}"
        self.identity = identity
        self._times = times or LeaseTimes()
        self._monotonic = monotonic
        self._wall = wall
        self._renewed: _Instant | None = None
        self._lease: Object = {}
        self._seen: tuple[str, _Instant] | None = None
        self.term = 0
        self.holder = ""
        """Who leads as far as is known, for people."""

    def still_leading(self) -> bool:
        """Asks only the clocks, so it may be called before every write and push."""
        return self._renewed is not None and self._now().since(self._renewed) < self._times.deadline

    def check(self) -> None:
        """Raises NotLeadingError unless `still_leading`. The guard of a KubeClient."""
        if not self.still_leading():
            raise NotLeadingError(
                "not sent", message=f"{self.identity} does not hold the Lease {self._where} (any more)"
            )

    async def acquire(self) -> int:
        """Return the term as soon as this process leads, however long that takes. Failures to ask are waited out."""
        while True:
            try:
                if await self._try():
                    return self.term
            except KubeError as error:
                _log.warning("the Lease can't be had now", lease=self._where, reason=str(error))
            await asyncio.sleep(self._times.period * random.uniform(0.9, 1.1))  # noqa: S311 - spread, not secrecy

    async def hold(self) -> None:
        """Renew for as long as that succeeds in time. Raises LeadershipLostError."""
        while self.still_leading():
            await asyncio.sleep(self._times.period)
            try:
                await self._renew()
            except (KubeError, TimeoutError) as error:
                _log.warning("the Lease was not renewed", lease=self._where, reason=str(error) or "no answer in time")
                if isinstance(error, NotFoundError):
                    break  # a Lease made anew has a term of its own
        self._renewed = None
        raise LeadershipLostError(f"the Lease {self._where} could not be renewed within {self._times.deadline:g} s")

    async def release(self) -> None:
        """Let another one take over at once. Nothing may be written any more when this is called.

        Raises KubeError's kinds or LeadershipLostError; then others wait until the Lease has run out.
        """
        if not self.still_leading():
            return
        self._renewed = None
        lease = self._renewal(await self._still_ours())
        lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        await self._client.replace(lease)

    async def _try(self) -> bool:
        """Take the Lease if it is free."""
        asked = self._now()
        lease = await self._client.find(LEASE, self._namespace, self._name)
        if lease is None:
            return await self._create(asked)
        spec = lease["spec"]
        self.holder = spec.get("holderIdentity") or ""
        if self.holder and self.holder != self.identity and not self._has_run_out(lease, asked):
            return False
        term = int(spec.get("leaseTransitions") or 0) + 1
        try:
            taken = await self._client.replace({**lease, "spec": spec | self._claim(term)})
        except ConflictError:
            return False  # someone was quicker
        return self._taken(taken, asked)

    def _has_run_out(self, lease: Object, now: _Instant) -> bool:
        """Whether the holder did nothing for as long as *it* said it would need, or we, whichever is longer."""
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
            return False
        patience = max(self._times.duration, float(lease["spec"].get("leaseDurationSeconds") or 0))
        # only the monotonic clock: a wall clock that is set forward must not shorten another one's lead
        return now.monotonic - self._seen[1].monotonic >= patience

    async def _create(self, asked: _Instant) -> bool:
        term = max(1, int(self._wall() - _FIRST_TERM) // 60)
        lease = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"namespace": self._namespace, "name": self._name},
            "spec": self._claim(term),
        }
        try:
            taken = await self._client.create(lease)
        except AlreadyExistsError:
            return False
        return self._taken(taken, asked)

    async def _renew(self) -> None:
        """Raises LeadershipLostError when it is someone else's."""
        sent = self._now()
        left = self._times.deadline - sent.since(self._renewed) if self._renewed else 0.0
        if left <= 0:
            return
        async with asyncio.timeout(left):
            try:
                self._lease = await self._client.replace(self._renewal(self._lease))
            except ConflictError:
                self._lease = await self._client.replace(self._renewal(await self._still_ours()))
        self._renewed = sent

    def _renewal(self, lease: Object) -> Object:
        return {**lease, "spec": lease["spec"] | {"renewTime": self._timestamp()}}

    async def _still_ours(self) -> Object:
        lease = await self._client.get(LEASE, self._namespace, self._name)
        spec = lease["spec"]
        if spec.get("holderIdentity") != self.identity or spec.get("leaseTransitions") != self.term:
            self._renewed, self.holder = None, spec.get("holderIdentity") or ""
            raise LeadershipLostError(f"the Lease {self._where} was taken: {self.holder or 'nobody'} holds it")
        return lease

    def _taken(self, lease: Object, asked: _Instant) -> bool:
        self._renewed, self._lease = asked, lease
        self.term = int(lease["spec"]["leaseTransitions"])
        self.holder = self.identity
        return self.still_leading()

    def _claim(self, term: int) -> Object:
        now = self._timestamp()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._times.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": term,
        }

    def _timestamp(self) -> str:
        return datetime.datetime.fromtimestamp(self._wall(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _now(self) -> _Instant:
        return _Instant(self._monotonic(), self._wall())
