"""Everything that is watched, and whether it is heard."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import CHILD_KINDS, POD, REPLICA_SET, RESILIENT_SLICE, Kind
from resilientslice.kube.overheard import Overheard
from resilientslice.kube.session import Session
from resilientslice.kube.slices import Slices
from resilientslice.kube.watch import Reflector
from resilientslice.operating.health import WatchState
from resilientslice.render.metadata import Component
from resilientslice.render.names import LABEL_COMPONENT, LABEL_SLICE

SLICES_SECONDS = 300.0
"""kopf lists and watches the slices. A watch may lose events and not know it: what is missed is found by then."""
LISTS_AT_ONCE = 2
"""A page of a list is some ten megabytes while it is read."""

_PROXIES = f"{LABEL_SLICE},{LABEL_COMPONENT}={Component.PROXY.value}"


@dataclass(slots=True)
class Following:
    reflectors: tuple[Reflector, ...]
    overheard: Overheard
    """kopf's lists of slices."""
    slices: Slices
    children: Children
    listed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, session: Session, slices: Slices, children: Children, namespaces: Iterable[str | None]) -> "Following":
        turn, listed = asyncio.Semaphore(LISTS_AT_ONCE), asyncio.Event()
        namespaces = tuple(namespaces)

        def follower(kind: Kind, namespace: str | None, selector: str) -> Reflector:
            return Reflector(session, kind, namespace, selector, children, turn, listed.set)

        made: list[Reflector] = []
        for namespace in namespaces:
            made.append(
                Reflector(
                    session,
                    RESILIENT_SLICE,
                    namespace,
                    "",
                    slices,
                    turn,
                    listed.set,
                    follow=False,
                    relist=SLICES_SECONDS,
                )
            )
            made.extend(follower(kind, namespace, _PROXIES) for kind in (REPLICA_SET, POD))
            made.extend(follower(kind, namespace, LABEL_SLICE) for kind in CHILD_KINDS)
        overheard = Overheard(RESILIENT_SLICE, namespaces, slices, listed.set)
        return cls(tuple(made), overheard, slices, children, listed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run(), name=f"watch {reflector.heard}")

    async def synced(self) -> None:
        """Return when everything was listed once."""
        while not (self.slices.synced() and self.children.synced()):
            self.listed.clear()
            await self.listed.wait()

    def states(self) -> tuple[WatchState, ...]:
        return tuple(
            WatchState(str(follower.heard), round(follower.age(), 1), follower.heard.failure)
            for follower in self.reflectors
        )
