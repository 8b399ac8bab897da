"""Settings of a service from its environment, read once at start: a wrong variable ends the start, by its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from slicekit.bounds import Bounds
from slicekit.durations import format_seconds, parse_seconds
from slicekit.faults import Fault, FaultKind, parse_fault_mode

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
TRACKS = ("stable", "canary")


class SettingError(Exception):
    """A variable of the environment is missing or wrong. The text names it and says what it should be."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Environment:
    """Typed reading of variables. An empty variable counts as one that is not set."""

    values: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.values.get(name, "").strip() or default

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"-?\d{1,12}", text, re.ASCII) or not low <= int(text) <= high:
            raise SettingError(name, f"{text[:40]!r} is not a whole number from {low} to {high}")
        return int(text)

    def seconds(self, name: str, default: float, *, low: float, high: float) -> float:
        """Seconds, written as a duration (`250ms`) or as a plain number of seconds."""
        text = self.values.get(name, "").strip()
        if not text:
            return default
        try:
            value = parse_seconds(text if text[-1].isalpha() else f"{text}s")
        except ValueError as exc:
            raise SettingError(name, str(exc)) from exc
        if not low <= value <= high:
            raise SettingError(name, f"{text[:40]!r} must be from {format_seconds(low)} to {format_seconds(high)}")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        text = self.text(name, default).lower()
        if text not in allowed:
            raise SettingError(name, f"{text[:40]!r} is not one of {', '.join(allowed)}")
        return text

    def header(self, name: str, default: str) -> str:
        text = self.text(name, default)
        if not _TOKEN.fullmatch(text):
            raise SettingError(name, f"{text[:40]!r} is not a header name")
        return text

    def url(self, name: str, *schemes: str, example: str) -> str:
        """A required URL. Its value never appears in an error, for it may carry a password."""
        text = self.text(name, "")
        if not text:
            raise SettingError(name, f"is not set; give a URL such as {example}")
        try:
            parts = urlsplit(text)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise SettingError(name, f"is not a {'/'.join(schemes)} URL with a host; give one such as {example}")
        return text.rstrip("/")

    def fault(self, name: str, kind: FaultKind) -> Fault | None:
        text = self.text(name, "")
        if not text:
            return None
        try:
            return parse_fault_mode(kind, text)
        except ValueError as exc:
            raise SettingError(name, str(exc)) from exc


@dataclass(frozen=True, slots=True)
class Settings:
    """What every service shares. Times are in seconds, sizes in bytes."""

    app: str
    slice: str
    track: str
    version: str
    pod: str
    host: str
    port: int | None
    """None: the service has no port of its own and is reached by its admin port only."""
    admin_port: int
    tenant_header: str
    canary_header: str
    log_level: str
    drain: float
    """How long readiness says no before the listener closes."""
    shutdown: float
    """How long requests in flight may continue after that."""
    request_timeout: float
    """The deadline of a request that brings none, and the most that any request is given."""
    body_limit: int
    bounds: Bounds
    """What strangers may take of a listener."""
    tenant_labels: int
    """How many tenants get a label of their own in the request counter; the rest are counted as `other`."""
    charges: bool
    """Whether tenants are charged here for what they send."""
    faults: tuple[Fault, ...]

    @classmethod
    def read(cls, env: Environment, *, name: str, needs_port: bool) -> Self:
        """SettingError for the first variable that is missing or wrong."""
        port = env.text("PORT", "")
        if needs_port and not port:
            raise SettingError(
                "PORT", f"is not set; {name} needs a port to listen on, such as 8080 (0 picks a free one)"
            )
        faults = (env.fault("FAIL_MODE", FaultKind.FAIL), env.fault("SLOW_MODE", FaultKind.SLOW))
        return cls(
            app=env.text("RSLICE_SERVICE", name),
            slice=env.text("RSLICE_SLICE", "none"),
            track=env.choice("RSLICE_TRACK", "stable", TRACKS),
            version=env.text("RSLICE_VERSION", "unknown"),
            pod=env.text("POD_NAME", ""),
            host=env.text("HOST", "0.0.0.0"),
            port=env.integer("PORT", 0, low=0, high=65535) if port else None,
            admin_port=env.integer("ADMIN_PORT", 8099, low=0, high=65535),
            tenant_header=env.header("TENANT_HEADER", "X-Tenant"),
            canary_header=env.header("CANARY_HEADER", "X-Canary"),
            log_level=env.choice("LOG_LEVEL", "info", _LOG_LEVELS),
            drain=env.seconds("DRAIN_SECONDS", 1.0, low=0, high=300),
            shutdown=env.seconds("SHUTDOWN_SECONDS", 20.0, low=0, high=300),
            request_timeout=env.seconds("REQUEST_TIMEOUT", 10.0, low=0.001, high=3600),
            body_limit=env.integer("BODY_LIMIT", 64 * 1024, low=1, high=64 * 1024 * 1024),
            bounds=Bounds(
                connections=env.integer("MAX_CONNECTIONS", 2000, low=16, high=1_000_000),
                head=env.seconds("HEADER_TIMEOUT", 10.0, low=0.05, high=300),
                body=env.seconds("BODY_TIMEOUT", 10.0, low=0.05, high=300),
                idle=env.seconds("IDLE_TIMEOUT", 75.0, low=0.05, high=3600),
                send=env.seconds("SEND_TIMEOUT", 30.0, low=0.05, high=3600),
            ),
            tenant_labels=env.integer("METRICS_TENANTS", 50, low=0, high=1000),
            charges=bool(env.text("RATE_LIMITS_FILE", "")),
            faults=tuple(fault for fault in faults if fault),
        )
