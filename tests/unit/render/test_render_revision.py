"""What makes a revision, and what does not."""

import pytest

from resilientslice.api.services import Service
from resilientslice.render.revision import (
    POD_FIELDS,
    changed_services,
    digest,
    refreshed,
    revision_from_json,
    revision_of,
    revision_to_json,
)

POLICY_FIELDS = {"name", "replicas", "autoscaling", "expose", "routes", "egress", "resilience"}
BASE = "  - {name: a, image: 'a:1', port: 80, dependsOn: [b]}\n  - {name: b, image: 'b:1', port: 81}"


def names_that_differ(before, after):
    old, new = revision_of(before), revision_of(after)
    return {name for name in old.services if old.services[name].digest != new.services[name].digest}


def test_every_field_of_a_service_is_either_of_its_pods_or_acts_at_once():
    assert set(Service.model_fields) == POD_FIELDS | POLICY_FIELDS
    assert not POD_FIELDS & POLICY_FIELDS


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        (("image: 'a:1'", "image: 'a:2'"), {"a"}),
        (("image: 'a:1'", "image: 'a:1', args: [x]"), {"a"}),
        (("image: 'a:1'", "image: 'a:1', terminationGracePeriod: 31s"), {"a"}),
        (("image: 'a:1'", "image: 'a:1', probes: {liveness: {tcpSocket: {}}}"), {"a"}),
        (("dependsOn: [b]", "dependsOn: []"), {"a"}),
        # a's pods are told where b listens
        (("port: 81", "port: 82"), {"a", "b"}),
        (("image: 'a:1'", "image: 'a:1', replicas: 9"), set()),
        (("image: 'a:1'", "image: 'a:1', expose: {}"), set()),
        (("image: 'a:1'", "image: 'a:1', routes: [{pathPrefix: /x, timeout: 9s}]"), set()),
        (("image: 'a:1'", "image: 'a:1', egress: [{cidr: 203.0.113.0/24}]"), set()),
        (("image: 'a:1'", "image: 'a:1', resilience: {timeout: 9s}"), set()),
        # a default that is written out is still the default
        (("image: 'a:1'", "image: 'a:1', protocol: HTTP, terminationGracePeriod: 30s"), set()),
    ],
)
def test_what_of_a_service_makes_a_revision(of_services, change, differ):
    assert names_that_differ(of_services(BASE), of_services(BASE.replace(*change))) == differ


@pytest.mark.parametrize(
    ("rest", "differ"),
    [
        ("  restartedAt: '2026-01-01T00:00:00Z'", {"a", "b"}),
        ("  rateLimit: {}", set()),
        ("  rateLimit: {tenantHeader: X-Tenant}", set()),
        ("  rateLimit: {tenantHeader: X-Org}", {"a", "b"}),
        ("  canary: {weight: 50, header: {name: X-Canary, value: yes-please}}", set()),
        ("  canary: {header: {name: X-Try}}", {"a", "b"}),
        ("  proxy: {replicas: 9}", set()),
        ("  resilience: {timeout: 9s}", set()),
    ],
)
def test_what_of_a_slice_makes_a_revision(of_services, rest, differ):
    assert names_that_differ(of_services(BASE), of_services(BASE, rest)) == differ


@pytest.mark.parametrize(
    ("postgres", "differs"),
    [("{external: {secretName: db}}", True), ("{cnpg: {}}", True), ("{managed: {storage: 9Gi}}", False)],
)
def test_where_a_store_is_makes_a_revision(of_services, postgres, differs):
    line = "  - {name: a, image: i, stores: [postgres]}"
    before = of_services(line, "  stores: {postgres: {managed: {}}}")
    after = of_services(line, f"  stores: {{postgres: {postgres}}}")
    assert bool(names_that_differ(before, after)) is differs


def test_a_revision_is_named_by_its_content(of_services):
    one, same = revision_of(of_services(BASE)), revision_of(of_services(f"{BASE}\n", "  proxy: {replicas: 3}"))
    assert one.name == same.name == f"shop-{digest(one.content)}"
    assert revision_of(of_services(BASE.replace("a:1", "a:2"))).name != one.name


def test_order_of_services_does_not_matter(of_services):
    first, second = BASE.split("\n")
    assert revision_of(of_services(BASE)) == revision_of(of_services(f"{second}\n{first}"))


def test_a_revision_survives_storage(shop, everything):
    for slice_ in (shop, everything):
        revision = revision_of(slice_)
        assert revision_from_json(revision_to_json(revision)) == revision


def test_a_revision_with_a_field_that_the_api_has_lost_is_read(of_services):
    revision = revision_of(of_services(BASE))
    stored = revision_to_json(revision)
    stored["services"]["a"]["spec"]["imagePullSecrets"] = [{"name": "registry", "optional": True}]
    read = revision_from_json(stored)
    assert read.name == revision.name
    assert [secret.name for secret in read.services["a"].spec.image_pull_secrets] == ["registry"]


def test_changed_services_are_those_with_a_port_that_are_new_or_differ(of_services):
    before = of_services(f"{BASE}\n  - {{name: gone, image: i, port: 80}}\n  - {{name: job, image: 'j:1'}}")
    after = of_services(
        f"{BASE.replace('b:1', 'b:2')}\n  - {{name: new, image: i, port: 80}}\n  - {{name: job, image: 'j:2'}}"
    )
    assert changed_services(revision_of(before), revision_of(after)) == {"b", "new"}


def test_refreshed_keeps_templates_and_takes_policy(of_services):
    kept = revision_of(of_services(BASE))
    wanted = revision_of(of_services(BASE.replace("image: 'a:1'", "image: 'a:1', replicas: 9")), sleep_action=False)
    result = refreshed(kept, wanted)
    assert result.services["a"].spec.replicas == 9
    assert result.services["a"].template == kept.services["a"].template
    assert wanted.services["a"].template != kept.services["a"].template


def test_ports_are_kept_from_the_revision_before(of_services):
    first = revision_of(of_services(BASE))
    second = revision_of(of_services(f"{BASE}\n  - {{name: c, image: i, port: 80}}"), after=first)
    assert all(second.services[name].internal_port == first.services[name].internal_port for name in ("a", "b"))
    assert second.services["c"].internal_port not in {s.internal_port for s in first.services.values()}
    assert revision_of(of_services("  - {name: j, image: i}")).services["j"].internal_port is None


def test_what_is_left_at_its_default_is_in_no_content(of_services):
    plain = of_services("  - {name: a, image: i, port: 80}", "  rateLimit: {}\n  canary: {}")
    assert revision_of(plain).content == {"a": {"image": "i", "port": 80}}
