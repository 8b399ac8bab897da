"""`rslice`: the command line, for people and for scripts. Imports a subcommand only when it is called."""

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from io import StringIO, TextIOWrapper
from typing import Any

import click

from resilientslice import __version__
from resilientslice.text import visible_lines

COMMANDS = {
    "crd": "Print the resource's definition, or its reference.",
    "demo": "Prove each claim on the sample shop, on this machine.",
    "operator": "Run the operator in, or beside, a cluster.",
    "render": "Print a slice's objects, or its Envoy configuration.",
    "revision": "Compute the name of a slice's revision, offline.",
    "run": "Run a slice on this machine, without a cluster.",
    "validate": "Check resources as the operator would, offline.",
}
"""What each does in a line. Its module has its name."""


class LazyGroup(click.Group):
    """Loads `resilientslice.commands.NAME` when that is called: `--help` loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"resilientslice.commands.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _visible_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _visible_errors():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@contextlib.contextmanager
def _visible_errors() -> Iterator[None]:
    """An error quotes what was given: an argument, a value of a file."""
    try:
        yield
    except click.ClickException as error:
        words = StringIO()
        error.show(words)
        click.echo(visible_lines(words.getvalue()), err=True, nl=False)
        raise click.exceptions.Exit(error.exit_code) from None


EPILOG = """\b
Examples:
  rslice validate -f samples/shop.yaml
  rslice render -f samples/shop.yaml | kubectl apply -f -
  rslice run -f samples/shop.yaml
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rslice")
def cli() -> None:
    """One resource for the resilience of a vertical slice of an application."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. A closed pipe (`rslice render … | head`) ends the program quietly: click sees to it.

    SIGPIPE stays ignored, as Python has it: a connection that its peer closed must end neither an operator nor a slice.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that knows no `…` must not end a program
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(cli.main(args=list(arguments) if arguments is not None else None, prog_name="rslice"))
