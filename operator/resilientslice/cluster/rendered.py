"""The expected objects of a plan, rendered again only when something that they are made from has changed.

A weight is in none of them but the configuration that the Envoys start from, so a step of a canary costs one object.
"""

from typing import Any

from resilientslice.cluster.held import Held
from resilientslice.kube.kinds import CONFIG_MAP
from resilientslice.observe.proxies import Epoch
from resilientslice.reconcile.children import ChildId
from resilientslice.reconcile.expected import Expected, expected_from, expected_of
from resilientslice.reconcile.plan import Desired
from resilientslice.reconcile.record import Record
from resilientslice.render.metadata import Object
from resilientslice.render.names import proxy_name
from resilientslice.render.objects import KINDS
from resilientslice.render.proxy import cluster_topology, render_proxy_configuration


def expected_objects(desired: Desired, record: Record, held: Held) -> dict[ChildId, Expected]:
    """Everything but ControllerRevisions, in the order of application."""
    basis = _basis(desired)
    if held.basis != basis or not held.expected:
        held.expected, held.basis, held.config = expected_of(desired), basis, desired.envoy.digest
    elif held.config != desired.envoy.digest:
        config = expected_from(desired, proxy_configuration(desired, (0, 0)))
        held.expected, held.config = {**held.expected, config.id: config}, desired.envoy.digest
    state = held.state if held.state and held.state_of == record.state else expected_from(desired, record.state)
    held.state, held.state_of = state, record.state
    found = {**held.expected, state.id: state}
    return dict(sorted(found.items(), key=lambda entry: KINDS.index(entry[0][0])))


def configuration_id(slice_name: str) -> ChildId:
    return CONFIG_MAP.kind, proxy_name(slice_name)


def proxy_configuration(desired: Desired, epoch: Epoch) -> Object:
    topology = cluster_topology(desired.slice_, desired.stable, desired.canary)
    return render_proxy_configuration(desired.slice_, desired.envoy, topology, epoch=epoch)


def _basis(desired: Desired) -> tuple[Any, ...]:
    """What the objects are made from, apart from the Envoys' configuration. Weights and steps are not."""
    spec = desired.slice_.spec
    header = spec.canary.header if spec.canary else None
    canary = desired.canary
    track = (canary.revision, canary.services, dict(canary.stable_sizes)) if canary else None
    bare = spec.model_copy(update={"canary": None})
    return (desired.slice_.metadata.uid, bare, header, desired.stable, track, desired.images)
