"""One JSON object a line on stdout, whatever wrote it: the service, aiohttp or psycopg."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from slicekit.context import current
from slicekit.settings import Settings


def add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Names the tenant and the trace of the request being served on every line that is written meanwhile."""
    context = current()
    if context is not None:
        event.setdefault("tenant", context.tenant)
        event.setdefault("trace_id", context.trace.trace_id)
    return event


def json_renderer() -> structlog.processors.JSONRenderer:
    """ASCII only, so that no control character, line separator or lone surrogate can break a line."""
    return structlog.processors.JSONRenderer(ensure_ascii=True, default=_printable)


def _printable(value: Any) -> str:
    return repr(value)


def _shared() -> list[Processor]:
    return [
        add_request,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def configure_logs(settings: Settings) -> None:
    """Sends structlog's and the standard library's records to stdout. Call it once a process."""
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*_shared(), json_renderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _name_app(settings), *_shared()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, json_renderer()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def service_logger(settings: Settings) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(**_identity(settings))
    return logger


def _identity(settings: Settings) -> dict[str, str]:
    named = {
        "app": settings.app,
        "slice": settings.slice,
        "track": settings.track,
        "version": settings.version,
        "pod": settings.pod,
    }
    return {key: value for key, value in named.items() if value}


def _name_app(settings: Settings) -> Processor:
    identity = _identity(settings)

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**identity, **event}

    return add
