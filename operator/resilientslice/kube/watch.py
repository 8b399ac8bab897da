"""Follows all objects of one kind: list, watch from there; list again when the watch can't go on, and now and then.

Why not kopf's watches for children: they keep a task and a memory for each object, call for each event what costs a
millisecond, don't tell when a list is complete, and tell nobody of what vanished between two lists (docs/adr/0011).
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ExpiredError, KubeError, NotFoundError, TooManyRequestsError, error_of
from resilientslice.kube.kinds import Kind, Object
from resilientslice.kube.session import Session

SILENCE_SECONDS = 90.0
"""The API server sends a bookmark about every minute; a watch that is silent for longer is taken for dead."""
WATCH_SECONDS = 280.0
"""The API server ends a watch after that long, and the next one may go to another API server."""
RELIST_SECONDS = 1800.0
"""A watch may lose events and not know it: what is missed is found after this long at the latest."""
ABSENT_SECONDS = 60.0
"""How often the API of an add-on that isn't installed is looked for."""
SHORTEST_SECONDS = 1.0
"""A watch that ended sooner is not opened again before that."""
FIRST_SECONDS = 0.2
LONGEST_SECONDS = 15.0

_log = structlog.get_logger("resilientslice.watch")


class Sink(Protocol):
    """Whoever keeps the objects. Nothing here may block."""

    def told(self, obj: Object) -> None: ...

    def gone(self, obj: Object) -> None: ...

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None: ...


class WatchEndedError(KubeError):
    """The API server ended the watch with an error."""


@dataclass(slots=True)
class Heard:
    """What is known of one watch, for health and metrics. Times of the monotonic clock."""

    kind: Kind
    namespace: str | None
    alive_at: float
    """When the API server last said anything, or was last tried in vain: growing age means that the task hangs."""
    heard_at: float | None = None
    """When the API server last said anything."""
    failure: str = ""
    """Why it doesn't follow now; empty while it does."""
    events: int = 0
    lists: int = 0

    def __str__(self) -> str:
        return f"{self.kind} in {self.namespace}" if self.namespace else str(self.kind)


@dataclass(slots=True)
class Reflector:
    """Runs until it is cancelled. `follow` False: somebody else has listed and follows; only lists, every `relist` s.

    `on_listed` is called after each list. `turn` bounds how many lists are read at once: a page takes memory.
    """

    session: Session
    kind: Kind
    namespace: str | None
    selector: str
    sink: Sink
    turn: asyncio.Semaphore
    on_listed: Callable[[], None]
    follow: bool = True
    relist: float = RELIST_SECONDS
    silence: float = SILENCE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    heard: Heard = field(init=False)

    def __post_init__(self) -> None:
        self.heard = Heard(self.kind, self.namespace, alive_at=self.monotonic())

    def age(self) -> float:
        """Seconds since the API server was heard or tried."""
        return max(self.monotonic() - self.heard.alive_at, 0.0)

    async def run(self) -> None:
        failures = 0
        if not self.follow:
            await self._sleep(self._pause())
        while True:
            try:
                await self._round()
                failures = 0
            except NotFoundError as error:
                await self._absent(error)
            except ExpiredError as error:
                _log.debug("lists again", watch=str(self.heard), reason=str(error))
            except KubeError as error:
                failures = failures + 1 if self.heard.failure else 1
                await self._failed(error, failures)

    async def _round(self) -> None:
        """One list, and what follows from it until it is time for the next."""
        version = await self._list()
        ends = self.monotonic() + self._pause()
        if not self.follow:
            await self._sleep(ends - self.monotonic())
        failures = 0
        while self.monotonic() < ends:
            started = self.monotonic()
            try:
                version = await self._watch(version)
                failures = 0
                await self._sleep(started + SHORTEST_SECONDS - self.monotonic())
            except (ExpiredError, NotFoundError):
                raise
            except KubeError as error:
                failures = failures + 1 if self.heard.failure else 1
                await self._failed(error, failures)

    def _pause(self) -> float:
        """From one list to the next."""
        return self.relist * random.uniform(0.8, 1.2)  # noqa: S311 - spread, not secrecy

    async def _list(self) -> str:
        uids: set[str] = set()
        version = ""
        async with self.turn:
            pages = KubeClient(self.session).pages(self.kind, self.namespace, label_selector=self.selector)
            async for page, version_of_all in pages:
                version = version_of_all
                self._hear()
                for obj in page:
                    uids.add(obj["metadata"]["uid"])
                    self.sink.told(obj)
        self.sink.listed(self.kind, self.namespace, uids, version)
        self.on_listed()
        self.heard.lists += 1
        return version

    async def _watch(self, version: str) -> str:
        """Follow from `version` until the API server ends the watch; returns how far it went."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(WATCH_SECONDS * random.uniform(0.8, 1.2))),  # noqa: S311
            **({"labelSelector": self.selector} if self.selector else {}),
        }
        what = f"watch {self.heard}"
        path = self.kind.path(self.namespace)
        async with self.session.stream(path, kind=self.kind, what=what, query=query, silence=self.silence) as lines:
            self._hear()
            async for line in lines:
                self._hear()
                version = self._take(line, what) or version
        return version

    def _take(self, line: bytes, what: str) -> str | None:
        """Hand on one event; returns its resource version. Raises ExpiredError or WatchEndedError."""
        try:
            event = json.loads(line)
            type_, obj = event["type"], event["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise WatchEndedError(what, message=f"not understood: {line[:200]!r}") from error
        if type_ == "ERROR":
            raise error_of(what, int(obj.get("code") or 0), obj)
        if type_ in ("ADDED", "MODIFIED"):
            self.heard.events += 1
            self.sink.told(obj)
        elif type_ == "DELETED":
            self.heard.events += 1
            self.sink.gone(obj)
        found: str | None = obj["metadata"].get("resourceVersion")
        return found

    async def _absent(self, error: NotFoundError) -> None:
        """An add-on's API that isn't there: none of its objects exist."""
        if not self.kind.optional:
            await self._failed(error, 6)
            return
        self._hear()
        self.sink.listed(self.kind, self.namespace, set(), "0")
        self.on_listed()
        await self._sleep(ABSENT_SECONDS)

    async def _failed(self, error: KubeError, failures: int) -> None:
        if self.heard.failure != str(error):
            _log.warning("does not follow", watch=str(self.heard), reason=str(error))
        self.heard.failure = str(error)
        wait = min(FIRST_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_SECONDS)
        asked = error.retry_after if isinstance(error, TooManyRequestsError) else 0.0
        await self._sleep(max(asked, wait * random.uniform(0.7, 1.3)))  # noqa: S311 - spread, not secrecy

    async def _sleep(self, seconds: float) -> None:
        """Alive all the while, as opposed to a task that hangs."""
        self.heard.alive_at = self.monotonic() + max(seconds, 0.0)
        await asyncio.sleep(max(seconds, 0.0))

    def _hear(self) -> None:
        self.heard.alive_at = self.heard.heard_at = self.monotonic()
        self.heard.failure = ""
