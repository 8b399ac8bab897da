"""The agents of the slices as a pass needs them: who they are, the key they are spoken to with, and what they say.

Asks them now and then by itself, since Envoy tells nobody that a host was ejected or that a request has ended. None of
that goes through the Kubernetes API.
"""

import asyncio
import base64
import binascii
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from resilientslice.agent.signing import SigningKeys, UnusableKeyError
from resilientslice.api.slice import ResilientSlice
from resilientslice.fleet import AgentPod, Fleet, FleetView, new_key
from resilientslice.kube.cache import ProxyPod
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError
from resilientslice.kube.kinds import SECRET, Object, SliceKey
from resilientslice.observe.proxies import Epoch, Seen
from resilientslice.reconcile.expected import owned
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.metadata import Component, labels, metadata
from resilientslice.render.names import AGENT_PORT, agent_key_name

_log = structlog.get_logger("resilientslice.agents")

POLL_SECONDS = 10.0
"""At rest. Also keeps the connections open that a push goes through."""
CANARY_POLL_SECONDS = 1.0
TICK_SECONDS = 0.05
"""A thousand slices are asked in turn, five a tick: all at once they would hold up whoever waits for a push."""
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
    spread: float = 1.0
    """Of the pause, drawn anew each time, so that slices that began together don't stay together."""
    refused: str = ""


@dataclass(slots=True)
class FleetAgents:
    """`check` raises NotLeadingError when nothing may be sent; `term` is the Lease's. `wake` has a slice looked at."""

    client: KubeClient
    fleet: Fleet
    term: Callable[[], int]
    check: Callable[[], None]
    wake: Callable[[SliceKey], None]
    port: int = AGENT_PORT
    _known: dict[SliceKey, _Known] = field(default_factory=dict)
    _sequence: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def follow(self, key: SliceKey, pods: Sequence[ProxyPod], slice_: ResilientSlice) -> None:
        """UnusableKeyError when the slice's Secret holds no key."""
        known = self._known.setdefault(key, _Known())
        if known.keys is None:
            known.keys = await self._keys(slice_)
        agents = tuple(
            AgentPod(pod.name, pod.uid, f"{pod.ip}:{self.port}", pod.ready)
            for pod in pods
            if pod.ip and not pod.deleting
        )
        if agents == known.pods:
            return
        known.pods = agents
        self.fleet.set_members(key, agents, known.keys)
        known.asked = asyncio.get_running_loop().time()
        await self.fleet.poll(key)  # one that starts, or was fed by an operator before, tells what it runs

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Seen:
        known = self._known.setdefault(key, _Known())
        known.canary = tuple(canary)
        view = self.fleet.view(key, canary=canary)
        known.told = _worth_a_look(view)
        return _seen(view)

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        text, digest = config.text, config.digest
        epoch = self._next()
        missed = {pod.name for pod in self.fleet.view(key).missed(digest)}
        if not missed:
            await self.fleet.poll(key)  # they hold it, and Envoy's answer is still to come
            return epoch
        for _ in range(SAME_EPOCH_TRIES):
            self.check()
            report = await self.fleet.push(key, text, digest, epoch, only=missed)
            held = report.held
            if held is None or held[0] > self.term():
                return epoch
            # of this very term, from before this process: go on above it
            self._sequence = itertools.count(max(held[1], epoch[1]) + 1)
            epoch = self._next()
        return epoch

    def forget(self, key: SliceKey) -> None:
        self._known.pop(key, None)
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
                        group.create_task(self._poll(key, known))
                await asyncio.sleep(TICK_SECONDS)

    async def _poll(self, key: SliceKey, known: _Known) -> None:
        try:
            await self.fleet.poll(key)
        finally:
            known.asking, known.spread = False, random.uniform(0.7, 1.0)  # noqa: S311 - spread, not secrecy
        if self._known.get(key) is not known:
            return
        if known.canary or _worth_a_look(self.fleet.view(key)) != known.told:
            self.wake(key)

    async def _keys(self, slice_: ResilientSlice) -> SigningKeys:
        name = agent_key_name(slice_.name)
        secret = await self.client.find(SECRET, slice_.namespace, name)
        if secret is None:
            try:
                secret = await self.client.create(_key_secret(slice_, name))
            except AlreadyExistsError:
                secret = await self.client.get(SECRET, slice_.namespace, name)
        return signing_keys(secret)

    def _next(self) -> Epoch:
        return self.term(), next(self._sequence)


def signing_keys(secret: Object) -> SigningKeys:
    """Of a Secret as stored. UnusableKeyError says why it can't be used, never what is in it."""
    data = secret.get("data") or {}
    name = secret["metadata"]["name"]
    if "current" not in data:
        raise UnusableKeyError(f"Secret {name} lacks the key `current`; delete it to have a new one made")
    try:
        found = {key: base64.b64decode(data[key], validate=True) for key in ("current", "previous") if data.get(key)}
    except (binascii.Error, ValueError) as error:
        raise UnusableKeyError(f"Secret {name} is no base64; delete it to have a new one made") from error
    return SigningKeys.of(found.get("current", b""), found.get("previous"))


def _key_secret(slice_: ResilientSlice, name: str) -> Object:
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(slice_, name, labels(slice_, "proxy", Component.PROXY)),
        "type": "Opaque",
        "stringData": {"current": new_key()},
    }
    return owned(slice_, made)


def _pause(known: _Known) -> float:
    return (CANARY_POLL_SECONDS if known.canary else POLL_SECONDS) * known.spread


def _seen(view: FleetView) -> Seen:
    refused = next((m.refused[0] for m in view.members if m.counted and m.refused[0]), "")
    return Seen(view.proxies, refused, view.attempts, view.active, view.ejections)


def _worth_a_look(view: FleetView) -> object:
    """Without what only grows."""
    return view.proxies, view.ejections
