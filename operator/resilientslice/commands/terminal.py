"""How commands meet a terminal: what others wrote is shown and never obeyed, and Ctrl-C, a closed terminal and `kill`
end what a command runs."""

import asyncio
import signal
from collections.abc import Callable

import click

from resilientslice.text import visible_lines

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(text: str, *, err: bool = False) -> None:
    """Print lines. What is meant for a program (YAML, JSON) is not said, but printed as it is."""
    click.echo(visible_lines(text), err=err)


def on_interrupts(first: Callable[[], None], next_: Callable[[], None]) -> None:
    """Call `first` at the first of these signals, `next_` at each one after it."""
    seen = False

    def interrupted() -> None:
        nonlocal seen
        seen, again = True, seen
        (next_ if again else first)()

    for number in INTERRUPTS:
        asyncio.get_running_loop().add_signal_handler(number, interrupted)
