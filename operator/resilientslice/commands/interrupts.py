"""What Ctrl-C, a closed terminal and `kill` do to a command that runs processes."""

import asyncio
import signal
from collections.abc import Callable

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_interrupts(first: Callable[[], None], next_: Callable[[], None]) -> None:
    """Call `first` at the first of these signals, `next_` at each one after it."""
    seen = False

    def interrupted() -> None:
        nonlocal seen
        seen, again = True, seen
        (next_ if again else first)()

    for number in INTERRUPTS:
        asyncio.get_running_loop().add_signal_handler(number, interrupted)
