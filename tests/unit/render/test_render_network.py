"""Who may call whom, read from the NetworkPolicies as a network would enforce them."""

import dataclasses
import ipaddress
from dataclasses import dataclass, field

import pytest

from resilientslice.render.names import AGENT_PORT, FRONT_PORT, STATS_PORT
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of

DNS = {"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"}


@dataclass(frozen=True)
class Peer:
    """Who is at one end: a pod of the slice's namespace, a pod elsewhere, or a plain address."""

    labels: dict = field(default_factory=dict)
    namespace: str = "default"
    address: str = ""


def selects(selector, labels):
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def admits(rule, side, peer, port, protocol):
    ports = rule.get("ports")
    if ports is not None and not any((p["port"], p["protocol"]) == (port, protocol) for p in ports):
        return False
    return side not in rule or any(matches(entry, peer) for entry in rule[side])


def matches(entry, peer):
    if "ipBlock" in entry:
        network = ipaddress.ip_network(entry["ipBlock"]["cidr"])
        return bool(peer.address) and ipaddress.ip_address(peer.address) in network
    if peer.address:
        return False
    if "namespaceSelector" in entry:
        inside = selects(entry["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace})
    else:
        inside = peer.namespace == "default"
    return inside and selects(entry["podSelector"], peer.labels)


def permits(rendered, direction, pod, peer, port, protocol):
    policies = [o["spec"] for o in rendered.objects if o["kind"] == "NetworkPolicy"]
    mine = [p for p in policies if selects(p["podSelector"], pod.labels) and direction.capitalize() in p["policyTypes"]]
    if not mine:
        return True
    side = "from" if direction == "ingress" else "to"
    return any(admits(rule, side, peer, port, protocol) for p in mine for rule in p[direction])


def may_call(rendered, source, target, port, protocol="TCP"):
    leaves = source.address or source.namespace != "default"
    return (leaves or permits(rendered, "egress", source, target, port, protocol)) and (
        bool(target.address) or permits(rendered, "ingress", target, source, port, protocol)
    )


def pods(rendered):
    """A pod of each workload, by its name without the slice and the track."""
    found = {}
    for made in rendered.objects:
        if made["kind"] in ("Deployment", "StatefulSet"):
            labels = made["spec"]["template"]["metadata"]["labels"]
            found.setdefault(labels["app.kubernetes.io/name"], Peer(labels))
    return found


def edges(rendered):
    """Every service that may reach another one's listener on the proxies, found by its Service."""
    everyone = pods(rendered)
    listeners = {
        name.removeprefix("shop-"): rendered.spec("Service", name)["ports"][0]["targetPort"]
        for name in rendered.names("Service")
        if rendered.spec("Service", name)["selector"].get("app.kubernetes.io/component") == "proxy"
        and name != "shop-front"
    }
    return {
        (caller, callee)
        for caller in everyone
        for callee, port in listeners.items()
        if caller != "proxy" and may_call(rendered, everyone[caller], everyone["proxy"], port)
    }


def test_only_declared_calls_are_possible(shop, rendered):
    assert edges(rendered(shop)) == {("api", "payments"), ("api", "catalog")}


def test_pods_of_services_are_reached_by_the_proxies_alone(shop, rendered):
    made = rendered(shop)
    everyone = pods(made)
    reached = {
        (source, target)
        for source in everyone
        for target in ("api", "payments", "catalog", "worker")
        if may_call(made, everyone[source], everyone[target], 8080)
    }
    assert reached == {("proxy", "api"), ("proxy", "payments"), ("proxy", "catalog")}


def test_stores_are_reached_by_those_who_list_them_alone(shop, rendered):
    made = rendered(shop)
    everyone = pods(made)
    reached = {
        (source, store)
        for source in everyone
        for store, port in (("postgres", 5432), ("redis", 6379))
        if may_call(made, everyone[source], everyone[store], port)
    }
    assert reached == {
        ("api", "redis"),
        ("payments", "postgres"),
        ("catalog", "postgres"),
        ("catalog", "redis"),
        ("worker", "postgres"),
        ("worker", "redis"),
    }


@pytest.mark.parametrize(
    ("who", "port", "allowed"),
    [
        (Peer(address="198.51.100.7"), FRONT_PORT, True),
        (Peer({"any": "pod"}, "elsewhere"), FRONT_PORT, True),
        (Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring"), STATS_PORT, True),
        (Peer({"app.kubernetes.io/name": "prometheus"}, "monitoring"), AGENT_PORT, False),
        (Peer({"app.kubernetes.io/name": "resilientslice-operator"}, "resilientslice-system"), AGENT_PORT, True),
        (Peer({"app.kubernetes.io/name": "resilientslice-operator"}, "resilientslice-system"), STATS_PORT, False),
        (Peer({"app.kubernetes.io/name": "resilientslice-operator"}, "team-b"), AGENT_PORT, False),
        (Peer({"app.kubernetes.io/name": "resilientslice-operator"}), AGENT_PORT, False),
        (Peer({"any": "pod"}, "resilientslice-system"), AGENT_PORT, False),
        (Peer({"any": "pod"}, "elsewhere"), STATS_PORT, False),
        (Peer({"any": "pod"}, "elsewhere"), AGENT_PORT, False),
        (Peer(address="198.51.100.7"), AGENT_PORT, False),
    ],
)
def test_who_reaches_the_proxies(shop, rendered, who, port, allowed):
    made = rendered(shop)
    assert may_call(made, who, pods(made)["proxy"], port) is allowed


def test_the_operator_is_known_by_its_own_namespace(shop, rendered):
    before = rendered(shop)
    objects = render_objects(shop, revision_of(shop), None, operator_namespace="platform")
    made = dataclasses.replace(before, objects=objects)
    who = {"app.kubernetes.io/name": "resilientslice-operator"}
    proxy = pods(made)["proxy"]
    assert may_call(made, Peer(who, "platform"), proxy, AGENT_PORT)
    assert not may_call(made, Peer(who, "resilientslice-system"), proxy, AGENT_PORT)
    changed = [one["kind"] for one, other in zip(before.objects, objects, strict=True) if one != other]
    assert changed == ["NetworkPolicy"], "nothing that restarts a pod"


def test_listeners_of_services_are_closed_to_strangers(shop, rendered):
    made = rendered(shop)
    ports = {p["targetPort"] for n in ("shop-payments", "shop-api") for p in made.spec("Service", n)["ports"]}
    strangers = (Peer({"any": "pod"}), Peer({"any": "pod"}, "elsewhere"), Peer(address="198.51.100.7"))
    assert len(ports) == 2
    assert not [1 for who in strangers for port in ports if may_call(made, who, pods(made)["proxy"], port)]


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
@pytest.mark.parametrize(
    ("server", "allowed"),
    [
        (Peer(DNS[1], "kube-system"), True),
        (Peer(address="169.254.20.10"), True),
        (Peer(DNS[1], "elsewhere"), False),
        (Peer(address="203.0.113.53"), False),
    ],
)
def test_names_are_resolved_by_the_clusters_dns(shop, rendered, server, allowed, protocol):
    made = rendered(shop)
    for name in ("api", "worker", "proxy"):
        assert permits(made, "egress", pods(made)[name], server, 53, protocol) is allowed


def test_stores_call_nobody(shop, rendered):
    made = rendered(shop)
    for store in ("postgres", "redis"):
        for target in (Peer(DNS[1], "kube-system"), Peer(address="198.51.100.7"), pods(made)["api"]):
            assert not permits(made, "egress", pods(made)[store], target, 53, "TCP")


@pytest.mark.parametrize(
    ("address", "port", "allowed"),
    [
        ("203.0.113.9", 443, True),
        ("203.0.113.9", 8443, True),
        ("203.0.113.9", 80, False),
        ("203.0.114.9", 443, False),
        ("2001:db8::1", 12345, True),
        ("2001:db9::1", 443, False),
    ],
)
def test_egress_opens_what_it_says(of_services, rendered, address, port, allowed):
    made = rendered(
        of_services(
            "  - {name: a, image: i, egress: [{cidr: 203.0.113.0/24, ports: [443, 8443]}, {cidr: '2001:db8::/32'}]}\n"
            "  - {name: b, image: i}"
        )
    )
    assert may_call(made, pods(made)["a"], Peer(address=address), port) is allowed
    assert not may_call(made, pods(made)["b"], Peer(address=address), port)


@pytest.mark.parametrize(
    ("store", "port", "allowed"),
    [("postgres", 5432, True), ("postgres", 6379, False), ("redis", 6379, True), ("redis", 5432, False)],
)
def test_an_external_store_may_be_anywhere_at_its_usual_port(of_services, rendered, store, port, allowed):
    made = rendered(
        of_services(
            f"  - {{name: a, image: i, stores: [{store}]}}\n  - {{name: b, image: i}}",
            "  stores: {postgres: {external: {secretName: db}}, redis: {external: {secretName: cache}}}",
        )
    )
    for address in ("198.51.100.7", "2001:db8::1"):
        assert may_call(made, pods(made)["a"], Peer(address=address), port) is allowed
        assert not may_call(made, pods(made)["b"], Peer(address=address), port)
    assert made.names("StatefulSet") == []
    assert made.get("NetworkPolicy", "shop-postgres") is None


def test_a_store_that_the_slice_does_not_have_opens_nothing(of_services, rendered):
    made = rendered(of_services("  - {name: a, image: i, stores: [redis]}"))
    assert not may_call(made, pods(made)["a"], Peer(address="198.51.100.7"), 6379)


@pytest.mark.parametrize(
    ("who", "port", "allowed"),
    [
        ({"resilientslice.dev/service": "a"}, 5432, True),
        ({"resilientslice.dev/service": "b"}, 5432, False),
        ({"resilientslice.dev/service": "a"}, 8000, False),
        ({"cnpg.io/cluster": "shop-postgres"}, 5432, True),
        ({"app.kubernetes.io/name": "cloudnative-pg"}, 8000, True),
    ],
)
def test_cloudnativepg_keeps_its_own_ways(of_services, rendered, who, port, allowed):
    made = rendered(
        of_services(
            "  - {name: a, image: i, stores: [postgres]}\n  - {name: b, image: i}", "  stores: {postgres: {cnpg: {}}}"
        )
    )
    database = Peer({"cnpg.io/cluster": "shop-postgres"})
    source = Peer({"resilientslice.dev/slice": "shop", **who} if "resilientslice.dev/service" in who else who)
    assert may_call(made, source, database, port) is allowed
    assert permits(made, "egress", database, Peer(address="198.51.100.7"), 443, "TCP")


BEFORE = """
  - {name: a, image: "a:1", port: 80, dependsOn: [old, kept]}
  - {name: kept, image: "k:1", port: 80, stores: [redis]}
  - {name: old, image: "o:1", port: 80, stores: [redis]}
"""
AFTER = """
  - {name: a, image: "a:2", port: 81, dependsOn: [new, kept]}
  - {name: kept, image: "k:1", port: 80, stores: [redis]}
  - {name: new, image: "n:1", port: 80, dependsOn: [kept]}
"""
REST = "  canary: {}\n  stores: {redis: {managed: {}}}"


def test_while_a_canary_lives_both_revisions_may_make_their_calls(of_services, rendered):
    made = rendered(of_services(AFTER, REST), of_services(BEFORE, REST))
    assert edges(made) == {("a", "old"), ("a", "kept"), ("a", "new"), ("new", "kept")}
    everyone = pods(made)
    assert may_call(made, everyone["old"], everyone["redis"], 6379)
    assert not may_call(made, everyone["new"], everyone["redis"], 6379)
    for port in (80, 81):
        assert may_call(made, everyone["proxy"], everyone["a"], port)


def test_after_promotion_only_the_new_calls_are_left(of_services, rendered):
    assert edges(rendered(of_services(AFTER, REST))) == {("a", "kept"), ("a", "new"), ("new", "kept")}


def test_a_removed_service_keeps_its_egress_until_promotion(of_services, rendered):
    before = of_services(
        "  - {name: a, image: 'a:1', port: 80}\n  - {name: old, image: i, egress: [{cidr: 203.0.113.0/24}]}"
    )
    made = rendered(of_services("  - {name: a, image: 'a:2', port: 80}"), before)
    assert may_call(made, pods(made)["old"], Peer(address="203.0.113.1"), 443)
