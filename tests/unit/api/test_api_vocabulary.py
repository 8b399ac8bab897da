"""Columns, conditions, reasons, Events and metrics stand in one table each, and code and tables agree."""

import ast
import functools
from pathlib import Path

import pytest

from resilientslice import metrics
from resilientslice.api import status
from resilientslice.api.base import Model
from resilientslice.api.columns import COLUMNS
from resilientslice.api.conditions import CONDITIONS, WRITTEN
from resilientslice.api.reasons import EventReason, EventType, Reason
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import ConditionType
from resilientslice.canary.state import CanaryReason, Phase

PACKAGE = Path(__file__).parents[3] / "operator" / "resilientslice"
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
REASONS = PACKAGE / "api" / "reasons.py"
FROM_CANARY = {*map(str, CanaryReason), *map(str, Phase), *(f"Canary{phase}" for phase in Phase)}
"""Words that a canary's state has itself, and that become reasons as they are."""
SAYING = {"Finding": 2, "Trouble": 1, "Event": 0, "Meaning": 0}
"""What takes a reason, and at which place."""


@functools.cache
def used(of: str) -> set[str]:
    """Names of members that the code takes from a table."""
    return {
        node.attr
        for path, tree in SOURCES.items()
        if path != REASONS
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == of
    }


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_that_is_declared_is_given(reason):
    given = reason.name in used("Reason") or reason.value in FROM_CANARY
    assert given, f"nothing gives the reason {reason}: use it, or remove it from operator/resilientslice/api/reasons.py"


@pytest.mark.parametrize("reason", EventReason, ids=str)
def test_every_event_that_is_declared_is_told(reason):
    told = reason.name in used("EventReason")
    assert told, f"nothing tells {reason}: use it, or remove it from operator/resilientslice/api/reasons.py"


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_belongs_to_a_condition(reason):
    given = [kind.type for kind in CONDITIONS if reason in kind.reasons]
    assert given, f"no condition gives {reason}: add it to one in operator/resilientslice/api/conditions.py"


def test_an_event_warns_where_something_is_to_be_done():
    assert {reason for reason in EventReason if reason.event is EventType.WARNING} == {
        "StaleWeight",
        "CanaryUnhealthy",
        "CanaryAborted",
        "MemoryLost",
        "StatusNotWritten",
        "ManagedByAnother",
        "AgentKeyNotConfirmed",
        "AgentKeyNotRotated",
    }
    assert {reason.event for reason in Reason} == {EventType.WARNING}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_reason_is_a_bare_word(path):
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYING:
            place = SAYING[node.func.id]
            word = node.args[place] if len(node.args) > place else None
            assert not isinstance(word, ast.Constant), (
                f"{path}:{node.lineno}: declare {word.value!r} in operator/resilientslice/api/reasons.py"
            )


@pytest.mark.parametrize("word", sorted(FROM_CANARY - {"", "CanaryIdle", "CanaryAborted"}))
def test_every_word_of_a_canary_is_declared(word):
    assert word in set(Reason), f"declare {word} in operator/resilientslice/api/reasons.py"


@pytest.mark.parametrize("reason", [*Reason, *EventReason], ids=str)
def test_what_a_reason_means_is_said_in_a_sentence(reason):
    assert reason.isidentifier()
    assert reason[0].isupper()
    for said in filter(None, (reason.meaning, reason.remedy)):
        assert said.endswith(".")


@pytest.mark.parametrize("kind", ConditionType)
def test_every_condition_is_declared_once(kind):
    assert [found.type for found in CONDITIONS].count(kind) == 1, (
        f"declare {kind} in operator/resilientslice/api/conditions.py"
    )
    assert kind in WRITTEN
    assert kind.name in used("ConditionType"), f"nothing finds {kind}: operator/resilientslice/planning/conditions.py"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_prints_a_field_that_is_there(column):
    schema = ResilientSlice.model_json_schema(by_alias=True)
    assert resolves(column.path, schema), f"{column.name}: {column.path} is no field of the status: api/status.py"
    assert column.says.endswith(".")


STATUS = {
    f"{model.__name__}.{field}": field
    for model in vars(status).values()
    if isinstance(model, type) and issubclass(model, Model) and model.__module__ == status.__name__
    for field in model.model_fields
}
NOT_FILLED = {
    **dict.fromkeys(("BurnRate.window", "SloStatus.sli"), 16),
    **dict.fromkeys(("SloStatus.budget_remaining", "SloStatus.burn_rates"), 16),
    **dict.fromkeys(("BackupStatus.last_successful_time", "BackupStatus.last_verified_restore"), 17),
}
"""Fields of the status that nothing is known for yet, and the issue that will fill them."""


@pytest.mark.parametrize("name", STATUS)
def test_every_field_of_the_status_is_filled(name):
    filled = STATUS[name] in names_given()
    if name in NOT_FILLED:
        assert not filled, f"{name} is filled: take it off NOT_FILLED"
        return
    assert filled, f"nothing fills {name}: find it in operator/resilientslice/planning/status.py"


@functools.cache
def names_given() -> set[str]:
    """Names by which code outside of api/ gives a value: arguments, and keys."""
    nodes = [node for path, tree in SOURCES.items() if path.parent.name != "api" for node in ast.walk(tree)]
    keys = {
        key.value for node in nodes if isinstance(node, ast.Dict) for key in node.keys if isinstance(key, ast.Constant)
    }
    return keys | {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}


def resolves(path: str, schema: dict) -> bool:
    if path == ".metadata.creationTimestamp":
        return True
    node = schema
    for part in path.removeprefix(".").replace('[?(@.type=="Ready")]', "[]").split("."):
        name, each = part.removesuffix("[]"), part.endswith("[]")
        node = resolved(node, schema).get("properties", {}).get(name)
        if node is None:
            return False
        node = resolved(node, schema)["items"] if each else node
    return True


def resolved(node: dict, schema: dict) -> dict:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


@functools.cache
def names_in_code() -> set[str]:
    """Every name that is read, but for those of the table of metrics."""
    nodes = [node for path, tree in SOURCES.items() if path != PACKAGE / "metrics.py" for node in ast.walk(tree)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_counted(metric):
    (name,) = (name for name, value in vars(metrics).items() if value is metric)
    taken = name in names_in_code()
    assert taken, f"nothing counts {metric.name}: use it, or remove it from operator/resilientslice/metrics.py"
    assert metric.help.endswith(".")


def test_metrics_are_made_in_one_module():
    makers = {"Counter", "Gauge", "Histogram"}
    for path, tree in SOURCES.items():
        made = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) in makers]
        if "prometheus_client" in path.read_text() and path != PACKAGE / "metrics.py":
            assert made == [], f"{path}:{made}: declare the metric in operator/resilientslice/metrics.py"


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
