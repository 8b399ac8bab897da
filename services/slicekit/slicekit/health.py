"""Whether the service is alive and whether it wants traffic, with a reason for each answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

from aiohttp import web

Check = Callable[[], Awaitable[None]]
"""Returns when all is well, raises an exception whose text is the reason otherwise."""

_CHECK_SECONDS = 0.8
_FRESH_SECONDS = 0.2


class Need(Enum):
    """What a failing check means for readiness."""

    ALWAYS = "always"
    AT_START = "at start"
    """Waited for at start; afterwards the service can do part of its work without."""
    NEVER = "never"
    """Reported only."""


class Phase(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Finding:
    ok: bool
    required: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    phase: Phase
    findings: dict[str, Finding]

    @property
    def ready(self) -> bool:
        needed = all(finding.ok or not finding.required for finding in self.findings.values())
        return self.phase is Phase.SERVING and needed

    def response(self) -> web.Response:
        document = {
            "ready": self.ready,
            "phase": self.phase.value,
            "checks": {
                name: {"ok": finding.ok, "required": finding.required, "reason": finding.reason}
                for name, finding in self.findings.items()
            },
        }
        return web.json_response(document, status=200 if self.ready else 503)


class Readiness:
    """Named checks plus the phase of the service's life."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.phase = Phase.STARTING
        self._clock = clock
        self._checks: dict[str, tuple[Check, Need]] = {}
        self._waiting: dict[str, str] = {}
        self._asking = asyncio.Lock()
        self._last: tuple[float, Report] | None = None

    def add(self, name: str, check: Check, need: Need = Need.ALWAYS) -> None:
        if name in self._checks:
            raise ValueError(f"there is a readiness check {name!r} already")
        self._checks[name] = (check, need)

    def wait_for(self, name: str, reason: str) -> None:
        """Says why the start of `name` takes so long."""
        self._waiting[name] = reason

    def arrived(self, name: str) -> None:
        self._waiting.pop(name, None)

    async def report(self) -> Report:
        """Asks every check, at most five times a second however often this is called."""
        async with self._asking:
            now = self._clock()
            if self._last and now - self._last[0] < _FRESH_SECONDS and self._last[1].phase is self.phase:
                return self._last[1]
            names = list(self._checks)
            findings = await asyncio.gather(*(self._find(name) for name in names))
            report = Report(self.phase, self._explain_phase() | dict(zip(names, findings, strict=True)))
            self._last = (now, report)
            return report

    def _explain_phase(self) -> dict[str, Finding]:
        if self.phase is Phase.SERVING:
            return {}
        pending = ", ".join(self._waiting) or "the service itself"
        reason = "draining: told to stop" if self.phase is Phase.DRAINING else f"starting: waiting for {pending}"
        return {self.phase.value: Finding(ok=False, required=True, reason=reason)}

    async def _find(self, name: str) -> Finding:
        check, need = self._checks[name]
        required = need is Need.ALWAYS or (need is Need.AT_START and self.phase is Phase.STARTING)
        if name in self._waiting:
            return Finding(ok=False, required=required, reason=self._waiting[name])
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await check()
        except TimeoutError:
            return Finding(ok=False, required=required, reason=f"no answer within {_CHECK_SECONDS:g} s")
        except Exception as exc:
            return Finding(ok=False, required=required, reason=reason_of(exc))
        return Finding(ok=True, required=required, reason="ok")


def is_closed_transport(exc: BaseException) -> bool:
    """What uvloop raises for a write to a connection that the other side closed a moment ago: a RuntimeError, which
    clients of stores pass on as it is. An outage, not a mistake."""
    return isinstance(exc, RuntimeError) and "the handler is closed" in str(exc)


def reason_of(exc: BaseException) -> str:
    """One line for a person: the first line of the text, or the name of the type where there is none."""
    text = str(exc).strip().splitlines()
    return text[0][:300] if text else type(exc).__name__
