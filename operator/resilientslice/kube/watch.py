"""Follows all objects of one kind: list, watch from there; list again when the watch can't continue, and now and then.

Why not kopf's watches for children: they keep a task and a memory for each object, call for each event what costs a
millisecond, don't tell when a list is complete, and tell nobody of what vanished between two lists (docs/adr/0011).
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

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
HEALTHY_SECONDS = 2.0
"""A watch that lasted as long has worked: whatever failed before is over."""
FIRST_SECONDS = 0.2
"""Pause after a failure, or after a watch that ended sooner; doubled with each one that follows."""
LONGEST_SECONDS = 15.0

_log = structlog.get_logger("resilientslice.watch")


class Sink(Protocol):
    """Store of the watched objects. Nothing here may block."""

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
    """Runs until it is cancelled. `follow` False: someone else has listed and follows; only lists, every `relist` s.

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
    _failures: int = 0
    """In a row, with no healthy watch in between. A list alone proves nothing: what follows from it may fail again."""

    def __post_init__(self) -> None:
        self.heard = Heard(self.kind, self.namespace, alive_at=self.monotonic())

    def age(self) -> float:
        """Seconds since the API server was heard or tried."""
        return max(self.monotonic() - self.heard.alive_at, 0.0)

    async def run(self) -> None:
        if not self.follow:
            await self._sleep(self._pause())
        while True:
            try:
                await self._round()
            except NotFoundError as error:
                await self._absent(error)
            except ExpiredError as error:
                await self._expired(error)
            except KubeError as error:
                await self._failed(error)

    async def _round(self) -> None:
        """One list, and what follows from it until it is time for the next."""
        version = await self._list()
        ends = self.monotonic() + self._pause()
        if not self.follow:
            self._failures = 0
            await self._sleep(ends - self.monotonic())
        while self.monotonic() < ends:
            try:
                version = await self._watch(version)
            except (ExpiredError, NotFoundError):
                raise
            except KubeError as error:
                await self._failed(error)

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
            opened = self.monotonic()
            async for line in lines:
                self._hear()
                if self.monotonic() - opened >= HEALTHY_SECONDS:
                    self._failures = 0
                version = self._take(line, what) or version
        if self.monotonic() - opened < HEALTHY_SECONDS:
            self._failures += 1
            await self._sleep(self._wait())
        else:
            self._failures = 0
        return version

    def _take(self, line: bytes, what: str) -> str | None:
        """Hand on one event; returns its resource version. Raises ExpiredError or WatchEndedError."""
        try:
            event = json.loads(line)
            type_, obj = event["type"], event["object"]
            metadata = {} if type_ == "ERROR" else obj["metadata"]
        except (ValueError, KeyError, TypeError) as error:
            raise WatchEndedError(what, message=f"not understood: {line[:200]!r}") from error
        if type_ == "ERROR":
            raise _ended(what, obj)
        if type_ in ("ADDED", "MODIFIED"):
            self.heard.events += 1
            self.sink.told(obj)
        elif type_ == "DELETED":
            self.heard.events += 1
            self.sink.gone(obj)
        found: str | None = metadata.get("resourceVersion")
        return found

    async def _absent(self, error: NotFoundError) -> None:
        """An add-on's API that isn't there: none of its objects exist."""
        if not self.kind.optional:
            self._failures = max(self._failures, 5)
            await self._failed(error)
            return
        self._hear()
        self.sink.listed(self.kind, self.namespace, set(), "0")
        self.on_listed()
        await self._sleep(ABSENT_SECONDS)

    async def _expired(self, error: ExpiredError) -> None:
        """List again: at once for the first time; a list is dear, and the next watch may be refused as well."""
        if self._failures:
            await self._failed(error)
            return
        self._failures = 1
        _log.debug("lists again", watch=str(self.heard), reason=str(error))

    async def _failed(self, error: KubeError) -> None:
        self._failures += 1
        if self.heard.failure != str(error):
            _log.warning("does not follow", watch=str(self.heard), reason=str(error))
        self.heard.failure = str(error)
        asked = error.retry_after if isinstance(error, TooManyRequestsError) else 0.0
        await self._sleep(max(asked, self._wait()))

    def _wait(self) -> float:
        return pause_after(self._failures) * random.uniform(0.7, 1.3)  # noqa: S311 - spread, not secrecy

    async def _sleep(self, seconds: float) -> None:
        """Alive all the while, as opposed to a task that hangs."""
        self.heard.alive_at = self.monotonic() + max(seconds, 0.0)
        await asyncio.sleep(max(seconds, 0.0))

    def _hear(self) -> None:
        self.heard.alive_at = self.heard.heard_at = self.monotonic()
        self.heard.failure = ""


def pause_after(failures: int) -> float:
    """Seconds, of that many failures in a row."""
    return min(FIRST_SECONDS * 2.0 ** min(max(failures - 1, 0), 20), LONGEST_SECONDS)


def _ended(what: str, status: Any) -> KubeError:
    """What an ERROR event says."""
    code = status.get("code") if isinstance(status, Mapping) else None
    return error_of(what, code if isinstance(code, int) else 0, status)
