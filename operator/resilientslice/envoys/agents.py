"""The agents of the slices as a pass needs them: who they are, the key they are spoken to with, and what they say.

Asks them now and then by itself, since Envoy tells nobody that a host was ejected or that a request has ended. None of
that goes through the Kubernetes API.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from resilientslice.agent.signing import SigningKeys
from resilientslice.api.slice import ResilientSlice
from resilientslice.envoys import AgentPod, Fleet, FleetView
from resilientslice.envoys.keys import AgentKeys
from resilientslice.envoys.port import Epoch, KeyNews
from resilientslice.kube.cache import ProxyPod
from resilientslice.kube.kinds import SliceKey
from resilientslice.planning.observed import Envoys
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.names import AGENT_PORT

POLL_SECONDS = 10.0
"""At rest. Also keeps the connections open that a push goes through."""
BUSY_POLL_SECONDS = 1.0
"""While there is a canary, or something is awaited that only they can tell."""
TICK_SECONDS = 0.05
"""A thousand slices are asked in turn, five a tick: all at once they would delay pushes."""
SAME_EPOCH_TRIES = 2


@dataclass(slots=True)
class _Known:
    """What is followed of one slice."""

    pods: tuple[AgentPod, ...] = ()
    keys: SigningKeys | None = None
    canary: tuple[str, ...] = ()
    told: object = None
    """What the last pass was shown, as far as a difference is worth another one."""
    asked: float = 0.0
    """When its agents were asked last, by the loop's clock."""
    asking: bool = False
    soon: bool = False
    """They are asked often, until something has changed."""
    spread: float = 1.0
    """Of the pause, drawn anew each time, so that slices that began together don't stay together."""
    sequence: int = 0
    """Of the last epoch that something was sent to the slice under."""


@dataclass(slots=True)
class FleetAgents:
    """`failed` is called when what is known of a slice's agents could not be read: a defect, and that slice's alone.

    `check` raises NotLeadingError when nothing may be sent; `term` is the Lease's. `wake` has a slice looked at."""

    secrets: AgentKeys
    fleet: Fleet
    term: Callable[[], int]
    check: Callable[[], None]
    wake: Callable[[SliceKey], None]
    port: int = AGENT_PORT
    failed: Callable[[SliceKey, str, Exception], None] = lambda *_: None
    _known: dict[SliceKey, _Known] = field(default_factory=dict)

    async def follow(self, key: SliceKey, pods: Sequence[ProxyPod], slice_: ResilientSlice, rotation: str = "") -> None:
        """UnusableKeyError when the slice's Secret holds no key."""
        known = self._known.setdefault(key, _Known())
        keys = await self.secrets.keys(key, slice_, rotation, doubted=self.fleet.doubted(key))
        agents = tuple(
            AgentPod(pod.name, pod.uid, f"{pod.ip}:{self.port}", pod.ready)
            for pod in pods
            if pod.ip and not pod.deleting
        )
        if agents == known.pods and keys is known.keys:
            return
        known.pods, known.keys = agents, keys
        self.fleet.set_members(key, agents, keys, term=self.term())
        known.asked = asyncio.get_running_loop().time()
        await self.fleet.poll(key)  # one that starts, or was fed by an operator before, tells what it runs

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Envoys:
        known = self._known.setdefault(key, _Known())
        known.canary, known.soon = tuple(canary), False
        view = self.fleet.view(key, canary=canary)
        known.told = self._worth_a_look(key, view)
        return view.envoys

    def look_again(self, key: SliceKey) -> None:
        known = self._known.setdefault(key, _Known())
        known.soon, known.asked = True, 0.0

    async def tend_key(self, key: SliceKey, slice_: ResilientSlice, rotation: str, now: float) -> KeyNews:
        without = None
        if self.secrets.waits(key):
            view = self.fleet.view(key)
            without = view.without_key if view.envoys.proxies.total else None
        news = await self.secrets.tend(key, slice_, rotation, without_key=without, now=now)
        known = self._known.get(key)
        keys = self.secrets.held(key)
        if known is not None and keys is not None and keys is not known.keys:
            known.keys = keys
            self.fleet.set_keys(key, keys)
            known.asked = 0.0  # what each agent knows is asked for at once
        return news

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        text, digest = config.text, config.digest
        known = self._known.setdefault(key, _Known())
        epoch = self._next(known)
        missed = {pod.name for pod in self.fleet.view(key).missed(digest)}
        if not missed:
            await self.fleet.poll(key)  # they hold it, and Envoy's answer is still to come
            return epoch
        for _ in range(SAME_EPOCH_TRIES):
            self.check()
            report = await self.fleet.push(key, text, digest, epoch, only=missed)
            held = report.held
            if held is None:
                return epoch
            # of this very term, from before this process: continue above it
            known.sequence = max(known.sequence, held[1])
            epoch = self._next(known)
        return epoch

    def forget(self, key: SliceKey) -> None:
        self._known.pop(key, None)
        self.secrets.forget(key)
        self.fleet.forget(key)

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                now = loop.time()
                for key, known in self._known.items():
                    if known.pods and not known.asking and now >= known.asked + _pause(known):
                        known.asking, known.asked = True, now
                        # for itself: an agent that doesn't answer holds up no other slice
                        group.create_task(self._guarded(key, known))
                await asyncio.sleep(TICK_SECONDS)

    async def _guarded(self, key: SliceKey, known: _Known) -> None:
        """Whatever one slice's agents lead to ends with that slice: others are asked on."""
        try:
            await self._poll(key, known)
        except Exception as error:
            self.failed(key, "", error)
        finally:
            known.asking, known.spread = False, random.uniform(0.7, 1.0)  # noqa: S311 - spread, not secrecy

    async def _poll(self, key: SliceKey, known: _Known) -> None:
        await self.fleet.poll(key)
        if self._known.get(key) is not known:
            return
        doubted = self.fleet.doubted(key) and self.secrets.may_read(key)
        if known.canary or doubted or self._worth_a_look(key, self.fleet.view(key)) != known.told:
            self.wake(key)

    def _worth_a_look(self, key: SliceKey, view: FleetView) -> object:
        """Without what only grows."""
        return (
            view.envoys.proxies,
            view.envoys.ejections,
            view.envoys.hostless,
            self.secrets.waits(key) and view.all_know_key,
        )

    def _next(self, known: _Known) -> Epoch:
        known.sequence += 1
        return self.term(), known.sequence


def _pause(known: _Known) -> float:
    return (BUSY_POLL_SECONDS if known.canary or known.soon else POLL_SECONDS) * known.spread
