"""A reflector against a real API server: it hears soon, survives what breaks, and knows what vanished."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.kube.conftest import until
from tests.kube.test_kube_client import config

from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import CNPG_CLUSTER, CONFIG_MAP, Kind, Object, SliceKey
from resilientslice.kube.session import Session
from resilientslice.kube.watch import Reflector

LABEL = "resilientslice.dev/slice"
Follow = Callable[..., Reflector]


def labelled(namespace: str, name: str = "shop", **data: str) -> Object:
    obj = config(namespace, name, **data)
    obj["metadata"]["labels"] = {LABEL: "shop"}
    return obj


class Seen:
    """A cache, and when it was told of what."""

    def __init__(self, namespace: str, kind: Kind = CONFIG_MAP) -> None:
        self.key = SliceKey(namespace, "shop")
        self.at = 0.0
        self.kind = kind
        self.children = Children(on_change=self._told, shape=lambda obj: str(obj.get("data")), kinds=[kind])

    def _told(self, _: SliceKey) -> None:
        self.at = time.perf_counter()

    def shape(self, name: str = "shop") -> str | None:
        child = self.children.of(self.key).get((self.kind.kind, name))
        return child.shape if child else None

    def names(self) -> set[str]:
        return {name for _, name in self.children.of(self.key)}


@asynccontextmanager
async def following(session: Session, namespace: str, seen: Seen, **settings: float) -> AsyncIterator[Reflector]:
    turn, listed = asyncio.Semaphore(1), asyncio.Event()
    reflector = Reflector(session, seen.kind, namespace, LABEL, seen.children, turn, listed.set, **settings)
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(listed.wait(), 60)
        yield reflector
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_there_is_listed_and_what_changes_is_heard(client, session, namespace) -> None:
    await client.create(labelled(namespace, "before"))
    await client.create(config(namespace, "of-nobody"))
    seen = Seen(namespace)
    async with following(session, namespace, seen):
        assert seen.names() == {"before"}
        await client.create(labelled(namespace, "after"))
        await until(lambda: seen.names() == {"before", "after"}, "the new one")
        await client.delete(CONFIG_MAP, namespace, "before")
        await until(lambda: seen.names() == {"after"}, "the deletion")
        await client.apply(config(namespace, "after"), manager="resilientslice")
        unlabelled = await client.get(CONFIG_MAP, namespace, "after")
        unlabelled["metadata"]["labels"] = {}
        await client.replace(unlabelled)
        await until(lambda: not seen.names(), "one that lost its label is nobody's")


async def test_a_change_is_heard_within_milliseconds(client, session, namespace) -> None:
    await client.create(labelled(namespace, a="0"))
    seen, waits = Seen(namespace), []
    async with following(session, namespace, seen):
        for count in range(1, 51):
            await client.apply(labelled(namespace, a=str(count)), manager="test", force=True)
            returned = time.perf_counter()
            await until(lambda count=count: seen.shape() == str({"a": str(count)}), "the change")
            waits.append((seen.at - returned) * 1000)
    print(f"write returned → child heard, ms: p50 {statistics.median(waits):.1f}, max {max(waits):.1f}")
    assert statistics.median(waits) < 5000, "the next list would come minutes later"


async def test_a_watch_that_falls_silent_is_given_up_and_nothing_is_lost(api, client, session, namespace) -> None:
    await client.create(labelled(namespace, "kept"))
    await client.create(labelled(namespace, "lost"))
    seen = Seen(namespace)
    async with following(session, namespace, seen, silence=1.0) as reflector:
        with api.frozen():
            await until(lambda: reflector.heard.failure, "the silence is noticed")
        await until(lambda: not reflector.heard.failure, "it follows again")
        await client.delete(CONFIG_MAP, namespace, "lost")
        await client.create(labelled(namespace, "new"))
        await until(lambda: seen.names() == {"kept", "new"}, "what happened since")


async def test_what_vanished_unheard_is_found_by_the_next_list(client, session, namespace) -> None:
    """As when a watch was broken for longer than the API server remembers."""
    await client.create(labelled(namespace, "lost"))
    seen = Seen(namespace)
    async with following(session, namespace, seen, follow=False, relist=0.2) as reflector:
        assert seen.names() == {"lost"}
        await client.delete(CONFIG_MAP, namespace, "lost")
        await until(lambda: not seen.names(), "the list lacks it")
        assert reflector.heard.events == 0


async def test_a_watch_from_a_forgotten_version_lists_again(client, session, namespace, monkeypatch) -> None:
    await client.create(labelled(namespace, "here"))
    seen = Seen(namespace)
    real, given = Reflector._list, ["1"]

    async def forgetful(self: Reflector) -> str:
        found = await real(self)
        return given.pop() if given else found

    monkeypatch.setattr(Reflector, "_list", forgetful)
    async with following(session, namespace, seen) as reflector:
        await client.create(labelled(namespace, "new"))
        await until(lambda: seen.names() == {"here", "new"}, "it continues")
        assert not reflector.heard.failure


async def test_an_add_on_that_is_not_installed_has_no_objects(session, namespace) -> None:
    seen = Seen(namespace, CNPG_CLUSTER)
    async with following(session, namespace, seen) as reflector:
        assert (seen.names(), reflector.heard.failure) == (set(), "")
