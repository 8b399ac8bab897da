"""kopf's part: it watches the slices and calls `on.event`. Handlers pass events on, and decide nothing.

Only `on.event` is used, since every other kind of handler writes annotations or finalizers to the slices. An error here
would be logged and never tried again, and whatever is returned would be written to the status: so nothing is awaited,
nothing returned.
"""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from resilientslice.kube.kinds import RESILIENT_SLICE
from resilientslice.kube.slices import Slices

SERVER_SECONDS = 280
"""The API server ends a watch after that long; the next one may go to another API server."""
SILENCE_SECONDS = 90.0
"""A bookmark comes about every minute; a watch that is silent for longer is taken for dead."""
CHUNK = 250


class _NoProgress(kopf.ProgressStorage):
    """`on.event` has no progress; nothing is kept, so nothing is written."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        """Nothing was kept."""

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Keep nothing."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing is kept."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Leave the object alone."""

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nobody asks what changed since the last time."""

    def fetch(self, *, body: kopf.Body) -> None:
        """Nothing was kept."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Keep nothing."""


def operator_settings() -> kopf.OperatorSettings:
    """kopf without anything that writes, waits or batches. See ADR 0011 for the measurements."""
    settings = kopf.OperatorSettings()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 1.0
    settings.watching.chunk_size = CHUNK
    settings.watching.initial_streaming = False  # its lists are read along (kube/overheard.py)
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = SERVER_SECONDS + SILENCE_SECONDS
    settings.watching.inactivity_timeout = SILENCE_SECONDS
    settings.watching.connect_timeout = 3.0
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 3.0
    settings.process.ultimate_exiting_timeout = None
    return settings


def operator_registry(slices: Slices, log_in: Callable[[], kopf.AiohttpSession]) -> kopf.OperatorRegistry:
    """`log_in` is called at the start, and when the API server has refused what it returned before."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def session(**_: Any) -> kopf.AiohttpSession:
        return log_in()

    @kopf.on.event(RESILIENT_SLICE.group, RESILIENT_SLICE.version, RESILIENT_SLICE.plural, registry=registry)
    async def resilient_slice(event: Mapping[str, Any], **_: Any) -> None:
        if event["type"] == "DELETED":
            slices.gone(event["object"])
        else:
            slices.told(event["object"])  # of a list: for the second time, which changes nothing

    return registry
