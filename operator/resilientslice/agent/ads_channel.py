"""One type of resource on one ADS stream: what Envoy asked for, was sent, acknowledged and refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resilientslice.agent.resources import Resource, Resources, ResourceType, version_of


@dataclass(frozen=True, slots=True)
class Sent:
    """A response without an answer yet. `config` is the digest of the configuration it was made for."""

    nonce: str
    config: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Request:
    """One DiscoveryRequest, as far as it matters. `error` is None unless Envoy refuses the response of that nonce."""

    stream: int
    kind: ResourceType
    names: frozenset[str] = frozenset()
    version: str = ""
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy's NACK, in Envoy's words, of a response made for `config`. `digests` are of what must not be repeated."""

    kind: ResourceType
    message: str
    config: str
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Channel:
    """The state of one type.

    `flying` are responses without an answer, oldest first; `nonce` is the last one's, answered or not. `acked` is what
    Envoy acknowledged here (None: nothing yet); `believed` what it may hold besides: from before this stream, or from
    before a refusal. `refused` are digests not to be sent again until the configuration changes.
    """

    subscribed: bool = False
    names: frozenset[str] = frozenset()
    flying: tuple[Sent, ...] = ()
    nonce: str = ""
    acked: Resources | None = None
    believed: Resources = field(default_factory=dict)
    refused: frozenset[str] = frozenset()

    @property
    def base(self) -> Resources:
        """What Envoy may be using now, apart from what is under way."""
        return {**self.believed, **(self.acked or {})}

    @property
    def remaining(self) -> Resources:
        """What Envoy may be using, without what a response under way drops: no route leads there."""
        return {name: old for name, old in self.base.items() if all(name in sent.resources for sent in self.flying)}

    @property
    def latest(self) -> Resources:
        """What Envoy has or will have, by name, once it has taken what is under way."""
        latest: dict[str, Resource] = dict(self.acked or {})
        for sent in self.flying:
            latest |= sent.resources
        return latest

    def waits_for(self, config: str) -> bool:
        """The last response was made for this configuration and has no answer yet."""
        return bool(self.flying) and self.flying[-1].config == config

    def runs(self, name: str, wanted: Resource) -> bool:
        """Envoy acknowledged this very resource and nothing else is under way."""
        acked = (self.acked or {}).get(name)
        under_way = any(name in sent.resources for sent in self.flying)
        return acked is not None and acked.digest == wanted.digest and not under_way

    def sending(self, sent: Sent) -> "Channel":
        return replace(self, flying=(*self.flying, sent), nonce=sent.nonce)


def receive(channel: Channel, request: Request, before: Resources) -> tuple[Channel, Refusal | None]:
    """Take a request in; the second value says that it refuses a response. `before` is what ran before this stream.

    A request with the nonce of a response under way answers it, and leaves those before it without an answer (Envoy
    answers only the last one after a pause). One with the nonce of the last response, answered already, means that
    Envoy wants what it names once more: a changed cluster warms only with fresh endpoints. Any other is stale: only
    its names count.
    """
    if not channel.subscribed:
        channel = replace(channel, subscribed=True, believed=before if request.version else {})
    channel = _renamed(channel, request)
    index = next((i for i, sent in enumerate(channel.flying) if sent.nonce == request.nonce), None)
    if index is not None:
        return _answered(channel, request, index)
    if request.nonce and request.nonce == channel.nonce and not request.kind.wildcard:
        channel = replace(channel, acked=None, believed=channel.base)
    return channel, None


def _answered(channel: Channel, request: Request, index: int) -> tuple[Channel, Refusal | None]:
    lost, sent = channel.flying[:index], channel.flying[index]
    channel = replace(channel, flying=channel.flying[index + 1 :])
    if request.error is None:
        return _acked(_unsure(channel, lost), request.kind, sent.resources), None
    digests = (
        {version_of(sent.resources)} if request.kind.wildcard else {item.digest for item in sent.resources.values()}
    )
    refusal = Refusal(request.kind, request.error, sent.config, frozenset(digests))
    if request.kind.wildcard:  # Envoy may have applied a part, so nothing of the type counts as acknowledged
        return replace(channel, acked=None, believed=channel.base), refusal
    return _unsure(channel, (*lost, sent)), refusal


def _acked(channel: Channel, kind: ResourceType, resources: Resources) -> Channel:
    if kind.wildcard:
        return replace(channel, acked=resources, believed={})
    return replace(channel, acked=_only({**(channel.acked or {}), **resources}, channel.names))


def _unsure(channel: Channel, lost: tuple[Sent, ...]) -> Channel:
    """Nobody knows what Envoy made of these responses: what they named counts as not acknowledged."""
    names = {name for sent in lost for name in sent.resources}
    if not names or channel.acked is None:
        return channel
    sure: Mapping[str, Resource] = {name: item for name, item in channel.acked.items() if name not in names}
    return replace(channel, acked=sure, believed=channel.base)


def _renamed(channel: Channel, request: Request) -> Channel:
    """Envoy forgets what it stops asking for."""
    if request.kind.wildcard or channel.names == request.names:
        return channel
    acked = None if channel.acked is None else _only(channel.acked, request.names)
    return replace(channel, names=request.names, acked=acked, believed=_only(channel.believed, request.names))


def _only(resources: Resources, names: frozenset[str]) -> Resources:
    return {name: resource for name, resource in resources.items() if name in names}
