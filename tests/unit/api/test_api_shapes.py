"""A value of the wrong shape is answered with the right one, and who writes that is not refused again."""

import copy

import pytest

from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.validation import parse_slice

PORT = {"port": 8080}
SERVICE = [
    ("command", "node server.js", "write [node, server.js]", ["node", "server.js"]),
    ("command", "sh -c 'a b'", 'write [sh, -c, "a b"]', ["sh", "-c", "a b"]),
    ("args", "--level=3", 'write ["--level=3"]', ["--level=3"]),
    ("dependsOn", "other", "write [other]", None),
    ("env", {"A": "1", "B": "2"}, 'write it as a list: - {name: A, value: "1"}', [{"name": "A", "value": "1"}]),
    ("expose", True, "write {pathPrefix: /}", {"pathPrefix": "/"}),
    ("port", "8080", "write 8080 without quotes", 8080),
    ("replicas", "2", "write 2 without quotes", 2),
    ("resources", {"limits": {"memory": 512}}, "write 512Mi, or another unit", {"limits": {"memory": "512Mi"}}),
    ("resources", {"limits": {"cpu": 0.5}}, 'put it in quotes: "0.5"', {"limits": {"cpu": "0.5"}}),
    ("resilience", {"timeout": 800}, "write 800ms, or 800s", {"timeout": "800ms"}),
    ("terminationGracePeriod", 30, "write 30ms, or 30s", "30s"),
]


def document(**fields):
    service = {"name": "web", "image": "web:1", **PORT, **fields}
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "shop"},
        "spec": {"services": [service]},
    }


def advice(data):
    return [problem.fix for problem in problems(copy.deepcopy(data))]


@pytest.mark.parametrize(("field", "wrong", "fix", "right"), SERVICE)
def test_the_right_shape_is_told_and_is_right(field, wrong, fix, right):
    assert advice(document(**{field: wrong})) == [fix]
    if right is not None:
        assert parse_slice(document(**{field: right})).name == "shop"


@pytest.mark.parametrize(
    ("field", "fix"),
    [
        ("enviroment", "write it as env"),
        ("readinessProbe", "write it as probes.readiness"),
        ("livenessProbes", "write it as probes.liveness"),
        ("ports", "write the port that it listens on as port"),
        ("containers", "a service is one container: write its image, port and env here"),
        ("volumeMounts", "write it into volumes, each with its mountPath"),
        ("dependOn", "did you mean dependsOn?"),
    ],
)
def test_a_field_of_a_deployment_is_recognised(field, fix):
    assert advice(document(**{field: []})) == [fix]


def test_services_as_a_mapping():
    data = document()
    data["spec"]["services"] = {"web": {"image": "web:1"}}
    assert advice(data) == ['write it as a list: - {name: web, image: "web:1"}']


@pytest.mark.parametrize("value", [{}, {"a": {}}, {"a": None}, [], [1], 1.5, "", "'", None, True])
@pytest.mark.parametrize("field", ["command", "env", "expose", "port", "resources", "probes", "volumes", "routes"])
def test_whatever_is_there_is_answered(field, value):
    assert all(str(problem).isprintable() for problem in problems(document(**{field: value})))


def problems(data):
    try:
        parse_slice(data)
    except InvalidSliceError as error:
        return error.problems
    return ()
