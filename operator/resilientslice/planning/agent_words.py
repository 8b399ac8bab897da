"""What the conditions say of Envoys that have not acknowledged, and of agents that make no sense. Pure."""

from collections.abc import Sequence

from resilientslice.planning.observed import Proxies

MOST_NAMED = 5


def broken(proxies: Proxies) -> str:
    """Agents that answer what makes no sense, and what to do; empty without one."""
    found = [f"{one.pod} {one.why}" for one in proxies.silent if one.broken]
    return f"Delete these pods; if it happens again, check their image. {_named(found)}." if found else ""


def unacknowledged(proxies: Proxies, digest: str) -> str:
    """Names the pods that don't run this configuration, and why they can't be asked: ` Missing: shop-proxy-1 (…).`"""
    why = {one.pod: f" ({one.why})" for one in proxies.silent}
    found = [f"{pod}{why.get(pod, '')}" for pod in proxies.pods if proxies.acked.get(pod) != digest]
    return f" Missing: {_named(found)}." if found else ""


def _named(found: Sequence[str]) -> str:
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{', '.join(found[:MOST_NAMED])}{more}"
