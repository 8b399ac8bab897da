"""PodDisruptionBudgets: nodes may be drained, one pod at a time. For a single replica it would only block that."""

from collections.abc import Mapping

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import (
    Component,
    Object,
    labels,
    metadata,
    proxy_selector,
    service_labels,
    service_selector,
)
from resilientslice.render.names import proxy_name, service_name
from resilientslice.render.presence import Presence

LEAST_REPLICAS = 2


def render_service_budget(slice_: ResilientSlice, service: Presence) -> Object | None:
    """One for both tracks together: what a drain takes away at once is one pod of the service, whichever it is."""
    if service.least_replicas < LEAST_REPLICAS:
        return None
    return _budget(
        metadata(slice_, service_name(slice_.name, service.name), service_labels(slice_, service.name)),
        service_selector(slice_, service.name),
    )


def render_proxy_budget(slice_: ResilientSlice) -> Object | None:
    if slice_.spec.proxy.replicas < LEAST_REPLICAS:
        return None
    return _budget(
        metadata(slice_, proxy_name(slice_.name), labels(slice_, "proxy", Component.PROXY)), proxy_selector(slice_)
    )


def _budget(described: Object, selector: Mapping[str, str]) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": described,
        "spec": {
            "maxUnavailable": 1,
            # a pod that crashes anyway must not hold up the drain of its node
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": dict(selector)},
        },
    }
