"""What a document that doesn't fit the schema is told: everything at once, in the words of the rules."""

import pytest

from resilientslice.api.problems import InvalidSliceError, format_path, missing, nearest, one_of, problem, shown
from resilientslice.api.schema import document_schema, without_null
from resilientslice.api.validation import parse_slice

SERVICE = {
    "a wrong name": ({"prot": 80}, "prot (service web): unknown field; did you mean port?"),
    "a name of another case": ({"dependson": []}, "dependson (service web): unknown field; did you mean dependsOn?"),
    "a name in snake case": ({"env_from": []}, "env_from (service web): unknown field; did you mean envFrom?"),
    "a name of a field inside": (
        {"timeout": "1s"},
        "timeout (service web): unknown field; it belongs into resilience",
    ),
    "a missing field": ({"image": ...}, "image (service web): is required; add it: Container image"),
    "a number as a string": (
        {"port": "80"},
        'port (service web): "80": must be a whole number, not a string; write 80 without quotes',
    ),
    "a fraction": ({"port": 80.5}, "port (service web): 80.5: must be a whole number, not a number"),
    "a boolean as a number": ({"port": True}, "port (service web): true: must be a whole number, not a boolean"),
    "a number as an image": (
        {"image": 1},
        'image (service web): 1: must be a string, not a whole number; put it in quotes: "1"',
    ),
    "a mapping as an image": ({"image": {}}, "image (service web): {}: must be a string, not a mapping"),
    "a string as a list": (
        {"stores": "redis"},
        'stores (service web): "redis": must be a list, not a string; write [redis]',
    ),
    "a mapping as a list": (
        {"env": {"A": "b"}},
        'env (service web): {"A": "b"}: must be a list, not a mapping; write it as a list: - {name: A, value: b}',
    ),
    "a list as a mapping": ({"probes": []}, "probes (service web): []: must be a mapping, not a list"),
    "a list as limits": (
        {"resources": {"limits": []}},
        "resources.limits (service web): []: must be a mapping, not a list",
    ),
    "a string as a boolean": (
        {"routes": [{"pathPrefix": "/a", "websocket": "true"}]},
        'routes[0].websocket (service web): "true": must be true or false, not a string; write true without quotes',
    ),
    "an unknown choice": (
        {"protocol": "http"},
        'protocol (service web): "http": must be HTTP or GRPC; did you mean HTTP?',
    ),
    "a choice of another kind": ({"protocol": 5}, "protocol (service web): 5: must be HTTP or GRPC"),
    "an empty choice is not offered": (
        {"volumes": [{"name": "a", "mountPath": "/a", "emptyDir": {"medium": "Disk"}}]},
        'volumes[0].emptyDir.medium (service web): "Disk": must be Memory',
    ),
    "too large": ({"replicas": 1001}, "replicas (service web): 1001: must be less than or equal to 1000"),
    "too small": ({"replicas": -1}, "replicas (service web): -1: must be greater than or equal to 0"),
    "too long": (
        {"name": "a" * 25},
        f'name (service {"a" * 25}): "{"a" * 25}": must be at most 24 characters long',
    ),
    "too many": (
        {"imagePullSecrets": [{"name": f"a{i}"} for i in range(9)]},
        f"imagePullSecrets (service web): {shown([{'name': f'a{i}'} for i in range(9)])}: must have at most 8 entries",
    ),
    "nothing": ({"port": None}, "port (service web): has no value; remove the line, or give it a value"),
    "nothing where something is required": (
        {"image": None},
        "image (service web): has no value; remove the line, or give it a value",
    ),
    "nothing in a list": (
        {"args": ["a", None]},
        "args[1] (service web): has no value; remove the line, or give it a value",
    ),
    "a wrong format": (
        {"resilience": {"timeout": "1 s"}},
        'resilience.timeout (service web): "1 s": must be a duration such as 250ms, 10s or 1h30m',
    ),
    "a wrong key of a map": (
        {"scheduling": {"nodeSelector": {"-": "a"}}},
        'scheduling.nodeSelector["-"] (service web): "-": must be a label key such as kubernetes.io/arch',
    ),
    "a wrong value of a map": (
        {"resources": {"requests": {"memory": "1GB"}}},
        'resources.requests.memory (service web): "1GB": must be a quantity such as 100m, 0.5 or 256Mi',
    ),
}


@pytest.mark.parametrize(("service", "expected"), SERVICE.values(), ids=SERVICE.keys())
def test_a_service_that_does_not_fit(document, problems, service, expected) -> None:
    assert [str(problem) for problem in problems(document(service))] == [f"spec.services[0].{expected}"]


def test_an_unknown_field_without_likeness_gets_the_known_ones(document, problems) -> None:
    (found,) = problems(document(slo={"zzz": 1}))
    assert str(found) == "spec.slo.zzz: unknown field; known here: latency, objective, window"


def test_no_services_at_all(document, problems) -> None:
    data = document()
    data["spec"]["services"] = []
    assert [str(p) for p in problems(data)] == ["spec.services: []: must have at least 1 entry"]


def test_a_name_of_64_characters(document, problems) -> None:
    data = document()
    data["metadata"]["name"] = "a" * 64
    (found,) = problems(data)
    assert found.path == ("metadata", "name")
    assert found.rule == "a slice's name must be a DNS label of at most 30 characters"
    data["metadata"]["name"] = "a" * 30
    assert problems(data) == ()


def test_nulls_inside_an_affinity_are_kubernetes_business(document, problems) -> None:
    data = document({"scheduling": {"affinity": {"nodeAffinity": None}}})
    assert problems(data) == ()


def test_what_kubernetes_adds_to_metadata_is_passed_by(document, problems) -> None:
    data = document()
    data["metadata"] |= {"creationTimestamp": None, "managedFields": [{"manager": "a"}], "labels": {"a": "b"}}
    assert problems(data) == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "the document: must be a mapping, not a list; begin with apiVersion: resilientslice.dev/v1alpha1"),
        (
            "x",
            "the document: must be a mapping, not a single value; begin with apiVersion: resilientslice.dev/v1alpha1",
        ),
        (
            {"apiVersion": "resilientslice.dev/v1alpha1"},
            "kind: is required; add kind: ResilientSlice",
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment"},
            'apiVersion: "apps/v1": must be resilientslice.dev/v1alpha1\nkind: "Deployment": must be ResilientSlice',
        ),
        (
            {"apiVersion": "resilientslice.dev/v1alpha1", "kind": "ResilientSlice", "spec": "x"},
            "metadata: is required; add it: Object metadata, as far as it is used\n"
            'spec: "x": must be a mapping, not a string',
        ),
    ],
)
def test_a_stranger_is_only_told_so(data, expected) -> None:
    with pytest.raises(InvalidSliceError) as caught:
        parse_slice(data)
    assert str(caught.value) == expected


def test_rules_are_checked_on_what_fits(document, problems) -> None:
    """A typing error in one service hides neither the rules of the others nor those of the sections."""
    data = document(
        {"imgae": "x", "dependsOn": ["nothing"]},
        canary={"steps": [{"weight": 2}, {"weight": 1}]},
        front={"kind": "Ingress"},
        rateLimit={"enforcement": "Middleware", "zzz": 1},
        resilience={"timeout": "1ms", "retries": {"perTryTimeout": "2ms"}},
        stores={"redis": {"manged": {}}},
        backup={"schedule": "* * * * *"},
        slo={},
        proxy={"resources": {"limits": {"cpu": "0"}}},
    )
    data["spec"]["services"] += [
        {"name": "b", "image": "b:1", "dependsOn": ["web", "c"], "stores": ["redis", "postgres"]},
        {"name": "c", "image": "c:1"},
        {"name": "c", "image": 5},
        "not a service",
        {"name": 5},
    ]
    assert [format_path(found.path) for found in problems(data)] == [
        "spec.services[0].imgae",
        "spec.services[3].image",
        "spec.services[4]",
        "spec.services[5].name",
        "spec.services[5].image",
        "spec.rateLimit.zzz",
        "spec.stores.redis.manged",
        "spec.services[3].name",
        "spec.services[1].stores[1]",
        "spec.proxy.resources.limits.cpu",
        "spec.resilience.retries.perTryTimeout",
        "spec.canary.steps[1].weight",
        "spec.front.hosts",
    ]


def test_a_service_of_unknown_port_may_be_called(document, problems) -> None:
    data = document({"dependsOn": ["b"]})
    data["spec"]["services"].append({"name": "b", "image": "b:1", "prot": 80})
    assert [found.path for found in problems(data)] == [("spec", "services", 1, "prot")]


@pytest.mark.parametrize("section", ["front", "proxy", "resilience", "stores", "slo", "canary", "rateLimit", "backup"])
def test_an_unreadable_section_is_one_problem(document, problems, section: str) -> None:
    data = document({"stores": []}, **{section: "x"})
    assert [str(found) for found in problems(data)] == [f'spec.{section}: "x": must be a mapping, not a string']


@pytest.mark.parametrize("services", ["x", {}, None, 5])
def test_services_that_are_no_list(document, problems, services) -> None:
    data = document()
    data["spec"]["services"] = services
    assert [found.path for found in problems(data)] == [("spec", "services")]


@pytest.mark.parametrize("metadata", ["x", {"name": 5}, {}])
def test_metadata_that_is_none(document, problems, metadata) -> None:
    data = {**document(canary={"weight": 0, "promote": "a-1"}), "metadata": metadata}
    (found,) = problems(data)
    assert found.path[0] == "metadata"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "the document"),
        (("spec",), "spec"),
        (("spec", "services", 1, "env", 0), "spec.services[1].env[0]"),
        (("labels", "example.org/team"), 'labels["example.org/team"]'),
        (("a", "x-y"), "a.x-y"),
        (("9",), '["9"]'),
    ],
)
def test_paths_are_written_as_people_write_them(path, text) -> None:
    assert format_path(path) == text


def test_values_are_shortened() -> None:
    assert shown("a" * 58) == f'"{"a" * 58}"'
    assert shown("a" * 59) == f'"{"a" * 58}…'
    assert shown({"ä": [1]}) == '{"ä": [1]}'


def test_problems_as_text() -> None:
    assert str(problem(("a",), 1, "must be 2", "make it 2")) == "a: 1: must be 2; make it 2"
    assert str(missing(("a",), "is required")) == "a: is required"


def test_nearest_and_one_of() -> None:
    assert nearest("replica", ["replicas", "port"]) == "replicas"
    assert nearest("MIN_REPLICAS", ["minReplicas"]) == "minReplicas"
    assert nearest("zzz", ["replicas"]) is None
    assert [one_of(["a"]), one_of(["a", "b"]), one_of(["a", "b", "c"])] == ["a", "a or b", "a, b or c"]


def test_only_optional_values_lose_their_null() -> None:
    number = {"type": "integer"}
    assert without_null({"anyOf": [number, {"type": "null"}], "default": None, "title": "x"}) == {
        **number,
        "title": "x",
    }
    assert without_null({"anyOf": [number, {"type": "null"}], "default": 1}) == {**number, "default": 1}
    two = {"anyOf": [number, {"type": "string"}]}
    assert without_null(two) == two
    assert without_null(number) == number


def test_every_field_is_described() -> None:
    def undescribed(node, path):
        node = without_null(node)
        for name, child in node.get("properties", {}).items():
            if not child.get("description"):
                yield (*path, name)
            yield from undescribed(child, (*path, name))
        if isinstance(node.get("items"), dict):
            yield from undescribed(node["items"], path)

    schema = document_schema()["properties"]
    assert list(undescribed({"properties": {"spec": schema["spec"], "status": schema["status"]}}, ())) == []
