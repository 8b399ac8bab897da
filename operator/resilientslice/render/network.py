"""NetworkPolicies: everything is denied, then each declared edge is opened, and nothing else.

Pods of services are reached by the slice's proxies alone, and the proxies' port of a service by its declared callers
alone. So a call that isn't declared can't be made, neither directly nor by a forged Host header.

The address of an external store is in a Secret that is never read here. A service that lists one may therefore reach
any address at the store's usual port; a URL with another port needs an entry in the service's `egress`.

The operator is let in from its own namespace alone: who speaks to agents decides where requests go. Prometheus and
CloudNativePG are known by a label in any namespace, since nobody says where they are: the one gets figures to read, the
other meets PostgreSQL's own authentication.
"""

from collections.abc import Sequence

from resilientslice.api.services import Egress, StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import (
    Component,
    Object,
    labels,
    metadata,
    proxy_selector,
    service_labels,
    service_selector,
    slice_labels,
    store_selector,
)
from resilientslice.render.names import (
    AGENT_PORT,
    FRONT_PORT,
    LABEL_SLICE,
    OPERATOR_NAMESPACE,
    STATS_PORT,
    proxy_name,
    service_name,
    store_name,
)
from resilientslice.render.presence import Presence, callers_of
from resilientslice.render.store_settings import STORE_PORTS, managed, url_secret

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""A label that the API server sets, so nobody else can have it."""
NODE_LOCAL_DNS = "169.254.20.10/32"
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
OPERATOR = {"app.kubernetes.io/name": "resilientslice-operator"}
CNPG_OPERATOR = {"app.kubernetes.io/name": "cloudnative-pg"}
CNPG_STATUS_PORT = 8000
ANYWHERE = ("0.0.0.0/0", "::/0")


def render_default_deny(slice_: ResilientSlice) -> Object:
    """Named after the slice alone: no service, store or proxy can have that name."""
    described = metadata(slice_, slice_.name, slice_labels(slice_))
    return _policy(described, {LABEL_SLICE: slice_.name}, ingress=[], egress=[])


def render_service_policy(slice_: ResilientSlice, service: Presence, present: tuple[Presence, ...]) -> Object:
    callees = [other.internal_port for other in present if other.name in service.callees]
    to_proxies = [port for port in callees if port is not None]
    stores = [_store_egress(slice_, store) for store in sorted(service.stores)]
    return _policy(
        metadata(slice_, service_name(slice_.name, service.name), service_labels(slice_, service.name)),
        service_selector(slice_, service.name),
        ingress=[_from([_pods(proxy_selector(slice_))], service.ports)] if service.ports else [],
        egress=[
            _dns(),
            *([_to([_pods(proxy_selector(slice_))], to_proxies)] if to_proxies else []),
            *(rule for rule in stores if rule is not None),
            *(_custom_egress(entry) for entry in service.policy.egress),
        ],
    )


def render_proxy_policy(
    slice_: ResilientSlice, present: tuple[Presence, ...], *, operator_namespace: str = OPERATOR_NAMESPACE
) -> Object:
    edges = [
        _from([_pods(service_selector(slice_, caller)) for caller in callers], [service.internal_port])
        for service in present
        if service.internal_port is not None and (callers := callers_of(present, service.name))
    ]
    return _policy(
        metadata(slice_, proxy_name(slice_.name), labels(slice_, "proxy", Component.PROXY)),
        proxy_selector(slice_),
        ingress=[
            {"ports": _ports([FRONT_PORT])},
            *edges,
            _from([_pods_anywhere(PROMETHEUS)], [STATS_PORT]),
            _from([_pods_in(operator_namespace, OPERATOR)], [AGENT_PORT]),
        ],
        egress=[
            _dns(),
            *(_to([_pods(service_selector(slice_, s.name))], s.ports) for s in present if s.ports),
        ],
    )


def render_store_policy(slice_: ResilientSlice, store: StoreName, present: tuple[Presence, ...]) -> Object | None:
    """None for an external store: its pods are not the slice's."""
    users = [_pods(service_selector(slice_, service.name)) for service in present if store in service.stores]
    from_users = [_from(users, [STORE_PORTS[store]])] if users else []
    described = metadata(slice_, store_name(slice_.name, store), labels(slice_, store.value, Component.STORE))
    if managed(slice_, store) is not None:
        return _policy(described, store_selector(slice_, store), ingress=from_users, egress=[])
    if store is StoreName.POSTGRES and _cnpg(slice_):
        return _cnpg_policy(slice_, described, from_users)
    return None


def _cnpg(slice_: ResilientSlice) -> bool:
    return slice_.spec.stores.postgres is not None and slice_.spec.stores.postgres.cnpg is not None


def _cnpg_selector(slice_: ResilientSlice) -> dict[str, str]:
    """CloudNativePG labels its pods itself, and not with the slice, so the default deny does not reach them."""
    return {"cnpg.io/cluster": store_name(slice_.name, StoreName.POSTGRES)}


def _cnpg_policy(slice_: ResilientSlice, described: Object, from_users: list[Object]) -> Object:
    port, selector = STORE_PORTS[StoreName.POSTGRES], _cnpg_selector(slice_)
    cluster = [_pods(selector), _pods_anywhere(CNPG_OPERATOR)]
    ingress = [*from_users, _from(cluster, [port, CNPG_STATUS_PORT])]
    # egress is left alone: instances talk to the Kubernetes API and to wherever their backups go
    return _policy(described, selector, ingress=ingress, egress=None)


def _store_egress(slice_: ResilientSlice, store: StoreName) -> Object | None:
    port = STORE_PORTS[store]
    if url_secret(slice_, store) is None:
        return None
    if managed(slice_, store) is not None:
        return _to([_pods(store_selector(slice_, store))], [port])
    if store is StoreName.POSTGRES and _cnpg(slice_):
        return _to([_pods(_cnpg_selector(slice_))], [port])
    return _to([{"ipBlock": {"cidr": cidr}} for cidr in ANYWHERE], [port])


def _custom_egress(entry: Egress) -> Object:
    peer = {"ipBlock": {"cidr": entry.cidr}}
    return _to([peer], entry.ports) if entry.ports else {"to": [peer]}


def _dns() -> Object:
    return {
        "to": [_pods_in("kube-system", {"k8s-app": "kube-dns"}), {"ipBlock": {"cidr": NODE_LOCAL_DNS}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }


def _pods(selector: dict[str, str]) -> Object:
    return {"podSelector": {"matchLabels": selector}}


def _pods_anywhere(selector: dict[str, str]) -> Object:
    return {"namespaceSelector": {}, "podSelector": {"matchLabels": selector}}


def _pods_in(namespace: str, selector: dict[str, str]) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": selector},
    }


def _from(peers: list[Object], ports: Sequence[int]) -> Object:
    return {"from": peers, "ports": _ports(ports)}


def _to(peers: list[Object], ports: Sequence[int]) -> Object:
    return {"to": peers, "ports": _ports(ports)}


def _ports(ports: Sequence[int]) -> list[Object]:
    return [{"protocol": "TCP", "port": port} for port in sorted(set(ports))]


def _policy(
    described: Object, selector: dict[str, str], *, ingress: list[Object], egress: list[Object] | None
) -> Object:
    """An empty list denies everything of that direction; `egress=None` leaves it to others."""
    directions: Object = {"policyTypes": ["Ingress"], "ingress": ingress}
    if egress is not None:
        directions = {"policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": described,
        "spec": {"podSelector": {"matchLabels": selector}, **directions},
    }
