"""kopf's lists, read along on their way to it: what is in them is known, when one is complete, and what has vanished.

kopf tells its handlers of one object after the other, and nobody of the end of a list or of what is in it no more. It
takes an HTTP session of ours, though, and a session shows its answers. So the slices need no list of our own at the
start, and nothing depends on how far kopf's handlers are.
"""

import json
from collections.abc import Callable, Iterable

import aiohttp
import kopf

from resilientslice.kube.kinds import Kind, Object
from resilientslice.kube.session import connected
from resilientslice.kube.watch import Sink


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
        response = await handler(request)
        # a server may be reached by a path of its own
        path = next((path for path in self._places if request.url.path.endswith(path)), None)
        if path is not None and request.method == "GET" and "watch" not in request.url.query and response.status == 200:
            # kept in the response, from where kopf takes it, too
            answer = json.loads(await response.read())
            self._page(self._places[path], answer, first="continue" not in request.url.query)
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
