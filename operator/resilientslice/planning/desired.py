"""What is to exist for a slice once its canary's step is decided: both tracks, and all that is rendered from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.planning.memory import Memory
from resilientslice.planning.transit import rendered_stable
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.images import Images
from resilientslice.render.metadata import Object
from resilientslice.render.names import OPERATOR_NAMESPACE
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import Revision
from resilientslice.render.store_settings import with_storage
from resilientslice.render.tracks import CanaryTrack

Tracks = tuple[Revision, CanaryTrack | None]
"""The stable track as it is to be rendered, and the canary's."""


@dataclass(frozen=True, eq=False)
class Desired:
    """Everything that is to exist, and what every Envoy is to run. `stable` is `planning.transit.rendered_stable`."""

    slice_: ResilientSlice
    stable: Revision
    canary: CanaryTrack | None
    envoy: EnvoyConfig
    images: Images
    operator_namespace: str = OPERATOR_NAMESPACE

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """What isn't in here is to go. Rendered when first asked for: Envoys need not wait for it."""
        made = render_objects(
            self.slice_,
            self.stable,
            self.canary,
            images=self.images,
            envoy=self.envoy,
            operator_namespace=self.operator_namespace,
        )
        return tuple(made)


def sized(desired: Desired, sizes: Mapping[StoreName, str]) -> Desired:
    """With volumes of those sizes, where they can't be as the slice asks."""
    slice_ = with_storage(desired.slice_, sizes)
    return desired if slice_ is desired.slice_ else replace(desired, slice_=slice_)


def tracks_of(memory: Memory, slice_: ResilientSlice, now: float) -> Tracks:
    """Both tracks as they are to be rendered."""
    return rendered_stable(memory, now), _track(memory, slice_)


def _track(memory: Memory, slice_: ResilientSlice) -> CanaryTrack | None:
    if memory.canary is None:
        return None
    traffic = memory.state.traffic
    return CanaryTrack(
        revision=memory.canary,
        services=frozenset(memory.state.services),
        weight=traffic.weight,
        live=traffic.live,
        by_header=slice_.spec.canary is not None,
        stable_sizes=memory.sizes,
    )
