"""`rslice revision`: the name that a resource's revision will have, for `promote`, `abort` and pipelines."""

import json
from typing import Any

import click

from resilientslice.commands.slice_files import load_or_exit, refuse_two_from_stdin
from resilientslice.render.revision import Revision, changed_services, revision_of

EPILOG = """\b
Examples:
  rslice revision -f samples/shop.yaml
  git show HEAD~1:shop.yaml | rslice revision --old - -f shop.yaml
"""


@click.command(epilog=EPILOG)
@click.option("-f", "--file", "file", required=True, help="A resource; - for standard input.")
@click.option("--old", help="An earlier state of it: also say what the new revision changes.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or not."
)
def command(file: str, old: str | None, output: str) -> None:
    """Compute the name of a resource's revision, offline: the same as the operator will give it.

    A revision is what reaches the pods. A change to anything else (replicas, routes, weights …) keeps the name.
    """
    refuse_two_from_stdin(file, old)
    before = revision_of(load_or_exit(old)) if old is not None else None
    wanted = revision_of(load_or_exit(file), after=before)
    facts = _facts(before, wanted)
    click.echo(json.dumps(facts, indent=2) if output == "json" else _text(facts))


def _facts(before: Revision | None, wanted: Revision) -> dict[str, Any]:
    if before is None:
        return {"revision": wanted.name}
    kept = before.services.keys() & wanted.services.keys()
    return {
        "revision": wanted.name,
        "old": before.name,
        "changed": sorted(name for name in kept if before.services[name].digest != wanted.services[name].digest),
        "added": sorted(wanted.services.keys() - before.services.keys()),
        "removed": sorted(before.services.keys() - wanted.services.keys()),
        "canaries": sorted(changed_services(before, wanted)),
    }


def _text(facts: dict[str, Any]) -> str:
    """The name alone, so that a script can take it; what changed follows on lines of its own."""
    lists = ("changed", "added", "removed", "canaries")
    lines = [f"{key}: {', '.join(facts[key])}" for key in lists if facts.get(key)]
    if facts.get("old") == facts["revision"]:
        lines = ["unchanged: no pod restarts"]
    return "\n".join((facts["revision"], *lines))
