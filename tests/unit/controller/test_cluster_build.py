"""What the operator was told at its start reaches those whom it is about."""

from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from resilientslice.controller.build import reconciling
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.operating.settings import OperatorSettings
from resilientslice.operating.world import World
from resilientslice.planning.observed import Queued


class Client:
    async def version(self):
        return 1, 30


async def test_the_bound_on_rollouts_and_who_wakes_reach_the_reconciler():
    woken = []
    world = World(
        settings=OperatorSettings("ns", "lease", "me", namespace="platform", proxy_rollouts=1),
        client=Client(),
        slices=Slices(on_change=woken.append),
        children=Children(on_change=woken.append, shape=noted),
        election=SimpleNamespace(term=1, check=lambda: None),
        wake=woken.append,
        registry=CollectorRegistry(),
    )
    one, two = SliceKey("ns", "one"), SliceKey("ns", "two")
    for key in (one, two):
        metadata = {"namespace": key.namespace, "name": key.name, "uid": key.name, "resourceVersion": "1"}
        world.slices.told({"kind": "ResilientSlice", "metadata": metadata})
        labels = {"resilientslice.dev/slice": key.name}
        owners = [{"uid": key.name, "controller": True}]
        proxies = metadata | {"name": f"{key.name}-proxy", "labels": labels, "ownerReferences": owners}
        world.children.saw({"kind": "Deployment", "metadata": proxies, "spec": {"replicas": 0}})
    wanted = SimpleNamespace(digest="new", notes={"resilientslice.dev/template": "new", "resilientslice.dev/asked": ""})
    woken.clear()
    async with reconciling(world) as reconciler:
        assert reconciler.deciding.settings.operator_namespace == "platform"
        assert reconciler.applier.rollouts.look(one, wanted) is None
        assert reconciler.applier.rollouts.look(two, wanted) == Queued(before=0, places=1)
        assert world.registry.get_sample_value("rslice_operator_proxy_rollouts_waiting") == 1
        assert world.registry.get_sample_value("rslice_operator_proxy_rollouts_stalled") == 0
        reconciler.applier.rollouts.leave(one)
        assert woken == [two]
