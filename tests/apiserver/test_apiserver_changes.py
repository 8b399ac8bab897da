"""What may change on a slice that exists: stores stay what they are, storage only grows, and status is not spec."""

import json
from typing import Any

import pytest

SLICE = """
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: shop}
spec:
  services: [{name: api, image: example.org/api:1, port: 8080}]
  canary: {steps: [{weight: 50}]}
  stores:
    postgres: {managed: {storage: 2Gi}}
    redis: {managed: {storage: 2Gi}}
  backup: {destination: {volume: {storage: 5Gi}}}
"""


@pytest.fixture
def shop(cluster, namespace) -> str:
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", "-", stdin=SLICE)
    return namespace


def patch(cluster, namespace: str, change: dict[str, Any], *arguments: str):
    return cluster.run(
        "patch", "rslice", "shop", "-n", namespace, "--type=merge", f"--patch={json.dumps(change)}", *arguments
    )


def stores(**stores: Any) -> dict[str, Any]:
    return {"spec": {"stores": stores}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (stores(postgres={"managed": None, "external": {"secretName": "db"}}), "variant"),
        (stores(postgres={"managed": None, "cnpg": {}}), "variant"),
        (stores(redis={"managed": None, "external": {"secretName": "cache"}}), "variant"),
        (stores(postgres={"managed": {"storage": "1Gi"}}), "grow"),
        (stores(postgres={"managed": {"storage": "2G"}}), "grow"),
        (stores(redis={"managed": {"storage": "2047Mi"}}), "grow"),
        (stores(postgres={"managed": {"storage": None}}), "grow"),
    ],
)
def test_a_store_keeps_its_variant_and_its_size(cluster, shop, change: dict[str, Any], reason: str) -> None:
    refused = patch(cluster, shop, change)
    assert refused.returncode != 0
    assert reason in refused.stderr


@pytest.mark.parametrize("storage", ["2Gi", "2048Mi", "3Gi", "1Ti"])
def test_storage_may_stay_and_grow_in_any_unit(cluster, shop, storage: str) -> None:
    assert patch(cluster, shop, stores(postgres={"managed": {"storage": storage}})).returncode == 0
    assert patch(cluster, shop, stores(redis={"managed": {"storage": storage}})).returncode == 0


def has(cluster, namespace: str, **sizes: str) -> None:
    """What an operator says that the volumes have."""
    told = [{"name": name, "storage": size} for name, size in sizes.items()]
    assert patch(cluster, namespace, {"status": {"stores": told}}, "--subresource=status").returncode == 0


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_a_size_that_never_came_to_be_can_be_taken_back(cluster, shop, store: str) -> None:
    assert patch(cluster, shop, stores(**{store: {"managed": {"storage": "9Gi"}}})).returncode == 0
    has(cluster, shop, **{store: "3Gi"})
    refused = patch(cluster, shop, stores(**{store: {"managed": {"storage": "3071Mi"}}}))
    assert "grow" in refused.stderr
    assert f"spec.stores.{store}.managed.storage" in refused.stderr
    assert patch(cluster, shop, stores(**{store: {"managed": {"storage": "5Gi"}}})).returncode == 0
    assert patch(cluster, shop, stores(**{store: {"managed": {"storage": "3Gi"}}})).returncode == 0
    has(cluster, shop, **{store: ""})
    assert patch(cluster, shop, stores(**{store: {"managed": {"storage": "1Gi"}}})).returncode == 0, "no volume yet"


def test_what_one_volume_has_says_nothing_of_another(cluster, shop) -> None:
    has(cluster, shop, postgres="1Gi")
    assert patch(cluster, shop, stores(redis={"managed": {"storage": "1Gi"}})).returncode != 0


def test_other_fields_of_a_store_may_change(cluster, shop) -> None:
    assert patch(cluster, shop, stores(postgres={"managed": {"image": "postgres:18.1"}})).returncode == 0


def test_the_major_version_is_written_down_at_creation_and_stays(cluster, shop) -> None:
    assert cluster.get("rslice", "shop", "-n", shop)["spec"]["stores"]["postgres"]["managed"]["majorVersion"] == 18
    for change in ({"majorVersion": 17}, {"image": "postgres:17.2"}, {"majorVersion": 17, "image": "postgres:17.2"}):
        refused = patch(cluster, shop, stores(postgres={"managed": change}))
        assert refused.returncode != 0
        assert "major version" in refused.stderr


def test_both_variants_at_once_are_refused(cluster, shop) -> None:
    refused = patch(cluster, shop, stores(postgres={"external": {"secretName": "db"}}))
    assert refused.returncode != 0
    assert "spec.stores.postgres" in refused.stderr


def test_a_status_patch_leaves_the_spec_and_its_generation_alone(cluster, shop) -> None:
    before = cluster.get("rslice", "shop", "-n", shop)
    both = {"spec": {"canary": {"weight": 7}}, "status": {"phase": "Ready"}}
    assert patch(cluster, shop, both, "--subresource=status").returncode == 0
    after = cluster.get("rslice", "shop", "-n", shop)
    assert after["status"]["phase"] == "Ready"
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_spec_patch_leaves_the_status_alone_and_counts_a_generation(cluster, shop) -> None:
    assert patch(cluster, shop, {"status": {"phase": "Ready"}}, "--subresource=status").returncode == 0
    before = cluster.get("rslice", "shop", "-n", shop)
    both = {"spec": {"canary": {"weight": 7}}, "status": {"phase": "Stalled"}}
    assert patch(cluster, shop, both).returncode == 0
    after = cluster.get("rslice", "shop", "-n", shop)
    assert after["status"] == before["status"]
    assert after["spec"]["canary"]["weight"] == 7
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_a_status_of_an_unknown_phase_is_refused(cluster, shop) -> None:
    refused = patch(cluster, shop, {"status": {"phase": "Splendid"}}, "--subresource=status")
    assert refused.returncode != 0
    assert "Splendid" in refused.stderr


def test_an_unknown_field_is_refused_under_strict_validation(cluster, namespace) -> None:
    wrong = SLICE.replace("storage: 2Gi", "storrage: 2Gi", 1)
    refused = cluster.run("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", "-", stdin=wrong)
    assert refused.returncode != 0
    assert "storrage" in refused.stderr
