"""A configuration that is rendered after others is the one that is rendered alone: nothing is left of the others."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.api.status import Status
from resilientslice.render.envoy import EnvoyRenderer, Resources, render_envoy
from resilientslice.render.envoy.config import canonical_json
from resilientslice.render.names import Track
from resilientslice.render.proxy import _text, render_proxy_configuration, render_pushed
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, FixedDiscovery

HOSTS = FixedDiscovery({("api", Track.CANARY): (Address("10.0.0.1", 80),)})
EDITS = (
    {},
    {"canary": {"weight": 30}},
    {"canary": {"weight": 31, "paused": True, "steps": [{"weight": 5, "hold": "1m"}]}},
    {"canary": {"weight": 30, "header": {"name": "X-Tester", "value": "yes"}}},
    {"rateLimit": {"default": {"requestsPerSecond": 1, "burst": 2}}},
    {"rateLimit": {"default": {"requestsPerSecond": 1, "burst": 2}, "tenantHeader": "X-Who"}},
    {"front": {"trustedProxies": ["10.0.0.0/8"]}},
    {"front": {"hosts": ["shop.example.org"]}},
    {"resilience": {"timeout": "700ms"}},
    {"proxy": {"replicas": 3}},
)
STEPS = st.tuples(
    st.sampled_from(EDITS),
    st.sampled_from(["1", "2"]),  # of the image, and so the revision that the canary is of
    st.sampled_from([None, ("api",), ("api", "payments")]),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([DnsDiscovery("prod"), DnsDiscovery("other"), FixedDiscovery({}), HOSTS]),
    st.integers(0, 2),
)


def services(kit, tag, more):
    return [
        kit.service("api", image=f"api:{tag}", expose={"pathPrefix": "/"}, dependsOn=["payments"]),
        kit.service("payments", port=9000, routes=[{"pathPrefix": "/slow", "timeout": f"{more + 1}s"}]),
        kit.service("catalog", port=9001),
    ]


def asked(kit, edit, tag, names, weight, live, discovery, more):
    """The arguments of `render_envoy`."""
    slice_ = kit.slice(services(kit, tag, more), **edit)
    stable = revision_of(kit.slice(services(kit, "1", 0)))
    track = CanaryTrack(revision_of(slice_, after=stable), frozenset(names), weight, live) if names else None
    place = kit.topology(
        slice_, discovery=discovery, proxies=slice_.spec.proxy.replicas, hosts=slice_.spec.front.hosts or ("*",)
    )
    return slice_, stable, track, place


@given(st.lists(STEPS, min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_was_rendered_before_the_same_input_gives_the_same_bytes(steps):
    from tests.unit.render_envoy.conftest import Kit

    render = EnvoyRenderer()
    for step in steps:
        arguments = asked(Kit, *step)
        found, alone = render(*arguments), render_envoy(*arguments)
        assert found.to_json() == alone.to_json()
        assert found.text == canonical_json(alone.to_json())
        assert found.digest == alone.digest
        pushed = render_pushed(found, epoch=(1, 2))["data"]["config.json"]
        assert pushed == _text({"config": alone.to_json(), "epoch": [1, 2]})


def test_a_weight_leaves_all_but_the_routes_to_the_canary_as_they_are(kit):
    render = EnvoyRenderer()
    first = render(*asked(kit, EDITS[1], "2", ("api",), 1, True, HOSTS, 0))
    second = render(*asked(kit, EDITS[2], "2", ("api",), 2, True, HOSTS, 0))
    assert second is not first
    assert (second.clusters, second.endpoints, second.listeners) == (first.clusters, first.endpoints, first.listeners)
    kept = [one is other for one, other in zip(first.routes, second.routes, strict=True)]
    assert dict(zip([one["name"] for one in first.routes], kept, strict=True)) == {
        "api": False,
        "catalog": True,
        "front": False,
        "payments": True,
    }
    assert second.clusters is first.clusters


def test_a_newer_status_or_generation_is_no_other_configuration(kit):
    render = EnvoyRenderer()
    slice_, *rest = asked(kit, EDITS[1], "2", ("api",), 1, True, HOSTS, 0)
    first = render(slice_, *rest)
    metadata = slice_.metadata.model_copy(update={"generation": 7})
    later = slice_.model_copy(update={"metadata": metadata, "status": Status(ejected=3)})
    assert render(later, *rest) is first
    assert render(later, rest[0], replace(rest[1], weight=2), rest[2]) is not first


def test_what_was_written_is_known_of_the_very_same_resource_only():
    one, same = {"name": "a"}, {"name": "a"}
    written = []

    def write(resource):
        written.append(resource)
        return resource["name"]

    before = Resources([one])
    assert before.written(write) == Resources([one], before).written(write) == ["a"]
    assert len(written) == 1
    assert Resources([same, one], before).written(write) == ["a", "a"]
    assert len(written) == 2
    assert written[1] is same
    assert Resources().written(write) == []


def test_nothing_at_all_is_written_as_it_reads(kit):
    config = render_envoy(*asked(kit, EDITS[0], "1", None, 0, True, DnsDiscovery("prod"), 0))
    assert config.endpoints == ()
    slice_, _, _, place = asked(kit, EDITS[0], "1", None, 0, True, DnsDiscovery("prod"), 0)
    made = render_proxy_configuration(slice_, config, place, epoch=(3, 4))
    text = made["data"]["config.json"]
    assert text == _text({"config": config.to_json(), "epoch": [3, 4]})
    assert json.loads(text) == {"config": config.to_json(), "epoch": [3, 4]}
    assert '"endpoints": [],' in text
