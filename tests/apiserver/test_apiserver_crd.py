"""The CRD itself, as a real API server sees it: structural, documented, with its columns and names."""

import json
from collections.abc import Iterator

import pytest

CRD = "crd/resilientslices.resilientslice.dev"
COLUMNS = ["NAME", "READY", "PHASE", "CANARY", "WEIGHT", "SLO", "BUDGET", "EJECTED", "ACKED", "AGE"]
SLICE = """
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: shop}
spec:
  services: [{name: api, image: example.org/api:1, port: 8080, expose: {pathPrefix: /}}]
  canary: {steps: [{weight: 50}]}
"""
STATUS = {
    "observedGeneration": 1,
    "phase": "Progressing",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "2 of 2 services serve",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "revision": {"stable": "shop-1111", "canary": "shop-2222"},
    "canary": {"phase": "Progressing", "weight": 25, "step": 1},
    "config": {"digest": "d", "acked": 2, "total": 2},
    "slo": {"objective": "99.5", "sli": "99.93", "budgetRemaining": "86", "state": "Met"},
    "ejected": 1,
    "ejections": [{"service": "api", "host": "10.0.0.7:8080", "envoys": "1/2"}],
}


@pytest.fixture
def shop(cluster, namespace) -> str:
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-n", namespace, "-f", "-", stdin=SLICE)
    return namespace


def patch_status(cluster, namespace: str, status: dict) -> None:
    patch = json.dumps({"status": status})
    cluster.kubectl(
        "patch", "rslice", "shop", "-n", namespace, "--subresource=status", "--type=merge", f"--patch={patch}"
    )


def row(output: str) -> dict[str, str]:
    """The only row of a table, by column, cut where the headers begin: a value may be empty or have spaces."""
    header, line = output.splitlines()
    names = header.split()
    starts = [header.index(name) for name in names]
    return {name: line[start:end].strip() for name, start, end in zip(names, starts, [*starts[1:], None], strict=True)}


def test_the_schema_is_structural_and_its_names_are_accepted(cluster) -> None:
    conditions = {c["type"]: c["status"] for c in cluster.get(CRD)["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def open_fields(schema: dict, path: str = "") -> Iterator[str]:
    """Paths of the fields that take anything."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        yield path.removeprefix(".")
    for name, field in schema.get("properties", {}).items():
        yield from open_fields(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from open_fields(schema[inner], path)


def test_only_what_is_passed_on_is_left_open(cluster) -> None:
    (version,) = cluster.get(CRD)["spec"]["versions"]
    assert list(open_fields(version["schema"]["openAPIV3Schema"])) == ["spec.services.scheduling.affinity"]


def test_the_status_is_a_subresource(cluster) -> None:
    (version,) = cluster.get(CRD)["spec"]["versions"]
    assert version["subresources"] == {"status": {}}


def test_the_short_name_and_every_category_list_it(cluster, shop) -> None:
    names = cluster.get(CRD)["spec"]["names"]
    assert names["shortNames"] == ["rslice"]
    assert names["categories"]
    for name in ["rslice", *names["categories"]]:
        assert "shop" in cluster.kubectl("get", name, "-n", shop), name


def test_get_shows_the_columns_before_anything_was_observed(cluster, shop) -> None:
    header, line = cluster.kubectl("get", "rslice", "-n", shop).splitlines()
    assert header.split() == COLUMNS
    assert line.startswith("shop")


def test_get_shows_what_was_observed(cluster, shop) -> None:
    patch_status(cluster, shop, STATUS)
    shown = row(cluster.kubectl("get", "rslice", "-n", shop))
    age = shown.pop("AGE")
    assert age.endswith("s")
    assert shown == {
        "NAME": "shop",
        "READY": "True",
        "PHASE": "Progressing",
        "CANARY": "shop-2222",
        "WEIGHT": "25",
        "SLO": "99.93",
        "BUDGET": "86",
        "EJECTED": "1",
        "ACKED": "2",
    }


def test_wide_adds_the_message(cluster, shop) -> None:
    patch_status(cluster, shop, STATUS)
    shown = row(cluster.kubectl("get", "rslice", "-n", shop, "--output=wide"))
    assert list(shown) == [*COLUMNS, "MESSAGE"]
    assert shown["MESSAGE"] == "2 of 2 services serve"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("spec.canary.weight", "Pinned weight, in percent"),
        ("spec.services.resilience.retries.attempts", "Maximum number of retries"),
        ("status.canary.pin", "Pinned weight and its revision"),
    ],
)
def test_explain_shows_what_a_field_means(cluster, field: str, words: str) -> None:
    assert words in " ".join(cluster.kubectl("explain", f"rslice.{field}").split())
