"""Rules of a service by itself and of services among each other: at the bound, and just beyond it."""

import pytest

from resilientslice.api.rules.containers import exactly_one_of
from resilientslice.api.rules.services import RESERVED_NAMES, RESERVED_WORDS, reserved_word

GOOD = {
    "replicas alone": {"replicas": 0},
    "as few as many": {"autoscaling": {"minReplicas": 3, "maxReplicas": 3}},
    "a toleration of everything": {"scheduling": {"tolerations": [{"operator": "Exists"}]}},
    "a toleration with a value": {"scheduling": {"tolerations": [{"key": "a", "value": "b"}]}},
    "a toleration that ends": {
        "scheduling": {"tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}]}
    },
    "an emptyDir at /tmp": {"volumes": [{"name": "tmp", "mountPath": "/tmp", "emptyDir": {"medium": "Memory"}}]},
    "an empty value": {"env": [{"name": "EMPTY", "value": ""}]},
    "a request of the limit": {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1000m"}}},
    "a request without limit": {"resources": {"requests": {"cpu": "2"}, "limits": {"memory": "64Mi"}}},
    "a request of nothing": {"resources": {"requests": {"cpu": "0", "memory": "0"}}},
    "the least memory": {"resources": {"limits": {"memory": "4Mi"}}},
    "the most cpu": {"resources": {"requests": {"cpu": "512"}}},
    "other resources": {"resources": {"limits": {"example.org/gpu": "1", "hugepages-2Mi": "4Mi"}}},
    "a probe of the service's port": {"probes": {"readiness": {"httpGet": {}, "successThreshold": 3}}},
    "a probe of a command": {"port": ..., "probes": {"liveness": {"exec": {"command": ["true"]}}}},
    "a probe of its own port": {"port": ..., "probes": {"liveness": {"tcpSocket": {"port": 9}}}},
    "routes without a prefix in common": {"routes": [{"pathPrefix": "/a"}, {"pathPrefix": "/a/b"}]},
    "a websocket over HTTP": {"routes": [{"pathPrefix": "/a", "websocket": True}]},
    "a GRPC service with routes": {"protocol": "GRPC", "routes": [{"pathPrefix": "/a.B/C"}]},
    "per-try time-out of the time-out": {"resilience": {"timeout": "250ms"}},
    "no retries, so no per-try time-out": {"resilience": {"timeout": "1ms", "retries": {"attempts": 0}}},
    "a route's time-out below the service's try": {"routes": [{"pathPrefix": "/a", "timeout": "1ms"}]},
    "a route without time-out": {"routes": [{"pathPrefix": "/a", "timeout": "0s", "retries": {"perTryTimeout": "1h"}}]},
    "a route without retries": {
        "routes": [{"pathPrefix": "/a", "timeout": "1s", "retries": {"perTryTimeout": "1h", "attempts": 0}}]
    },
    "a route's try of its time-out": {
        "routes": [{"pathPrefix": "/a", "timeout": "1s", "retries": {"perTryTimeout": "1000ms"}}]
    },
    "a route's try of the service's time-out": {
        "routes": [{"pathPrefix": "/a", "retries": {"perTryTimeout": "2s"}}],
        "resilience": {"timeout": "2s"},
    },
    "ranges of both kinds": {"egress": [{"cidr": "0.0.0.0/0"}, {"cidr": "2001:db8::/32", "ports": [443]}]},
    "a name with a reserved word inside": {"name": "front-desk"},
}


@pytest.mark.parametrize("service", GOOD.values(), ids=GOOD.keys())
def test_allowed(document, problems, service) -> None:
    assert problems(document(service)) == ()


BAD = {
    "below the least memory": (
        {"resources": {"requests": {"memory": "4095Ki"}}},
        'resources.requests.memory (service web): "4095Ki": memory must be at least 4Mi; raise it',
    ),
    "memory in thousandths": (
        {"resources": {"limits": {"memory": "512m"}}},
        'resources.limits.memory (service web): "512m": memory must be at least 4Mi; did you mean 512Mi?',
    ),
    "memory without unit": (
        {"resources": {"limits": {"memory": "512"}}},
        'resources.limits.memory (service web): "512": memory must be at least 4Mi; add its unit, such as Mi',
    ),
    "above the most cpu": (
        {"resources": {"limits": {"cpu": "512.001"}}},
        'resources.limits.cpu (service web): "512.001": cpu must be at most 512 cores; lower it',
    ),
    "cpu without unit": (
        {"resources": {"limits": {"cpu": "513"}}},
        'resources.limits.cpu (service web): "513": cpu must be at most 512 cores; did you mean 513m?',
    ),
    "a request just above": (
        {"resources": {"requests": {"memory": "1025Mi"}, "limits": {"memory": "1Gi"}}},
        'resources.requests.memory (service web): "1025Mi": a request must not be above its limit; '
        "the limit is 1Gi: raise it, or lower the request",
    ),
    "a limit of zero": (
        {"resources": {"limits": {"memory": "0"}}},
        'resources.limits.memory (service web): "0": a limit must be above zero; remove it, or raise it',
    ),
    "a startup probe of two": (
        {"probes": {"startup": {"tcpSocket": {}, "successThreshold": 2}}},
        "probes.startup.successThreshold (service web): 2: successThreshold must be 1 for liveness and startup; "
        "remove it: Kubernetes takes nothing else",
    ),
    "a probe of nothing": (
        {"probes": {"readiness": {}}},
        "probes.readiness (service web): exactly one of httpGet, tcpSocket, grpc, exec must be set; "
        "add httpGet, tcpSocket, grpc or exec",
    ),
    "a grpc probe without any port": (
        {"port": ..., "probes": {"startup": {"grpc": {}}}},
        "probes.startup (service web): a probe of a service without a port must name its port, or run a command; "
        "add the port to the probe",
    ),
    "a volume of two sources": (
        {"volumes": [{"name": "a", "mountPath": "/a", "secret": {"name": "s"}, "configMap": {"name": "c"}}]},
        'volumes[0] (service web): ["secret", "configMap"]: exactly one of secret, configMap, emptyDir, '
        "persistentVolumeClaim must be set; remove secret or configMap",
    ),
    "a service's try above its time-out": (
        {"resilience": {"retries": {"perTryTimeout": "16s"}}},
        'resilience.retries.perTryTimeout (service web): "16s": a service\'s perTryTimeout must not be above its '
        "timeout; what it does not set is spec.resilience's; the timeout is 15s, perTryTimeout 16s: set both for "
        "this service",
    ),
    "a route's try above the service's time-out": (
        {"routes": [{"pathPrefix": "/a", "retries": {"perTryTimeout": "16s"}}]},
        'routes[0].retries.perTryTimeout (service web): "16s": a route\'s perTryTimeout must not be above its '
        "timeout, or its service's; the timeout is 15s: raise it, or lower perTryTimeout",
    ),
    "a range that almost is one": (
        {"egress": [{"cidr": "203.0.113.9/24"}]},
        'egress[0].cidr (service web): "203.0.113.9/24": must be a range of addresses: 203.0.113.9/24 has host bits '
        "set; did you mean 203.0.113.0/24?",
    ),
    "a range that is none": (
        {"egress": [{"cidr": "1::2::3/64"}]},
        "egress[0].cidr (service web): \"1::2::3/64\": must be a range of addresses: '1::2::3/64' does not appear to "
        "be an IPv4 or IPv6 network; write it as 203.0.113.0/24 or 2001:db8::/32",
    ),
    "a port twice": (
        {"egress": [{"cidr": "0.0.0.0/0", "ports": [443, 80, 443]}]},
        'egress[0].ports[2] (service web): "443": Duplicate value; ports may have it once',
    ),
    "a store twice": (
        {"stores": ["redis", "redis"]},
        'stores[1] (service web): "redis": Duplicate value; stores may have it once',
    ),
    "a pull secret twice": (
        {"imagePullSecrets": [{"name": "a"}, {"name": "b"}, {"name": "a"}]},
        'imagePullSecrets[2].name (service web): "a": Duplicate value; imagePullSecrets may have it once',
    ),
}


@pytest.mark.parametrize(("service", "expected"), BAD.values(), ids=BAD.keys())
def test_refused_with_path_value_rule_and_fix(document, problems, service, expected) -> None:
    data = document(service, stores={"redis": {"managed": {}}})
    assert [str(problem) for problem in problems(data)] == [f"spec.services[0].{expected}"]


def test_every_broken_rule_is_named_at_once(document, problems) -> None:
    data = document({"port": ..., "expose": {}, "routes": [{"pathPrefix": "/a"}], "protocol": "GRPC"})
    assert [problem.path[3:] for problem in problems(data)] == [("expose",), ("routes",), ("protocol",)]


def test_duplicates_name_the_first_one(document, problems) -> None:
    data = document()
    data["spec"]["services"] *= 3
    found = problems(data)
    assert [problem.path for problem in found] == [("spec", "services", 1, "name"), ("spec", "services", 2, "name")]
    assert "spec.services[0] has this name already" in found[1].fix


@pytest.mark.parametrize("word", RESERVED_WORDS)
def test_reserved_as_a_name_and_as_a_suffix(word: str) -> None:
    assert reserved_word(word) == word
    assert reserved_word(f"a-{word}") == word
    assert reserved_word(f"{word}-a") is None
    assert reserved_word(f"a{word}") is None


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_reserved_as_a_name_only(name: str) -> None:
    assert reserved_word(name) == name
    assert reserved_word(f"a-{name}") is None


def test_a_reserved_name_says_which_word_it_is(document, problems) -> None:
    (found,) = problems(document({"name": "web-stable"}))
    assert (found.value, found.fix) == ('"web-stable"', "name it without stable")


def test_a_shared_prefix_names_who_has_it(document, problems) -> None:
    data = document({"expose": {}})
    data["spec"]["services"].append({"name": "b", "image": "b:1", "port": 1, "expose": {"pathPrefix": "/"}})
    data["spec"]["services"].append({"name": "c", "image": "c:1", "port": 1, "expose": {"pathPrefix": "/c"}})
    (found,) = problems(data)
    assert found.path == ("spec", "services", 1, "expose", "pathPrefix")
    assert found.fix == "web has this one already"


def test_one_of_many_is_spelled_out() -> None:
    assert exactly_one_of(("a", "b")) == "exactly one of a, b must be set"
