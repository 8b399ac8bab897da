"""What holds for every slice: a weight touches routes only, a service its own resources only, bytes are stable."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import EnvoyConfig, render_envoy
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, FixedDiscovery, Topology

NAMES = ("api", "cart", "pay", "search", "stock")


@st.composite
def services(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return [
        {
            "name": name,
            "image": "x:1",
            "port": draw(st.integers(1024, 1030)),
            "protocol": draw(st.sampled_from(["HTTP", "GRPC"])),
            "dependsOn": draw(st.sets(st.sampled_from(names[:i]), max_size=2).map(sorted)) if i else [],
            **({"expose": {"pathPrefix": f"/{name}"}} if draw(st.booleans()) else {}),
            "routes": draw(
                st.lists(
                    st.builds(
                        lambda path, websocket: {"pathPrefix": path, "timeout": "3s", "websocket": websocket},
                        st.sampled_from([f"/{name}/a", f"/{name}/a/b", "/x"]),
                        st.booleans(),
                    ),
                    max_size=2,
                    unique_by=lambda route: route["pathPrefix"],
                )
            ),
        }
        for i, name in enumerate(names)
    ]


def slice_of(entries, **spec):
    return ResilientSlice.model_validate_json(
        json.dumps(
            {
                "apiVersion": "resilientslice.dev/v1alpha1",
                "kind": "ResilientSlice",
                "metadata": {"name": "shop"},
                "spec": {"services": entries, **spec},
            }
        )
    )


def config_of(slice_, *, canary=(), weight=0, live=True, discovery=None):
    topology = Topology(
        front=Address("0.0.0.0", 8080),
        stats=Address("0.0.0.0", 9902),
        internal={name: Address("0.0.0.0", 10_000 + i) for i, name in enumerate(NAMES)},
        discovery=discovery or FixedDiscovery({}),
    )
    track = CanaryTrack(revision_of(slice_), frozenset(canary), weight, live) if canary else None
    return render_envoy(slice_, revision_of(slice_), track, topology)


def by_name(resources):
    return {resource.get("name") or resource["cluster_name"]: json.dumps(resource) for resource in resources}


@given(services(), st.data())
@settings(max_examples=30, deadline=None)
def test_a_weight_step_touches_routes_only(entries, data):
    canary = data.draw(st.sets(st.sampled_from([entry["name"] for entry in entries]), min_size=1))
    weights = data.draw(st.tuples(st.integers(0, 100), st.integers(0, 100)))
    slice_ = slice_of(entries)
    one, other = (config_of(slice_, canary=canary, weight=weight) for weight in weights)
    assert (one.clusters, one.endpoints, one.listeners) == (other.clusters, other.endpoints, other.listeners)
    assert (one.digest == other.digest) == (weights[0] == weights[1])
    begun = config_of(slice_)
    assert (begun.clusters, begun.listeners) == (one.clusters, one.listeners), "nor does the start of a canary"
    changed = {name for name, text in by_name(one.routes).items() if text != by_name(other.routes)[name]}
    assert changed <= canary | {"front"}


@given(services(), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_every_lot_is_drawn_with_the_weight_and_what_is_left_goes_to_stable(entries, weight):
    """A request is drawn with chance `weight`, else it falls to a route that takes everything: together 100."""
    names = {entry["name"] for entry in entries}
    for routes in config_of(slice_of(entries), canary=names, weight=weight).routes:
        for host in routes["virtual_hosts"]:
            drawn = [route["match"].get("runtime_fraction") for route in host["routes"]]
            assert {f["default_value"]["numerator"] for f in drawn if f} <= {weight}
            last = host["routes"][-1]
            assert "headers" not in last["match"]
            assert "runtime_fraction" not in last["match"]


@given(services(), st.sampled_from(NAMES))
@settings(max_examples=30, deadline=None)
def test_a_service_more_or_less_leaves_the_others_untouched(entries, name):
    others = [e | {"dependsOn": [d for d in e["dependsOn"] if d != name]} for e in entries if e["name"] != name]
    if not others:
        return
    without = config_of(slice_of(others))
    with_it = config_of(
        slice_of([*others, {"name": name, "image": "x:1", "port": 1, "expose": {"pathPrefix": "/new"}}])
    )
    for kind in ("clusters", "endpoints", "listeners", "routes"):
        before, after = by_name(getattr(without, kind)), by_name(getattr(with_it, kind))
        assert {key: after[key] for key in before if key != "front" or kind != "routes"} == {
            key: text for key, text in before.items() if key != "front" or kind != "routes"
        }
        assert all(key.startswith(name) for key in after.keys() - before.keys())


@given(services(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_same_input_same_bytes_whatever_the_order(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    one, other = config_of(slice_of(entries)), config_of(slice_of(shuffled))
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())
    assert one.digest == other.digest
    for kind in ("clusters", "endpoints", "listeners", "routes"):
        names = list(by_name(getattr(one, kind)))
        assert names == sorted(names)
        assert len(names) == len(set(names))
        assert len(names) == len(getattr(one, kind))


@given(services(), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_it_survives_json(entries, weight):
    config = config_of(slice_of(entries), canary={entries[0]["name"]}, weight=weight, discovery=DnsDiscovery("default"))
    restored = EnvoyConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert restored == config
    assert restored.digest == config.digest
    assert len(config.digest) == 64
    with pytest.raises(KeyError):
        EnvoyConfig.from_json({})


@given(services(), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_route_leads_to_a_cluster_and_every_listener_to_routes(entries, live, dns):
    names = {entry["name"] for entry in entries}
    config = config_of(slice_of(entries), canary=names, live=live, discovery=DnsDiscovery("d") if dns else None)
    clusters = {cluster["name"] for cluster in config.clusters}
    used = {
        r["route"]["cluster"] for c in config.routes for h in c["virtual_hosts"] for r in h["routes"] if "route" in r
    }
    assert used <= clusters
    managers = [f["filters"][0]["typed_config"] for listener in config.listeners for f in listener["filter_chains"]]
    assert {manager["rds"]["route_config_name"] for manager in managers} == {c["name"] for c in config.routes}
