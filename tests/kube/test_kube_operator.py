"""The operator as a process, against a real API server: it only looks at slices, and one process at a time acts."""

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from tests.kube.conftest import until
from tests.kube.test_kube_client import config, slice_

from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import CONFIG_MAP, EVENT, LEASE, RESILIENT_SLICE
from testkit.api_server import ApiServer
from testkit.ports import free_port
from testkit.processes import running


@dataclass(frozen=True, slots=True)
class Started:
    process: subprocess.Popen[bytes]
    port: int
    out: Path
    log: Path

    def passes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()] if self.out.exists() else []

    def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())
        except URLError:
            return 0, {}

    def role(self) -> str:
        return str(self.probe("/readyz")[1].get("role", ""))

    def ready(self) -> bool:
        return self.probe("/readyz")[0] == 200


Start = Callable[..., Started]


@pytest.fixture
def start(api: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("KUBECONFIG", str(api.cluster.kubeconfig))
    with ExitStack() as stack:

        def begin(name: str, mode: str = "look") -> Started:
            port, out, log = free_port(), tmp_path / f"{name}.passes", tmp_path / f"{name}.log"
            program = Path(__file__).with_name("operator_process.py")
            command = [sys.executable, str(program), str(port), "leader", namespace, str(out), mode]
            process = stack.enter_context(running(command, log))
            return Started(process, port, out, log)

        yield begin


async def test_a_slice_that_is_watched_is_not_touched(client, namespace, start) -> None:
    made = await client.create(slice_(namespace))
    operator = start("one")
    await until(operator.passes, "a pass")
    child = config(namespace, "child", a="1")
    child["metadata"]["labels"] = {"resilientslice.dev/slice": "shop"}
    for value in "12345":
        await client.apply(child | {"data": {"a": value}}, manager="test")
    await until(lambda: operator.passes()[-1]["children"] == ["child"], "the child is known")
    seen = await client.get(RESILIENT_SLICE, namespace, "shop")
    assert seen == made
    assert [obj["metadata"]["name"] for obj in await client.list_all(CONFIG_MAP, namespace)] == ["child"]
    assert await client.list_all(EVENT, namespace) == []
    assert operator.probe("/healthz")[0] == 200
    assert (operator.ready(), operator.role()) == (True, "leader")
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=60).read().decode()
    assert "rslice_operator_leading 1.0" in metrics
    assert 'rslice_operator_reconciles_total{outcome="done"}' in metrics
    assert 'rslice_operator_watch_age_seconds{watch="Deployment in ' in metrics


async def test_every_edit_is_worked_on(client, namespace, start) -> None:
    """And tells how soon, for whoever reads it; `make bench-operator` measures."""
    await client.create(slice_(namespace))
    operator = start("one")
    await until(operator.passes, "a pass")
    waits = []
    for count in range(30):
        edit = {"op": "replace", "path": "/spec/services/0/image", "value": f"example.org/api:{count}"}
        answer = await client._session.request(
            "PATCH",
            RESILIENT_SLICE.path(namespace, "shop"),
            kind=RESILIENT_SLICE,
            what="shop",
            body=[edit],
            content_type="application/json-patch+json",
        )
        returned, generation = time.time(), answer["metadata"]["generation"]
        await until(lambda generation=generation: operator.passes()[-1]["generation"] == generation, "the edit is seen")
        waits.append((operator.passes()[-1]["at"] - returned) * 1000)
        await asyncio.sleep(0.05)
    waits.sort()
    print(f"edit → pass, ms after the patch returned: p50 {statistics.median(waits):.1f}, max {waits[-1]:.1f}")


async def test_a_deleted_slice_is_told(client, namespace, start) -> None:
    await client.create(slice_(namespace))
    operator = start("one")
    await until(operator.passes, "a pass")
    await client.delete(RESILIENT_SLICE, namespace, "shop")
    await until(lambda: operator.passes()[-1]["generation"] is None, "a pass without the slice")


async def test_a_standby_is_ready_and_takes_over_at_once_when_the_leader_is_stopped(client, namespace, start) -> None:
    await client.create(slice_(namespace))
    first = start("first")
    await until(lambda: first.role() == "leader", "the first leads")
    second = start("second")
    await until(second.ready, "the second is ready")
    assert (second.role(), second.passes()) == ("standby", [])
    term = (await client.get(LEASE, namespace, "leader"))["spec"]["leaseTransitions"]
    began = time.monotonic()
    held = (await client.get(LEASE, namespace, "leader"))["spec"]["holderIdentity"]
    first.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.process.wait, 60) == 0
    assert (await client.get(LEASE, namespace, "leader"))["spec"]["holderIdentity"] != held, "the Lease is released"
    await until(lambda: second.role() == "leader", "the second leads")
    print(f"SIGTERM → the other leads: {time.monotonic() - began:.1f} s")
    await until(second.passes, "the second works")
    assert await asyncio.to_thread(first.process.wait, 60) == 0
    assert (await client.get(LEASE, namespace, "leader"))["spec"]["leaseTransitions"] == term + 1


async def test_a_leader_that_was_frozen_writes_nothing_when_it_wakes_up(client, namespace, start) -> None:
    await client.create(slice_(namespace))
    first = start("first", "write")
    await until(lambda: len(first.passes()) > 5, "the first writes")
    second = start("second", "look")
    await until(second.ready, "the second is ready")
    first.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        await until(lambda: second.role() == "leader", "the second leads")
        print(f"SIGSTOP → the other leads: {time.monotonic() - stopped:.1f} s")
        before = await written(client, namespace)
    finally:
        first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(60) == 1
    assert await written(client, namespace) == before
    assert re.search("the operator ends, another one may lead", first.log.read_text())


async def written(client: KubeClient, namespace: str) -> set[str]:
    return {obj["metadata"]["name"] for obj in await client.list_all(CONFIG_MAP, namespace)}


async def test_a_leader_without_its_api_server_ends_by_itself(api, client, namespace, start) -> None:
    """Before another one could lead, by its own clock: tests/unit/kube/test_kube_lease.py."""
    await client.create(slice_(namespace))
    operator = start("one", "write")
    await until(lambda: operator.role() == "leader", "it leads")
    began = time.monotonic()
    with api.frozen():
        code = await asyncio.to_thread(operator.process.wait, 60)
        took = time.monotonic() - began
        print(f"API server frozen → the leader has ended: {took:.1f} s")
        assert code == 1
        assert "another one may lead" in operator.log.read_text()
    again = start("again")
    await until(again.passes, "another one works")


async def test_a_kubeconfig_without_a_context_is_said_at_once(api, namespace, start, monkeypatch, tmp_path) -> None:
    (tmp_path / "nothing").write_text("{}")
    monkeypatch.setitem(os.environ, "KUBECONFIG", str(tmp_path / "nothing"))
    operator = start("one")
    assert await asyncio.to_thread(operator.process.wait, 60) == 2
    assert "Current context is not set" in operator.log.read_text()
