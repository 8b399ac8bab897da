"""How commands print text that others wrote: a terminal shows it, and obeys nothing in it."""

import click

from resilientslice.text import visible_lines


def say(text: str, *, err: bool = False) -> None:
    """Print lines. What is meant for a program (YAML, JSON) is not said, but printed as it is."""
    click.echo(visible_lines(text), err=err)
