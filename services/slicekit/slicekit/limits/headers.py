"""Headers about a limit: those of draft-ietf-httpapi-ratelimit-headers-11, and Retry-After."""

from math import ceil
from typing import Final

from slicekit.limits.decision import Decision, Mode
from slicekit.limits.gcra import SECOND
from slicekit.problems import Problem

POLICY: Final = "RateLimit-Policy"
STATE: Final = "RateLimit"


def whole_seconds(microseconds: float) -> int:
    """Rounded up: who comes back after so many seconds is not sent away for being early. At least 1."""
    return max(1, ceil(microseconds / SECOND))


def render_headers(decision: Decision) -> dict[str, str]:
    """`q` requests in `w` seconds are sustained. `r` of them may come at once, more than `q` after a rest if the burst
    is larger. With none left, `t` is when there is one again, otherwise the window."""
    headers = {POLICY: f'"tenant";q={decision.per_second};w=1'}
    if decision.remaining is not None:
        headers[STATE] = f'"tenant";r={decision.remaining};t={whole_seconds(decision.wait)}'
    return headers


def render_refusal(decision: Decision) -> Problem:
    """A 429 also where it is Redis that is away and such requests are denied: a 5xx would be repeated, and would get
    healthy hosts ejected."""
    seconds = whole_seconds(decision.wait)
    if decision.mode is Mode.CLOSED:
        return Problem(429, "the limits can't be counted at the moment; try again", retry_after=seconds)
    detail = f"this tenant may send {decision.per_second} requests a second; try again in {seconds} s"
    return Problem(429, detail, retry_after=seconds)
