"""Rules of the slice as a whole: policies, canary, stores, the way in, and changes of a slice that exists."""

import pytest

from resilientslice.api.images import postgres_major
from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.validation import check_change, parse_slice

REDIS = {"redis": {"managed": {}}}

GOOD = {
    "steps that ascend": {"canary": {"steps": [{"weight": 1}, {"weight": 2}, {"weight": 100}]}},
    "a weight of zero": {"canary": {"weight": 0}},
    "both orders": {"canary": {"weight": 0, "promote": "shop-1", "abort": "shop-2"}},
    "no orders": {"canary": {"weight": 0, "promote": "", "abort": ""}},
    "middleware": {"rateLimit": {"enforcement": "Middleware"}, "stores": REDIS},
    "an Ingress": {"front": {"kind": "Ingress", "hosts": ["*.example.org"], "tls": {"secretName": "a"}, "class": "b"}},
    "hosts without Ingress": {"front": {"hosts": ["shop.example.org"]}},
    "a backup of redis": {"backup": {}, "stores": REDIS},
    "a backup of postgres": {
        "backup": {"schedule": "*/5 1-3 1,15 jan-mar MON-fri"},
        "stores": {"postgres": {"managed": {}}},
    },
    "a backup beside an external store": {
        "backup": {"schedule": "@daily"},
        "stores": {"redis": {"external": {"secretName": "a"}}, "postgres": {"managed": {}}},
    },
    "cnpg": {"stores": {"postgres": {"cnpg": {}}}},
    "no retries in the slice": {"resilience": {"timeout": "1ms", "retries": {"attempts": 0}}},
    "a try of the time-out": {"resilience": {"timeout": "1s", "retries": {"perTryTimeout": "1s"}}},
    "headers that differ": {"rateLimit": {"tenantHeader": "X-Env"}, "canary": {"weight": 0}},
    "a moment": {"restartedAt": "2026-02-28T23:59:59.5+02:00"},
    "the least objective": {"slo": {"objective": "1", "window": "1h"}},
    "the most objective": {"slo": {"objective": "99.9999", "window": "720h"}},
}


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD.keys())
def test_allowed(document, problems, spec) -> None:
    assert problems(document(**spec)) == ()


BAD = {
    "steps": (
        {"canary": {"steps": [{"weight": 5}, {"weight": 5}, {"weight": 4}, {"weight": 6}]}},
        [
            "canary.steps[1].weight: 5: the weights of the steps must ascend; "
            "the step before has 5: raise this one, or order them",
            "canary.steps[2].weight: 4: the weights of the steps must ascend; "
            "the step before has 5: raise this one, or order them",
        ],
    ),
    "orders": (
        {"canary": {"weight": 0, "promote": "shopping-1", "abort": "shopping-1"}},
        [
            'canary.abort: "shopping-1": promote and abort must not name the same revision; remove one of the two',
            'canary.promote: "shopping-1": promote and abort must name a revision of this slice: its name, a hyphen '
            "and a digest; such as shop-0123456789, as status.revision.canary has it",
            'canary.abort: "shopping-1": promote and abort must name a revision of this slice: its name, a hyphen '
            "and a digest; such as shop-0123456789, as status.revision.canary has it",
        ],
    ),
    "ingress": (
        {
            "front": {
                "tls": {"secretName": "a"},
                "class": "b",
                "trustedProxies": ["10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/8"],
            }
        },
        [
            'front.trustedProxies[1]: "10.0.0.0/8": Duplicate value; trustedProxies may have it once',
            'front.trustedProxies[2]: "10.1.0.0/8": must be a range of addresses: 10.1.0.0/8 has host bits set; '
            "did you mean 10.0.0.0/8?",
            'front.tls: "a": tls needs kind Ingress; add kind: Ingress, or remove tls',
            'front.class: "b": class needs kind Ingress; add kind: Ingress, or remove class',
        ],
    ),
    "a backup of nothing that runs backwards": (
        {"backup": {"schedule": "0 5-3 * * fri-mon"}},
        [
            "backup: a backup needs a managed store; remove it: other stores are not backed up from here",
            'backup.schedule: "0 5-3 * * fri-mon": a range of the schedule must not run backwards; '
            "turn 5-3 round, or list two ranges",
            'backup.schedule: "0 5-3 * * fri-mon": a range of the schedule must not run backwards; '
            "turn fri-mon round, or list two ranges",
        ],
    ),
    "headers": (
        {"rateLimit": {"tenantHeader": "X-RSLICE-a"}, "canary": {"weight": 0, "header": {"name": "x-rslice-A"}}},
        [
            'rateLimit.tenantHeader: "X-RSLICE-a": a header of the slice\'s own must not begin with x-rslice- or '
            "x-envoy-, which are stripped at the front; choose another name",
            'canary.header.name: "x-rslice-A": a header of the slice\'s own must not begin with x-rslice- or x-envoy-, '
            "which are stripped at the front; choose another name",
            "canary.header.name: \"x-rslice-A\": the tenant's and the canary's header must differ; "
            "rename one of the two",
        ],
    ),
    "resources everywhere": (
        {
            "proxy": {"resources": {"limits": {"cpu": "0"}}},
            "stores": {
                "postgres": {"managed": {"resources": {"limits": {"cpu": "0"}}}},
                "redis": {"managed": {"resources": {"limits": {"cpu": "0"}}}},
            },
        },
        [
            f'{place}.resources.limits.cpu: "0": a limit must be above zero; remove it, or raise it'
            for place in ("stores.postgres.managed", "stores.redis.managed", "proxy")
        ],
    ),
    "the image of postgres": (
        {"stores": {"postgres": {"managed": {"image": "postgres"}}}},
        [
            "stores.postgres.managed.image: \"postgres\": the image's tag must begin with majorVersion, PostgreSQL's "
            "major version; such as postgres:18"
        ],
    ),
    "an image of postgres of another major version": (
        {"stores": {"postgres": {"managed": {"image": "mine/postgres:17.2"}}}},
        [
            'stores.postgres.managed.image: "mine/postgres:17.2": the image\'s tag must begin with majorVersion, '
            "PostgreSQL's major version; such as postgres:18, or set majorVersion: 17 in a store that is new"
        ],
    ),
    "more tries of a service than the slice's timeouts allow": (
        {
            "resilience": {"timeout": "1s", "retries": {"attempts": 0, "perTryTimeout": "2s"}},
            "services": [{"name": "web", "image": "web:1", "port": 80, "resilience": {"retries": {"attempts": 1}}}],
        },
        [
            "services[0].resilience.retries.attempts (service web): 1: a service's perTryTimeout must not be above its "
            "timeout; what it does not set is spec.resilience's; the timeout is 1s, perTryTimeout 2s: set both for "
            "this service"
        ],
    ),
    "the slice's time-outs": (
        {"resilience": {"timeout": "249ms", "retries": {"perTryTimeout": "250ms"}}},
        [
            'resilience.retries.perTryTimeout: "250ms": perTryTimeout must not be above timeout; '
            "the timeout is 249ms: raise it, or lower perTryTimeout"
        ],
    ),
    "tenants": (
        {"rateLimit": {"tenants": [{"name": n, "requestsPerSecond": 1, "burst": 1} for n in ("a", "b", "a")]}},
        ['rateLimit.tenants[2].name: "a": Duplicate value; tenants may have it once'],
    ),
}


@pytest.mark.parametrize(("spec", "expected"), BAD.values(), ids=BAD.keys())
def test_refused_with_path_value_rule_and_fix(document, problems, spec, expected) -> None:
    assert [str(problem) for problem in problems(document(**spec))] == [f"spec.{text}" for text in expected]


def test_middleware_needs_redis_in_the_slice_and_in_what_is_exposed(document, problems) -> None:
    found = problems(document({"expose": {}}, rateLimit={"enforcement": "Middleware"}))
    assert [(problem.path, problem.value) for problem in found] == [
        (("spec", "rateLimit", "enforcement"), '"Middleware"'),
        (("spec", "services", 0, "stores"), "[]"),
    ]
    fine = document({"expose": {}, "stores": ["redis"]}, rateLimit={"enforcement": "Middleware"}, stores=REDIS)
    assert problems(fine) == ()


def test_a_store_must_be_in_the_spec(document, problems) -> None:
    found = problems(document({"stores": ["postgres", "redis"]}, stores={"postgres": {"managed": {}}}))
    assert [str(problem) for problem in found] == [
        'spec.services[0].stores[1] (service web): "redis": stores must name stores of spec.stores; '
        "add it there: redis: {managed: {}}"
    ]


def change(document, old: dict, new: dict) -> list[str]:
    try:
        check_change(parse_slice(document(**old)), parse_slice(document(**new)))
    except InvalidSliceError as error:
        return [str(problem) for problem in error.problems]
    return []


def managed(**fields) -> dict:
    return {"stores": {"postgres": {"managed": fields}, "redis": {"managed": {}}}}


CHANGES = {
    "nothing": (managed(), managed(), []),
    "growth": (managed(storage="1Gi"), managed(storage="1025Mi"), []),
    "the same in another unit": (managed(storage="1Gi"), managed(storage="1024Mi"), []),
    "shrinking": (
        managed(storage="1Gi"),
        managed(storage="1023Mi"),
        ['spec.stores.postgres.managed.storage: "1023Mi": storage can only grow; it is 1Gi: volumes never shrink'],
    ),
    "a minor version": (managed(image="postgres:18.1"), managed(image="mine/postgres:18.2-bookworm"), []),
    "an image of one's own, and back": (managed(), managed(image="mine/postgres:18.2"), []),
    "a major version": (
        managed(majorVersion=17, image="postgres:17"),
        managed(majorVersion=18),
        [
            "spec.stores.postgres.managed.majorVersion: 18: the major version of PostgreSQL can't be changed: it was "
            "pinned at creation; stay with 17, or dump into a new slice: data files of one don't open in the other"
        ],
    ),
    "a class of storage": (
        managed(storageClassName="fast"),
        managed(),
        ["spec.stores.postgres.managed.storageClassName: null: storageClassName can't be changed; it is fast"],
    ),
    "a first class of storage": (
        managed(),
        managed(storageClassName="fast"),
        [
            'spec.stores.postgres.managed.storageClassName: "fast": storageClassName can\'t be changed; '
            "it is the cluster's default: remove this"
        ],
    ),
    "variants": (
        managed(),
        {"stores": {"postgres": {"cnpg": {}}, "redis": {"external": {"secretName": "a"}}}},
        [
            'spec.stores.postgres.cnpg: "cnpg": the variant of a store can\'t be changed; it is managed; for another, '
            "make a new slice and move the data",
            'spec.stores.redis.external: "external": the variant of a store can\'t be changed; it is managed; for '
            "another, make a new slice and move the data",
        ],
    ),
    "another secret": (
        {"stores": {"redis": {"external": {"secretName": "a"}}}},
        {"stores": {"redis": {"external": {"secretName": "b"}}}},
        [],
    ),
    "a store that goes": (managed(), {}, []),
    "a store that comes": ({}, managed(), []),
    "the volume of redis": (
        {"stores": {"redis": {"managed": {"storage": "2Gi"}}}},
        {"stores": {"redis": {"managed": {"storage": "1Gi"}}}},
        ['spec.stores.redis.managed.storage: "1Gi": storage can only grow; it is 2Gi: volumes never shrink'],
    ),
    "the volumes of cnpg": (
        {"stores": {"postgres": {"cnpg": {"storage": "2Gi"}}}},
        {"stores": {"postgres": {"cnpg": {"storage": "1Gi"}}}},
        ['spec.stores.postgres.cnpg.storage: "1Gi": storage can only grow; it is 2Gi: volumes never shrink'],
    ),
    "the volume of backups": (
        {**managed(), "backup": {}},
        {**managed(), "backup": {"destination": {"volume": {"storage": "4Gi", "storageClassName": "slow"}}}},
        [
            'spec.backup.destination.volume.storage: "4Gi": storage can only grow; it is 5Gi: volumes never shrink',
            'spec.backup.destination.volume.storageClassName: "slow": storageClassName can\'t be changed; it is the '
            "cluster's default: remove this",
        ],
    ),
    "backups that end": ({**managed(), "backup": {}}, managed(), []),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_changes(document, old, new, expected) -> None:
    assert change(document, old, new) == expected


@pytest.mark.parametrize(
    ("told", "storage", "allowed"),
    [
        ([{"name": "postgres", "storage": "3Gi"}], "3Gi", True),
        ([{"name": "postgres", "storage": "3Gi"}], "4Gi", True),
        ([{"name": "postgres", "storage": "3Gi"}], "3071Mi", False),
        ([{"name": "postgres", "storage": ""}], "1Gi", True),
        ([{"name": "redis", "storage": "1Gi"}], "3Gi", False),
        ([], "3Gi", False),
    ],
)
def test_a_size_that_never_came_to_be_can_be_taken_back(document, told, storage, allowed) -> None:
    old = parse_slice({**document(**managed(storage="9Gi")), "status": {"stores": told}})
    new = parse_slice(document(**managed(storage=storage)))
    check_change(old, new, volumes=False)
    if allowed:
        check_change(old, new)
        return
    with pytest.raises(InvalidSliceError, match="storage can only grow"):
        check_change(old, new)


def test_another_slice_is_no_change(document) -> None:
    other = document(**managed(storage="1Mi"))
    other["metadata"]["name"] = "other"
    with pytest.raises(InvalidSliceError) as caught:
        check_change(parse_slice(document(**managed())), parse_slice(other))
    assert str(caught.value) == 'metadata.name: "other": not the same slice; the old one is called shop'


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("postgres:18", 18),
        ("registry:5000/postgres:17.2-bookworm", 17),
        ("postgres:16@sha256:99aa", 16),
        ("registry:5000/postgres", None),
        ("postgres:latest", None),
        ("postgres@sha256:18aa", None),
        ("postgres", None),
    ],
)
def test_major_version_of_an_image(image: str, major: int | None) -> None:
    assert postgres_major(image) == major
