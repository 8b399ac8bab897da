"""Files of a command line as resources: what is wrong with them goes to standard error, and the command ends with 2."""

import sys

import click

from resilientslice.api.slice import ResilientSlice
from resilientslice.commands.terminal import say
from resilientslice.files import STDIN, Loaded, SliceFileError, display_name, load_slice

BAD_INPUT = 2


def load_or_exit(path: str) -> ResilientSlice:
    """The resource in a file (`-` for standard input); ends the program with all problems when it is not valid."""
    try:
        return load_slice(path)
    except SliceFileError as error:
        report(error)
        sys.exit(BAD_INPUT)


def report(error: SliceFileError) -> None:
    say(str(error), err=True)
    count = len(error.located)
    say(f"error: {error.name}: {count} problem{'s' if count > 1 else ''}", err=True)


def warn(path: str, loaded: Loaded) -> None:
    """Says what of a valid resource has no effect, or is rarely meant."""
    for found in loaded.warnings:
        say(f"warning: {found.text(display_name(path))}", err=True)


def refuse_two_from_stdin(*paths: str | None) -> None:
    """Standard input can be read once."""
    if paths.count(STDIN) > 1:
        raise click.UsageError("standard input (-) can be read once: give the other file by its path")
