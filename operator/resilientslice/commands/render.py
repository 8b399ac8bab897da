"""`rslice render`: prints what a slice becomes, without a cluster."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from resilientslice.api.scalars import DNS_LABEL_PATTERN
from resilientslice.api.slice import ResilientSlice
from resilientslice.commands.image_options import image_options
from resilientslice.files import SliceFileError, load_slice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.envoy.bootstrap import render_static_bootstrap
from resilientslice.render.images import Images
from resilientslice.render.names import OPERATOR_NAMESPACE, store_name
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import cluster_topology
from resilientslice.render.revision import Revision, changed_services, refreshed, revision_of
from resilientslice.render.store_settings import managed_stores
from resilientslice.render.tracks import CanaryTrack
from resilientslice.text import is_visible

OLDEST_MINOR = 29
SLEEP_ACTION_MINOR = 30

EPILOG = """\b
Examples:
  rslice render -f samples/shop.yaml | kubectl apply -f -
  rslice render -f samples/shop.yaml --kind NetworkPolicy --name shop-payments
  rslice render -f new.yaml --stable old.yaml      # while new.yaml is a canary
  rslice render -f samples/shop.yaml --envoy > envoy.yaml && envoy --mode validate -c envoy.yaml
"""


class RefusedError(click.ClickException):
    """What was asked for can't be rendered; the message says why and what to do."""

    exit_code = 2


@click.command(epilog=EPILOG)
@click.option(
    "-f", "--file", "path", required=True, type=click.Path(path_type=Path), help="The slice; - for standard input."
)
@click.option(
    "--stable",
    "stable_path",
    type=click.Path(path_type=Path),
    help="The slice as it runs now: render it as stable, and FILE as its canary.",
)
@click.option("--envoy", is_flag=True, help="One static Envoy bootstrap with every resource inlined.")
@click.option("--kind", metavar="KIND", help="Only objects of this kind, such as Deployment.")
@click.option("--name", metavar="NAME", help="Only objects of this name, such as shop-payments.")
@click.option("-n", "--namespace", metavar="NAMESPACE", help="Namespace, in place of the one in FILE.")
@click.option(
    "--kube-version", metavar="1.N", default="1.30", show_default=True, help="Oldest Kubernetes it is meant for."
)
@click.option(
    "--operator-namespace",
    metavar="NAMESPACE",
    envvar="RSLICE_OPERATOR_NAMESPACE",
    default=OPERATOR_NAMESPACE,
    show_default=True,
    help="Namespace of the operator, which the NetworkPolicies admit to the agents.",
)
@image_options
def command(  # noqa: PLR0917 (click calls it by keyword)
    path: Path,
    stable_path: Path | None,
    envoy: bool,
    kind: str | None,
    name: str | None,
    namespace: str | None,
    kube_version: str,
    operator_namespace: str,
    images: Images,
) -> None:
    """Print every Kubernetes object of a slice as a YAML stream, as the operator would apply them.

    The same FILE gives the same bytes. Passwords of managed stores are not part of it.
    """
    if envoy and (kind or name):
        raise click.UsageError("--envoy prints one document: leave out --kind and --name.")
    sleep_action = _minor(kube_version) >= SLEEP_ACTION_MINOR
    before = _loaded(stable_path, namespace) if stable_path else None
    slice_ = _loaded(path, namespace, old=before)
    stable, canary = _tracks(slice_, before, sleep_action=sleep_action)
    if envoy:
        topology = cluster_topology(slice_, stable, canary)
        config = render_envoy(slice_, stable, canary, topology)
        click.echo(to_yaml([render_static_bootstrap(config, topology)]), nl=False)
        return
    objects = render_objects(slice_, stable, canary, images=images, operator_namespace=operator_namespace)
    selected = _selected(objects, kind, name)
    click.echo(to_yaml(selected), nl=False)
    if len(selected) == len(objects):
        _tell_of_secrets(slice_)


def to_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Block style, keys in the order given, texts of several lines as they read; the same for the same input.

    With a character in it that a terminal would obey, or not show, all that isn't ASCII is written as escapes.
    """
    listed = list(documents)
    text = _dump(listed, allow_unicode=True)
    return text if is_visible(text) else _dump(listed, allow_unicode=False)


def _dump(documents: Sequence[Mapping[str, Any]], *, allow_unicode: bool) -> str:
    text: str = yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        explicit_start=True,
        width=1_000_000,
        allow_unicode=allow_unicode,
    )
    return text


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Parts that two objects share are written out in both: `*id001` is for no reader."""
        return True


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
# members of a StrEnum are text too
_Dumper.add_multi_representer(str, _represent_text)


def _minor(version: str) -> int:
    found = re.fullmatch(r"v?1\.(\d{1,3})(\..*)?", version)
    if found is None or int(found[1]) < OLDEST_MINOR:
        raise RefusedError(f"--kube-version {version}: give 1.{OLDEST_MINOR} or later, such as 1.{SLEEP_ACTION_MINOR}.")
    return int(found[1])


def _loaded(path: Path, namespace: str | None, *, old: ResilientSlice | None = None) -> ResilientSlice:
    try:
        slice_ = load_slice(path, old=old)
    except SliceFileError as exc:
        raise RefusedError(str(exc)) from exc
    if namespace is None:
        return slice_
    if not re.fullmatch(DNS_LABEL_PATTERN, namespace) or len(namespace) > 63:
        raise RefusedError(f"--namespace {namespace}: give a DNS label, such as `shop` or `team-a`.")
    return slice_.model_copy(update={"metadata": slice_.metadata.model_copy(update={"namespace": namespace})})


def _tracks(
    slice_: ResilientSlice, before: ResilientSlice | None, *, sleep_action: bool
) -> tuple[Revision, CanaryTrack | None]:
    if before is None:
        return revision_of(slice_, sleep_action=sleep_action), None
    if before.namespace != slice_.namespace:
        raise RefusedError(
            f"--stable is in namespace {before.namespace}, FILE in {slice_.namespace}: give two versions of one slice."
        )
    stable = revision_of(before, sleep_action=sleep_action)
    wanted = revision_of(slice_, after=stable, sleep_action=sleep_action)
    if wanted.content == stable.content:
        return refreshed(stable, wanted), None
    if slice_.spec.canary is None:
        click.echo("note: FILE has no spec.canary, so it rolls out without one; rendered as stable.", err=True)
        return wanted, None
    changed = changed_services(stable, wanted)
    return stable, CanaryTrack(revision=wanted, services=changed, weight=slice_.spec.canary.weight or 0)


def _selected(objects: Sequence[dict[str, Any]], kind: str | None, name: str | None) -> list[dict[str, Any]]:
    found = [
        made
        for made in objects
        if (kind is None or made["kind"].lower() == kind.lower()) and (name is None or made["metadata"]["name"] == name)
    ]
    if not found:
        raise RefusedError(_nothing_found(objects, kind, name))
    return found


def _nothing_found(objects: Sequence[dict[str, Any]], kind: str | None, name: str | None) -> str:
    asked = " ".join(text for text in (f"--kind {kind}" if kind else "", f"--name {name}" if name else "") if text)
    names: dict[str, list[str]] = {}
    for made in objects:
        names.setdefault(made["kind"], []).append(made["metadata"]["name"])
    lines = [f"  {existing}: {', '.join(sorted(named))}" for existing, named in names.items()]
    return "\n".join([f"nothing is named by {asked}. The slice has:", *lines])


def _tell_of_secrets(slice_: ResilientSlice) -> None:
    for store in managed_stores(slice_):
        click.echo(
            f"note: Secret {store_name(slice_.name, store)} is not printed: "
            "the operator draws the password when it first applies the slice.",
            err=True,
        )
