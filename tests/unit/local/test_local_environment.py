"""From a container's environment to a process's."""

from pathlib import Path
from typing import Any

import pytest

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.environment import (
    FieldPath,
    Pod,
    Values,
    container_variables,
    inherited,
    read_env_file,
    replace_hosts,
    resolve,
)
from resilientslice.render.tracks import Address

HOSTS = {
    ("shop-pay", 8080): Address("127.0.0.1", 10001),
    ("shop-pay-in", 8080): Address("127.0.0.1", 10002),
    ("shop-redis", 6379): Address("127.0.0.1", 20001),
}
POD = Pod("shop-api-stable-0", "prod", {"resilientslice.dev/track": "stable"}, {"note": "n"}, "uid-1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://shop-pay:8080/x", "http://127.0.0.1:10001/x"),
        ("http://shop-pay-in:8080", "http://127.0.0.1:10002"),
        ("http://shop-pay.prod.svc.cluster.local:8080", "http://127.0.0.1:10001"),
        ("http://shop-pay.prod:8080", "http://127.0.0.1:10001"),
        ("redis://:pw@shop-redis:6379/0", "redis://:pw@127.0.0.1:20001/0"),
        ("a shop-pay:8080,shop-redis:6379 b", "a 127.0.0.1:10001,127.0.0.1:20001 b"),
        ("http://shop-pay:9090", "http://shop-pay:9090"),
        ("http://shop-pay.other:8080", "http://shop-pay.other:8080"),
        ("http://my-shop-pay:8080", "http://my-shop-pay:8080"),
        ("http://x.shop-pay:8080", "http://x.shop-pay:8080"),
        ("shop-pay:80801", "shop-pay:80801"),
        ("shop-pay", "shop-pay"),
    ],
)
def test_names_of_the_slice_become_addresses(value: str, expected: str) -> None:
    assert replace_hosts(value, HOSTS, "prod") == expected


def test_fields_references_and_order() -> None:
    variables = [
        ("A", "1"),
        ("B", "$(A)-$(C)-$$(A)"),
        ("C", "3"),
        ("NAME", FieldPath("metadata.name")),
        ("TRACK", FieldPath("metadata.labels['resilientslice.dev/track']")),
        ("NOTE", FieldPath("metadata.annotations['note']")),
        ("IP", FieldPath("status.podIP")),
        ("UID", FieldPath("metadata.uid")),
        ("NONE", FieldPath("status.unknown")),
        ("WHO", "$(NAME)"),
    ]
    assert resolve(variables, POD, {}) == {
        "A": "1",
        "B": "1-$(C)-$(A)",
        "C": "3",
        "NAME": "shop-api-stable-0",
        "TRACK": "stable",
        "NOTE": "n",
        "IP": "127.0.0.1",
        "UID": "uid-1",
        "NONE": "",
        "WHO": "shop-api-stable-0",
    }


def secret(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}


VALUES = Values(
    env_file={"DATABASE_URL": "from-file", "keys/k": "by-key", "all/X": "1", "all/Y": "2"},
    stored={("shop-redis", "url"): "stored", ("keys", "k"): "not this"},
    shell={"TOKEN": "from-shell", "HOME": "/h"},
)


def test_values_come_from_env_file_then_store_then_shell() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "all"}, "prefix": "P_"}, {"configMapRef": {"name": "no", "optional": True}}],
        "env": [
            {"name": "DATABASE_URL", **secret("ext", "url")},
            {"name": "K", **secret("keys", "k")},
            {"name": "REDIS_URL", **secret("shop-redis", "url")},
            {"name": "TOKEN", **secret("t", "t")},
            {"name": "GONE", **secret("gone", "gone", optional=True)},
            {"name": "PLAIN", "value": "v"},
            {"name": "EMPTY"},
        ],
    }
    variables, missing = container_variables(container, VALUES)
    assert dict(variables) == {
        "P_X": "1",
        "P_Y": "2",
        "DATABASE_URL": "from-file",
        "K": "by-key",
        "REDIS_URL": "stored",
        "TOKEN": "from-shell",
        "PLAIN": "v",
        "EMPTY": "",
    }
    assert missing == []


def test_what_is_missing_says_where_to_put_it() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "many"}}],
        "env": [{"name": "A", **secret("s", "k")}, {"name": "B", "valueFrom": {"resourceFieldRef": {}}}],
    }
    _, missing = container_variables(container, VALUES)
    assert missing == [
        "any key of `many`: add a line `many/KEY=value` for each",
        "A (key `k` of `s`): set the variable, or add a line `s/k=value`",
        "B: `resourceFieldRef` is not known here; add a line `B=value`",
    ]


def test_env_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.env"
    path.write_text("# c\nA=1\nexport B='two words'\nsecret/key=x=y\n\n")
    assert read_env_file(path, required=True) == {"A": "1", "B": "two words", "secret/key": "x=y"}
    path.write_text("A=1\nhidden-value\n")
    with pytest.raises(LocalError) as error:
        read_env_file(path, required=True)
    assert "shop.env:2" in str(error.value)
    assert "hidden-value" not in str(error.value)
    assert read_env_file(tmp_path / "none", required=False) == {}
    with pytest.raises(LocalError, match="no such file"):
        read_env_file(tmp_path / "none", required=True)


def test_only_what_programs_need_of_a_shell_is_inherited() -> None:
    shell = {"PATH": "/bin", "LC_ALL": "C", "DATABASE_URL": "prod!", "PORT": "1", "MYPATH": "x"}
    assert inherited(shell) == {"PATH": "/bin", "LC_ALL": "C"}
