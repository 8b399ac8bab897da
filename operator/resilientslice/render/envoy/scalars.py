"""How protocol buffers' JSON writes durations, addresses and extensions."""

from typing import Any

from resilientslice.render.tracks import Address

TYPE = "type.googleapis.com/"
METADATA = "resilientslice"
ADS = {"ads": {}, "resource_api_version": "V3"}


def seconds(milliseconds: int) -> str:
    """`800` → `0.800s`, `2000` → `2s`."""
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole}.{rest:03d}s" if rest else f"{whole}s"


def extension(name: str, message: str, **fields: Any) -> dict[str, Any]:
    """An extension by its name and the full name of its message."""
    return {"name": name, "typed_config": {"@type": TYPE + message, **fields}}


def socket_address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def pipe_address(path: str) -> dict[str, Any]:
    return {"pipe": {"path": path, "mode": 0o600}}


def load_assignment(cluster: str, addresses: list[dict[str, Any]], **metadata: str) -> dict[str, Any]:
    """Hosts of a cluster; none are an empty list, never one empty locality, which Envoy counts as a priority.

    `metadata` is what the access log says of a host.
    """
    localities = [{"lb_endpoints": [_endpoint(address, metadata) for address in addresses]}] if addresses else []
    return {"cluster_name": cluster, "endpoints": localities}


def _endpoint(address: dict[str, Any], metadata: dict[str, str]) -> dict[str, Any]:
    said = {"metadata": {"filter_metadata": {METADATA: metadata}}} if metadata else {}
    return {"endpoint": {"address": address}, **said}
