"""Which configuration Envoys are offered: the wanted one, or, while it is refused, decisions on what they accepted.

A refusal is remembered with what it was about: neither the next weight nor the next poll offers the same again. It ends
with an edit of what was refused, or when no Envoy that refused it is left: another version may well read it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.planning.desired import Tracks
from resilientslice.planning.memory import Memory, Refused
from resilientslice.planning.observed import Proxies
from resilientslice.planning.policy import Policy, governed, policy_of, policy_to_json
from resilientslice.render.envoy import EnvoyConfig, render_envoy
from resilientslice.render.revision import Revision
from resilientslice.render.tracks import CanaryTrack, Topology

Place = Callable[[ResilientSlice, Revision, CanaryTrack | None], Topology]
"""Where the proxies listen and how they find hosts: `(slice, stable, canary)` → topology."""
Render = Callable[[ResilientSlice, Revision, CanaryTrack | None, Topology], EnvoyConfig]
"""`render_envoy`, or what gives the same results sooner."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`accepted` and `refused` are to be remembered."""

    envoy: EnvoyConfig
    accepted: Policy | None
    refused: Refused | None


def offer_of(
    slice_: ResilientSlice, memory: Memory, tracks: Tracks, proxies: Proxies, *, place: Place, render: Render
) -> Offer:
    """What the Envoys are offered for what was decided: `memory` and `tracks` as they are from now on."""

    def made(under: ResilientSlice, render: Render) -> EnvoyConfig:
        return render(under, *tracks, place(under, *tracks))

    def fall_back(policy: Policy) -> EnvoyConfig:
        return made(governed(slice_, policy), render_envoy)

    return choose_offer(made(slice_, render), policy_of(slice_.spec), memory, proxies, fall_back)


def choose_offer(
    wanted: EnvoyConfig, policy: Policy, before: Memory, proxies: Proxies, fall_back: Callable[[Policy], EnvoyConfig]
) -> Offer:
    """`wanted` is rendered from `policy`; `fall_back` renders the same decisions on another policy."""
    known = before.accepted
    if known == policy and known is not None:
        policy = known
    if proxies.all_run(wanted.digest):
        return Offer(wanted, policy, None)
    refused = _refused(wanted, policy, before, proxies)
    if refused is None or known is None or known is policy:
        return Offer(wanted, known, refused)
    fallback = fall_back(known)
    return Offer(wanted if proxies.refusing(fallback.digest) else fallback, known, refused)


def _refused(wanted: EnvoyConfig, policy: Policy, before: Memory, proxies: Proxies) -> Refused | None:
    refusing = proxies.refusing(wanted.digest)
    if refusing:
        names = tuple(sorted(refusing))
        return Refused(basis=_basis(wanted, policy), words=refusing[names[0]], by=names)
    if before.refused is None or not proxies.instances.intersection(before.refused.by):
        return None
    return before.refused if before.refused.basis == _basis(wanted, policy) else None


def _basis(wanted: EnvoyConfig, policy: Policy) -> str:
    """Digest of all that a configuration is made from but decisions and hosts: weights are in routes alone, and hosts
    come and go by themselves."""
    parts = [wanted.clusters, wanted.listeners, policy_to_json(policy)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
