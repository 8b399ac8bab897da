"""What holds for every slice: no name or port twice, none too long, none that moves, the same bytes each time."""

import functools
import json

import kubernetes_validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.api.rules.services import reserved_word
from resilientslice.api.services import Service
from resilientslice.api.slice import MAX_SLICE_NAME, Metadata, ResilientSlice, Spec
from resilientslice.render.names import (
    ADMIN_PORT,
    AGENT_PORT,
    FRONT_PORT,
    INTERNAL_PORTS,
    STATS_PORT,
    Track,
    allocate_ports,
    front_name,
    proxy_name,
    service_name,
    store_name,
    track_name,
    url_variable,
)
from resilientslice.render.objects import render_objects
from resilientslice.render.revision import changed_services, revision_of
from resilientslice.render.tracks import CanaryTrack

LABEL = st.from_regex(r"[a-z]([-a-z0-9]{0,22}[a-z0-9])?", fullmatch=True)
SERVICE_NAMES = LABEL.filter(lambda name: reserved_word(name) is None)
SLICE_NAMES = st.from_regex(rf"[a-z]([-a-z0-9]{{0,{MAX_SLICE_NAME - 2}}}[a-z0-9])?", fullmatch=True)
NAMES = st.sets(SERVICE_NAMES, min_size=1, max_size=12)


@st.composite
def services(draw):
    names = sorted(draw(NAMES))
    made = []
    for index, name in enumerate(names):
        callees = [other.name for other in made if other.port is not None]
        made.append(
            Service(
                name=name,
                image=f"example.org/{index}:{draw(st.integers(1, 3))}",
                port=draw(st.one_of(st.none(), st.integers(1, 65535))),
                replicas=draw(st.one_of(st.none(), st.integers(0, 4))),
                depends_on=tuple(draw(st.sets(st.sampled_from(callees))) if callees else ()),
            )
        )
    return tuple(made)


@st.composite
def slices(draw, name=None):
    return ResilientSlice(
        api_version="resilientslice.dev/v1alpha1",
        kind="ResilientSlice",
        metadata=Metadata(name=name or draw(SLICE_NAMES)),
        spec=Spec(services=draw(services())),
    )


@given(SLICE_NAMES, NAMES)
def test_names_never_collide_and_always_fit(slice_name, names):
    given_out = [front_name(slice_name), proxy_name(slice_name), slice_name]
    given_out += [store_name(slice_name, store) for store in ("postgres", "redis")]
    for name in names:
        given_out += [service_name(slice_name, name), *(track_name(slice_name, name, track) for track in Track)]
    assert len(set(given_out)) == len(given_out)
    assert max(map(len, given_out)) <= 63


def test_the_longest_names_fit_exactly():
    assert len(track_name("s" * MAX_SLICE_NAME, "n" * 24, Track.CANARY)) == 62


@pytest.mark.parametrize(("service", "variable"), [("payments", "PAYMENTS_URL"), ("order-book", "ORDER_BOOK_URL")])
def test_url_variables(service, variable):
    assert url_variable(service) == variable


@given(NAMES)
def test_variables_of_two_services_differ(names):
    assert len({url_variable(name) for name in names}) == len(names)


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_ports_are_unique_and_stay_while_others_come_and_go(history):
    ports = {}
    for names in history:
        following = allocate_ports(names, ports)
        assert following.keys() == names
        assert len(set(following.values())) == len(following)
        assert all(following[name] == ports[name] for name in names & ports.keys())
        assert not {following[name] for name in names - ports.keys()} & set(ports.values())
        ports = following


@given(NAMES)
def test_ports_are_internal_and_the_same_from_nothing(names):
    ports = allocate_ports(names, {})
    assert allocate_ports(sorted(names, reverse=True), {}) == ports
    assert list(ports) == sorted(names)
    assert all(port in INTERNAL_PORTS for port in ports.values())
    assert not {FRONT_PORT, STATS_PORT, ADMIN_PORT, AGENT_PORT} & set(INTERNAL_PORTS)
    assert INTERNAL_PORTS.stop <= 32768


def test_a_taken_port_is_passed_over():
    wanted = allocate_ports(["a"], {})["a"]
    assert allocate_ports(["a", "b"], {"b": wanted})["a"] == wanted + 1
    last = INTERNAL_PORTS[-1]
    taken = {str(port): port for port in range(wanted, last + 1)}
    assert allocate_ports(["a", *taken], taken)["a"] == INTERNAL_PORTS[0]


@pytest.fixture(scope="module")
def schemas():
    original = kubernetes_validate.utils.schema_contents
    kubernetes_validate.utils.schema_contents = functools.cache(original)
    yield
    kubernetes_validate.utils.schema_contents = original


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_every_rendering_has_unique_names_and_unique_bytes(data):
    before = data.draw(slices())
    after = data.draw(slices(name=before.name))
    stable = revision_of(before)
    wanted = revision_of(after, after=stable)
    canary = CanaryTrack(revision=wanted, services=changed_services(stable, wanted), weight=50)
    objects = render_objects(after, stable, canary)
    keys = [(made["kind"], made["metadata"]["name"]) for made in objects]
    assert len(set(keys)) == len(keys)
    assert all(len(name) <= 63 for _, name in keys)
    assert json.loads(json.dumps(objects)) == objects
    assert json.dumps(objects) == json.dumps(render_objects(after, stable, canary))


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("sleep_action", [True, False])
def test_kubernetes_knows_every_field_of_everything(schemas, everything, version, sleep_action):
    revision = revision_of(everything, sleep_action=sleep_action)
    objects = render_objects(everything, revision, CanaryTrack(revision, frozenset({"web", "rpc"}), 10))
    for made in objects:
        if made["kind"] != "Cluster":
            kubernetes_validate.validate(made, version, strict=True)
    assert {made["kind"] for made in objects} >= {"Ingress", "HorizontalPodAutoscaler", "Cluster"}


def test_the_namespace_is_the_slices_own(everything, rendered):
    assert {made["metadata"]["namespace"] for made in rendered(everything).objects} == {"team-a"}


def test_kinds_come_in_the_order_in_which_they_are_needed(shop, rendered):
    kinds = list(dict.fromkeys(made["kind"] for made in rendered(shop).objects))
    assert kinds == [
        "ServiceAccount",
        "NetworkPolicy",
        "ConfigMap",
        "Service",
        "StatefulSet",
        "Deployment",
        "PodDisruptionBudget",
    ]


def test_everything_is_labelled_as_the_slices(shop, rendered):
    for made in rendered(shop).objects:
        labels = made["metadata"]["labels"]
        assert labels["resilientslice.dev/slice"] == "shop"
        assert labels["app.kubernetes.io/managed-by"] == "resilientslice"
        assert labels["app.kubernetes.io/part-of"] == labels["app.kubernetes.io/instance"] == "shop"
