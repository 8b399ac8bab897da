"""kopf's lists, read along on their way to it: what is in them is known, when one is complete, and what has vanished.

kopf tells its handlers of one object after the other, and nobody of the end of a list or of what is in it no more. It
takes an HTTP session of ours, though, and a session shows its answers. So the slices need no list of our own at the
start, and nothing depends on how far kopf's handlers are.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import Callable, Iterable

import aiohttp
import kopf

from resilientslice.kube.kinds import Kind, Object
from resilientslice.kube.session import connected
from resilientslice.kube.watch import HEALTHY_SECONDS, Sink, pause_after

LIST_SECONDS = 30.0
"""What follows from a list is to last at least that long."""


class Pace:
    """Keeps kopf from asking the same again and again: it pauses 0.1 s before it lists anew, and not at all before it
    opens a watch anew."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked: dict[tuple[str, bool], tuple[float, int]] = {}
        """When it was asked last, and how often in a row too soon."""

    async def keep(self, soon: int) -> None:
        """Return when the next request may be sent: at once, unless the last two of its sort led to nothing."""
        if soon > 1:
            await asyncio.sleep(pause_after(soon - 1) * random.uniform(0.7, 1.3))  # noqa: S311 - spread, not secrecy

    def answered(self, path: str, *, watch: bool, soon: int) -> None:
        """A request was answered well. Of those that fail kopf itself keeps apart."""
        self._asked[path, watch] = (self._monotonic(), soon)

    def soon(self, path: str, *, watch: bool) -> int:
        """How often in a row the last one was asked for again too soon, with one that is asked for now."""
        last, soon = self._asked.get((path, watch), (-math.inf, 0))
        return soon + 1 if self._monotonic() - last < (HEALTHY_SECONDS if watch else LIST_SECONDS) else 0


class Overheard:
    """Hands what kopf lists of one kind on to `sink`; `on_listed` is called after each list that is complete.

    `namespaces` are those that kopf serves; None: all of them, in one list.
    """

    def __init__(
        self, kind: Kind, namespaces: Iterable[str | None], sink: Sink, on_listed: Callable[[], None] = lambda: None
    ) -> None:
        self._kind = kind
        self._places = {kind.path(namespace): namespace for namespace in namespaces}
        self._sink = sink
        self._on_listed = on_listed
        self._pace = Pace()
        self._uids: dict[str | None, set[str]] = {}
        self._info: kopf.ConnectionInfo | None = None
        self._session: kopf.AiohttpSession | None = None

    def session(self, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
        """What kopf's log-in returns. kopf closes the session when the API server has refused its credentials.

        The same credentials give the same session: kopf knows by that that there is no use in trying once more.
        """
        if self._session is None or info != self._info:
            http = connected(info, headers=info.as_http_headers(), middlewares=(self._read_along,))
            self._info = info
            self._session = kopf.AiohttpSession(
                server=info.server,
                aiohttp_session=http,
                priority=info.priority,
                default_namespace=info.default_namespace,
                expiration=info.expiration,
            )
        return self._session

    async def close(self) -> None:
        """When kopf has ended, perhaps before its first request."""
        if self._session is not None:
            await self._session.aiohttp_session.close()

    async def _read_along(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # a server may be reached by a path of its own
        path = next((path for path in self._places if request.url.path.endswith(path)), None)
        if path is None or request.method != "GET":
            return await handler(request)
        watch, first = "watch" in request.url.query, "continue" not in request.url.query
        soon = self._pace.soon(path, watch=watch) if first else 0
        await self._pace.keep(soon)
        response = await handler(request)
        if first and response.status == 200:
            self._pace.answered(path, watch=watch, soon=soon)
        if not watch and response.status == 200:
            # kept in the response, from where kopf takes it, too
            answer = json.loads(await response.read())
            self._page(self._places[path], answer, first=first)
        return response

    def _page(self, namespace: str | None, answer: Object, *, first: bool) -> None:
        uids = self._uids[namespace] = set() if first else self._uids[namespace]
        metadata = answer["metadata"]
        for item in answer.get("items") or ():
            uids.add(item["metadata"]["uid"])
            self._sink.told({**item, "apiVersion": self._kind.api_version, "kind": self._kind.kind})
        if not metadata.get("continue"):
            self._sink.listed(self._kind, namespace, self._uids.pop(namespace), str(metadata["resourceVersion"]))
            self._on_listed()
