"""What the services of a slice share: probes, metrics, logs, faults, propagation and a shutdown without a lost request.

Names are imported when first used, so that the exec probe (`python -m slicekit.check`) costs no import of aiohttp.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slicekit.client import Reply, Upstream, UpstreamError
    from slicekit.context import RequestContext, current
    from slicekit.health import Need
    from slicekit.kit import Kit, kit_of
    from slicekit.problems import Problem, StoreUnavailableError
    from slicekit.server import Server, run
    from slicekit.settings import Environment, SettingError, Settings

__all__ = [
    "Environment",
    "Kit",
    "Need",
    "Problem",
    "Reply",
    "RequestContext",
    "Server",
    "SettingError",
    "Settings",
    "StoreUnavailableError",
    "Upstream",
    "UpstreamError",
    "current",
    "kit_of",
    "run",
]

_HOMES = {
    "client": ("Reply", "Upstream", "UpstreamError"),
    "context": ("RequestContext", "current"),
    "health": ("Need",),
    "kit": ("Kit", "kit_of"),
    "problems": ("Problem", "StoreUnavailableError"),
    "server": ("Server", "run"),
    "settings": ("Environment", "SettingError", "Settings"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"slicekit.{module}"), name)
    raise AttributeError(f"module 'slicekit' has no attribute {name!r}")
