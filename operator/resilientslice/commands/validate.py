"""`rslice validate`: everything that is wrong with a resource, before a cluster sees it."""

import json
import sys
from typing import Any

import click

from resilientslice.api.slice import ResilientSlice
from resilientslice.commands.slice_files import BAD_INPUT, load_or_exit, refuse_two_from_stdin, report, warn
from resilientslice.commands.terminal import say
from resilientslice.files import Loaded, Located, SliceFileError, display_name, load_with_warnings, problem_json

EPILOG = """\b
Examples:
  rslice validate -f samples/shop.yaml
  rslice validate -f a.yaml -f b.yaml --output json
  kubectl get rslice shop -o yaml | rslice validate --old - -f shop.yaml
"""

Outcome = Loaded | SliceFileError


@click.command(epilog=EPILOG)
@click.option(
    "-f", "--file", "files", multiple=True, required=True, help="A resource; - for standard input. Repeatable."
)
@click.option("--old", help="What it is to replace: changes that can't be made are refused too.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or not."
)
def command(files: tuple[str, ...], old: str | None, output: str) -> None:
    """Check resources as the operator would, offline.

    Names every problem at once: its line, field, value, the rule it breaks and what to do. Ends with 2 if there is
    one. A field that has no effect yet, or is rarely meant so, is a warning. Problems and warnings go to standard
    error, or with --output json everything goes to standard output.
    """
    refuse_two_from_stdin(*files, old)
    if old is not None and len(files) > 1:
        raise click.UsageError("--old goes with one --file")
    before = load_or_exit(old) if old is not None else None
    outcomes = {name: _outcome(name, before) for name in files}
    if output == "json":
        click.echo(json.dumps([_entry(name, outcome) for name, outcome in outcomes.items()], indent=2))
    else:
        for name, outcome in outcomes.items():
            _say(name, outcome)
    if any(isinstance(outcome, SliceFileError) for outcome in outcomes.values()):
        sys.exit(BAD_INPUT)


def _outcome(name: str, before: ResilientSlice | None) -> Outcome:
    try:
        return load_with_warnings(name, old=before)
    except SliceFileError as error:
        return error


def _say(name: str, outcome: Outcome) -> None:
    if isinstance(outcome, SliceFileError):
        report(outcome)
    else:
        warn(name, outcome)
        count = len(outcome.slice_.spec.services)
        say(f"ok: {outcome.slice_.name} ({count} service{'s' if count > 1 else ''})")


def _entry(name: str, outcome: Outcome) -> dict[str, Any]:
    name_of_slice: str | None = None
    problems: tuple[Located, ...] = ()
    warnings: tuple[Located, ...] = ()
    if isinstance(outcome, SliceFileError):
        problems = outcome.located
    else:
        name_of_slice, warnings = outcome.slice_.name, outcome.warnings
    return {
        "file": display_name(name),
        "valid": not problems,
        "slice": name_of_slice,
        "problems": list(map(problem_json, problems)),
        "warnings": list(map(problem_json, warnings)),
    }
