"""The agents of a pass as an object of Python: no HTTP, no Envoy, and the answers that a test chooses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from resilientslice.api.slice import ResilientSlice
from resilientslice.envoys.port import Epoch, KeyNews
from resilientslice.kube.cache import ProxyPod
from resilientslice.kube.kinds import SliceKey
from resilientslice.planning.observed import Envoys, Proxies, Refusal
from resilientslice.render.envoy import EnvoyConfig


@dataclass
class PlayedAgents:
    """Envoys that take what they are handed, unless told otherwise."""

    refuse: str = ""
    """Words with which every Envoy refuses what it is handed from now on."""
    refuses: Callable[[ProxyPod, EnvoyConfig], str] = lambda *_: ""
    """Words with which the Envoy of a pod refuses a configuration."""
    deaf: bool = False
    pods: dict[SliceKey, Sequence[ProxyPod]] = field(default_factory=dict)
    running: dict[SliceKey, dict[str, str]] = field(default_factory=dict)
    """By the pod's name: digest of what its Envoy runs."""
    refused: dict[SliceKey, tuple[Refusal, ...]] = field(default_factory=dict)
    pushed: list[EnvoyConfig] = field(default_factory=list)
    active: int | None = 0
    hostless: frozenset[str] = frozenset()
    awaited: list[SliceKey] = field(default_factory=list)
    """Slices whose Envoys were to be asked again, each time."""

    async def follow(
        self,
        key: SliceKey,
        pods: Sequence[ProxyPod],
        slice_: ResilientSlice,  # noqa: ARG002 - as the operator's port has it; so are the next ones
        rotation: str = "",  # noqa: ARG002
    ) -> None:
        self.pods[key] = pods

    async def tend_key(
        self,
        key: SliceKey,  # noqa: ARG002
        slice_: ResilientSlice,  # noqa: ARG002
        rotation: str,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> KeyNews:
        return KeyNews()

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Envoys:  # noqa: ARG002
        pods = [pod for pod in self.pods.get(key, ()) if not pod.deleting]
        names = frozenset(pod.name for pod in pods)
        acked = {name: digest for name, digest in self.running.get(key, {}).items() if name in names}
        refused = tuple(refusal for refusal in self.refused.get(key, ()) if refusal.instance in names)
        proxies = Proxies(len(names), acked, refused, instances=names)
        return Envoys(proxies, active=self.active, hostless=self.hostless)

    def look_again(self, key: SliceKey) -> None:
        self.awaited.append(key)

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        self.pushed.append(config)
        if not self.deaf:
            for pod in self.pods.get(key, ()):
                self._hand(key, pod, config)
        return 1, len(self.pushed)

    def _hand(self, key: SliceKey, pod: ProxyPod, config: EnvoyConfig) -> None:
        about = (pod.name, config.digest)
        kept = tuple(known for known in self.refused.get(key, ()) if (known.instance, known.digest) != about)
        words = self.refuse or self.refuses(pod, config)
        if words:
            self.refused[key] = (*kept, Refusal(pod.name, config.digest, words))
        else:
            self.refused[key] = kept
            self.running.setdefault(key, {})[pod.name] = config.digest

    def forget(self, key: SliceKey) -> None:
        self.pods.pop(key, None)
