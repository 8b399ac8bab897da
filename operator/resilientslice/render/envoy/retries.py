"""What is tried again, where, and how long one try may take.

Only what is safe to repeat is repeated after it may have reached a service: methods that change nothing, and requests
whose `Idempotency-Key` says that the service recognises them. Everything else is repeated only when it certainly
reached nobody (`connect-failure`, `refused-stream`).

Of the answers, 500, 502, 503 and 504 are worth another try at another host: a replica with a broken disk or a stale
connection answers 500 too. 501 and 505 are not, because the next replica of the same version would say the same. That
argument fails between *versions*, so from a canary to stable every 5xx is tried again.
"""

from typing import Any

from resilientslice.render.envoy.scalars import extension, seconds
from resilientslice.render.envoy.sections import Section

SAFE_METHODS = "GET|HEAD|OPTIONS"
IDEMPOTENCY_HEADER = "idempotency-key"

_UNSENT = "connect-failure,refused-stream"
_UNANSWERED = f"{_UNSENT},reset"
_ANSWERED = f"{_UNANSWERED},gateway-error,retriable-status-codes"
_ANSWERED_BY_CANARY = f"{_UNANSWERED},5xx"
_GRPC_ANSWERED = ",unavailable"
_GRPC_ANSWERED_BY_CANARY = ",unavailable,internal"

_HOST_SELECTION_ATTEMPTS = 20
"""Hosts are drawn at random: with one of three left, five draws miss it once in eight times, twenty once in 3,000."""
_BACK_OFF = {"base_interval": "0.100s", "max_interval": "0.200s"}
"""Drawn evenly from 0 to the interval. Together with limits.MIN_CONCURRENT_RETRIES it bounds how often a quiet service
is tried again."""
_FAILOVER_BACK_OFF = {"base_interval": "0.001s", "max_interval": "0.010s"}
"""Stable has done nothing wrong: nothing is won by waiting before it is asked."""

PREVIOUS_HOSTS = extension(
    "envoy.retry_host_predicates.previous_hosts", "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
)
PREVIOUS_PRIORITIES = extension(
    "envoy.retry_priorities.previous_priorities",
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    update_frequency=1,
)


def unsafe_headers() -> list[dict[str, Any]]:
    """Matches a request that must not be sent twice."""
    return [
        {"name": ":method", "string_match": {"safe_regex": {"regex": SAFE_METHODS}}, "invert_match": True},
        {"name": IDEMPOTENCY_HEADER, "present_match": True, "invert_match": True},
    ]


def retry_unsent(section: Section, *, failover: bool) -> dict[str, Any]:
    """For requests that must not be sent twice. A try has no time-out, since ending one would not undo it."""
    return _policy(_UNSENT, section.attempts, 0, failover=failover)


def retry_in_track(section: Section, *, grpc: bool, shielded: bool) -> dict[str, Any]:
    """For repeatable requests that stay in their track.

    `shielded`: what the service answers, or is slow at, may be the fault of what it calls, where it was tried again
    already. Repeating that here would multiply the attempts there, so only a lost connection is repeated.
    """
    if shielded:
        return _policy(_UNANSWERED, section.attempts, 0, failover=False)
    retry_on = _ANSWERED + (_GRPC_ANSWERED if grpc else "")
    policy = _policy(retry_on, section.attempts, section.per_try, failover=False)
    return policy | {"retriable_status_codes": [500]}


def retry_on_stable(section: Section, *, grpc: bool, shielded: bool) -> dict[str, Any]:
    """For repeatable requests drawn to the canary: one retry, which goes to stable. A second would go back.

    Here a shielded service is retried nevertheless, as the canary may be what is wrong; but each try gets half of the
    time, so that one that waits for its own retries is not cut short.
    """
    per_try = max(section.per_try, section.timeout // 2) if shielded else section.per_try
    retry_on = _ANSWERED_BY_CANARY + (_GRPC_ANSWERED_BY_CANARY if grpc else "")
    return _policy(retry_on, min(section.attempts, 1), per_try, failover=True)


def _policy(retry_on: str, attempts: int, per_try: int, *, failover: bool) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "retry_on": retry_on,
        "num_retries": attempts,
        "retry_host_predicate": [PREVIOUS_HOSTS],
        "host_selection_retry_max_attempts": _HOST_SELECTION_ATTEMPTS,
        "retry_back_off": _FAILOVER_BACK_OFF if failover else _BACK_OFF,
    }
    if per_try:
        policy["per_try_timeout"] = seconds(per_try)
    if failover:
        policy["retry_priority"] = PREVIOUS_PRIORITIES
    return policy
