"""Port to the agents of a slice: what a pass asks for, and what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Event
from resilientslice.kube.cache import ProxyPod
from resilientslice.kube.kinds import SliceKey
from resilientslice.planning.observed import Envoys
from resilientslice.render.envoy import EnvoyConfig

Epoch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class KeyNews:
    """Of the agents' key. `deadline`: when to look again if nothing happens before, in seconds since the epoch."""

    events: tuple[Event, ...] = ()
    deadline: float | None = None


class Agents(Protocol):
    """Nothing here raises for an agent that doesn't answer: it is left out of what is seen."""

    async def follow(self, key: SliceKey, pods: Sequence[ProxyPod], slice_: ResilientSlice, rotation: str = "") -> None:
        """The pods with an Envoy that there are now. Asks nobody when they are the same as before.

        `rotation` is the value of the slice's annotation that asks for another key, empty without one. Raises
        UnusableKeyError when the slice's agents can't be spoken to.
        """

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Envoys:
        """As last heard of. `canary`: services whose canary hosts are to be counted."""

    def look_again(self, key: SliceKey) -> None:
        """Something is awaited that only Envoys can tell: they are asked at once, and often, until a pass has seen a
        change."""

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        """Hand a configuration to every agent at once; returns when each has answered or was given up, with the epoch
        that it was sent under. Raises NotLeadingError when nothing may be sent."""

    async def tend_key(self, key: SliceKey, slice_: ResilientSlice, rotation: str, now: float) -> KeyNews:
        """Replace the agents' key, or drop the former one, if it is time. Asks and writes nothing otherwise."""

    def forget(self, key: SliceKey) -> None:
        """The slice is gone."""
