"""Service names that the slice keeps for itself: one list, for the rules, the CRD and the names that rendering gives.

A service's objects are called `SLICE-SERVICE`, `SLICE-SERVICE-stable` and `SLICE-SERVICE-canary`, beside the slice's
own `SLICE-front`, `SLICE-proxy`, `SLICE-postgres` and `SLICE-redis`; so none of those words may be, or end, a name.
"""

RESERVED_WORDS = ("front", "proxy", "postgres", "redis", "stable", "canary")
"""Refused as a name and, after a hyphen, at the end of one."""

RESERVED_NAMES = ("database",)
"""Refused as a name only: its variable DATABASE_URL is the one that leads to PostgreSQL."""


def reserved_word(name: str) -> str | None:
    """The word that makes `name` a reserved one, or None."""
    if name in RESERVED_NAMES:
        return name
    return next((word for word in RESERVED_WORDS if name == word or name.endswith(f"-{word}")), None)
