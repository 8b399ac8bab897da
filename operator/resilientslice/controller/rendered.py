"""The expected objects of a plan, rendered again only when something that they are made from has changed.

A weight is in none of them but the configuration that the Envoys start from, so a step of a canary costs one object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilientslice.applying.expected import Expected, complete, expected_from, expected_of
from resilientslice.envoys.port import Epoch
from resilientslice.history.record import Record
from resilientslice.history.second_copy import KEY as COPY_KEY
from resilientslice.kube.children import ChildId
from resilientslice.kube.kinds import CONFIG_MAP
from resilientslice.planning.desired import Desired
from resilientslice.render.kinds import order
from resilientslice.render.metadata import Object
from resilientslice.render.names import proxy_name
from resilientslice.render.proxy import cluster_topology, render_proxy_configuration, render_pushed


@dataclass(slots=True)
class Rendered:
    """What was rendered last for one slice."""

    expected: Mapping[ChildId, Expected] = field(default_factory=dict)
    basis: tuple[Any, ...] = ()
    """What `expected` was rendered from."""
    config: tuple[str, str] = ("", "")
    """Digest of the Envoys' configuration in `expected`, and the second copy of the memory beside it."""


def expected_objects(desired: Desired, record: Record, before: Rendered) -> dict[ChildId, Expected]:
    """Everything but ControllerRevisions, in the order of application."""
    basis = _basis(desired)
    if before.basis != basis or not before.expected:
        before.expected, before.basis, before.config = expected_of(desired), basis, ("", "")
    config = desired.envoy.digest, record.copy
    if before.config != config:
        made = expected_from(desired, proxy_configuration(desired, (0, 0), copy=record.copy))
        before.expected, before.config = {**before.expected, made.id: made}, config
    state = expected_from(desired, record.state)
    found = {**before.expected, state.id: state}
    return dict(sorted(found.items(), key=lambda entry: order(entry[0][0])))


@dataclass(frozen=True, slots=True)
class Rendering:
    """What objects are rendered from once more, when they are to be applied. `epoch`: that the Envoys' configuration
    was pushed under."""

    desired: Desired
    record: Record
    epoch: Epoch

    def object_to_apply(self, child: ChildId) -> Object:
        """One of `expected_objects`. The Envoys' configuration gets the epoch, so that an agent knows which is newer;
        its digest is without, or each start of an operator would write it again."""
        desired, record = self.desired, self.record
        if child == child_id(record.state):
            return complete(desired, record.state)
        if child != configuration_id(desired.slice_.name):
            return complete(desired, next(made for made in desired.objects if child_id(made) == child))
        bare = complete(desired, proxy_configuration(desired, (0, 0), copy=record.copy))
        if self.epoch == (0, 0):
            return bare
        pushed = render_pushed(desired.envoy, epoch=self.epoch)
        return {**bare, **pushed, "data": {**bare["data"], **pushed["data"]}}


def child_id(made: Object) -> ChildId:
    return made["kind"], made["metadata"]["name"]


def configuration_id(slice_name: str) -> ChildId:
    return CONFIG_MAP.kind, proxy_name(slice_name)


def proxy_configuration(desired: Desired, epoch: Epoch, *, copy: str) -> Object:
    """`copy` as in `Record`."""
    topology = cluster_topology(desired.slice_, desired.stable, desired.canary)
    made = render_proxy_configuration(desired.slice_, desired.envoy, topology, epoch=epoch)
    return {**made, "data": {**made["data"], COPY_KEY: copy}}


def _basis(desired: Desired) -> tuple[Any, ...]:
    """What the objects are made from, apart from the Envoys' configuration. Weights and steps are not."""
    spec = desired.slice_.spec
    header = spec.canary.header if spec.canary else None
    canary = desired.canary
    track = (canary.revision, canary.services, dict(canary.stable_sizes)) if canary else None
    bare = spec.model_copy(update={"canary": None})
    return (
        desired.slice_.metadata.uid,
        bare,
        header,
        desired.stable,
        track,
        desired.images,
        desired.operator_namespace,
    )
