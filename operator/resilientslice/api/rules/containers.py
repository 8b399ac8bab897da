"""Rules of what ends up in a container or a pod: the ones that Kubernetes would break only when the pod is made."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from resilientslice.api.base import Model
from resilientslice.api.pods import Probe, Resources, Toleration, Volume
from resilientslice.api.problems import Path, Problem, missing, one_of, problem
from resilientslice.api.rules.draft import Draft, Entry
from resilientslice.api.rules.services import each
from resilientslice.api.scalars import quantity_value

EXACTLY_ONE_VALUE = "exactly one of value and valueFrom must be set"
ENV_SOURCES = ("secretKeyRef", "configMapKeyRef", "fieldRef")
ENV_FROM_SOURCES = ("secretRef", "configMapRef")
PROBE_WAYS = ("httpGet", "tcpSocket", "grpc", "exec")
VOLUME_SOURCES = ("secret", "configMap", "emptyDir", "persistentVolumeClaim")

PROBE_WITHOUT_PORT = "a probe of a service without a port must name its port, or run a command"
SUCCESS_THRESHOLD = "successThreshold must be 1 for liveness and startup"
SAME_MOUNT_PATH = "each volume must have a mountPath of its own"
MOUNTED_OVER_ROOT = "a volume must not be mounted over /"
MOUNTED_OVER_TMP = "only an emptyDir may take the place of /tmp"
RESERVED_VOLUME = "a volume's name must not begin with rslice-"
REQUEST_ABOVE_LIMIT = "a request must not be above its limit"
LIMIT_OF_ZERO = "a limit must be above zero"
MEMORY_TOO_SMALL = "memory must be at least 4Mi"
CPU_TOO_LARGE = "cpu must be at most 512 cores"
EXISTS_WITH_VALUE = "a toleration with the operator Exists has no value"
EQUAL_WITHOUT_KEY = "a toleration without a key needs the operator Exists"
SECONDS_WITHOUT_NO_EXECUTE = "tolerationSeconds needs the effect NoExecute"

TMP = "/tmp"  # noqa: S108 (a path of the pods)
OPERATORS_VOLUMES = "rslice-"
LEAST_MEMORY = Decimal(4 * 1024 * 1024)
MOST_CPU = Decimal(512)


def exactly_one_of(names: Iterable[str]) -> str:
    return f"exactly one of {', '.join(names)} must be set"


def exactly_one(path: Path, model: Model, names: tuple[str, ...]) -> Iterator[Problem]:
    """A problem unless just one of these fields is set."""
    found = [name for name in names if _field(model, name) is not None]
    if len(found) > 1:
        yield problem(path, found, exactly_one_of(names), f"remove {one_of(found)}")
    elif not found:
        yield missing(path, exactly_one_of(names), f"add {one_of(names)}")


def _field(model: Model, alias: str) -> object:
    fields = type(model).model_fields
    return next(getattr(model, name) for name, field in fields.items() if (field.alias or name) == alias)


def environment(service: Entry) -> Iterator[Problem]:
    for index, variable in enumerate(service.spec.env):
        path = service.at("env", index)
        if (variable.value is None) == (variable.value_from is None):
            yield problem(path, variable.name, EXACTLY_ONE_VALUE, "remove one, or add one")
        if variable.value_from is not None:
            yield from exactly_one((*path, "valueFrom"), variable.value_from, ENV_SOURCES)
    for index, source in enumerate(service.spec.env_from):
        yield from exactly_one(service.at("envFrom", index), source, ENV_FROM_SOURCES)


def probes(service: Entry) -> Iterator[Problem]:
    given = service.spec.probes
    for name, probe in (("readiness", given.readiness), ("liveness", given.liveness), ("startup", given.startup)):
        if probe is None:
            continue
        path = service.at("probes", name)
        yield from exactly_one(path, probe, PROBE_WAYS)
        if service.spec.port is None and _asks_default_port(probe):
            yield missing(path, PROBE_WITHOUT_PORT, "add the port to the probe")
        if name != "readiness" and probe.success_threshold != 1:
            fix = "remove it: Kubernetes takes nothing else"
            yield problem((*path, "successThreshold"), probe.success_threshold, SUCCESS_THRESHOLD, fix)


def _asks_default_port(probe: Probe) -> bool:
    return any(way is not None and way.port is None for way in (probe.http_get, probe.tcp_socket, probe.grpc))


def volumes(service: Entry) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for index, volume in enumerate(service.spec.volumes):
        path = service.at("volumes", index)
        yield from exactly_one(path, volume, VOLUME_SOURCES)
        yield from _mount(path, volume)
        if volume.name.startswith(OPERATORS_VOLUMES):
            yield problem((*path, "name"), volume.name, RESERVED_VOLUME, "choose another name")
        if volume.mount_path in taken:
            fix = f"volume {taken[volume.mount_path]} is mounted there already"
            yield problem((*path, "mountPath"), volume.mount_path, SAME_MOUNT_PATH, fix)
        taken.setdefault(volume.mount_path, volume.name)


def _mount(path: Path, volume: Volume) -> Iterator[Problem]:
    place = (*path, "mountPath")
    if volume.mount_path == "/":
        yield problem(place, volume.mount_path, MOUNTED_OVER_ROOT, "mount it somewhere below")
    if volume.mount_path == TMP and volume.empty_dir is None:
        yield problem(place, volume.mount_path, MOUNTED_OVER_TMP, "mount it somewhere else, /tmp must stay writable")


def tolerations(service: Entry) -> Iterator[Problem]:
    for index, toleration in enumerate(service.spec.scheduling.tolerations):
        yield from _toleration(service.at("scheduling", "tolerations", index), toleration)


def _toleration(path: Path, toleration: Toleration) -> Iterator[Problem]:
    if toleration.operator == "Exists" and toleration.value:
        yield problem((*path, "value"), toleration.value, EXISTS_WITH_VALUE, "remove the value, or use Equal")
    if toleration.operator == "Equal" and not toleration.key:
        yield missing((*path, "key"), EQUAL_WITHOUT_KEY, "add the key, or operator: Exists to tolerate everything")
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        fix = "remove it, or add effect: NoExecute"
        seconds = (*path, "tolerationSeconds")
        yield problem(seconds, toleration.toleration_seconds, SECONDS_WITHOUT_NO_EXECUTE, fix)


def resources(draft: Draft) -> Iterator[Problem]:
    """Of the services, the stores and the proxies."""
    for service in draft.services:
        yield from quantities(service.at("resources"), service.spec.resources)
    stores = draft.stores
    if stores and stores.postgres and stores.postgres.managed:
        path: Path = ("spec", "stores", "postgres", "managed", "resources")
        yield from quantities(path, stores.postgres.managed.resources)
    if stores and stores.redis and stores.redis.managed:
        yield from quantities(("spec", "stores", "redis", "managed", "resources"), stores.redis.managed.resources)
    if draft.proxy:
        yield from quantities(("spec", "proxy", "resources"), draft.proxy.resources)


def quantities(path: Path, given: Resources) -> Iterator[Problem]:
    for name, request in given.requests.items():
        limit = given.limits.get(name)
        if limit is not None and quantity_value(request) > quantity_value(limit):
            fix = f"the limit is {limit}: raise it, or lower the request"
            yield problem((*path, "requests", name), request, REQUEST_ABOVE_LIMIT, fix)
    for kind, amounts in (("requests", given.requests), ("limits", given.limits)):
        for name, amount in amounts.items():
            yield from _sane((*path, kind, name), name, amount)
            if kind == "limits" and quantity_value(amount) == 0:
                yield problem((*path, kind, name), amount, LIMIT_OF_ZERO, "remove it, or raise it")


def _sane(path: Path, name: str, amount: str) -> Iterator[Problem]:
    """Units that were mixed up: `512m` of memory is half a byte, `500` of CPU are 500 cores."""
    value = quantity_value(amount)
    if name == "memory" and 0 < value < LEAST_MEMORY:
        yield problem(path, amount, MEMORY_TOO_SMALL, _memory_fix(amount))
    if name == "cpu" and value > MOST_CPU:
        yield problem(path, amount, CPU_TOO_LARGE, f"did you mean {amount}m?" if amount.isdigit() else "lower it")


def _memory_fix(amount: str) -> str:
    if amount.isdigit():
        return "add its unit, such as Mi"
    return f"did you mean {amount[:-1]}Mi?" if amount[-1] in "mk" else "raise it"


RULES = (each(environment), each(probes), each(volumes), each(tolerations), resources)
