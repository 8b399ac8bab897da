"""A ServiceAccount for each thing that runs, without a token: an identity for policies, never a way into the API."""

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import Component, Object, labels, metadata, service_labels
from resilientslice.render.names import proxy_name, service_name, store_name
from resilientslice.render.presence import Presence


def render_service_account(slice_: ResilientSlice, service: Presence) -> Object:
    return _account(metadata(slice_, service_name(slice_.name, service.name), service_labels(slice_, service.name)))


def render_proxy_account(slice_: ResilientSlice) -> Object:
    return _account(metadata(slice_, proxy_name(slice_.name), labels(slice_, "proxy", Component.PROXY)))


def render_store_account(slice_: ResilientSlice, store: StoreName) -> Object:
    return _account(metadata(slice_, store_name(slice_.name, store), labels(slice_, store.value, Component.STORE)))


def _account(described: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": described,
        "automountServiceAccountToken": False,
    }
