"""kopf lists and watches slices by itself; what it lists is read along, whatever happens on the way."""

import asyncio
import gc
import json
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilientslice.handlers import operator_registry, operator_settings
from resilientslice.kube.kinds import RESILIENT_SLICE, SliceKey
from resilientslice.kube.overheard import Overheard
from resilientslice.kube.slices import Slices

AT = "/behind/a/path"
FAR = 90.0


def group(name, version):
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def kinds(plural, kind):
    verbs = ["list", "watch", "patch"]
    return {"resources": [{"name": plural, "kind": kind, "singularName": "", "namespaced": True, "verbs": verbs}]}


DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": kinds("namespaces", "Namespace"),
    "/apis": {"groups": [group("resilientslice.dev", "v1alpha1"), group("apiextensions.k8s.io", "v1")]},
    "/apis/apiextensions.k8s.io/v1": kinds("customresourcedefinitions", "CustomResourceDefinition"),
    RESILIENT_SLICE.root: kinds("resilientslices", "ResilientSlice"),
}


def slice_(name, version, namespace="shop"):
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "generation": 1}, "spec": {}}


@dataclass
class FakeApi:
    """Serves one kind. Lists are `pages`, each with what it answers; watches end when `expire` is set, with a 410."""

    pages: list = field(default_factory=list)
    tokens: set = field(default_factory=lambda: {"Bearer right"})
    asked: list = field(default_factory=list)
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    expire: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request):
        path = request.path.removeprefix(AT)
        if request.headers.get("Authorization") not in self.tokens:
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        if path.endswith("/resilientslices"):
            return await (self._watch if "watch" in request.query else self._list)(request, path)
        return web.json_response(DISCOVERY[path])

    async def _list(self, request, path):
        self.asked.append((path, request.query.get("continue", "")))
        status, answer = self.pages.pop(0)
        return web.json_response(answer, status=status)

    async def _watch(self, request, path):
        self.watched.set()
        response = web.StreamResponse()
        await response.prepare(request)
        await self.expire.wait()
        self.expire.clear()
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
        await response.write(json.dumps(gone).encode() + b"\n")
        return response


def page(*items, version=9, more=""):
    return 200, {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)}


def refused(status):
    return status, {"kind": "Status", "code": status}


class Listening:
    """What an operator knows, and how often it was told that a list is complete."""

    def __init__(self, namespaces=(None,)):
        self.changes = []
        self.slices = Slices(on_change=lambda key: self.changes.append(key.name), namespaces=namespaces)
        self.synced_with = []
        self.listed = asyncio.Event()
        self.overheard = Overheard(RESILIENT_SLICE, namespaces, self.slices, self._complete)

    def _complete(self):
        self.listed.set()
        if self.slices.synced():
            self.synced_with.append(sorted(key.name for key in self.slices.keys()))  # noqa: SIM118 - not a mapping


@asynccontextmanager
async def kopf_runs(api, listening, *, tokens=("right",), namespaces=()):
    """kopf as in the operator, before a server that isn't one."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    handed = iter(tokens)
    last = [""]

    def log_in():
        last[0] = next(handed, last[0])
        return listening.overheard.session(kopf.ConnectionInfo(server=f"{url}{AT}", token=last[0]))

    settings = operator_settings()
    settings.networking.error_backoffs = (0.01, 0.01)
    settings.watching.reconnect_backoff = 0.01
    stop = asyncio.Event()
    async with TestServer(application) as server:
        url = str(server.make_url("")).rstrip("/")
        running = asyncio.create_task(
            kopf.operator(
                registry=operator_registry(listening.slices, log_in),
                settings=settings,
                standalone=True,
                identity="test",
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stop,
            )
        )
        try:
            yield running
        finally:
            stop.set()
            await asyncio.wait([running], timeout=FAR)
            await listening.overheard.close()


async def soon(waiting):
    async with asyncio.timeout(FAR):
        await waiting


async def test_a_cluster_without_slices_is_known_to_have_none():
    api, listening = FakeApi([page()]), Listening()
    async with kopf_runs(api, listening):
        await soon(listening.listed.wait())
        assert listening.synced_with == [[]]


async def test_a_list_is_complete_with_its_last_page_and_not_before():
    first, second = page(slice_("a", 1), slice_("b", 2), more="token"), page(slice_("c", 3))
    api, listening = FakeApi([first, second]), Listening()
    async with kopf_runs(api, listening):
        await soon(api.watched.wait())
    assert listening.synced_with == [["a", "b", "c"]]
    assert [follow for _, follow in api.asked] == ["", "token"]
    assert sorted(listening.changes) == ["a", "b", "c"], "kopf's handlers were told the same, and nothing came of it"
    assert listening.slices.get(SliceKey("shop", "a"))["kind"] == "ResilientSlice"


async def test_what_vanished_while_the_watch_was_broken_is_known_at_once():
    again = page(slice_("kept", 1), slice_("new", 12), version=20)
    api, listening = FakeApi([page(slice_("kept", 1), slice_("lost", 2)), again]), Listening()
    async with kopf_runs(api, listening):
        await soon(api.watched.wait())
        listening.listed.clear()
        api.expire.set()
        await soon(listening.listed.wait())
    assert listening.synced_with == [["kept", "lost"], ["kept", "new"]]
    assert sorted(listening.changes) == ["kept", "lost", "lost", "new"]


@pytest.mark.parametrize("status", [403, 500, 503])
async def test_a_list_that_was_refused_says_nothing(status):
    api, listening = FakeApi([refused(status), page(slice_("a", 1))]), Listening()
    async with kopf_runs(api, listening):
        await soon(api.watched.wait())
    assert listening.synced_with == [["a"]]


async def test_each_namespace_counts():
    namespaces = ("shop", "team-a")
    api, listening = FakeApi([page(), page(slice_("a", 1, "team-a"))]), Listening(namespaces)
    async with kopf_runs(api, listening, namespaces=namespaces):
        async with asyncio.timeout(FAR):
            while not listening.slices.synced():
                listening.listed.clear()
                await listening.listed.wait()
    assert {path for path, _ in api.asked} == {RESILIENT_SLICE.path(namespace) for namespace in namespaces}
    assert len(listening.synced_with) == 1, "not when only one of them was listed"


async def test_a_token_that_was_rotated_is_taken_up():
    api, listening = FakeApi([page(), page(slice_("a", 1))]), Listening()
    async with kopf_runs(api, listening, tokens=("right", "new")):
        await soon(api.watched.wait())
        api.tokens = {"Bearer new"}
        listening.listed.clear()
        api.expire.set()
        await soon(listening.listed.wait())
    assert listening.synced_with == [[], ["a"]]


async def test_credentials_that_stay_refused_end_it():
    api, listening = FakeApi([page()]), Listening()
    async with kopf_runs(api, listening, tokens=("wrong",)) as running:
        await soon(asyncio.wait([running]))
    assert isinstance(running.exception(), Exception)
    assert listening.synced_with == []


async def test_the_session_of_other_credentials_is_another_one_and_none_is_left_open():
    overheard = Overheard(RESILIENT_SLICE, (None,), Slices(on_change=str))
    info = kopf.ConnectionInfo(server="http://127.0.0.1:1", token="a", default_namespace="mine", priority=7)
    made = overheard.session(info)
    assert (made.server, made.default_namespace, made.priority) == (info.server, "mine", 7)
    assert made.aiohttp_session.headers["Authorization"] == "Bearer a"
    assert overheard.session(info) is made
    await made.aiohttp_session.close()
    other = overheard.session(kopf.ConnectionInfo(server=info.server, token="b"))
    assert other.aiohttp_session is not made.aiohttp_session
    await overheard.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del made, other, overheard
        gc.collect()
