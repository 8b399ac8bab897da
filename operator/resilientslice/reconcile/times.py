"""Seconds since the epoch, as the Kubernetes API writes them."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """Whole seconds in UTC: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
