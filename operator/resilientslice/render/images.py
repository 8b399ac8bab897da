"""Which images run beside a slice's own: what its spec says, and else the operator's choice.

The operator's choice is one for all slices, so that a registry that is not public, or a mirror, is named in one place.
"""

import re
from dataclasses import dataclass

from resilientslice import __version__
from resilientslice.api.images import postgres_major
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import ManagedPostgres, ManagedRedis
from resilientslice.render.metadata import Object

_TAG_OR_DIGEST = re.compile(r"(:[^/:@]+)?(@.*)?$")


@dataclass(frozen=True, slots=True)
class Images:
    """The operator's choice. The tag of `postgres` begins with a major version.

    `pull_secrets` are Secrets of each slice's namespace, for proxies and stores; services have their own.
    """

    agent: str = f"resilientslice-agent:{__version__}"
    envoy: str = "envoyproxy/envoy:distroless-v1.40.0"
    postgres: str = "postgres:18"
    redis: str = "redis:7"
    pull_secrets: tuple[str, ...] = ()


DEFAULT_IMAGES = Images()


def envoy_image(slice_: ResilientSlice, images: Images) -> str:
    return slice_.spec.proxy.image or images.envoy


def redis_image(settings: ManagedRedis, images: Images) -> str:
    return settings.image or images.redis


def postgres_image(settings: ManagedPostgres, images: Images) -> str:
    """Always of the slice's own major version: an operator that has come to prefer another one must not start it on
    data files that it can't open. Of that other one only the repository is taken, with the major version as its tag.
    """
    if settings.image is not None:
        return settings.image
    if postgres_major(images.postgres) == settings.major_version:
        return images.postgres
    return f"{_TAG_OR_DIGEST.sub('', images.postgres, count=1)}:{settings.major_version}"


def render_pull_secrets(images: Images) -> Object:
    """The part of a pod that names them; empty without any."""
    return {"imagePullSecrets": [{"name": name} for name in images.pull_secrets]} if images.pull_secrets else {}
