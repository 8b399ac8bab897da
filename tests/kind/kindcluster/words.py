"""How this speaks to people: one line a step on standard error, with the seconds since the start."""

import sys
import time

_STARTED = time.monotonic()


class ClusterError(Exception):
    """What went wrong, where, and what to do; printed as it is."""


def say(message: str) -> None:
    print(f"==> {time.monotonic() - _STARTED:4.0f} s  {message}", file=sys.stderr, flush=True)
