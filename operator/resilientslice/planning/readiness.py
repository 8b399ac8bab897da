"""What Ready means: questions in their order, of which the first that has no good answer is the reason.

The first list asks whether callers are served. The second asks whether what serves them is what was asked for: while a
rollout is under way it is not reported as done, and callers are not reported as unserved.
"""

from collections.abc import Callable, Iterable, Sequence

from resilientslice.api.reasons import Reason
from resilientslice.api.status import FALSE, TRUE, UNKNOWN, ConditionType
from resilientslice.canary.state import Phase
from resilientslice.planning.finding import Finding
from resilientslice.planning.observed import Proxies, TroubleKind
from resilientslice.planning.view import View

EVERYONE_TRUSTED = "spec.front.trustedProxies is not set: everyone is trusted with the tenant header."
MOST_NAMED = 5

Check = Callable[[View], Finding | None]


def ready(view: View) -> Finding:
    return _first((*CALLERS_ARE_SERVED, *BY_WHAT_WAS_ASKED_FOR), view) or _is_ready(view)


def serves(view: View) -> bool:
    """All that the stable revision is to be is there; the first time, every Envoy must know of it too."""
    return _first(CALLERS_ARE_SERVED, view) is None


def with_pods(view: View, message: str) -> str:
    """With why pods don't come up, where that is known."""
    return " ".join((message, *(trouble.message for trouble in view.troubles(TroubleKind.PODS)))).strip()


def missing(view: View) -> str:
    """The pods that have not acknowledged the configuration, and why, where that is known."""
    return unacknowledged(view.proxies, view.memory.config)


def configuration_is_accepted(view: View) -> Finding | None:
    if not view.rejected:
        return None
    return _not_ready(Reason.CONFIG_REJECTED, "An Envoy refused the configuration; the last good one serves.")


def an_envoy_takes_callers(view: View) -> Finding | None:
    if view.proxies.total and view.proxies.ready != 0:
        return None
    said = f"No Envoy {'is ready' if view.proxies.total else 'runs'} yet."
    return _not_ready(_pods_reason(view, Reason.PROXIES_NOT_READY), with_pods(view, said))


def stores_are_ready(view: View) -> Finding | None:
    if not view.missing_stores:
        return None
    said = f"Not ready: {', '.join((*view.missing_stores, *view.missing))}."
    return _not_ready(_pods_reason(view, Reason.STORE_NOT_READY), with_pods(view, said))


def services_are_ready(view: View) -> Finding | None:
    if not view.missing:
        return None
    said = f"Not ready: {', '.join(view.missing)}."
    return _not_ready(_pods_reason(view, Reason.PODS_NOT_READY), with_pods(view, said))


def pods_are_found(view: View) -> Finding | None:
    if not view.unfound:
        return None
    return _not_ready(
        Reason.ENDPOINTS_NOT_DISCOVERED, f"Not every Envoy has found the pods of {', '.join(view.unfound)} yet."
    )


def envoys_have_a_configuration(view: View) -> Finding | None:
    """The first time. Later they continue with the one before."""
    if view.accepted or view.memory.served:
        return None
    return _not_ready(Reason.CONFIG_PENDING, f"Not every Envoy has acknowledged its configuration yet.{missing(view)}")


def rollouts_get_on(view: View) -> Finding | None:
    return _not_ready(Reason.PROGRESS_DEADLINE_EXCEEDED, stuck_message(view)) if view.stuck else None


def rollouts_are_done(view: View) -> Finding | None:
    replaced = ("the proxies",) if view.proxies_are_replaced else ()
    if not view.unrolled and not replaced:
        return None
    if view.state.phase is Phase.PROMOTING:
        said = view.waits
    elif view.unrolled:
        said = _sentences(view.serving, f"{view.memory.stable.name} is rolling out: {', '.join(view.unrolled)}.")
    else:
        said = _sentences(view.serving, "the proxies are rolling out.")
    return Finding(ConditionType.READY, UNKNOWN, Reason.ROLLING_OUT, with_pods(view, said))


CALLERS_ARE_SERVED: tuple[Check, ...] = (
    configuration_is_accepted,
    an_envoy_takes_callers,
    stores_are_ready,
    services_are_ready,
    pods_are_found,
    envoys_have_a_configuration,
)
BY_WHAT_WAS_ASKED_FOR: tuple[Check, ...] = (rollouts_get_on, rollouts_are_done)


def stuck_message(view: View) -> str:
    """Of stable services or proxies that fail to roll out: what serves, what fails, why, and what to do."""
    what = f"{view.memory.stable.name} fails to roll out: {', '.join(view.stuck)} made no progress in time."
    advice = "Correct what fails, or go back to what ran before."
    return f"{with_pods(view, _sentences(view.serving, what))} {advice}"


def stuck_canary_message(view: View) -> str:
    """The same of a canary. Stable continues."""
    what = f"{view.state.canary} fails to roll out: {', '.join(view.stuck_canary)} made no progress in time."
    advice = f"Correct what fails, or set spec.canary.abort: {view.state.canary}."
    return f"{with_pods(view, _sentences(view.serving, what))} {advice}"


def _is_ready(view: View) -> Finding:
    trust = EVERYONE_TRUSTED if _trusts_everyone(view) else ""
    parts = (f"{view.memory.stable.name} serves.", view.waits, trust)
    return Finding(ConditionType.READY, TRUE, Reason.SERVING, " ".join(part for part in parts if part))


def _first(checks: Iterable[Check], view: View) -> Finding | None:
    return next((found for check in checks if (found := check(view)) is not None), None)


def _sentences(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _pods_reason(view: View, otherwise: Reason) -> Reason:
    troubles = view.troubles(TroubleKind.PODS)
    return troubles[0].reason if troubles else otherwise


def _not_ready(reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.READY, FALSE, reason, message)


def _trusts_everyone(view: View) -> bool:
    return view.slice_.spec.rate_limit is not None and not view.slice_.spec.front.trusted_proxies


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
