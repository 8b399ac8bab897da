"""What an image's name says: for PostgreSQL the major version, which its data files are bound to."""

import re

_TAG = re.compile(r"^[^@]*:([0-9]+)[^/:@]*(@.*)?$")


def postgres_major(image: str) -> int | None:
    """18 of `postgres:18`, `registry:5000/postgres:18.1-bookworm@sha256:…`; None without a tag that begins with it."""
    match = _TAG.match(image)
    return int(match.group(1)) if match else None
