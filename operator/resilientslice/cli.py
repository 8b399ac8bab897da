"""`rslice`: the command line, for people and for scripts. Imports a subcommand only when it is called."""

import importlib
import signal
import sys
from collections.abc import Sequence

import click

from resilientslice import __version__

COMMANDS = {
    "crd": "resilientslice.commands.crd",
    "demo": "resilientslice.commands.demo",
    "operator": "resilientslice.commands.operator",
    "render": "resilientslice.commands.render",
    "revision": "resilientslice.commands.revision",
    "run": "resilientslice.commands.run",
    "validate": "resilientslice.commands.validate",
}


class LazyGroup(click.Group):
    """Knows its commands by name and loads `MODULE.command` on use, so that `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(module).command
        return command if isinstance(command, click.Command) else None


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
    """Entry point. A closed pipe (`rslice render … | head`) ends the program quietly, as it does any other tool."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(cli.main(args=list(arguments) if arguments is not None else None, prog_name="rslice"))
