"""The rules that the API server enforces by itself, in CEL, with the texts of api/rules.

Every rule here is one of api/rules; not every one of those is here: docs/reference says which only Python catches.
Rules see an object after its defaults were set. Their cost is bounded by the schema's bounds, and the API server
refuses a CRD whose worst case is too dear: that is why calls are checked with sets of names, and why a chain of calls
has an end (`_chain`).

They are evaluated at every write of a slice or of its status, and what they read costs: for each field of an object the
API server copies the object's schema, for one that is absent it does not. So conditions begin with what is usually
absent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from resilientslice.api.rules import calls, containers, policies, rollout, services, surroundings, transitions
from resilientslice.api.rules.services import RESERVED_NAMES, RESERVED_WORDS
from resilientslice.api.scalars import DNS_LABEL_PATTERN, FORMATS, LABEL_KEY_PATTERN, RESOURCE_NAME_PATTERN
from resilientslice.api.services import StoreName
from resilientslice.api.slice import BAD_NAME, MAX_SLICE_NAME


@dataclass(frozen=True, slots=True)
class CelRule:
    """A condition that must hold. `field` is where a problem is reported, from the place that the rule is at."""

    rule: str
    message: str
    field: str = ""


def exactly_one(names: tuple[str, ...]) -> CelRule:
    present = ", ".join(f"has(self.{name})" for name in names)
    return CelRule(f"[{present}].exists_one(given, given)", containers.exactly_one_of(names))


def _strings(values: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _literal(pattern: str) -> str:
    """A pattern as a CEL string: raw, so that its backslashes stay."""
    return f'r"{pattern}"'


def _chain() -> str:
    """True when no walk along dependsOn is MAX_CHAIN calls long, which a cycle and a chain that is too long both are.

    Begins with the names of all services that call another, and keeps, at most MAX_CHAIN - 1 times, those that call one
    of the names that are left. CEL has no variables: a list of one element, bound by `all`, stands in for one.

    It ends as soon as no name is left, or most of the API server's time for a slice would be spent here.
    """
    rule = f"size(left{calls.MAX_CHAIN - 1}) == 0"
    for step in range(calls.MAX_CHAIN - 1, 0, -1):
        before = f"left{step - 1}"
        callers = f"callers.map(c, c.exists(d, d != c[0] && d in {before}), c[0])"
        rule = f"size({before}) == 0 || {_bound(f'left{step}', callers, rule)}"
    return _bound("callers", f"self.map(s, has(s.dependsOn), {_CALLS})", _bound("left0", "callers.map(c, c[0])", rule))


def _bound(name: str, value: str, rule: str) -> str:
    return f"[{value}].all({name}, {rule})"


_CALLS = "[s.name] + s.dependsOn"
"""A service's name, and behind it those that it calls: read once, and no longer with the schema of a service."""
_PREFIXES = "prefixes.all(p, prefixes.exists_one(o, o == p))"

SERVICES = (
    CelRule(
        _bound(
            "all",
            f"self.map(s, has(s.dependsOn) ? {_CALLS} : [s.name])",
            _bound("names", "all.map(c, c[0])", "all.all(c, c.all(d, d in names))"),
        ),
        calls.UNKNOWN_SERVICE,
    ),
    CelRule(
        _bound(
            "portless",
            "self.map(s, !has(s.port), s.name)",
            "size(portless) == 0 || self.all(s, !has(s.dependsOn) || s.dependsOn.all(d, !(d in portless)))",
        ),
        calls.PORTLESS_SERVICE,
    ),
    CelRule(_chain(), calls.CYCLE_OR_CHAIN),
    CelRule(_bound("prefixes", "self.map(s, has(s.expose), s.expose.pathPrefix)", _PREFIXES), services.SAME_PREFIX),
)

_WAYS = " && ".join(
    f"(!has(self.probes.{probe}) || has(self.probes.{probe}.exec) || ["
    + ", ".join(
        f"has(self.probes.{probe}.{way}) && has(self.probes.{probe}.{way}.port)"
        for way in containers.PROBE_WAYS
        if way != "exec"
    )
    + "].exists(named, named))"
    for probe in ("readiness", "liveness", "startup")
)

SERVICE = (
    CelRule(
        f"!self.name.matches('^({'|'.join((*RESERVED_NAMES, *RESERVED_WORDS))})$|-({'|'.join(RESERVED_WORDS)})$')",
        services.RESERVED,
        ".name",
    ),
    CelRule("!has(self.dependsOn) || !(self.name in self.dependsOn)", calls.ITSELF, ".dependsOn"),
    CelRule("!has(self.autoscaling) || !has(self.replicas)", services.REPLICAS_AND_AUTOSCALING, ".replicas"),
    CelRule("!has(self.expose) || has(self.port)", services.EXPOSED_WITHOUT_PORT, ".expose"),
    CelRule("!has(self.routes) || size(self.routes) == 0 || has(self.port)", services.ROUTES_WITHOUT_PORT, ".routes"),
    CelRule("has(self.port) || self.protocol != 'GRPC'", services.GRPC_WITHOUT_PORT, ".protocol"),
    CelRule(
        "!has(self.routes) || self.protocol != 'GRPC' || self.routes.all(r, !r.websocket)",
        services.WEBSOCKET_OVER_GRPC,
        ".routes",
    ),
    CelRule(f"!has(self.probes) || has(self.port) || ({_WAYS})", containers.PROBE_WITHOUT_PORT, ".probes"),
    CelRule(
        "!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(o, o.mountPath == v.mountPath))",
        containers.SAME_MOUNT_PATH,
        ".volumes",
    ),
)

_EACH_PROBE = " && ".join(
    f"(!has(self.{probe}) || self.{probe}.successThreshold == 1)" for probe in ("liveness", "startup")
)


def _amounts(condition: str) -> str:
    """`condition` of the quantity `q`, for each one of requests and limits that has the key in question."""
    return " && ".join(condition.replace("MAP", f"self.{kind}") for kind in ("requests", "limits"))


RESOURCES = (
    CelRule(
        "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits)"
        " || quantity(self.requests[k]).compareTo(quantity(self.limits[k])) <= 0)",
        containers.REQUEST_ABOVE_LIMIT,
        ".requests",
    ),
    CelRule(
        "!has(self.limits) || self.limits.all(k, quantity(self.limits[k]).isGreaterThan(quantity('0')))",
        containers.LIMIT_OF_ZERO,
        ".limits",
    ),
    CelRule(
        _amounts(
            "(!has(MAP) || !('memory' in MAP) || quantity(MAP['memory']).compareTo(quantity('0')) == 0"
            " || !quantity(MAP['memory']).isLessThan(quantity('4Mi')))"
        ),
        containers.MEMORY_TOO_SMALL,
    ),
    CelRule(
        _amounts("(!has(MAP) || !('cpu' in MAP) || !quantity(MAP['cpu']).isGreaterThan(quantity('512')))"),
        containers.CPU_TOO_LARGE,
    ),
    CelRule(
        _amounts(f"(!has(MAP) || MAP.all(k, k.matches({_literal(RESOURCE_NAME_PATTERN)})))"),
        f"must be {FORMATS[RESOURCE_NAME_PATTERN]}",
    ),
)

TOLERATION = (
    CelRule(
        "self.operator != 'Exists' || !has(self.value) || self.value == ''", containers.EXISTS_WITH_VALUE, ".value"
    ),
    CelRule("self.operator != 'Equal' || (has(self.key) && self.key != '')", containers.EQUAL_WITHOUT_KEY, ".operator"),
    CelRule(
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        containers.SECONDS_WITHOUT_NO_EXECUTE,
        ".tolerationSeconds",
    ),
)

VOLUME = (
    exactly_one(containers.VOLUME_SOURCES),
    CelRule("self.mountPath != '/'", containers.MOUNTED_OVER_ROOT, ".mountPath"),
    CelRule(f"self.mountPath != '{containers.TMP}' || has(self.emptyDir)", containers.MOUNTED_OVER_TMP, ".mountPath"),
    CelRule(f"!self.name.startsWith('{containers.OPERATORS_VOLUMES}')", containers.RESERVED_VOLUME, ".name"),
)


def _own_header(field: str) -> tuple[CelRule, CelRule]:
    begins = " || ".join(f"self.{field}.lowerAscii().startsWith('{prefix}')" for prefix in policies.OUR_HEADERS)
    return (
        CelRule(f"!({begins})", policies.HEADER_OF_OURS, f".{field}"),
        CelRule(
            f"!(self.{field}.lowerAscii() in {_strings(policies.HTTP_HEADERS)})", policies.HEADER_OF_HTTP, f".{field}"
        ),
    )


_OWN_TIMEOUT = "(has(s.resilience) && has(s.resilience.timeout) ? s.resilience.timeout : self.resilience.timeout)"
_OWN_RETRIES = "has(s.resilience) && has(s.resilience.retries) && has(s.resilience.retries"
_INHERITED_PER_TRY = "!has(s.resilience.timeout) && has(self.resilience.retries.perTryTimeout)"
_OWN_PER_TRY = (
    f"({_OWN_RETRIES}.perTryTimeout) ? s.resilience.retries.perTryTimeout"
    f" : {_INHERITED_PER_TRY} ? self.resilience.retries.perTryTimeout : '0s')"
)
_OWN_ATTEMPTS = f"({_OWN_RETRIES}.attempts) ? s.resilience.retries.attempts : self.resilience.retries.attempts)"
_ROUTE_TIMEOUT = f"(has(r.timeout) ? r.timeout : {_OWN_TIMEOUT})"

SPEC = (
    CelRule(
        f"self.services.all(s, !has(s.resilience) || {_OWN_ATTEMPTS} == 0"
        f" || duration({_OWN_TIMEOUT}) == duration('0s')"
        f" || duration({_OWN_PER_TRY}) <= duration({_OWN_TIMEOUT}))",
        policies.SERVICE_PER_TRY_ABOVE_TIMEOUT,
        ".services",
    ),
    CelRule(
        "self.services.all(s, !has(s.routes) || s.routes.all(r, !has(r.retries) || !has(r.retries.perTryTimeout)"
        " || (has(r.retries.attempts) && r.retries.attempts == 0)"
        f" || duration({_ROUTE_TIMEOUT}) == duration('0s')"
        f" || duration(r.retries.perTryTimeout) <= duration({_ROUTE_TIMEOUT})))",
        policies.ROUTE_PER_TRY_ABOVE_TIMEOUT,
        ".services",
    ),
    CelRule(
        "self.services.all(s, !has(s.stores) || s.stores.all(n, has(self.stores) &&"
        " (n == 'postgres' ? has(self.stores.postgres) : has(self.stores.redis))))",
        calls.UNKNOWN_STORE,
        ".services",
    ),
    CelRule(
        "!has(self.rateLimit) || self.rateLimit.enforcement != 'Middleware'"
        " || (has(self.stores) && has(self.stores.redis))",
        policies.MIDDLEWARE_WITHOUT_REDIS,
        ".rateLimit.enforcement",
    ),
    CelRule(
        "!has(self.rateLimit) || self.rateLimit.enforcement != 'Middleware'"
        " || self.services.all(s, !has(s.expose) || (has(s.stores) && 'redis' in s.stores))",
        policies.MIDDLEWARE_SERVICE_WITHOUT_REDIS,
        ".services",
    ),
    CelRule(
        "!has(self.rateLimit) || !has(self.canary)"
        " || self.rateLimit.tenantHeader.lowerAscii() != self.canary.header.name.lowerAscii()",
        policies.SAME_HEADER,
        ".canary.header.name",
    ),
    CelRule(
        "!has(self.backup) || (has(self.stores) && ((has(self.stores.postgres) && has(self.stores.postgres.managed))"
        " || (has(self.stores.redis) && has(self.stores.redis.managed))))",
        surroundings.BACKUP_WITHOUT_STORE,
        ".backup",
    ),
)

STEPS = (
    CelRule(
        "[self.map(s, s.weight)].all(w, w.isSorted()) && self.all(s, self.exists_one(o, o.weight == s.weight))",
        rollout.STEPS_NOT_ASCENDING,
    ),
)

CANARY = (
    CelRule("has(self.weight) || (has(self.steps) && size(self.steps) > 0)", rollout.NEITHER_STEPS_NOR_WEIGHT),
    CelRule(
        "!has(self.promote) || !has(self.abort) || self.promote == '' || self.promote != self.abort",
        rollout.PROMOTED_AND_ABORTED,
        ".abort",
    ),
)

FRONT = (
    CelRule(
        "self.kind != 'Ingress' || (has(self.hosts) && size(self.hosts) > 0)",
        surroundings.INGRESS_WITHOUT_HOSTS,
        ".hosts",
    ),
    CelRule("self.kind == 'Ingress' || !has(self.tls)", surroundings.TLS_WITHOUT_INGRESS, ".tls"),
    CelRule("self.kind == 'Ingress' || !has(self.class)", surroundings.CLASS_WITHOUT_INGRESS, ".class"),
)


def _revision(order: str) -> str:
    field = f"self.spec.canary.{order}"
    return f"(!has({field}) || {field} == '' || {field}.startsWith(self.metadata.name + '-'))"


ROOT = (
    CelRule(
        f"size(self.metadata.name) <= {MAX_SLICE_NAME} && self.metadata.name.matches('{DNS_LABEL_PATTERN}')", BAD_NAME
    ),
    CelRule(
        f"!has(self.spec.canary) || ({_revision('promote')} && {_revision('abort')})",
        rollout.OF_ANOTHER_SLICE,
        ".spec.canary",
    ),
)

GROWS = CelRule(
    "quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0", transitions.STORAGE_SHRUNK, ".storage"
)


def _not_shrunk(store: StoreName) -> CelRule:
    """At the root, where the status says what the volume has. A size that never came to be can be taken back."""
    place = f"spec.stores.{store.value}.managed"
    given = " && ".join(
        f"has({side}.spec.stores) && has({side}.spec.stores.{store.value}) && has({side}.{place})"
        for side in ("self", "oldSelf")
    )
    size, before = f"self.{place}.storage", f"oldSelf.{place}.storage"
    known = f"has(self.status) && has(self.status.stores) && self.status.stores.exists(s, s.name == '{store.value}' && "
    has = f"(!has(s.storage) || s.storage == '' || quantity({size}).compareTo(quantity(s.storage)) >= 0))"
    return CelRule(
        f"!({given}) || {size} == {before} || quantity({size}).compareTo(quantity({before})) >= 0 || ({known}{has})",
        transitions.STORAGE_SHRUNK,
        f".{place}.storage",
    )


SAME_CLASS = CelRule(
    "has(self.storageClassName) == has(oldSelf.storageClassName)"
    " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
    transitions.CLASS_CHANGED,
)


def _major(image: str) -> str:
    """The digits that the tag begins with; the digest, whose digits are none, is cut off first."""
    return f"{image}.find('^[^@]+').find(':[0-9]+[^/:]*$').find('[0-9]+')"


def _same_variant(names: tuple[str, ...]) -> CelRule:
    same = " && ".join(f"has(self.{name}) == has(oldSelf.{name})" for name in names)
    return CelRule(same, transitions.VARIANT_CHANGED)


LABELS = CelRule(
    f"!has(self.nodeSelector) || self.nodeSelector.all(k, k.matches({_literal(LABEL_KEY_PATTERN)}))",
    f"must be {FORMATS[LABEL_KEY_PATTERN]}",
    ".nodeSelector",
)

OBJECT_RULES: dict[str, tuple[CelRule, ...]] = {
    "ResilientSlice": (*ROOT, *(_not_shrunk(store) for store in StoreName)),
    "Spec": SPEC,
    "Service": SERVICE,
    "Autoscaling": (CelRule("self.minReplicas <= self.maxReplicas", services.MIN_ABOVE_MAX, ".maxReplicas"),),
    "EnvVar": (CelRule("has(self.value) != has(self.valueFrom)", containers.EXACTLY_ONE_VALUE),),
    "EnvValueFrom": (exactly_one(containers.ENV_SOURCES),),
    "EnvFrom": (exactly_one(containers.ENV_FROM_SOURCES),),
    "Probe": (exactly_one(containers.PROBE_WAYS),),
    "Probes": (CelRule(_EACH_PROBE, containers.SUCCESS_THRESHOLD),),
    "Volume": VOLUME,
    "Resources": RESOURCES,
    "Scheduling": (LABELS,),
    "Toleration": TOLERATION,
    "Resilience": (
        CelRule(
            "self.retries.attempts == 0 || !has(self.retries.perTryTimeout) || duration(self.timeout) == duration('0s')"
            " || duration(self.retries.perTryTimeout) <= duration(self.timeout)",
            policies.PER_TRY_ABOVE_TIMEOUT,
            ".retries.perTryTimeout",
        ),
    ),
    "RateLimit": _own_header("tenantHeader"),
    "CanaryHeader": _own_header("name"),
    "Canary": CANARY,
    "Front": FRONT,
    "Postgres": (
        exactly_one(surroundings.POSTGRES_VARIANTS),
        _same_variant(surroundings.POSTGRES_VARIANTS),
    ),
    "Redis": (exactly_one(surroundings.REDIS_VARIANTS), _same_variant(surroundings.REDIS_VARIANTS)),
    "ManagedPostgres": (
        CelRule(
            f"!has(self.image) || {_major('self.image')} == string(self.majorVersion)",
            surroundings.OTHER_MAJOR,
            ".image",
        ),
        CelRule("self.majorVersion == oldSelf.majorVersion", transitions.MAJOR_CHANGED, ".majorVersion"),
        SAME_CLASS,
    ),
    "ManagedRedis": (SAME_CLASS,),
    "CnpgPostgres": (GROWS,),
    "BackupVolume": (GROWS, SAME_CLASS),
}
"""Rules of an object, by the name of its type."""

LIST_RULES: dict[tuple[str, str], tuple[CelRule, ...]] = {("Spec", "services"): SERVICES, ("Canary", "steps"): STEPS}
"""Rules of a list as a whole, by the type and the field that it is in."""
