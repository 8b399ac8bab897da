"""The options that name the operator's images, the same for every command that renders."""

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from resilientslice.api.images import postgres_major
from resilientslice.render.images import DEFAULT_IMAGES, Images

_HELP = {
    "agent": "Image of the agent beside Envoy.",
    "envoy": "Image of Envoy, where a slice names none.",
    "postgres": "Image of managed PostgreSQL, where a slice names none; its tag begins with the major version.",
    "redis": "Image of managed Redis, where a slice names none.",
}
_PREFIX = "RSLICE"


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --agent-image, --envoy-image, --postgres-image, --redis-image and --image-pull-secret.

    The command gets them as one argument, `images`. Each can be given by the environment: RSLICE_AGENT_IMAGE.
    """

    @functools.wraps(command)
    def with_images(*args: Any, **given: Any) -> Any:
        chosen: dict[str, Any] = {field.name: given.pop(f"image_{field.name}") for field in fields(Images)}
        return command(*args, images=Images(**chosen), **given)

    decorated = click.option(
        "--image-pull-secret",
        "image_pull_secrets",
        metavar="SECRET",
        multiple=True,
        envvar=f"{_PREFIX}_IMAGE_PULL_SECRETS",
        help="Secret of each slice's namespace that proxies and managed stores are pulled with. May be repeated.",
    )(with_images)
    for name, text in reversed(_HELP.items()):
        decorated = click.option(
            f"--{name}-image",
            f"image_{name}",
            metavar="IMAGE",
            default=getattr(DEFAULT_IMAGES, name),
            show_default=True,
            envvar=f"{_PREFIX}_{name.upper()}_IMAGE",
            callback=_with_major if name == "postgres" else None,
            help=text,
        )(decorated)
    return decorated


def _with_major(_context: click.Context, _parameter: click.Parameter, image: str) -> str:
    if postgres_major(image) is None:
        raise click.BadParameter(f"{image}: its tag must begin with PostgreSQL's major version, such as postgres:18.")
    return image
