"""What must not harm: edits that are wrong, objects that are someone else's, pods that can't run."""

import asyncio
import contextlib
import itertools
import json

import pytest

from resilientslice.render.names import allocate_ports
from testkit.files import sample, service_of
from testkit.live_cluster import gets, none_failed, uids, until, version_of

pytestmark = pytest.mark.e2e

HOLD = """
import socket, sys
held = socket.socket()
held.bind(("0.0.0.0", int(sys.argv[1])))
held.listen()
print("held", flush=True)
sys.stdin.read()
"""


async def test_somebody_elses_object_stays_as_it_is(a_slice):
    slice_ = a_slice("minimal")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "minimal-proxy"}, "data": {"mine": "yes"}}
    await slice_.cluster.apply(theirs, slice_.namespace)
    await slice_.apply(sample("minimal"))
    message = await slice_.said("NameConflict", "ObjectNotOwned", 60)
    assert "minimal-proxy" in message
    found = await slice_.cluster.get("configmap", "minimal-proxy", slice_.namespace)
    assert found is not None
    assert found["data"] == {"mine": "yes"}
    await slice_.cluster.kubectl("delete", "configmap", "minimal-proxy", "-n", slice_.namespace)
    await slice_.ready()


async def test_an_image_that_cannot_be_pulled_is_said_and_the_old_one_serves(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    await slice_.ready()

    def change(document):
        service = service_of(document, "web")
        service["image"] = version_of(service["image"], "not-there")

    async with slice_.traffic(gets()) as load:
        await slice_.edit(change)
        status = await slice_.wait(
            lambda s: any("not-there" in json.dumps(c) for c in s.get("conditions", [])), "the image is named", 30
        )
    assert status["phase"] != "Ready"
    none_failed(load.tally)


async def test_a_quota_that_refuses_pods_is_said(a_slice):
    slice_ = a_slice("minimal")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await slice_.cluster.apply(quota, slice_.namespace)
    await slice_.apply(sample("minimal"))
    await slice_.wait(
        lambda s: any("quota" in json.dumps(c).lower() for c in s.get("conditions", [])), "the quota is named", 30
    )


@pytest.mark.smoke
async def test_an_edit_that_only_the_operator_can_refuse_changes_nothing(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    before = (await slice_.ready())["config"]["digest"]
    async with slice_.traffic(gets()) as load:
        await slice_.patch({"front": {"trustedProxies": ["10.0.0.1/8"]}, "resilience": {"timeout": "16s"}})
        message = await slice_.said("Stalled", "InvalidSpec", 30)
        assert "trustedProxies" in message
        status = await slice_.status()
        assert status["config"]["digest"] == before
        assert next(c for c in status["conditions"] if c["type"] == "Ready")["status"] == "True"
        await slice_.patch({"front": {"trustedProxies": ["10.0.0.0/8"]}})
        await slice_.ready()
    none_failed(load.tally)


async def test_two_who_set_the_same_field_are_told_apart(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    await slice_.ready()
    pods = uids(await slice_.pods())
    fights = (f'{{"spec": {{"progressDeadlineSeconds": {seconds}}}}}' for seconds in itertools.count(100))

    async def fought() -> str:
        await slice_.cluster.kubectl(
            "patch",
            "deployment",
            "minimal-web-stable",
            "-n",
            slice_.namespace,
            "--field-manager=rival",
            "-p",
            next(fights),
        )
        found = await slice_.condition("FieldConflict")
        return found.get("message", "") if found.get("reason") == "FieldManagerConflict" else ""

    async with slice_.traffic(gets()) as load:
        message = await until(fought, "FieldConflict is said", 60)
    assert "rival" in message
    assert "spec.progressDeadlineSeconds" in message
    none_failed(load.tally)
    assert uids(await slice_.pods()) == pods


@contextlib.asynccontextmanager
async def port_is_held(slice_, port):
    """Someone listens at a port in the pods of all Envoys while the block runs."""
    async with contextlib.AsyncExitStack() as stack:
        for pod in await slice_.pods(component="proxy"):
            name = pod["metadata"]["name"]
            command = ["exec", "-i", "-n", slice_.namespace, name, "-c", "agent", "--", "python", "-c", HOLD, str(port)]
            process = await slice_.cluster.start(*command)
            # the holder ends with its standard input
            stack.push_async_callback(process.communicate, b"")
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 30) == b"held\n"
        yield


async def test_what_envoy_refuses_is_told_in_its_words_and_the_old_configuration_serves(a_slice):
    """A port of the next service that is taken in the pods of the Envoys: nobody but Envoy can know that."""
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    before = (await slice_.ready())["config"]["digest"]
    proxies = uids(await slice_.pods(component="proxy"))
    port = allocate_ports(["other"], allocate_ports(["web"], {}))["other"]

    def change(document):
        added = {**service_of(document, "web"), "name": "other"}
        added.pop("expose")
        document["spec"]["services"].append(added)

    async with slice_.traffic(gets(), per_second=40) as load:
        async with port_is_held(slice_, port):
            await slice_.edit(change)
            message = await slice_.said("ConfigAccepted", "ConfigRejected", 60)
            status = await slice_.status()
            print(f"refused: {message}")
            assert "Address already in use" in status["config"]["rejected"]
            assert status["config"]["digest"] != before
            assert status["phase"] != "Ready"
            refused = await slice_.condition("Stalled")
            assert (refused["status"], refused["reason"]) == ("True", "ConfigRejected")
        # the same is not offered again: an edit is what ends it
        await slice_.patch({"resilience": {"timeout": "16s"}})
        await slice_.ready()
    none_failed(load.tally, 100)
    assert uids(await slice_.pods(component="proxy")) == proxies, "no Envoy was started anew"
    assert not (await slice_.status())["config"]["rejected"]
