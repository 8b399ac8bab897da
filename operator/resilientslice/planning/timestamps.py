"""Seconds since the epoch, as the Kubernetes API writes them."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Whole seconds in UTC: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float | None:
    """The other way round; None for what is no such time."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
