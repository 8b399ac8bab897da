"""The CRD: structural, bounded, with the models' own defaults, and up to date."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilientslice.api.columns import COLUMNS
from resilientslice.api.crd import crd
from resilientslice.api.crd_rules import LIST_RULES, OBJECT_RULES
from resilientslice.api.crd_schema import MAP_KEYS, SETS, structural_schema, value_schema
from resilientslice.api.reference import PYTHON_ONLY, reference
from resilientslice.api.schema import document_schema
from resilientslice.api.validation import parse_slice
from resilientslice.commands.crd import PAGES

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "samples").glob("*.yaml"))
GENERATED = {
    "yaml": "crds/resilientslice.dev_resilientslices.yaml",
    "markdown": "docs/reference/resilientslice.md",
    "conditions": "docs/reference/conditions.md",
    "metrics": "docs/reference/metrics.md",
}
"""Where `make generate` writes each page of `rslice crd`."""
Node = dict[str, Any]
SPEC = structural_schema()["properties"]["spec"]
STATUS = structural_schema()["properties"]["status"]


def nodes(node: Node, path: str = "spec") -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            yield from nodes(node[inner], f"{path}[]")


ALL = [*nodes(SPEC), *nodes(STATUS, "status")]


def at(path: str) -> Node:
    return dict(ALL)[path]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_committed_is_what_is_generated(page: str) -> None:
    path = GENERATED[page]
    made = PAGES[page]().rstrip("\n")
    stale = (
        f"{path} is stale: run `make generate`, which makes it from the tables and models in operator/resilientslice"
    )
    assert (ROOT / path).read_text().rstrip("\n") == made, stale


def test_names_and_status() -> None:
    spec = crd()["spec"]
    (version,) = spec["versions"]
    assert crd()["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    assert spec["names"]["shortNames"] == ["rslice"]
    assert spec["scope"] == "Namespaced"
    assert version["subresources"] == {"status": {}}
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)


def test_columns() -> None:
    names = [column.name for column in COLUMNS]
    assert names == ["Ready", "Phase", "Canary", "Weight", "SLO", "Budget", "Ejected", "Acked", "Age", "Message"]
    columns = crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column.get("priority", 0) for column in columns] == [0] * 9 + [1]
    paths = {path.removeprefix("status") for path, _ in nodes(STATUS, "status")}
    for column in columns:
        path = column["jsonPath"]
        if path.startswith(".status.conditions"):
            continue
        assert path == ".metadata.creationTimestamp" or path.removeprefix(".status") in paths
        if path.startswith(".status"):
            assert at(path[1:])["type"] == column["type"]


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_structural_and_bounded(path: str, node: Node) -> None:
    assert not node.keys() & {"$ref", "$defs", "title", "anyOf", "const", "patternProperties", "nullable"}
    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    if node["type"] == "object":
        assert node.get("additionalProperties") is not False
        assert "properties" in node or "maxProperties" in node or node["x-kubernetes-preserve-unknown-fields"]
    if node["type"] == "array":
        assert node["maxItems"] <= 256
        assert node["x-kubernetes-list-type"] in {"map", "set", "atomic"}
    if node["type"] == "string":
        assert "maxLength" in node or "enum" in node
    if node["type"] == "integer":
        assert "minimum" in node


def test_only_the_affinity_is_not_looked_into() -> None:
    opaque = [path for path, node in ALL if node.get("x-kubernetes-preserve-unknown-fields")]
    assert opaque == ["spec.services[].scheduling.affinity"]


def test_optional_fields_are_not_nullable_and_have_no_default_of_null() -> None:
    assert at("spec.services[].port") == {
        "type": "integer",
        "description": at("spec.services[].port")["description"],
        "minimum": 1,
        "maximum": 65535,
    }


def test_lists() -> None:
    by_key = {
        path: node["x-kubernetes-list-map-keys"] for path, node in ALL if node.get("x-kubernetes-list-type") == "map"
    }
    assert by_key == {
        "spec.services": ["name"],
        "spec.services[].env": ["name"],
        "spec.services[].volumes": ["name"],
        "spec.services[].imagePullSecrets": ["name"],
        "spec.services[].routes": ["pathPrefix"],
        "spec.rateLimit.tenants": ["name"],
        "status.conditions": ["type"],
        "status.services": ["name"],
        "status.stores": ["name"],
        "status.ejections": ["service", "host"],
        "status.slo.burnRates": ["window"],
    }
    sets = {path for path, node in ALL if node.get("x-kubernetes-list-type") == "set"}
    assert sets == {
        "spec.services[].dependsOn",
        "spec.services[].stores",
        "spec.services[].egress[].ports",
        "spec.front.hosts",
        "spec.front.trustedProxies",
    }
    assert len(by_key) == len(MAP_KEYS)
    assert len(sets) == len(SETS)
    for path, keys in by_key.items():
        assert set(keys) <= set(at(f"{path}[]")["required"])


def test_defaults_that_say_something_are_set_also_inside_absent_objects() -> None:
    defaults = SPEC["properties"]["resilience"]["default"]
    assert defaults["timeout"] == "15s"
    assert defaults["retries"] == {"attempts": 2, "budgetPercent": 25}
    assert at("spec.resilience.retries")["default"] == defaults["retries"]
    assert at("spec.suspend")["default"] is False
    assert at("spec.front")["default"] == {"type": "ClusterIP", "kind": "Service", "underscoreHeaders": "Reject"}


@pytest.mark.parametrize(
    "path",
    [
        "spec.services[].args",
        "spec.services[].resources",
        "spec.restartedAt",
        "spec.canary",
        "spec.stores",
        "spec.services[].probes",
        "spec.services[].name",
        "spec.rateLimit",
    ],
)
def test_what_says_nothing_is_not_set(path: str) -> None:
    assert "default" not in at(path)


def test_the_status_has_one_default_which_says_that_nothing_was_seen() -> None:
    assert [node.pop("default") for node in [dict(STATUS)]] == [
        {
            "observedGeneration": 0,
            "phase": "Pending",
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": "Pending",
                    "message": "Waiting for the operator.",
                    "observedGeneration": 0,
                    "lastTransitionTime": "1970-01-01T00:00:00Z",
                }
                for kind, status in (("Ready", "Unknown"), ("Reconciling", "True"))
            ],
        }
    ]
    assert [path for path, node in nodes({**STATUS, "default": None}) if node.get("default")] == []
    assert "status" not in structural_schema()["required"]


def defaulted(node: Node, value: Any) -> Any:
    """What the API server makes of a value: defaults from the outside in."""
    if isinstance(value, dict) and "properties" in node:
        given = {**{k: c["default"] for k, c in node["properties"].items() if "default" in c}, **value}
        return {name: defaulted(node["properties"][name], child) for name, child in given.items()}
    if isinstance(value, list):
        return [defaulted(node["items"], item) for item in value]
    return value


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_api_servers_defaults_are_the_models_own(path: Path) -> None:
    """The same resource, whether Python or the API server filled in what is absent. So revisions are the same too."""
    written = yaml.safe_load(path.read_text())
    stored = {**written, "spec": defaulted(SPEC, written["spec"])}
    assert parse_slice(stored) == parse_slice(written)
    assert len(json.dumps(stored)) > len(json.dumps(written))


def test_rules_are_attached_where_their_type_is() -> None:
    attached = {
        rule["message"]
        for _, node in [("", structural_schema()), *ALL]
        for rule in node.get("x-kubernetes-validations", ())
    }
    assert attached == {rule.message for rules in (*OBJECT_RULES.values(), *LIST_RULES.values()) for rule in rules}
    assert any("oldSelf" in rule["rule"] for rule in at("spec.stores.redis.managed")["x-kubernetes-validations"])


def test_the_place_of_a_rule_is_a_field() -> None:
    for path, node in ALL:
        for rule in node.get("x-kubernetes-validations", ()):
            if "fieldPath" in rule:
                assert f"{path}{rule['fieldPath']}" in dict(ALL)
            assert set(rule) <= {"rule", "message", "fieldPath"}
            assert len(rule["message"]) <= 2048


def test_the_shared_schema_is_not_changed_by_the_generator() -> None:
    before = json.dumps(document_schema(), sort_keys=True)
    structural_schema()
    assert json.dumps(document_schema(), sort_keys=True) == before


def test_the_reference_has_every_field_and_every_rule() -> None:
    page = reference()
    for path, node in ALL:
        for field, child in node.get("properties", {}).items():
            assert f"| `{field}` |" in page, path
            assert " ".join(child["description"].split()).replace("|", "\\|") in page
    for rules in (*OBJECT_RULES.values(), *LIST_RULES.values()):
        assert all(f"- {rule.message}\n" in page for rule in rules)
    assert all(f"- {text}\n" in page for text in PYTHON_ONLY)


@pytest.mark.parametrize(
    "row",
    [
        "| `services` | list (1 to 64) of [Service](#service) | **required** |",
        "| `suspend` | boolean | `false` |",
        "| `port` | integer (1 to 65535) | - |",
        "| `protocol` | `HTTP`, `GRPC` | `HTTP` |",
        "| `resilience` | [Resilience](#resilience) | its fields' |",
        "| `timeout` | a duration such as 250ms, 10s or 1h30m (at most 24 characters) | `15s` |",
        "| `requests` | map (at most 8) | - |",
        "| `args` | list (at most 64) of string (at most 4096 characters) | - |",
        "| `canary` | [Canary](#canary) | - |",
        "| `affinity` | map | - |",
    ],
)
def test_rows_of_the_reference(row: str) -> None:
    assert row in reference()


def test_every_link_of_the_reference_leads_somewhere() -> None:
    page = reference()
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    headings = {line[3:].lower() for line in page.splitlines() if line.startswith("## ")}
    assert links <= headings


def test_exclusive_bounds_are_a_bound_and_a_boolean() -> None:
    given = {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9, "title": "X"}
    assert value_schema(given) == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 9,
        "exclusiveMaximum": True,
    }
